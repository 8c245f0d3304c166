//! The live bytes of the process over time: the points of a sparkline.

use memscope_runtime::async_memory::MemorySnapshot;

/// Live bytes over time, as far back as the process keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    /// The times in nanoseconds since the start, with the bytes, in order.
    points: Vec<(u64, u64)>,
    pub(super) now: u64,
    pub(super) most: u64,
}

impl History {
    pub(super) fn of(snapshot: &MemorySnapshot) -> Self {
        let now = snapshot.process().whole_bytes;
        let at = std::time::Duration::try_from_secs_f64(snapshot.observed_seconds())
            .map_or(u64::MAX, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        let kept = snapshot.timeline().process.iter().map(|it| (it.at_ns, it.whole_bytes));
        let mut points: Vec<_> = kept.filter(|it| it.0 < at).collect();
        points.sort_by_key(|it| it.0);
        points.push((at, now));
        let most = points.iter().map(|it| it.1).max().unwrap_or(now);
        Self { points, now, most }
    }

    /// Nanoseconds from the first point to the last.
    pub(super) fn span_ns(&self) -> u64 {
        match (self.points.first(), self.points.last()) {
            (Some(first), Some(last)) => last.0 - first.0,
            _ => 0,
        }
    }

    /// Returns the bytes for columns of equal time: the most in each column. A column without a
    /// point has the bytes of the last one before it.
    pub(super) fn columns(&self, columns: usize) -> Vec<u64> {
        let Some((start, first)) = self.points.first().copied() else { return Vec::new() };
        let span = u128::from(self.span_ns()).max(1);
        // The most and the last bytes of each column.
        let mut filled: Vec<Option<(u64, u64)>> = vec![None; columns];
        for (at, bytes) in &self.points {
            let place = u128::from(at - start) * columns as u128 / (span + 1);
            if let Some(column) = filled.get_mut(usize::try_from(place).unwrap_or(usize::MAX)) {
                let most = column.map_or(0, |it| it.0);
                *column = Some((most.max(*bytes), *bytes));
            }
        }
        let mut last = first;
        let mut shown = Vec::with_capacity(columns);
        for column in filled {
            shown.push(column.map_or(last, |it| it.0));
            last = column.map_or(last, |it| it.1);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_its_most_and_an_empty_one_the_last_before_it() {
        let points = vec![(0, 5), (1, 9), (2, 3), (99, 7)];
        let history = History { points, now: 7, most: 9 };
        assert_eq!(history.columns(10), [9, 3, 3, 3, 3, 3, 3, 3, 3, 7]);
        assert_eq!(history.columns(1), [9]);
        assert!(history.columns(0).is_empty());
        assert_eq!(History { points: vec![(u64::MAX, 1)], now: 1, most: 1 }.columns(3), [1, 1, 1]);
    }
}
