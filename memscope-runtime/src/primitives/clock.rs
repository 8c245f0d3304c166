//! The monotonic clock, in nanoseconds since memscope first looked at it.
//!
//! It is the standard library's: the same on every platform, never set back, right across cores,
//! sleeps and migrations. Between two looks at it, which take 22 to 50 ns each, the processor's
//! counter goes on for 12 to 28: see [`tsc`]. What needs no exact time uses [`recent_ns`], a
//! load. On Linux the system is asked directly, as the library's call can panic.

use super::{
    sync::{AtomicU64, Ordering},
    tsc,
};

/// What the system's clock said when memscope first looked; 0: it has not.
static START: AtomicU64 = AtomicU64::new(0);

/// When somebody last looked, to the millisecond.
static RECENT: AtomicU64 = AtomicU64::new(1);

/// By how much tests have set the clock forward.
static AHEAD: AtomicU64 = AtomicU64::new(0);

const MILLISECOND: u64 = 1_000_000;

/// Fixes the start; later calls change nothing.
pub(crate) fn start() {
    elapsed_ns();
}

/// Never 0, which stands for "not read".
pub(crate) fn now_ns() -> u64 {
    let elapsed = tsc::now_ns().unwrap_or_else(|| tsc::look(elapsed_ns));
    let now = elapsed.saturating_add(AHEAD.load(Ordering::Relaxed)).max(1);
    // PERF: so seldom that the line stays shared.
    if now.saturating_sub(RECENT.load(Ordering::Relaxed)) >= MILLISECOND {
        RECENT.fetch_max(now, Ordering::Relaxed);
    }
    now
}

/// What the system's clock says.
fn elapsed_ns() -> u64 {
    let now = tsc::system_ns();
    let start = match START.load(Ordering::Relaxed) {
        0 => {
            let first = START.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
            first.err().unwrap_or(now)
        }
        start => start,
    };
    now.saturating_sub(start)
}

/// When somebody last looked at the clock: never 0, and never later than now. It costs a load, and
/// is safe in the allocator.
pub(crate) fn recent_ns() -> u64 {
    RECENT.load(Ordering::Relaxed)
}

/// Sets the clock forward: a month goes by.
pub fn advance(by: std::time::Duration) {
    AHEAD.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    now_ns();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_system_clocks_whether_that_was_looked_at_or_not() {
        let mut by_counter = 0;
        let until = elapsed_ns() + 100 * MILLISECOND;
        while elapsed_ns() < until {
            by_counter += u64::from(tsc::now_ns().is_some());
            let earliest = elapsed_ns();
            let now = now_ns() - AHEAD.load(Ordering::Relaxed);
            let latest = elapsed_ns();
            assert!(earliest <= now + 5_000, "{now} at {earliest}");
            assert!(now <= latest + 5_000, "{now} at {latest}");
        }
        assert!(by_counter > 0 || !tsc::is_of_use(elapsed_ns), "the counter was never asked");
    }
}
