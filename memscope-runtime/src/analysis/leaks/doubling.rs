//! Live bytes that rise by doubling: a collection in one block, which moves to twice its room.

use super::{
    options::LeakOptions,
    wording::{age, several},
};
use crate::model::TrendPoint;

/// This many steps, each in proportion to the one before, make growth.
const LEAST_STEPS: usize = 3;
/// This many are seldom something else.
const SURE_STEPS: u64 = 4;
/// A collection moves to 1.5 to 2.2 times its room. A step may measure more or less, by what else
/// comes and goes: from 1.4 to 2.5 times the one before.
const LEAST_FACTOR: u64 = 150;
const MOST_FACTOR: u64 = 220;
const LEAST_RATIO: u64 = 140;
const MOST_RATIO: u64 = 250;
/// What fills it does not always come at the same rate: a gap may be 1.4 to 3 times the one before.
const MOST_GAP: u64 = 300;
/// The last gap is this many percent of the mean of those before it, if there is one or if there
/// are more. Steps at equal distances have 100.
const LEAST_OF_ONE: u64 = 125;
const LEAST_OF_MEAN: u64 = 140;
/// Between two steps live bytes rise by at most one part in this many of a step …
const LEVEL: u64 = 8;
/// … and may be higher for a moment by one in this many.
const PASSING: u64 = 4;
/// A series is as high as before, or as high as it will be, within one part in this many.
const NEAR: u64 = 16;
/// For so much of the time from one doubling to the next, one part in this many, it is level.
const LEAST_LEVEL: u64 = 4;
/// This many of the last levels are tried.
const MOST_LEVELS: usize = 4;
/// What is one part in this many of the rise above its start has not grown yet.
const START: u64 = 16;
/// The next step may be late by this many percent.
const LATE: u64 = 130;

/// A staircase whose steps become higher and longer, all by about the same factor.
///
/// What is in such a collection rises by the clock. Its room doubles, so each step is twice as high
/// as the one before, and is twice as long in coming.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubling {
    steps: u64,
    /// How many percent of the one before a step is.
    factor: u64,
    /// Since the last step.
    flat_ns: u64,
    /// From the last step to the next one, if what fills the collection goes on.
    next_ns: u64,
    /// The same, if the step before the last came as early as its samples allow.
    most_next_ns: u64,
    /// The bytes of the last step. As many are filled until the next one.
    step_bytes: u64,
    /// The last step came in the time that belongs to the start of a program.
    is_early: bool,
    /// Live bytes are higher now and then, for a moment.
    is_in_swings: bool,
}

/// A step of a series: from a sample to the one after it, or to a later one.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// The index of the first sample that is higher than before.
    start: usize,
    /// The index of the first sample after it.
    place: usize,
    height: u64,
    /// The times of the samples before and after it.
    from_ns: u64,
    to_ns: u64,
}

