//! The points of all series, copied out of the history for one snapshot.
//!
//! The history is a static of fixed size, and mostly empty. Only what is in it is copied, and of a
//! task's series only the points that its trend shows.

use super::Kept;
use crate::{
    accounting::shared_owner,
    model::{Place, ProcessPoint, TaskId, Trend, TrendPoint, timeline::Timeline},
    primitives::reserve,
    snapshot::rows::SiteNames,
};

/// The points of a [`Trend`].
const TREND_POINTS: usize = 16;

/// The number of entries of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amounts {
    pub(super) process: usize,
    pub(super) series: usize,
    pub(super) points: usize,
    pub(super) events: usize,
}

/// One series: its points stand together in the list of all points.
#[derive(Clone, Copy, Debug)]
struct Range {
    of: Of,
    /// The index of the site, shared owner or place of a stack.
    index: u32,
    first: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// All tasks of a site.
    Site,
    Task(Option<TaskId>),
    Shared,
    /// A call stack in its site.
    Stack,
}

/// What a snapshot takes out of the history.
#[derive(Debug)]
pub(crate) struct Points {
    process: Vec<ProcessPoint>,
    series: Vec<Range>,
    all: Vec<TrendPoint>,
    /// In the order in which they happened.
    pub(crate) events: Vec<Kept>,
}

/// Returns how many points a trend with this many points in the history shows.
pub(super) fn shown(points: usize) -> usize {
    points.div_ceil(step(points))
}

/// A trend shows one in this many points.
fn step(points: usize) -> usize {
    points.div_ceil(TREND_POINTS).max(1)
}

/// The index of the first point that is shown: the last one always is.
fn start(points: usize) -> usize {
    points.checked_sub(1).map_or(0, |last| last % step(points))
}

/// Returns how many of `points` points a stack's row shows.
pub(super) fn spread(points: usize) -> usize {
    points.min(TREND_POINTS)
}

/// Whether a stack's row shows this one of `points` points. It shows the first, the last, and
/// others evenly between. The first one tells what was there before.
fn is_spread(point: usize, points: usize) -> bool {
    const STEPS: usize = TREND_POINTS - 1;
    let Some(last) = points.checked_sub(1).filter(|last| *last > STEPS) else { return true };
    (point * STEPS).div_ceil(last) * last / STEPS == point
}

impl Points {
    /// Makes lists with room for these amounts. Returns `None` if there is no memory for them.
    pub(super) fn with_room(room: Amounts) -> Option<Self> {
        Some(Self {
            process: reserve::list(room.process)?,
            series: reserve::list(room.series)?,
            all: reserve::list(room.points)?,
            events: reserve::list(room.events)?,
        })
    }

    /// Whether these amounts fit in without an allocation.
    pub(super) fn fits(&self, amounts: Amounts) -> bool {
        amounts.process <= self.process.capacity()
            && amounts.series <= self.series.capacity()
            && amounts.points <= self.all.capacity()
            && amounts.events <= self.events.capacity()
    }

    pub(super) fn add_process(&mut self, points: impl Iterator<Item = ProcessPoint>) {
        self.process.extend(points);
    }

    /// Adds all points of a site.
    pub(super) fn add_site(&mut self, site: u32, points: impl Iterator<Item = TrendPoint>) {
        self.add(Of::Site, site, points);
    }

    /// Adds all points of a shared owner.
    pub(super) fn add_shared(&mut self, index: u32, points: impl Iterator<Item = TrendPoint>) {
        self.add(Of::Shared, index, points);
    }

    /// Adds the points of a task that its trend shows.
    pub(super) fn add_task(
        &mut self,
        task: u64,
        site: u32,
        points: impl ExactSizeIterator<Item = TrendPoint>,
    ) {
        let (first, step) = (start(points.len()), step(points.len()));
        self.add(Of::Task(TaskId::new(task)), site, points.skip(first).step_by(step));
    }

    /// Adds the points of a call stack that its row shows.
    pub(super) fn add_stack(
        &mut self,
        place: u32,
        points: impl ExactSizeIterator<Item = TrendPoint>,
    ) {
        let len = points.len();
        let points = points.enumerate().filter(|(point, _)| is_spread(*point, len));
        self.add(Of::Stack, place, points.map(|(_, point)| point));
    }

    fn add(&mut self, of: Of, index: u32, points: impl Iterator<Item = TrendPoint>) {
        let first = self.all.len();
        self.all.extend(points);
        self.series.push(Range { of, index, first, end: self.all.len() });
    }

    /// The timeline as a snapshot shows it.
    pub(crate) fn timeline(&self, names: &SiteNames) -> Timeline {
        let all_of = |of: Of| {
            let series = self.series.iter().filter(move |series| series.of == of);
            reserve::rows(series, |series| {
                Self::trend(series, self.points_of(series).iter(), names)
            })
        };
        Timeline {
            process: reserve::rows(self.process.iter().copied(), Some),
            sites: all_of(Of::Site),
            shared: all_of(Of::Shared),
        }
    }

    /// The sites and the tasks, with fewer points.
    pub(crate) fn trends(&self, names: &SiteNames) -> Vec<Trend> {
        let series = self.series.iter();
        let series = series.filter(|series| matches!(series.of, Of::Site | Of::Task(_)));
        reserve::rows(series, |series| {
            let points = self.points_of(series);
            let points = points.iter().skip(start(points.len())).step_by(step(points.len()));
            Self::trend(series, points, names)
        })
    }

    /// The points of the call stack with this place; none if it is not among the largest.
    pub(crate) fn of_stack(&self, place: u32) -> &[TrendPoint] {
        let mut series = self.series.iter();
        let series = series.find(|series| series.of == Of::Stack && series.index == place);
        series.map_or(&[], |series| self.points_of(series))
    }

    fn points_of(&self, series: &Range) -> &[TrendPoint] {
        self.all.get(series.first..series.end).unwrap_or_default()
    }

    fn trend<'a>(
        series: &Range,
        points: impl Iterator<Item = &'a TrendPoint>,
        names: &SiteNames,
    ) -> Option<Trend> {
        let (task, place) = match series.of {
            Of::Site => (None, names.get(series.index)?),
            Of::Task(task) => (task, names.get(series.index)?),
            Of::Shared => {
                let name = shared_owner::name(series.index)?.to_owned();
                (None, Place { name, file: "".into(), line: 0 })
            }
            Of::Stack => return None,
        };
        let points: Vec<TrendPoint> = points.copied().collect();
        reserve::spend(points.len() * size_of::<TrendPoint>());
        Some(Trend { task, place, points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_s_row_shows_the_first_and_the_last_of_its_points() {
        for points in 1..=64 {
            let shown: Vec<usize> = (0..points).filter(|it| is_spread(*it, points)).collect();
            assert_eq!(shown.len(), spread(points), "{points}");
            assert_eq!((shown.first(), shown.last()), (Some(&0), Some(&(points - 1))));
        }
    }

    #[test]
    fn a_trend_shows_at_most_sixteen_points_and_always_the_last() {
        for points in 1..=64 {
            let shown_points: Vec<usize> =
                (0..points).skip(start(points)).step_by(step(points)).collect();
            assert_eq!(shown_points.len(), shown(points), "{points}");
            assert!(shown_points.len() <= TREND_POINTS);
            assert_eq!(shown_points.last(), Some(&(points - 1)));
        }
        assert_eq!(shown(0), 0);
    }
}
