//! Whether a series of live bytes grows: by the clock, and for long enough.

use super::{
    doubling::Doubling,
    finding::{Severity, per_day},
    options::LeakOptions,
    trend::Course,
};
use crate::{model::TrendPoint, snapshot::float};

/// After so long, a load that swings with the day would have fallen again.
const DAY_NS: u64 = 86_400_000_000_000;
/// The rate of what grew for less than this does not count.
const LASTING_NS: u64 = DAY_NS / 24;
/// Load frees nearly all that it allocates. What keeps this share of it is not load alone.
const KEPT_UNLIKE_LOAD: f64 = 0.25;
/// The lowest values are compared in this many parts of the time.
const PARTS: usize = 8;
/// The lowest values may rise beside swings that are at most this many times the rise.
const MOST_SWING: u64 = 8;
/// A rise by half of what was there before is growth. A smaller one is growth above a base: it is
/// seen down to one part in this many, and load may be what it is until a day is over.
const LEAST_OF_BASE: u64 = 32;
/// In how many samples growth above a base must be seen, and how many times as long as other
/// growth.
const LEAST_ABOVE_BASE: usize = 8;
const TIMES_ABOVE_BASE: u64 = 5;
/// The same for growth that samples of stacks alone show.
const TIMES_BY_ESTIMATE: u64 = 2;

/// A rise that goes on to the end of a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    pub(super) course: Course,
    /// The number of samples in which it is seen.
    pub(super) samples: usize,
    /// Live bytes fall now and then, and only the lowest values rise.
    pub(super) is_in_swings: bool,
    /// It is less than half of what was there before.
    pub(super) is_above_base: bool,
    /// It rises by steps that double: a collection in one block.
    pub(super) doubling: Option<Doubling>,
    /// The bytes are estimates, by samples of stacks.
    pub(super) is_estimate: bool,
}

/// Some bytes of a site or task that a finding is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    /// All of them, with what was there before the growth.
    pub(super) bytes: u64,
    /// Of these, the ones that have come since `since_ns`.
    rise: u64,
    /// `None`: since the start.
    pub(super) since_ns: Option<u64>,
}

impl Suspect {
    /// Bytes that have come since the start.
    pub(super) fn all(bytes: u64) -> Self {
        Self { bytes, rise: bytes, since_ns: None }
    }

    /// Bytes that have grown.
    pub(super) fn grown(bytes: u64, growth: &Growth) -> Self {
        let since_ns = Some(growth.course.first().at_ns);
        Self { bytes, rise: growth.course.rise().min(bytes), since_ns }
    }

    /// Bytes that have come since `since_ns`, out of a larger sum.
    pub(super) fn part(bytes: u64, rise: u64, since_ns: u64) -> Self {
        Self { bytes, rise: rise.min(bytes), since_ns: Some(since_ns) }
    }

    /// The bytes that have come.
    pub(super) fn rise(&self) -> u64 {
        self.rise
    }

    /// What has at least this many of these bytes has half of those that have come.
    pub(super) fn most(&self) -> u64 {
        self.bytes.saturating_sub(self.rise / 2).max(1)
    }
}

impl Growth {
    /// Looks for a rise in the whole series, in its last half and its last quarter. A part must
    /// also rise above all that was before it: a load that comes back does not.
    ///
    /// A collection that doubles rises in steps that come ever later. It is looked for as well:
    /// between two steps it looks as if it were done, and after the last one as if it went on.
    ///
    /// Whether the rise was seen for long enough says [`is_long`](Self::is_long).
    pub(super) fn of(points: &[TrendPoint], options: &LeakOptions) -> Option<Self> {
        let found = Self::by_clock(points, options);
        let Some((doubling, part)) = Doubling::of(points, options) else { return found };
        let by_steps = Course::of(part).filter(|course| is_much(course, options));
        let Some(course) = by_steps else { return found };
        if doubling.is_over() {
            let last = course.last().at_ns.saturating_sub(doubling.flat_ns());
            let is_another = |found: &Self| {
                found.course.first().at_ns >= last || found.course.rise() / 2 > course.rise()
            };
            return found.filter(is_another);
        }
        let growth = Self::new(course, part.len(), doubling.is_in_swings());
        // Both say that it grows. One of them may have seen more of it.
        let longer = found.filter(|found| found.is_long(options) && !growth.is_long(options));
        Some(Self { doubling: Some(doubling), ..longer.unwrap_or(growth) })
    }

    /// Looks for a rise of estimates. Where few samples were taken these move in steps, which are
    /// not taken for those of a collection.
    pub(super) fn by_estimate(points: &[TrendPoint], options: &LeakOptions) -> Option<Self> {
        Some(Self { is_estimate: true, ..Self::by_clock(points, options)? })
    }