impl Doubling {
    /// Looks for such a staircase at the end of a series. Returns also the samples in which it is:
    /// from its start on.
    pub(super) fn of<'p>(
        points: &'p [TrendPoint],
        options: &LeakOptions,
    ) -> Option<(Self, &'p [TrendPoint])> {
        Self::in_all(points, options).or_else(|| {
            // While a map moves, its old and its new room are there at once.
            let (last, before) = points.split_last()?;
            let is_higher = before.last()?.live_bytes < last.live_bytes;
            let (mut doubling, part) = Self::in_all(before, options).filter(|_| is_higher)?;
            let since = last.at_ns.saturating_sub(before.last()?.at_ns);
            doubling.flat_ns = doubling.flat_ns.saturating_add(since);
            Some((doubling, part))
        })
    }

    fn in_all<'p>(
        points: &'p [TrendPoint],
        options: &LeakOptions,
    ) -> Option<(Self, &'p [TrendPoint])> {
        let lows = lows(points);
        let sharp = chain(&rises(points, &lows));
        let steps = if sharp.is_empty() { octaves(points, &lows) } else { sharp };
        let [last, before, ..] = &*steps else { return None };
        let first = steps.last()?;
        let factor = percent(last.height, before.height).clamp(LEAST_FACTOR, MOST_FACTOR);
        let level = *lows.get(last.place)?;
        let foot = *lows.get(first.start.checked_sub(1)?)?;
        let gap_ns = last.to_ns.saturating_sub(before.to_ns);
        let earlier_ns = before.to_ns.saturating_sub(first.to_ns);
        let (gaps, percents) = match steps.len() - 2 {
            1 => (1, LEAST_OF_ONE),
            gaps => (gaps as u64, LEAST_OF_MEAN),
        };
        // Steps in two samples that follow each other say nothing of the time between them.
        if last.start < before.place + 2 || gap_ns < times(earlier_ns, percents) / gaps {
            return None;
        }
        // It must rise above all that was before it, as other growth must.
        let (earlier, later) = points.split_at_checked(first.start)?;
        let highest = earlier.iter().map(|point| point.live_bytes).max().unwrap_or(0);
        if level < highest.saturating_add(level.saturating_sub(foot) / 2) {
            return None;
        }
        // A sample that meets a map while it moves is far higher, and then no other is.
        let mut above = later.iter().zip(lows.iter().skip(first.start)).zip(first.start..);
        let passing = last.height / PASSING;
        let is_at_step = |place: usize| steps.iter().any(|step| step.place == place);
        let excess = |point: &TrendPoint, low: &u64| point.live_bytes.saturating_sub(*low);
        let is_calm =
            above.all(|((point, low), place)| excess(point, low) <= passing || is_at_step(place));
        if !is_calm {
            return None;
        }
        // What was in the block before the first of these steps has grown as well.
        let in_block = u64::try_from(
            u128::from(first.height) * 100 / u128::from(factor.saturating_sub(100).max(1)),
        );
        let base = foot.saturating_sub(in_block.unwrap_or(u64::MAX));
        let rise = level.saturating_sub(base);
        let floor = base.saturating_add(rise / START);
        let start = points.iter().rposition(|point| point.live_bytes <= floor).unwrap_or(0);
        let part = points.get(start..)?;
        let (begin, end) = (part.first()?.at_ns, part.last()?.at_ns);
        let in_swings = part
            .iter()
            .zip(lows.iter().skip(start))
            .any(|(point, low)| excess(point, low) > rise / START);
        let doubling = Self {
            steps: steps.len() as u64,
            factor,
            flat_ns: end.saturating_sub(last.to_ns),
            next_ns: times(gap_ns, factor),
            most_next_ns: times(last.to_ns.saturating_sub(before.from_ns), factor),
            step_bytes: last.height,
            is_early: last.to_ns.saturating_sub(begin) < options.growth_ns(),
            is_in_swings: in_swings,
        };
        Some((doubling, part))
    }

    /// Whether the next step is late by so much that none is to come: a collection that has reached
    /// its size.
    pub(super) fn is_over(&self) -> bool {
        self.flat_ns > times(self.next_ns, LATE).max(self.most_next_ns)
    }

    /// For how long there was no step.
    pub(super) fn flat_ns(&self) -> u64 {
        self.flat_ns
    }

    pub(super) fn is_in_swings(&self) -> bool {
        self.is_in_swings
    }

    /// Whether it was seen to go on, beyond the start of a program, and is not late: then it
    /// matters as other growth does.
    pub(super) fn goes_on(&self) -> bool {
        !self.is_early && self.flat_ns <= self.most_next_ns.min(times(self.next_ns, LATE))
    }

    /// Whether few healthy programs look like it.
    pub(super) fn is_likely(&self) -> bool {
        self.goes_on() && self.steps >= SURE_STEPS
    }

    /// The rate at which the collection fills: bytes, and the nanoseconds in which they come.
    pub(super) fn rate(&self) -> (u64, u64) {
        (self.step_bytes, self.next_ns)
    }

    /// What two do together that grow at the same time. The times are those of the later one.
    pub(super) fn together(&self, other: &Self) -> Self {
        let (late, early) =
            if self.flat_ns <= other.flat_ns { (self, other) } else { (other, self) };
        let bytes = u128::from(early.step_bytes) * u128::from(late.next_ns)
            / u128::from(early.next_ns.max(1));
        Self {
            steps: late.steps.min(early.steps),
            step_bytes: late.step_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX)),
            is_early: late.is_early || early.is_early,
            is_in_swings: late.is_in_swings || early.is_in_swings,
            ..*late
        }
    }

    /// `by doubling: 5 steps, the last 40 s ago, each about twice the one before; …`, and when the
    /// next is due.
    pub(super) fn words(&self) -> String {
        let factor = match self.factor {
            180..=MOST_FACTOR => "twice".to_owned(),
            factor => format!("{}.{} times", factor / 100, factor % 100 / 10),
        };
        let steps = several(self.steps, "step", "steps");
        let ago = age(self.flat_ns);
        let next = match self.next_ns.checked_sub(self.flat_ns) {
            Some(left) => format!("the next is due in {}", age(left)),
            None if self.goes_on() => "the next is due".to_owned(),
            None => format!("the next is late by {}", age(self.flat_ns - self.next_ns)),
        };
        format!(
            "by doubling: {steps}, the last {ago} ago, each about {factor} the one before; {next}"
        )
    }
}

