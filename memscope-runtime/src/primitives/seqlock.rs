//! A sequence lock: several words that are read as one without holding up their writer.
//!
//! NOTE: the words are written with Release and read with Acquire (free on x86), so that who sees
//! any of a writing sees before it that it had begun.

use super::sync::{AtomicU64, Ordering};

/// How often the words were written, twice: 0 while they never were, odd while they are being
/// written.
#[derive(Debug)]
pub(crate) struct SeqLock(AtomicU64);

/// The words are this writer's, until this is dropped.
#[derive(Debug)]
pub(crate) struct WriteGuard<'a> {
    version: &'a AtomicU64,
    odd: u64,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Read<T> {
    /// Of one writing.
    Consistent(T),
    /// Being written, or written meanwhile.
    Torn,
    /// Never written.
    Empty,
}

impl SeqLock {
    #[allow(dead_code, reason = "the loom models have no constants")]
    pub(crate) const fn of(count: AtomicU64) -> Self {
        Self(count)
    }

    /// `None` when another writer is at it.
    #[inline]
    pub(crate) fn write(&self) -> Option<WriteGuard<'_>> {
        let Self(version) = self;
        let there = version.load(Ordering::Relaxed);
        let odd = there + 1;
        let is_free = there.is_multiple_of(2)
            // Acquire pairs with the Release in `drop`: the last writer's words lie before this
            // one's.
            && version.compare_exchange(there, odd, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // NOTE: made only then: whoever drops one unlocks.
        is_free.then(|| WriteGuard { version, odd })
    }

    /// Whether the words are being written.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn is_odd(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_multiple_of(2)
    }

    /// In a forked child, on its only thread: the writer is not there. The words are as if they had
    /// never been written, or, if they `are_whole`, as if they were just written.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn abandon(&self, are_whole: bool) {
        let odd = self.0.load(Ordering::Relaxed);
        self.0.store(if are_whole { odd + 1 } else { 0 }, Ordering::Relaxed);
    }

    /// Reads the words; what `read` returns is thrown away if they were written meanwhile.
    pub(crate) fn read<T>(&self, read: impl FnOnce() -> T) -> Read<T> {
        let Self(version) = self;
        // Acquire pairs with the Release in `drop`: the words are at least as new.
        let before = version.load(Ordering::Acquire);
        if before == 0 {
            return Read::Empty;
        }
        let words = read();
        if before.is_multiple_of(2) && version.load(Ordering::Relaxed) == before {
            Read::Consistent(words)
        } else {
            Read::Torn
        }
    }
}

impl Drop for WriteGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.version.store(self.odd + 1, Ordering::Release);
    }
}
