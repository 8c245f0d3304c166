//! The monotonic clock, in nanoseconds since memscope first looked at it.
//!
//! It is the standard library's: the same on every platform, never set back, right across cores, sleeps and migrations. Reading the processor's
//! counter takes half the time (`rdtsc` 12 ns, `quanta` 16, `Instant` 22 to 34), but it needs `unsafe` or one more crate, a calibration at the
//! start, and a processor and hypervisor that keep it steady. As only a sample of the polls is timed, the difference is below what can be
//! measured; where all are timed, the two reads of a poll cost twice as much as they could. What needs no exact time uses [`recent_ns`], a load.

use std::{sync::OnceLock, time::Instant};

use crate::sync::{AtomicU64, Ordering};

static START: OnceLock<Instant> = OnceLock::new();

/// When somebody last looked, to the millisecond.
static RECENT: AtomicU64 = AtomicU64::new(1);

/// By how much tests have set the clock forward.
static AHEAD: AtomicU64 = AtomicU64::new(0);

const MILLISECOND: u64 = 1_000_000;

/// Fixes the start; later calls change nothing.
pub(crate) fn start() -> Instant {
    *START.get_or_init(Instant::now)
}

/// Never 0, which stands for "not read".
pub(crate) fn now_ns() -> u64 {
    let elapsed = u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX);
    let now = elapsed.saturating_add(AHEAD.load(Ordering::Relaxed)).max(1);
    // PERF: so seldom that the line stays shared.
    if now.saturating_sub(RECENT.load(Ordering::Relaxed)) >= MILLISECOND {
        RECENT.fetch_max(now, Ordering::Relaxed);
    }
    now
}

/// When somebody last looked at the clock: never 0, and never later than now. It costs a load, and is safe in the allocator.
pub(crate) fn recent_ns() -> u64 {
    RECENT.load(Ordering::Relaxed)
}

/// Sets the clock forward: a month goes by.
pub fn advance(by: std::time::Duration) {
    AHEAD.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    now_ns();
}
