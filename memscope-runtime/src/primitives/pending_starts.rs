//! Threads of memscope's own that are to start at the next *occasion*: when a task is polled.
//!
//! None starts before `main`, and none inside the allocator but for periodic reports.

use super::{
    atomic_ref::StaticRef,
    sync::{AtomicU32, Ordering},
};

/// What is to start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pending {
    Collector,
    /// The threads that reports need.
    #[cfg(feature = "report-file")]
    Reports,
    /// The thread of periodic reports: it is worth a start inside the allocator.
    #[cfg(feature = "report-file")]
    Periodic,
}

/// What is to start, as bits.
static PENDING: AtomicU32 = AtomicU32::new(0);

/// How each is started, from the first [`want`] on.
static STARTS: [StaticRef<fn()>; 3] = [const { StaticRef::none() }; 3];

/// Has `start` called at the next occasion.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the reference is kept")]
pub(crate) fn want(pending: Pending, start: &'static fn()) {
    STARTS[pending as usize].set(start);
    // Release: what made it wanted is seen where it starts (pairs with `start_pending`).
    PENDING.fetch_or(1 << pending as u32, Ordering::Release);
}

/// An occasion: a task is polled. Must not be called in the allocator.
///
/// PERF: a load and a comparison.
#[inline]
pub(crate) fn occasion() {
    if PENDING.load(Ordering::Relaxed) != 0 {
        start_pending();
    }
}

#[cold]
fn start_pending() {
    // Acquire pairs with `want`.
    let pending = PENDING.swap(0, Ordering::Acquire);
    for (bit, start) in STARTS.iter().enumerate() {
        if pending & 1 << bit != 0
            && let Some(start) = start.get()
        {
            start();
        }
    }
}

/// The one occasion inside the allocator: an unannotated Tokio task has allocated, and periodic
/// reports are asked for. A program without annotations calls memscope nowhere else.
///
/// NOTE: what is started there must not allocate from the program's heap, take a lock of memscope's
/// or panic. The system's `pthread_create` may call `malloc`, which is not entered at this point.
#[cfg(feature = "tokio")]
#[inline]
pub(crate) fn occasion_in_allocator() {
    #[cfg(feature = "report-file")]
    if PENDING.load(Ordering::Relaxed) & 1 << Pending::Periodic as u32 != 0 {
        start_periodic();
    }
}

#[cfg(all(feature = "tokio", feature = "report-file"))]
#[cold]
#[inline(never)]
fn start_periodic() {
    PENDING.fetch_and(!(1 << Pending::Periodic as u32), Ordering::Acquire);
    if let Some(start) = STARTS[Pending::Periodic as usize].get() {
        start();
    }
}