    fn by_clock(points: &[TrendPoint], options: &LeakOptions) -> Option<Self> {
        let len = points.len();
        let whole = Self::of_part(points, options).or_else(|| Self::of_valleys(points, options));
        whole.or_else(|| {
            [len / 2, len / 4 * 3].into_iter().find_map(|start| {
                let (before, part) = points.split_at_checked(start)?;
                let growth = Self::of_part(part, options)?;
                let highest = before.iter().map(|point| point.live_bytes).max().unwrap_or(0);
                let floor = highest.saturating_add(growth.course.rise() / 2);
                (growth.course.last().live_bytes >= floor).then_some(growth)
            })
        })
    }

    fn of_part(points: &[TrendPoint], options: &LeakOptions) -> Option<Self> {
        let is_growth = |points: &[TrendPoint]| {
            let course = Course::of(points)?;
            let is_growth = is_much(&course, options) && course.rises(points);
            is_growth.then(|| Self::new(course, points.len(), false))
        };
        let whole = is_growth(points)?;
        // A rise that began late is as old as itself, and as fast.
        let start = points.iter().rposition(|point| point.live_bytes <= whole.course.floor());
        let late = start.filter(|start| *start > points.len() / 4);
        let late = late.and_then(|start| is_growth(points.get(start..)?));
        Some(late.unwrap_or(whole))
    }

    /// A leak below a load that comes and goes: in each part of the time the lowest value is higher
    /// than in the part before, and it does not level off.
    fn of_valleys(points: &[TrendPoint], options: &LeakOptions) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        let span = last.at_ns.saturating_sub(first.at_ns);
        if points.len() < 3 * PARTS || span == 0 {
            return None;
        }
        let mut valleys = [None::<TrendPoint>; PARTS];
        let mut swing = 0;
        for point in points {
            let since = u128::from(point.at_ns.saturating_sub(first.at_ns));
            let part = usize::try_from(since * PARTS as u128 / u128::from(span)).unwrap_or(PARTS);
            let lowest = valleys.get_mut(part.min(PARTS - 1))?;
            swing = swing.max(
                point
                    .live_bytes
                    .saturating_sub(lowest.map_or(point.live_bytes, |lowest| lowest.live_bytes)),
            );
            if lowest.is_none_or(|lowest| point.live_bytes < lowest.live_bytes) {
                *lowest = Some(*point);
            }
        }
        let valleys: Vec<TrendPoint> = valleys.into_iter().flatten().collect();
        let course = Course::of(&valleys)?;
        let rise = course.rise();
        let rises = valleys.iter().zip(valleys.iter().skip(1));
        let falls = rises.filter(|(before, after)| before.live_bytes >= after.live_bytes).count();
        let is_steady = valleys.len() == PARTS && falls == 0 && swing / MOST_SWING <= rise;
        let is_growth = is_much(&course, options) && is_steady && course.rises(&valleys);
        is_growth.then(|| Self::new(course, points.len(), true))
    }

    fn new(course: Course, samples: usize, is_in_swings: bool) -> Self {
        let is_above_base = course.rise() < course.first().live_bytes / 2;
        Self { course, samples, is_in_swings, is_above_base, doubling: None, is_estimate: false }
    }

    /// The growth of several together. Its times are those of this one.
    pub(super) fn together(&self, other: &Self) -> Self {
        let course = self.course.together(&other.course);
        let samples = self.samples.min(other.samples);
        let growth = Self::new(course, samples, self.is_in_swings || other.is_in_swings);
        let doubling = self.doubling.zip(other.doubling).map(|(one, two)| one.together(&two));
        Self { doubling, is_estimate: self.is_estimate || other.is_estimate, ..growth }
    }

    /// Whether it was seen for long enough, and often enough, for a verdict.
    pub(super) fn is_long(&self, options: &LeakOptions) -> bool {
        let (samples, span_ns) = self.needs(options);
        self.samples >= samples && self.course.span_ns() >= span_ns
    }

    /// In how many samples and for how many nanoseconds it must be seen for a verdict.
    pub(super) fn needs(&self, options: &LeakOptions) -> (usize, u64) {
        let (samples, span_ns) = (options.least_samples, options.growth_ns());
        let times = match (self.is_above_base, self.is_estimate) {
            (true, _) => TIMES_ABOVE_BASE,
            (false, true) => TIMES_BY_ESTIMATE,
            (false, false) => return (samples, span_ns),
        };
        (samples.max(LEAST_ABOVE_BASE), span_ns.saturating_mul(times))
    }

    /// Whether load could look like this: what rises with the day falls with it.
    pub(super) fn may_be_load(&self) -> bool {
        let kept = float(self.course.rise()) / float(self.course.allocated().max(1));
        !self.is_of_a_day() && (self.is_above_base || kept < KEPT_UNLIKE_LOAD)
    }

    pub(super) fn is_of_a_day(&self) -> bool {
        self.course.span_ns() >= DAY_NS
    }

    pub(super) fn bytes_per_day(&self) -> Option<u64> {
        let by_course = per_day(self.course.rise(), self.course.span_ns())?;
        Some(self.of_steps(DAY_NS).map_or(by_course, |by_steps| by_steps.min(by_course)))
    }

    /// What fills a collection that doubles in this many nanoseconds. Just after a step, half of
    /// its room is not filled yet.
    fn of_steps(&self, ns: u64) -> Option<u64> {
        let (bytes, in_ns) = self.doubling?.rate();
        u64::try_from(u128::from(bytes) * u128::from(ns) / u128::from(in_ns.max(1))).ok()
    }

    /// By how many bytes it rises in a minute.
    pub(super) fn per_minute(&self) -> u64 {
        const MINUTE_NS: u64 = 60_000_000_000;
        let span = u128::from(self.course.span_ns().max(1));
        let by_course = u128::from(self.course.rise()) * u128::from(MINUTE_NS) / span;
        let by_course = u64::try_from(by_course).unwrap_or(u64::MAX);
        self.of_steps(MINUTE_NS).map_or(by_course, |by_steps| by_steps.min(by_course))
    }

    /// How much it matters; low where load may look like this, or a collection that has reached its
    /// size.
    pub(super) fn severity(&self, bytes: u64, whole: u64, may_be_load: bool) -> Severity {
        // What grew for some minutes says little of a day.
        let is_lasting = self.course.span_ns() >= LASTING_NS;
        let per_day = self.bytes_per_day().filter(|_| is_lasting);
        let may_be_done = self.doubling.is_some_and(|doubling| !doubling.goes_on());
        if may_be_load || may_be_done { Severity::Low } else { Severity::of(bytes, whole, per_day) }
    }
}

