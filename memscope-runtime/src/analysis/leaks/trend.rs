//! What a few samples say about where live bytes go.

use crate::{model::TrendPoint, snapshot::float};

/// This many leaps, each by half or more, make growth. For a vector that doubles, that is growth to
/// eight times its size.
const LEAST_LEAPS: usize = 3;

/// What a task needs only for a moment (a message, a line that it formats) may be there in one
/// sample and gone in the next. A change of up to one part in this many of the whole rise is no
/// fall, and no leap.
const PASSING: u64 = 16;

/// The samples of a trend that are compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    first: TrendPoint,
    middle: TrendPoint,
    /// Three quarters through.
    late: TrendPoint,
    last: TrendPoint,
}

impl Course {
    /// Returns `None` for fewer than four samples.
    pub(super) fn of(points: &[TrendPoint]) -> Option<Self> {
        if points.len() < 4 {
            return None;
        }
        let at = |place: usize| points.get(place).copied();
        let last = points.len() - 1;
        Some(Self {
            first: at(0)?,
            middle: at(points.len() / 2)?,
            late: at(3 * last / 4)?,
            last: at(last)?,
        })
    }

    /// What several together do whose samples were taken at about the same times.
    pub(super) fn together(self, other: &Self) -> Self {
        let add = |a: TrendPoint, b: TrendPoint| TrendPoint {
            live_bytes: a.live_bytes.saturating_add(b.live_bytes),
            allocated_bytes: a.allocated_bytes.saturating_add(b.allocated_bytes),
            ..a
        };
        Self {
            first: add(self.first, other.first),
            middle: add(self.middle, other.middle),
            late: add(self.late, other.late),
            last: add(self.last, other.last),
        }
    }

    pub(super) fn first(&self) -> TrendPoint {
        self.first
    }

    pub(super) fn last(&self) -> TrendPoint {
        self.last
    }

    /// Bytes allocated from the first sample to the last.
    pub(super) fn allocated(&self) -> u64 {
        self.last.allocated_bytes.saturating_sub(self.first.allocated_bytes)
    }

    pub(super) fn rise(&self) -> u64 {
        self.last.live_bytes.saturating_sub(self.first.live_bytes)
    }

    /// A sixteenth of the rise above the first sample.
    pub(super) fn floor(&self) -> u64 {
        self.first.live_bytes.saturating_add(self.rise() / PASSING)
    }

    pub(super) fn span_ns(&self) -> u64 {
        self.last.at_ns.saturating_sub(self.first.at_ns)
    }

    /// Bytes allocated in the second half.
    pub(super) fn allocated_late(&self) -> u64 {
        self.last.allocated_bytes.saturating_sub(self.middle.allocated_bytes)
    }

    /// Whether there are more live bytes than half-way through.
    pub(super) fn has_risen_late(&self) -> bool {
        self.last.live_bytes > self.middle.live_bytes
    }

    /// Whether the last quarter brings less than a quarter of the average, by the clock.
    pub(super) fn levels_off(&self) -> bool {
        let rate = |from: TrendPoint| {
            let rise = float(self.last.live_bytes) - float(from.live_bytes);
            rise / float(self.last.at_ns.saturating_sub(from.at_ns)).max(1.0)
        };
        rate(self.late) < 0.25 * rate(self.first)
    }

    fn rise_early(&self) -> f64 {
        float(self.middle.live_bytes) - float(self.first.live_bytes)
    }

    /// Whether live bytes rise to the end, and not slower and slower.
    ///
    /// They never fall from one sample to the next by more than a sixteenth of the rise. They rise
    /// in at least every other step, or in leaps, as a vector does that moves to twice its room.
    ///
    /// By the clock, the second half must bring at least half of what the first half brought. The
    /// last quarter must bring at least half of the average, unless they rise in leaps. And the
    /// last third must bring something: between two leaps a vector is taken for one that is done.
    pub(super) fn rises(&self, points: &[TrendPoint]) -> bool {
        let lives: Vec<u64> = points.iter().map(|point| point.live_bytes).collect();
        let steps = || lives.iter().zip(lives.iter().skip(1));
        let passing = self.rise() / PASSING;
        let never_falls = steps().all(|(before, after)| *before <= after.saturating_add(passing));
        let rising = || steps().filter(|(before, after)| before < after);
        let leaps = || steps().filter(|(before, after)| after.saturating_sub(**before) > passing);
        let doubles = || leaps().all(|(before, after)| after / 2 >= *before / 4 * 3);
        let rises_often = 2 * rising().count() + 2 > lives.len();
        let rises_in_leaps = || leaps().count() >= LEAST_LEAPS && doubles();
        let per_ns = |bytes: f64, from: TrendPoint, to: TrendPoint| {
            bytes / float(to.at_ns.saturating_sub(from.at_ns)).max(1.0)
        };
        let third = lives.get(lives.len() * 2 / 3).copied().unwrap_or(u64::MAX);
        let since = |from: TrendPoint| {
            per_ns(float(self.last.live_bytes) - float(from.live_bytes), from, self.last)
        };
        let goes_on = since(self.late) >= 0.5 * since(self.first);
        never_falls
            && (rises_often && goes_on || rises_in_leaps())
            && self.last.live_bytes > third
            && since(self.middle) >= 0.5 * per_ns(self.rise_early(), self.first, self.middle)
    }

    /// Whether the second half kept at least `share` of the bytes that were allocated in it.
    pub(super) fn kept_late(&self, share: f64) -> bool {
        kept(self.middle, self.last, share, 0)
    }

    /// Whether the second half kept that share, and the last quarter too. `but` bytes may be there
    /// for another reason.
    pub(super) fn kept_to_the_end(&self, share: f64, but: u64) -> bool {
        kept(self.middle, self.last, share, but) && kept(self.late, self.last, share, but)
    }
}

fn kept(from: TrendPoint, to: TrendPoint, share: f64, but: u64) -> bool {
    let allocated = to.allocated_bytes.saturating_sub(from.allocated_bytes);
    let rise = float(to.live_bytes) - float(from.live_bytes) - float(but);
    allocated != 0 && rise >= share * float(allocated)
}
