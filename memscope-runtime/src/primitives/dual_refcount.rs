//! Until when a variable lives, and until when its place is needed.

use super::sync::{AtomicU64, Ordering};

/// Two counts in one word: the outer blocks of a variable that live, and all its blocks that live.
///
/// Whoever registers the variable holds it too, so that it cannot end before all of it is known.
#[derive(Debug)]
pub(crate) struct DualRefcount(AtomicU64);

/// In the upper half the outer ones.
const OUTER: u64 = 1 << 32;

/// What a release has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// It was the last outer block.
    pub(crate) is_last_outer: bool,
    /// It was the last block of all: the place can be given back.
    pub(crate) is_last: bool,
}

const fn one(is_outer: bool) -> u64 {
    if is_outer { OUTER + 1 } else { 1 }
}

impl DualRefcount {
    #[allow(
        dead_code,
        reason = "arenas make them out of zeroed memory; the loom models make them so"
    )]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Starts with the first block, which is an outer one, and who registers it.
    pub(crate) fn open(&self) {
        self.0.store(2 * one(true), Ordering::Relaxed);
    }

    /// Holds a variable that is registered once more. False: it is over.
    #[must_use]
    pub(crate) fn hold(&self) -> bool {
        let hold = |holds: u64| (holds >= OUTER).then_some(holds + one(true));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, hold).is_ok()
    }

    /// Adds a block; the caller holds the variable.
    pub(crate) fn add(&self, is_outer: bool) {
        self.0.fetch_add(one(is_outer), Ordering::Relaxed);
    }

    /// Takes an [`add`](Self::add), a [`hold`](Self::hold) (an outer one) or one of the two of
    /// `open` (outer) back.
    #[must_use]
    pub(crate) fn release(&self, is_outer: bool) -> Released {
        // Release: what this one did to the variable is done before another gives the place back;
        // Acquire: the one that does sees all of it. Both pair with the other calls.
        let before = self.0.fetch_sub(one(is_outer), Ordering::AcqRel);
        Released { is_last_outer: is_outer && before < 2 * OUTER, is_last: before == one(is_outer) }
    }

    /// Whether an outer block lives.
    pub(crate) fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire) >= OUTER
    }
}