/// The lowest value from each sample to the end: what is there for a moment is not in it.
fn lows(points: &[TrendPoint]) -> Vec<u64> {
    let mut lowest = u64::MAX;
    let from_end = points.iter().rev().map(|point| {
        lowest = lowest.min(point.live_bytes);
        lowest
    });
    let mut lows: Vec<u64> = from_end.collect();
    lows.reverse();
    lows
}

fn rises(points: &[TrendPoint], lows: &[u64]) -> Vec<Step> {
    let pairs = points.iter().zip(points.iter().skip(1));
    let heights = lows.iter().zip(lows.iter().skip(1)).map(|(before, after)| after - before);
    let steps = pairs.zip(heights).zip(1..).map(|(((before, after), height), place)| Step {
        start: place,
        place,
        height,
        from_ns: before.at_ns,
        to_ns: after.at_ns,
    });
    steps.filter(|step| step.height != 0).collect()
}

/// The last doublings of a series, the last one first, where none is at one time: those of a map in
/// many parts, each of which moves to twice its room a bit before or after the others.
///
/// They end at a level at which the series stands still, and may have begun to leave it.
fn octaves(points: &[TrendPoint], lows: &[u64]) -> Vec<Step> {
    let last = lows.last().copied().unwrap_or(0);
    let pairs = lows.iter().zip(lows.iter().skip(1)).rev();
    let mut levels: Vec<u64> = pairs.filter(|(one, next)| one == next).map(|it| *it.0).collect();
    levels.dedup();
    let mut levels =
        levels.into_iter().filter(|level| last <= level.saturating_mul(2)).take(MOST_LEVELS);
    levels.find_map(|level| octaves_to(level, points, lows)).unwrap_or_default()
}

/// The doublings up to this level. Between the last two of them the series must be level for a
/// while, as what has room to fill is.
fn octaves_to(level: u64, points: &[TrendPoint], lows: &[u64]) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for octave in 0..LEAST_STEPS {
        let (high, low) = (level >> octave, level >> (octave + 1));
        let place = lows.iter().position(|it| *it >= high - high / NEAR)?;
        let start = lows.iter().position(|it| *it > low.saturating_add(low / NEAR))?;
        let before = start.checked_sub(1)?;
        let is_there = *lows.get(before)? >= low - low / NEAR;
        steps.extend((is_there && start <= place).then_some(Step {
            start,
            place,
            height: high - low,
            from_ns: points.get(before)?.at_ns,
            to_ns: points.get(place)?.at_ns,
        }));
    }
    let [third, second, first] = &*steps else { return None };
    let gap = third.to_ns.saturating_sub(second.to_ns);
    let level = third.from_ns.saturating_sub(second.to_ns);
    (is_longer(first, second, third) && level >= gap / LEAST_LEVEL).then_some(steps)
}

/// The steps of the staircase, the last one first; none if there are too few.
///
/// The last step is higher than all rises after it, and what is after it is level. Before the
/// staircase there may be a higher one: what a service loads at its start.
fn chain(rises: &[Step]) -> Vec<Step> {
    let (mut highest, mut after) = (0, 0_u64);
    let mut ends = Vec::new();
    for (at, rise) in rises.iter().enumerate().rev() {
        if rise.height > highest {
            highest = rise.height;
            ends.extend((after <= highest / LEVEL).then_some((at, rise)));
        }
        after = after.saturating_add(rise.height);
    }
    let chains = ends.into_iter().rev().map(|(at, last)| chain_to(rises, at, last));
    chains.into_iter().find(|steps| steps.len() >= LEAST_STEPS).unwrap_or_default()
}

/// The steps up to the one at this index.
fn chain_to(rises: &[Step], at: usize, last: &Step) -> Vec<Step> {
    let mut steps = vec![*last];
    let (mut later, mut latest) = (*last, None::<Step>);
    let mut between = 0_u64;
    for rise in rises.iter().take(at).rev() {
        if rise.height < later.height / PASSING {
            between = between.saturating_add(rise.height);
            if between > later.height / LEVEL {
                break;
            }
            continue;
        }
        let ratio = percent(later.height, rise.height);
        let is_like = |latest: Step| is_longer(rise, &later, &latest);
        if !(LEAST_RATIO..=MOST_RATIO).contains(&ratio) || !latest.is_none_or(is_like) {
            break;
        }
        steps.push(*rise);
        (later, latest, between) = (*rise, Some(later), 0);
    }
    steps
}

/// Whether the gap from `second` to `third` may be longer than that from `first` to `second`, in
/// proportion. As it was sampled it must be as long.
fn is_longer(first: &Step, second: &Step, third: &Step) -> bool {
    let gap = |from: u64, to: u64| to.saturating_sub(from);
    // A step was at some time between two samples.
    let (least, most) = (gap(second.to_ns, third.from_ns), gap(second.from_ns, third.to_ns));
    let (least_before, most_before) =
        (gap(first.to_ns, second.from_ns), gap(first.from_ns, second.to_ns));
    most >= times(least_before, LEAST_RATIO)
        && least <= times(most_before, MOST_GAP)
        && gap(second.to_ns, third.to_ns) >= gap(first.to_ns, second.to_ns)
}

