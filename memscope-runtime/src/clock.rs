//! The monotonic clock, in nanoseconds since memscope first looked at it.

use std::{sync::OnceLock, time::Instant};

static START: OnceLock<Instant> = OnceLock::new();

/// Fixes the start; later calls change nothing.
pub(crate) fn start() -> Instant {
    *START.get_or_init(Instant::now)
}

/// Never 0, which stands for "not read".
pub(crate) fn now_ns() -> u64 {
    u64::try_from(start().elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}
