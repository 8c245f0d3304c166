//! The mean number of bytes between two samples. It grows while a process allocates much.

use crate::{
    config,
    primitives::{
        clock,
        sync::{AtomicU64, Ordering},
    },
};

/// The mean that threads adopt at their next draw; 0 if no stack is sampled.
static CURRENT: AtomicU64 = AtomicU64::new(0);
/// Samples that were taken since the window began.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static WINDOW_START_NS: AtomicU64 = AtomicU64::new(0);

/// The most samples a second that a process takes, except for a short time.
const MOST_A_SECOND: u64 = 256;
/// A setting below this stays as it is, for tests that need a sample of every block.
const LEAST_ADAPTED: u64 = 4 << 10;
/// Samples after which a window may end early.
const WINDOW: u64 = 64;
const SECOND: u64 = 1_000_000_000;
/// The mean never exceeds this.
const LONGEST: u64 = 1 << 44;

pub(super) fn current() -> u64 {
    CURRENT.load(Ordering::Relaxed)
}

/// Begins with the mean of the settings.
pub(super) fn restart() {
    CURRENT.store(config::stacks_every(), Ordering::Relaxed);
    TAKEN.store(0, Ordering::Relaxed);
    WINDOW_START_NS.store(clock::now_ns(), Ordering::Relaxed);
}

