//! A block that a reader holds: the thread that frees it meanwhile leaves it to the reader.
//!
//! No thread waits. The freeing thread marks the block as left, and finds whether a reader holds
//! it. The reader that lets go finds whether the block was left. So exactly one of them gives the
//! memory back.

use super::sync::{AtomicU64, Ordering, fence};

/// The entry of one block: a number that says where it is, and two bits.
#[derive(Debug)]
pub(crate) struct HeldBlock(AtomicU64);

/// A reader holds the block.
const HELD: u64 = 1;
/// The block was freed.
const LEFT: u64 = 2;
const BITS: u64 = HELD | LEFT;

impl HeldBlock {
    #[allow(dead_code, reason = "made out of zeroed memory; the loom models make it so")]
    pub(crate) fn empty() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Enters a new block into an empty entry. Its number must not be 0, and the two lowest bits of
    /// the number must be 0.
    pub(crate) fn enter(&self, block: u64) {
        // Release; pairs with the Acquire in `hold`: the reader sees what was written to the block.
        self.0.store(block, Ordering::Release);
    }

    /// The number of the block; 0 if the entry is empty.
    pub(crate) fn block(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !BITS
    }

    /// Holds the block, and returns its number. Returns `None` if there is none, if it is being
    /// freed, or if another reader holds it.
    pub(crate) fn hold(&self) -> Option<u64> {
        let block = self.0.load(Ordering::Relaxed);
        if block == 0 || block & BITS != 0 {
            return None;
        }
        // Acquire; pairs with the Release in `enter`.
        self.0.compare_exchange(block, block | HELD, Ordering::Acquire, Ordering::Relaxed).ok()
    }

    /// Whether the block was freed while the reader holds it. What the reader has read of its owner
    /// may then be wrong.
    #[allow(dead_code, reason = "the loom models have no owners")]
    pub(crate) fn was_left(&self) -> bool {
        // What the caller has read before is not read after this load.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) & LEFT != 0
    }

    /// Lets go of a block that the reader holds. Returns whether the block was left to it: then the
    /// reader frees it.
    #[must_use = "a block that was left must be freed"]
    pub(crate) fn let_go(&self) -> bool {
        // Release; pairs with the Acquire in `leave`: the reader has read before the block is
        // freed. Acquire; pairs with the Release in `leave`: what its owner did is over.
        let is_left = self.0.fetch_and(!HELD, Ordering::AcqRel) & LEFT != 0;
        if is_left {
            self.0.store(0, Ordering::Relaxed);
        }
        is_left
    }

    /// Marks the block as freed. Returns `false` if a reader holds it: then the reader gives the
    /// memory back.
    #[must_use = "a block that no reader holds must be freed"]
    #[inline]
    pub(crate) fn leave(&self) -> bool {
        // Release; pairs with the Acquire in `let_go`. Acquire; pairs with the Release there.
        let is_held = self.0.fetch_or(LEFT, Ordering::AcqRel) & HELD != 0;
        if !is_held {
            self.0.store(0, Ordering::Relaxed);
        }
        !is_held
    }

    /// Ends the hold of a reader that a fork has left behind. Must be called in the child, on its
    /// only thread. Returns whether the block was left to that reader; its memory is then never
    /// freed.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn forked(&self) -> bool {
        let word = self.0.load(Ordering::Relaxed);
        let is_left = word & LEFT != 0;
        self.0.store(if is_left { 0 } else { word & !HELD }, Ordering::Relaxed);
        is_left
    }
}