/// This many percent of something.
fn times(of: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(of) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

fn percent(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * 100 / u128::from(whole.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: u64 = 60_000_000_000;

    /// One sample a minute, of this many KiB.
    fn found(kib: &[u64]) -> Option<Doubling> {
        let point = |(minute, kib): (u64, &u64)| TrendPoint {
            at_ns: minute * MINUTE_NS,
            live_bytes: kib << 10,
            allocated_bytes: kib << 10,
        };
        let points: Vec<TrendPoint> = (0..).zip(kib).map(point).collect();
        Doubling::of(&points, &LeakOptions::new()).map(|(doubling, _)| doubling)
    }

    /// What a collection has whose content grows by 100 KiB a minute.
    fn rooms(minutes: usize) -> Vec<u64> {
        (0..minutes as u64).map(|minute| (100 * minute).next_power_of_two()).collect()
    }

    #[test]
    fn a_staircase_of_doubled_steps_says_how_it_grows_and_when_the_next_is_due() {
        let doubling = found(&rooms(31)).expect("found");
        let words = "by doubling: 5 steps, the last 9 min ago, each about twice the one before; \
                     the next is due in 11 min";
        assert_eq!(doubling.words(), words);
        assert!(doubling.is_likely() && !doubling.is_over());
        assert_eq!(doubling.rate(), (2048 << 10, 20 * MINUTE_NS));
    }

    #[test]
    fn it_is_late_after_the_time_to_the_next_step_and_over_after_a_third_more() {
        let after = |minutes: usize| {
            let mut kib = rooms(22);
            kib.extend(std::iter::repeat_n(4096, minutes));
            kib
        };
        assert!(found(&after(20)).expect("found").goes_on());
        let late = found(&after(25)).expect("found");
        assert!(!late.is_over() && late.words().ends_with("; the next is late by 5 min"));
        assert!(found(&after(30)).expect("found").is_over());
    }

    #[test]
    fn a_sample_that_meets_a_map_while_it_moves_does_not_hide_it() {
        let mut kib = rooms(31);
        kib[21] += 2048;
        assert!(found(&kib).is_some());
        kib.push(kib[30] + 8192);
        assert!(found(&kib).is_some(), "the next step begins");
        kib.push(1);
        assert!(found(&kib).is_none(), "it is freed");
    }

    #[test]
    fn what_was_loaded_before_does_not_hide_it() {
        let mut kib = vec![10, 90_000, 90_000];
        kib.extend(rooms(31).iter().map(|kib| 90_000 + kib));
        assert!(found(&kib).is_some_and(|doubling| doubling.goes_on()));
    }

    /// What a map of eight parts has whose content grows by 100 KiB a minute: none of the
    /// parts has exactly an eighth.
    fn parts(minutes: u64) -> Vec<u64> {
        let part = |minute: u64, part: u64| (minute * (880 + 40 * part) / 80).next_power_of_two();
        (0..minutes).map(|minute| (0..8).map(|number| part(minute, number)).sum()).collect()
    }

    #[test]
    fn a_map_in_parts_that_double_one_after_another_is_found_and_what_only_rises_is_not() {
        for minutes in [31, 40, 60] {
            let doubling = found(&parts(minutes));
            assert!(doubling.is_some_and(|it| it.goes_on()), "{minutes}: {:?}", parts(minutes));
        }
        let even: Vec<u64> = (0..40).map(|minute| 100 * minute).collect();
        let fills: Vec<u64> = (0..40).map(|minute| 4_000 - 4_000 / (minute + 1)).collect();
        let mut full = parts(31);
        full.extend(std::iter::repeat_n(full[30], 60));
        assert!(found(&even).is_none() && found(&fills).is_none());
        assert!(found(&full).is_none_or(|it| it.is_over()), "{full:?}");
    }

    #[test]
    fn equal_steps_equal_gaps_and_shorter_gaps_are_none() {
        let by_hundred = |minute: u64| 100 * (minute / 5);
        let at_once = |minute: u64| 1 << (minute / 5);
        let faster = |minute: u64| 1 << [0, 1, 2, 3, 4, 5, 6, 7][(minute * minute / 120) as usize];
        for course in [by_hundred, at_once, faster] {
            let kib: Vec<u64> = (0..30).map(|minute| 100 * course(minute)).collect();
            assert!(found(&kib).is_none(), "{kib:?}");
        }
    }
}