/// Counts a sample, and adapts the mean.
pub(super) fn note_taken() {
    let base = config::stacks_every();
    if base < LEAST_ADAPTED {
        return;
    }
    let taken = TAKEN.fetch_add(1, Ordering::Relaxed) + 1;
    let (start, now) = (WINDOW_START_NS.load(Ordering::Relaxed), clock::now_ns());
    let elapsed = now.saturating_sub(start);
    let current = current();
    let Some(next) = adapted(base, current, taken, elapsed) else { return };
    // The exchange lets one thread end the window.
    let ended = WINDOW_START_NS.compare_exchange(start, now, Ordering::Relaxed, Ordering::Relaxed);
    if ended.is_ok() {
        TAKEN.store(0, Ordering::Relaxed);
        // Fails if the settings have changed meanwhile.
        let _ = CURRENT.compare_exchange(current, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Returns the mean of the next window, or `None` if this one goes on. `taken` is the number of
/// samples in this window, which has lasted `elapsed_ns`.
fn adapted(base: u64, current: u64, taken: u64, elapsed_ns: u64) -> Option<u64> {
    if taken >= WINDOW && elapsed_ns < WINDOW * SECOND / MOST_A_SECOND {
        return Some(current.saturating_mul(2).min(LONGEST.max(base)));
    }
    let seconds = elapsed_ns / SECOND;
    if seconds == 0 {
        return None;
    }
    // With half of the mean, there would still be less than half of the most.
    let is_quiet = taken / seconds < MOST_A_SECOND / 4;
    let halvings = if is_quiet { u32::try_from(seconds).unwrap_or(u32::MAX) } else { 0 };
    Some(current.checked_shr(halvings).unwrap_or(0).max(base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::poisson;

    const BASE: u64 = 2 << 20;

    #[test]
    fn the_mean_doubles_where_a_process_takes_too_many_samples() {
        assert_eq!(adapted(BASE, BASE, 63, 1), None, "too few to know");
        assert_eq!(adapted(BASE, BASE, 64, SECOND / 4 - 1), Some(2 * BASE));
        assert_eq!(adapted(BASE, BASE, 64, SECOND / 4), None);
        assert_eq!(adapted(BASE, LONGEST, 64, 1), Some(LONGEST));
    }

    #[test]
    fn the_mean_falls_back_by_half_each_quiet_second_and_not_below_the_setting() {
        assert_eq!(adapted(BASE, 8 * BASE, 3, SECOND - 1), None);
        assert_eq!(adapted(BASE, 8 * BASE, 3, SECOND), Some(4 * BASE));
        assert_eq!(adapted(BASE, 8 * BASE, 3, 2 * SECOND), Some(2 * BASE));
        assert_eq!(adapted(BASE, 8 * BASE, 1, 1_000 * SECOND), Some(BASE));
        assert_eq!(adapted(BASE, 8 * BASE, 200, SECOND), Some(8 * BASE), "it is not quiet");
    }

    /// Simulates a process that allocates `bytes_a_second` for `seconds`.
    fn rate_after(bytes_a_second: u64, seconds: u64) -> u64 {
        let (mut mean, mut taken, mut start, mut now) = (BASE, 0, 0, 0);
        let mut in_last_second = 0;
        while now < seconds * SECOND {
            let step = u128::from(mean) * u128::from(SECOND) / u128::from(bytes_a_second);
            now += u64::try_from(step).expect("seconds");
            taken += 1;
            in_last_second += u64::from(now >= (seconds - 1) * SECOND);
            if let Some(next) = adapted(BASE, mean, taken, now - start) {
                (mean, taken, start) = (next, 0, now);
            }
        }
        in_last_second
    }

    #[test]
    fn any_load_settles_below_the_most_samples_a_second() {
        for gigabytes in [1, 2, 5, 10, 50, 100] {
            let rate = rate_after(gigabytes << 30, 10);
            assert!((60..=257).contains(&rate), "{gigabytes} GiB a second: {rate}");
        }
        assert!((9..=11).contains(&rate_after(20 << 20, 10)), "a small one is not touched");
    }

    /// A process that allocates blocks of one size, and samples them as `alloc/countdown.rs` does.
    struct Process {
        mean: u64,
        taken: u64,
        start: u64,
        now: u64,
        left: i64,
        /// The mean that `left` was drawn with.
        drawn: u64,
        random: u64,
    }

    /// What is known of a phase: the estimate in bytes, the samples, the largest mean.
    #[derive(Clone, Copy, Default)]
    struct Phase {
        bytes: f64,
        samples: u64,
        longest: u64,
    }

    impl Process {
        fn new(number: u64) -> Self {
            let random = poisson::next(poisson::seed(number));
            let left = poisson::gap(random, BASE);
            Self { mean: BASE, taken: 0, start: 0, now: 0, left, drawn: BASE, random }
        }

        /// Allocates `blocks` blocks, one each `step` nanoseconds.
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        fn allocate(&mut self, blocks: u64, size: u64, step: u64) -> Phase {
            let mut phase = Phase::default();
            for _ in 0..blocks {
                self.now += step;
                self.left -= size.cast_signed();
                if self.left >= 0 {
                    continue;
                }
                phase.bytes += size as f64 * poisson::weight(size, self.drawn);
                phase.samples += 1;
                phase.longest = phase.longest.max(self.drawn);
                self.drawn = self.mean;
                self.random = poisson::next(self.random);
                self.left = poisson::gap(self.random, self.drawn);
                self.taken += 1;
                let elapsed = self.now - self.start;
                if let Some(next) = adapted(BASE, self.mean, self.taken, elapsed) {
                    (self.mean, self.taken, self.start) = (next, 0, self.now);
                }
            }
            phase
        }
    }

    /// Programs that allocate 4 GiB in a second, and then 4 MiB a second for a minute.
    #[test]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn estimates_of_a_storm_and_of_the_calm_after_it_have_no_bias() {
        const PROGRAMS: u64 = 1_000;
        const SIZE: u64 = 256 << 10;
        let (in_storm, in_calm) = ((4 << 30) / SIZE, 60 * (4 << 20) / SIZE);
        let mut sums = [(Phase::default(), in_storm), (Phase::default(), in_calm)];
        let mut back = 0;
        for number in 0..PROGRAMS {
            let mut process = Process::new(number);
            let storm = process.allocate(in_storm, SIZE, SECOND / in_storm);
            let calm = process.allocate(in_calm, SIZE, 60 * SECOND / in_calm);
            assert!(storm.longest > BASE, "the limit cuts in");
            back += u64::from(calm.longest > BASE && process.mean == BASE);
            for ((sum, _), phase) in sums.iter_mut().zip([storm, calm]) {
                sum.bytes += phase.bytes;
                sum.samples += phase.samples;
            }
        }
        assert!(back * 10 >= PROGRAMS * 9, "the mean falls back in most: {back}");
        for (sum, blocks) in sums {
            let bias = sum.bytes / (PROGRAMS * blocks * SIZE) as f64 - 1.0;
            assert!(bias.abs() < 0.015, "{bias} of {} samples", sum.samples);
        }
    }
}
