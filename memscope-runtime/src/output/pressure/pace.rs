//! How long the watching thread sleeps between two looks.
//!
//! It looks often while memory rises towards the next share, and seldom while nothing changes. A
//! look takes some ten microseconds. Looks may take half a percent of one core. Up to five
//! milliseconds that they did not use are kept for when memory rises fast.

use std::time::Duration;

use crate::resident::Usage;

const SHORTEST: Duration = Duration::from_millis(1);
/// The shortest pause while memory does not rise.
const CALM: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);
/// The most memory that a process is assumed to fill in a second, with one core.
const MOST_A_SECOND: u64 = 1 << 30;
/// Looks may take one part in this many of the time.
const SHARE: u32 = 200;
/// The most unused time that is kept.
const MOST_SAVED: Duration = Duration::from_millis(5);
/// How many looks are made before memory reaches the next share, at the present rate.
const LOOKS: u64 = 4;

#[derive(Debug, Default)]
pub(super) struct Pace {
    used_bytes: u64,
    pause: Duration,
    saved: Duration,
}

impl Pace {
    /// Returns the pause after a look that took this long. `missing_bytes` are missing up to the
    /// next share.
    pub(super) fn pause(
        &mut self,
        usage: &Usage,
        missing_bytes: Option<u64>,
        took: Duration,
    ) -> Duration {
        let risen = usage.used_bytes.saturating_sub(self.used_bytes);
        let is_first = self.pause.is_zero();
        self.used_bytes = usage.used_bytes;
        self.saved = (self.saved + self.pause / SHARE).min(MOST_SAVED).saturating_sub(took);
        let has_saved = is_first || self.saved > took;
        let least = if has_saved { SHORTEST } else { took.saturating_mul(SHARE).max(SHORTEST) };
        let pause = match missing_bytes {
            None => LONGEST,
            // A program that is at rest may begin to allocate at any time.
            Some(missing) => {
                let calm = time_for(missing, MOST_A_SECOND).clamp(CALM, LONGEST);
                let rate = rate(risen, self.pause);
                if is_first || rate == 0 { calm } else { calm.min(time_for(missing / LOOKS, rate)) }
            }
        };
        self.pause = pause.max(least).min(LONGEST);
        self.pause
    }
}

/// Bytes a second.
fn rate(bytes: u64, time: Duration) -> u64 {
    let ns = time.as_nanos().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000_000 / ns).unwrap_or(u64::MAX)
}

fn time_for(bytes: u64, rate: u64) -> Duration {
    let ns = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LimitSource;

    const TOOK: Duration = Duration::from_micros(2);
    const MIB: u64 = 1 << 20;

    fn pauses(looks: &[(u64, u64)]) -> Vec<u128> {
        let mut pace = Pace::default();
        let pause = |&(used, missing): &(u64, u64)| {
            let source = LimitSource::Setting;
            let usage = Usage { used_bytes: used * MIB, limit_bytes: 0, source };
            pace.pause(&usage, Some(missing * MIB), TOOK).as_millis()
        };
        looks.iter().map(pause).collect()
    }

    #[test]
    fn far_from_the_next_share_it_looks_ten_times_a_second() {
        assert_eq!(pauses(&[(10, 5_000), (11, 4_999), (500, 400)]), [100, 100, 20]);
    }

    #[test]
    fn near_a_share_it_looks_often_only_while_memory_rises() {
        assert_eq!(pauses(&[(50, 5), (50, 5), (51, 4), (54, 1), (54, 1)]), [10, 10, 10, 1, 10]);
    }

    #[test]
    fn looks_take_at_most_a_two_hundredth_of_the_time_and_what_was_saved() {
        let usage = Usage { used_bytes: 1, limit_bytes: 2, source: LimitSource::Setting };
        for took in [0, 20, 100, 500].map(Duration::from_micros) {
            let mut pace = Pace::default();
            let (mut looks, mut all, mut used_bytes) = (took, Duration::ZERO, 0);
            while all < Duration::from_secs(10) {
                used_bytes += MIB;
                all += pace.pause(&Usage { used_bytes, ..usage }, Some(MIB), took);
                looks += took;
            }
            assert!(looks <= all / SHARE + MOST_SAVED + took, "{took:?}: {looks:?} of {all:?}");
        }
        let pause = Pace::default().pause(&usage, Some(0), Duration::from_secs(1));
        assert!(pause <= LONGEST, "a slow look delays no report");
    }

    #[test]
    fn above_all_shares_it_rests() {
        let usage = Usage { used_bytes: 1, limit_bytes: 2, source: LimitSource::Setting };
        assert_eq!(Pace::default().pause(&usage, None, TOOK), LONGEST);
    }
}
