//! Memscope's own threads that are to start at the next *occasion*, which is a poll of a task.
//!
//! No such thread starts before `main`. Inside the allocator, only those threads start that a
//! program without annotations may ask for: the timeline, periodic reports, the watch over the
//! limit, the server.

use super::{
    atomic_ref::StaticRef,
    sync::{AtomicU32, Ordering},
};

/// What is to start.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pending {
    /// The collector's thread, for the timeline and events, which may start inside the allocator.
    Collector,
    /// The thread that watches the limit of memory, which may start inside the allocator.
    Watch,
    /// The threads that reports need.
    #[cfg(feature = "report-file")]
    Reports,
    /// The thread of periodic reports, which may start inside the allocator.
    #[cfg(feature = "report-file")]
    Periodic,
    /// The thread that starts the server, which may start inside the allocator.
    #[cfg(feature = "report-file")]
    Server,
}

/// What is to start, one bit for each [`Pending`].
static PENDING: AtomicU32 = AtomicU32::new(0);

/// The start functions, each set by the first [`want`].
static STARTS: [StaticRef<fn()>; 5] = [const { StaticRef::none() }; 5];

/// Requests that `start` is called at the next occasion.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the reference is kept")]
pub(crate) fn want(pending: Pending, start: &'static fn()) {
    STARTS[pending as usize].set(start);
    // Release; pairs with the Acquire in `start_pending` and `start_in_allocator`: the start
    // function sees why it was wanted.
    PENDING.fetch_or(1 << pending as u32, Ordering::Release);
}

/// Starts pending threads when a task is polled. Must not be called inside the allocator.
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
    // Acquire; pairs with the Release in `want`.
    let pending = PENDING.swap(0, Ordering::Acquire);
    for (bit, start) in STARTS.iter().enumerate() {
        if pending & 1 << bit != 0
            && let Some(start) = start.get()
        {
            start();
        }
    }
}

/// What may start inside the allocator.
#[cfg(feature = "tokio")]
const IN_ALLOCATOR: u32 = 1 << Pending::Collector as u32 | 1 << Pending::Watch as u32 | PERIODIC;
#[cfg(all(feature = "tokio", feature = "report-file"))]
const PERIODIC: u32 = 1 << Pending::Periodic as u32 | 1 << Pending::Server as u32;
#[cfg(all(feature = "tokio", not(feature = "report-file")))]
const PERIODIC: u32 = 0;

/// Starts pending threads from inside the allocator, because a program without annotations calls
/// memscope nowhere else. It is called when an unannotated Tokio task allocates, and when a thread
/// beside the first one allocates for the first time. So an idle service is served too, once the
/// workers of its runtime start. Neither happens before `main`.
///
/// NOTE: the start function must not allocate from the program's heap, take a lock of memscope's or
/// panic. The system's `pthread_create` may call `malloc`; the allocator below is not inside a call
/// at this point.
#[cfg(feature = "tokio")]
#[inline]
pub(crate) fn occasion_in_allocator() {
    if PENDING.load(Ordering::Relaxed) & IN_ALLOCATOR != 0 {
        start_in_allocator();
    }
}

/// Whether a thread was started in the allocator: then no poll may ever start it again.
static WAS_IN_ALLOCATOR: AtomicU32 = AtomicU32::new(0);

pub(crate) fn was_in_allocator() -> bool {
    WAS_IN_ALLOCATOR.load(Ordering::Relaxed) != 0
}

#[cfg(feature = "tokio")]
#[cold]
#[inline(never)]
fn start_in_allocator() {
    WAS_IN_ALLOCATOR.store(1, Ordering::Relaxed);
    let pending = PENDING.fetch_and(!IN_ALLOCATOR, Ordering::Acquire) & IN_ALLOCATOR;
    for (bit, start) in STARTS.iter().enumerate() {
        if pending & 1 << bit != 0
            && let Some(start) = start.get()
        {
            start();
        }
    }
}
