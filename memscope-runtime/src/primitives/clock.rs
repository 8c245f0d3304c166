//! The monotonic clock: nanoseconds since memscope first read it.
//!
//! It is the standard library's clock: the same on every platform, never set back, correct across
//! cores, sleeps and migrations. A read of it takes 22 to 50 ns. Between two reads the processor's
//! time-stamp counter, which takes 12 to 28 ns, continues it: see [`tsc`]. Code that needs no exact
//! time uses [`recent_ns`], a load. On Linux memscope asks the system directly, because the
//! library's call can panic.

use super::{
    sync::{AtomicU64, Ordering},
    tsc,
};

/// The system's time at memscope's first read; 0 before that.
static START: AtomicU64 = AtomicU64::new(0);

/// The time of the last read by any thread, to the millisecond.
static RECENT: AtomicU64 = AtomicU64::new(1);

/// How far tests have set the clock forward.
static AHEAD: AtomicU64 = AtomicU64::new(0);

const MILLISECOND: u64 = 1_000_000;

/// Fixes the start. Later calls change nothing.
pub(crate) fn start() {
    elapsed_ns();
}

/// The time now. Never 0, which stands for "not read".
pub(crate) fn now_ns() -> u64 {
    let elapsed = tsc::now_ns().unwrap_or_else(|| tsc::look(elapsed_ns));
    let now = elapsed.saturating_add(AHEAD.load(Ordering::Relaxed)).max(1);
    // PERF: at most one write a millisecond, so the cache line stays shared.
    if now.saturating_sub(RECENT.load(Ordering::Relaxed)) >= MILLISECOND {
        RECENT.fetch_max(now, Ordering::Relaxed);
    }
    now
}

/// The time by the system's clock.
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

/// The time of the last read by any thread: never 0, never later than now. It costs a load and is
/// safe inside the allocator.
pub(crate) fn recent_ns() -> u64 {
    RECENT.load(Ordering::Relaxed)
}

/// Sets the clock forward, so that a test can let a month go by.
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