fn is_much(course: &Course, options: &LeakOptions) -> bool {
    let base = course.first().live_bytes;
    course.rise() >= options.least_growth.max(base / LEAST_OF_BASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: u64 = 60_000_000_000;

    /// One sample a minute, of this many KiB; ten times as much was allocated until then.
    fn points(kib: impl IntoIterator<Item = u64>) -> Vec<TrendPoint> {
        let points = kib.into_iter().zip(1..).map(|(kib, minute)| TrendPoint {
            at_ns: minute * MINUTE_NS,
            live_bytes: kib << 10,
            allocated_bytes: kib << 10,
        });
        points.collect()
    }

    fn found(kib: impl IntoIterator<Item = u64>) -> Option<Growth> {
        Growth::of(&points(kib), &LeakOptions::new())
    }

    #[test]
    fn a_leak_that_begins_late_is_found_by_its_own_time() {
        let late = found((0..32).map(|_| 500).chain((1..=32).map(|step| 500 + 100 * step)));
        let growth = late.expect("found");
        assert_eq!(growth.course.span_ns(), 30 * MINUTE_NS, "from a sixteenth of the rise on");
        assert!(growth.is_long(&LeakOptions::new()));
        assert_eq!(growth.per_minute(), 100 << 10);
    }

    #[test]
    fn a_load_that_comes_back_a_step_and_a_warm_up_are_no_growth() {
        let day = |step: u64| if step % 32 < 16 { step % 16 } else { 15 - step % 16 };
        assert!(found((0..64).map(|step| 1_000 + 300 * day(step))).is_none());
        // It is on its way up again, to where it was.
        assert!(found((0..46).map(|step| 1_000 + 300 * day(step))).is_none());
        assert!(found((0..64).map(|step| if step < 40 { 100 } else { 5_000 })).is_none());
        assert!(found((0..64).map(|step: u64| 100 * step.min(20))).is_none());
        assert!(found((0..64).map(|step| 500 * (step % 7))).is_none(), "a saw-tooth");
    }

    #[test]
    fn a_leak_below_a_saw_tooth_is_found_by_its_lowest_values() {
        let leak = |step: u64| 40 * step + 500 * (step % 7);
        let growth = found((0..64).map(leak)).expect("found");
        assert!(growth.is_in_swings && growth.course.rise() > 2_000 << 10);
    }

    #[test]
    fn growth_needs_time_as_well_as_samples() {
        let options = LeakOptions::new();
        let fast: Vec<TrendPoint> = points((1..=20).map(|step| 100 * step))
            .into_iter()
            .map(|point| TrendPoint { at_ns: point.at_ns / 60_000, ..point })
            .collect();
        let growth = Growth::of(&fast, &options).expect("it rises");
        assert!(!growth.is_long(&options), "19 ms");
        let few = found((1..=4).map(|step| 100 * step)).expect("it rises");
        assert!(!few.is_long(&options), "4 samples");
    }

    #[test]
    fn what_is_freed_again_may_be_load_until_a_day_is_over() {
        let mut rising = points((1..=20).map(|step| 100 * step));
        let may_be_load = |points: &[TrendPoint]| {
            Growth::of(points, &LeakOptions::new()).expect("it rises").may_be_load()
        };
        assert!(!may_be_load(&rising), "all is kept");
        for point in &mut rising {
            point.allocated_bytes *= 10;
        }
        assert!(may_be_load(&rising));
        for point in &mut rising {
            point.at_ns *= 100;
        }
        assert!(!may_be_load(&rising), "more than a day");
    }
}
