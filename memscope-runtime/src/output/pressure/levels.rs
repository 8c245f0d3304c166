//! The shares of the limit that memory has crossed. Each counts once, until memory has fallen well
//! below it.

use std::time::{Duration, Instant};

use crate::{config::ReportAt, resident::Usage};

/// A share counts again when memory has fallen by this part of the limit below it, and at least to
/// half of it.
const FALL: f64 = 0.05;

#[derive(Debug)]
pub(super) struct Levels(Vec<Level>);

#[derive(Debug)]
struct Level {
    share: f64,
    is_passed: bool,
    /// The share counts again only after this time. So reports take at most a hundredth of the
    /// time, however often memory rises and falls.
    quiet_until: Option<Instant>,
}

impl Levels {
    pub(super) fn new(at: ReportAt) -> Self {
        let level = |share| Level { share, is_passed: false, quiet_until: None };
        Self(at.shares().map(level).collect())
    }

    /// Notes what is used now. Returns the highest share that was crossed, if any was.
    pub(super) fn crossed(&mut self, usage: &Usage, now: Instant) -> Option<f64> {
        let mut crossed = None;
        for level in &mut self.0 {
            if level.is_passed {
                let again = (level.share - FALL).max(level.share / 2.0);
                let is_quiet = level.quiet_until.is_some_and(|until| now < until);
                level.is_passed = is_quiet || usage.used_bytes >= bytes(usage, again);
            } else if usage.used_bytes >= bytes(usage, level.share) {
                level.is_passed = true;
                crossed = Some(level.share);
            }
        }
        crossed
    }

    /// Notes how long the report of a share took.
    pub(super) fn note_report(&mut self, share: f64, took: Duration) {
        let until = Instant::now().checked_add(took.saturating_mul(100));
        for level in self.0.iter_mut().filter(|level| level.share <= share) {
            level.quiet_until = until;
        }
    }

    /// The bytes that are missing up to the next share; `None` if all shares are crossed.
    pub(super) fn next(&self, usage: &Usage) -> Option<u64> {
        let next = self.0.iter().find(|level| !level.is_passed)?;
        Some(bytes(usage, next.share).saturating_sub(usage.used_bytes))
    }

    /// Whether memory has come half the way to the lowest share.
    pub(super) fn is_half_way(&self, usage: &Usage) -> bool {
        let lowest = self.0.first();
        lowest.is_some_and(|level| {
            !level.is_passed && usage.used_bytes >= bytes(usage, level.share / 2.0)
        })
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a limit need not be exact to the byte"
)]
fn bytes(usage: &Usage, share: f64) -> u64 {
    (usage.limit_bytes as f64 * share) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LimitSource;

    fn at(percent: u64) -> Usage {
        Usage { used_bytes: percent, limit_bytes: 100, source: LimitSource::Setting }
    }

    fn crossed(levels: &mut Levels, percents: &[u64]) -> Vec<f64> {
        let now = Instant::now();
        percents.iter().filter_map(|percent| levels.crossed(&at(*percent), now)).collect()
    }

    fn levels() -> Levels {
        Levels::new(ReportAt::DEFAULT)
    }

    #[test]
    fn each_share_counts_once_a_crossing() {
        let all = [10, 79, 80, 81, 85, 80, 89, 90, 94, 95, 100, 99, 96];
        assert_eq!(crossed(&mut levels(), &all), [0.8, 0.9, 0.95]);
    }

    #[test]
    fn swings_of_less_than_a_twentieth_are_one_crossing() {
        assert_eq!(crossed(&mut levels(), &[80, 76, 80, 76, 81]), [0.8]);
        assert_eq!(crossed(&mut levels(), &[80, 74, 80, 74, 81]), [0.8, 0.8, 0.8]);
    }

    #[test]
    fn a_jump_over_several_shares_is_one_report_of_the_highest() {
        assert_eq!(crossed(&mut levels(), &[10, 97, 91, 84, 97]), [0.95, 0.95]);
    }

    #[test]
    fn after_a_report_its_shares_rest_for_a_hundred_times_as_long() {
        let mut levels = levels();
        assert_eq!(crossed(&mut levels, &[92]), [0.9]);
        levels.note_report(0.9, Duration::from_hours(1));
        assert_eq!(crossed(&mut levels, &[10, 92, 10, 96]), [0.95], "a higher share does not rest");
    }

    #[test]
    fn the_distance_is_that_to_the_next_share() {
        let mut levels = levels();
        assert_eq!(levels.next(&at(10)), Some(70));
        assert!(!levels.is_half_way(&at(39)) && levels.is_half_way(&at(40)));
        crossed(&mut levels, &[85]);
        assert_eq!(levels.next(&at(85)), Some(5));
        crossed(&mut levels, &[99]);
        assert_eq!(levels.next(&at(99)), None);
    }
}
