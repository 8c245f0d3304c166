//! Free places of an arena: a lock-free stack of their indices.

use super::sync::{AtomicU64, Ordering};

/// A last-in first-out stack of indices, whose links live in the free places themselves.
///
/// The head carries a count of all its changes beside the index, so that a pop that was overtaken
/// fails instead of installing a stale link (the ABA problem). Places are never unmapped, so a
/// stale read of a link is harmless.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// Changes in the upper half; index + 1 in the lower, 0 when empty.
    head: AtomicU64,
}

const INDEX: u64 = u32::MAX as u64;
const CHANGE: u64 = 1 << 32;

impl FreeList {
    /// An empty one. `zero` comes from outside because a constant function cannot make loom's
    /// atomics.
    pub(crate) const fn new(zero: AtomicU64) -> Self {
        Self { head: zero }
    }

    /// Adds `index`; `set_link` writes the link of that place.
    pub(crate) fn push(&self, index: u32, set_link: impl Fn(u32)) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            set_link((head & INDEX) as u32);
            let next = (head & !INDEX).wrapping_add(CHANGE) | (u64::from(index) + 1);
            // Release pairs with the Acquire in `pop`: who takes the place sees its link and all
            // its last user wrote.
            match self.head.compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes an index; `link_of` reads the link of a place.
    pub(crate) fn pop(&self, link_of: impl Fn(u32) -> u32) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let index = u32::try_from((head & INDEX).checked_sub(1)?).ok()?;
            let next = (head & !INDEX).wrapping_add(CHANGE) | u64::from(link_of(index));
            // Acquire, where the head was read, pairs with the Release in `push`.
            match self.head.compare_exchange_weak(head, next, Ordering::Relaxed, Ordering::Acquire)
            {
                Ok(_) => return Some(index),
                Err(now) => head = now,
            }
        }
    }
}
