//! Atomics, and four ways to count with them.
//!
//! All files that the loom models explore take their atomics from here. So the models
//! (`memscope-runtime/loom`) can compile the same files over loom's.

pub(crate) use std::sync::atomic::{
    AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Adds without a read-modify-write, for counters that have one writer at a time.
///
/// PERF: two plain moves instead of a locked instruction (about 1 ns against 7 ns).
#[inline]
pub(crate) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// Like [`bump`], for a signed counter. Returns the new value.
#[inline]
pub(crate) fn shift(counter: &AtomicI64, by: i64) -> i64 {
    let next = counter.load(Ordering::Relaxed).wrapping_add(by);
    counter.store(next, Ordering::Relaxed);
    next
}

/// Adds to a counter with many writers. Costs nothing if there is nothing to add.
#[inline]
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    if by != 0 {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// Raises a maximum with many writers. Costs a plain load if the maximum is already high enough.
#[inline]
pub(crate) fn raise(maximum: &AtomicU64, to: u64) {
    if maximum.load(Ordering::Relaxed) < to {
        maximum.fetch_max(to, Ordering::Relaxed);
    }
}

/// Words that one thread writes and another reads afterwards.
///
/// They are atomics with plain loads and stores, so the code is safe. In the loom models a slot is
/// not atomic, and a read that overlaps a write fails the test.
#[derive(Debug)]
pub(crate) struct Slot([AtomicU64; 4]);

impl Slot {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 4])
    }

    #[inline]
    pub(crate) fn put(&self, words: [u64; 4]) {
        for (place, word) in self.0.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn get(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|word| self.0[word].load(Ordering::Relaxed))
    }
}
