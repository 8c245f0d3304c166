//! The free slots of an arena: a lock-free stack of their indices (Treiber 1986).

use super::sync::{AtomicU64, Ordering};

/// A last-in first-out stack of indices, whose links live in the free slots themselves.
///
/// The head carries an ABA counter beside the index: it counts all changes, so a `pop` that another
/// thread overtook fails instead of installing a stale link. Slots are never unmapped, so reading a
/// stale link is harmless.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// The ABA counter in the upper half; index + 1 in the lower half, 0 if the stack is empty.
    head: AtomicU64,
}

const INDEX: u64 = u32::MAX as u64;
const CHANGE: u64 = 1 << 32;

impl FreeList {
    /// Makes an empty stack. The caller passes `zero`, because a constant function cannot make
    /// loom's atomics.
    pub(crate) const fn new(zero: AtomicU64) -> Self {
        Self { head: zero }
    }

    /// Pushes `index`. `set_link` writes the link of its slot.
    pub(crate) fn push(&self, index: u32, set_link: impl Fn(u32)) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            set_link((head & INDEX) as u32);
            let next = (head & !INDEX).wrapping_add(CHANGE) | (u64::from(index) + 1);
            // Release; pairs with the Acquire in `pop`: the thread that pops the slot sees its link
            // and all that its last user wrote.
            match self.head.compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Pops an index. `link_of` reads the link of a slot.
    pub(crate) fn pop(&self, link_of: impl Fn(u32) -> u32) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let index = u32::try_from((head & INDEX).checked_sub(1)?).ok()?;
            let next = (head & !INDEX).wrapping_add(CHANGE) | u64::from(link_of(index));
            // Acquire, where the head was read; pairs with the Release in `push`.
            match self.head.compare_exchange_weak(head, next, Ordering::Relaxed, Ordering::Acquire)
            {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }
}
