//! A roster: indices that are entered once and stay, for one to go through while others enter.

use super::sync::{AtomicU32, Ordering};

/// A list whose links live in the places that the indices stand for. Nothing is ever taken out.
#[derive(Debug)]
pub(crate) struct AppendList {
    /// Index + 1 of the last one entered; 0: nobody was.
    last: AtomicU32,
}

impl AppendList {
    /// An empty one. `zero` comes from outside because a constant function cannot make loom's
    /// atomics.
    pub(crate) const fn new(zero: AtomicU32) -> Self {
        Self { last: zero }
    }

    /// Enters `index`, once; `set_link` writes the link of that place.
    pub(crate) fn push(&self, index: u32, set_link: impl Fn(u32)) {
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            set_link(last);
            // Release pairs with the Acquire in `for_each`: who finds the place sees what was put
            // there. Relaxed on failure: the others' places are not looked at.
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

    /// All that were entered before this call, the last first; `link_of` reads the link of a place.
    pub(crate) fn for_each(&self, link_of: impl Fn(u32) -> u32, mut for_each: impl FnMut(u32)) {
        // Acquire pairs with the Release in `push`; every entry carries on those before it.
        let mut next = self.last.load(Ordering::Acquire);
        while let Some(index) = next.checked_sub(1) {
            for_each(index);
            next = link_of(index);
        }
    }
}
