//! Two reference counts of a variable: one ends its life, the other frees its slot.

use super::sync::{AtomicU64, Ordering};

/// Packs two reference counts into one word, to detect the last reference of each.
///
/// The upper half counts the live outer blocks of a variable, the lower half all its live blocks.
/// The registering thread holds one reference too, so the variable cannot end before all of its
/// blocks are known.
#[derive(Debug)]
pub(crate) struct DualRefcount(AtomicU64);

/// One outer block, in the upper half.
const OUTER: u64 = 1 << 32;

/// What a release has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Released {
    /// It released the last outer block: the variable has ended.
    pub(crate) is_last_outer: bool,
    /// It released the last block of all: the variable's slot can be freed.
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

    /// Starts with two outer references: the first block and the registering thread.
    pub(crate) fn open(&self) {
        self.0.store(2 * one(true), Ordering::Relaxed);
    }

    /// Takes a reference to a registered variable, for a thread that registers it once more.
    /// Returns `false` if the variable has ended.
    #[must_use]
    pub(crate) fn hold(&self) -> bool {
        let hold = |holds: u64| (holds >= OUTER).then_some(holds + one(true));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, hold).is_ok()
    }

    /// Adds a block. The caller must hold a reference.
    pub(crate) fn add(&self, is_outer: bool) {
        self.0.fetch_add(one(is_outer), Ordering::Relaxed);
    }

    /// Releases one reference. [`hold`](Self::hold) and both references of `open` are outer ones;
    /// [`add`](Self::add) says itself which it took.
    #[must_use]
    pub(crate) fn release(&self, is_outer: bool) -> Released {
        // AcqRel; pairs with the other calls of `release`. Release: this thread is done with the
        // variable before another thread frees its slot. Acquire: the thread that frees the slot
        // sees all of it.
        let before = self.0.fetch_sub(one(is_outer), Ordering::AcqRel);
        Released { is_last_outer: is_outer && before < 2 * OUTER, is_last: before == one(is_outer) }
    }

    /// Whether an outer block is live.
    pub(crate) fn is_live(&self) -> bool {
        self.0.load(Ordering::Acquire) >= OUTER
    }
}
