//! The course of live bytes over time, and its row.

use memscope_runtime::async_memory::{MemorySnapshot, Trend, TrendPoint};
use serde_json::json;

use super::{
    answer::Row,
    quote::{bytes, change, seconds},
};

/// Live bytes at moments since the program's start.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Nanoseconds since the start, and live bytes.
    points: Vec<(u64, u64)>,
}

impl Course {
    /// Returns the longest course of those that `is_it` chooses.
    pub(super) fn of(snapshot: &MemorySnapshot, is_it: impl Fn(&Trend) -> bool) -> Self {
        let timeline = snapshot.timeline();
        let all = timeline.sites.iter().chain(&timeline.shared).chain(snapshot.trends());
        let longest = all.filter(|it| is_it(it)).max_by_key(|it| it.points.len());
        let point = |it: &TrendPoint| (it.at_ns, it.live_bytes);
        Self { points: longest.map_or_else(Vec::new, |it| it.points.iter().map(point).collect()) }
    }

    /// Returns the course of the whole process, or of its bytes outside of tasks.
    pub(super) fn of_process(snapshot: &MemorySnapshot, is_untracked: bool) -> Self {
        let points =
            snapshot.timeline().process.iter().map(|it| {
                (it.at_ns, if is_untracked { it.untracked_bytes } else { it.whole_bytes })
            });
        Self { points: points.collect() }
    }

    /// The last point less the first.
    pub(super) fn rise(&self) -> Option<i64> {
        let ends = self.points.first().zip(self.points.last());
        ends.filter(|_| self.points.len() > 1)
            .map(|((_, first), (_, last))| difference(*last, *first))
    }

    /// Makes the row of the course. A course without points has a row too.
    pub(super) fn row(&self, what: &str) -> Row {
        let samples = self.points.len();
        let (Some(rise), Some(first), Some(last)) =
            (self.rise(), self.points.first(), self.points.last())
        else {
            let text = format!(
                "course: of {what} there are {samples} points, and it takes two: ask again later, \
                 or use `compare`"
            );
            return Row { text, data: json!({ "row": "course", "points": samples }) };
        };
        let lasted = last.0.saturating_sub(first.0);
        let most = self.points.iter().map(|it| it.1).max().unwrap_or(0);
        let middle = self.points[samples / 2];
        let text = format!(
            "course: live bytes of {what} went from {} to {}, {} in {} s, over {samples} points; \
             halfway {}, at most {}",
            bytes(first.1),
            bytes(last.1),
            change(rise),
            seconds(lasted),
            bytes(middle.1),
            bytes(most),
        );
        let data = json!({
            "row": "course", "points": samples, "from_bytes": first.1, "to_bytes": last.1,
            "rise_bytes": rise, "span_ns": lasted, "halfway_bytes": middle.1, "most_bytes": most,
        });
        Row { text, data }
    }
}

/// Returns `now - then`, limited to the range of the type.
pub(super) fn difference(now: u64, then: u64) -> i64 {
    i64::try_from(i128::from(now) - i128::from(then)).unwrap_or(if now > then {
        i64::MAX
    } else {
        i64::MIN
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_of_one_point_says_nothing_of_growth() {
        let one = Course { points: vec![(5, 10)] };
        assert_eq!(one.rise(), None);
        assert!(one.row("it").text.contains("1 points, and it takes two"), "{:?}", one.row("it"));
        let two = Course { points: vec![(0, 4096), (2_000_000_000, 1024)] };
        let row = two.row("it");
        assert!(row.text.contains("-3072 B (3.0 KiB) in 2 s, over 2 points"), "{}", row.text);
        assert_eq!(row.data["rise_bytes"], -3072);
        assert_eq!(difference(u64::MAX, 0), i64::MAX);
    }
}
