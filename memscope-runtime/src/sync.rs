//! Atomics, and the three ways this crate counts with them.
//!
//! Everything that is generic over the atomics takes them from here, so that the loom models (`memscope-runtime/loom`)
//! can compile the same files over loom's.

pub(crate) use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// Adds without a read-modify-write: for counters that have one writer at a time.
///
/// PERF: two plain moves instead of a locked instruction (about 1 ns against 7 ns).
#[inline]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// The signed sibling of [`bump`], which also returns the new value.
#[inline]
pub(crate) fn shift(counter: &AtomicI64, by: i64) -> i64 {
    let next = counter.load(Ordering::Relaxed).wrapping_add(by);
    counter.store(next, Ordering::Relaxed);
    next
}

/// Adds to a counter with many writers; free where there is nothing to add.
#[inline]
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    if by != 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// Raises a maximum with many writers; a plain load where it already stands high enough.
#[inline]
pub(crate) fn raise(maximum: &AtomicU64, to: u64) {
    if maximum.load(Ordering::Relaxed) < to {
        maximum.fetch_max(to, Ordering::Relaxed);
    }
}
