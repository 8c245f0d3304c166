//! A lock-free append-only list of indices, which readers walk while threads append to it.

use super::sync::{AtomicU32, Ordering};

/// A singly linked list whose links live in the slots that the indices stand for.
///
/// Nothing is ever removed, so there is no ABA problem.
#[derive(Debug)]
pub(crate) struct AppendList {
    /// Index + 1 of the last one appended; 0 if the list is empty.
    last: AtomicU32,
}

impl AppendList {
    /// Makes an empty list. The caller passes `zero`, because a constant function cannot make
    /// loom's atomics.
    pub(crate) const fn new(zero: AtomicU32) -> Self {
        Self { last: zero }
    }

    /// Appends `index`, at most once in its life. `set_link` writes the link of its slot.
    pub(crate) fn push(&self, index: u32, set_link: impl Fn(u32)) {
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            set_link(last);
            // Release; pairs with the Acquire in `for_each`: a reader that finds the slot sees its
            // contents. Relaxed on failure: this thread reads no slot of another thread.
            let entered = self.last.compare_exchange_weak(
                last,
                index + 1,
                Ordering::Release,
                Ordering::Relaxed,
            );
            match entered {
                Ok(_) => return,
                Err(now) => last = now,
            }
        }
    }

    /// Visits all indices that were appended before this call, the last one first. `link_of` reads
    /// the link of a slot.
    pub(crate) fn for_each(&self, link_of: impl Fn(u32) -> u32, mut for_each: impl FnMut(u32)) {
        // Acquire; pairs with the Release in `push`. Each push is a read-modify-write, so it
        // continues the release sequences of the pushes before it.
        let mut next = self.last.load(Ordering::Acquire);
        while let Some(index) = next.checked_sub(1) {
            for_each(index);
            next = link_of(index);
        }
    }
}
