//! A seqlock (Lameter 2005; Boehm, MSPC 2012): a reader gets several words as one, and the writer
//! never waits for it.
//!
//! NOTE: writers store the words with Release and readers load them with Acquire, which is free on
//! x86. So a reader that sees any word of a write also sees that the write had begun.

use super::sync::{AtomicU64, Ordering};

/// The version: twice the number of writes. It is 0 before the first write, and odd during a write.
#[derive(Debug, Default)]
pub(crate) struct SeqLock(AtomicU64);

/// Exclusive write access to the words until the guard is dropped.
#[derive(Debug)]
pub(crate) struct WriteGuard<'a> {
    version: &'a AtomicU64,
    odd: u64,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Read<T> {
    /// All words are of one write.
    Consistent(T),
    /// The words were being written before or during the read.
    Torn,
    /// The words were never written.
    Empty,
}

impl SeqLock {
    #[allow(dead_code, reason = "the loom models have no constants")]
    pub(crate) const fn of(count: AtomicU64) -> Self {
        Self(count)
    }

    /// Begins a write. Returns `None` if another thread is writing.
    #[inline]
    pub(crate) fn write(&self) -> Option<WriteGuard<'_>> {
        let Self(version) = self;
        let there = version.load(Ordering::Relaxed);
        let odd = there + 1;
        let is_free = there.is_multiple_of(2)
            // Acquire; pairs with the Release in `drop`: this writer's words come after the last
            // writer's.
            && version.compare_exchange(there, odd, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // NOTE: the guard is made only on success, because dropping one unlocks.
        is_free.then(|| WriteGuard { version, odd })
    }

    /// Whether the words are being written.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn is_odd(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_multiple_of(2)
    }

    /// Ends a write whose thread a fork has left behind. Must be called in the child, on its only
    /// thread. If the words `are_whole`, they count as just written, otherwise as never written.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn abandon(&self, are_whole: bool) {
        let odd = self.0.load(Ordering::Relaxed);
        self.0.store(if are_whole { odd + 1 } else { 0 }, Ordering::Relaxed);
    }

    /// Reads the words. What `read` returns is discarded if the words were written meanwhile.
    pub(crate) fn read<T>(&self, read: impl FnOnce() -> T) -> Read<T> {
        let Self(version) = self;
        // Acquire; pairs with the Release in `drop`: the words are at least as new as this version.
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
