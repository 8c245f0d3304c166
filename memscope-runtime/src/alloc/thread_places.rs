//! Where each thread has its thread-local memory.
//!
//! A thread notes an address there when it is registered. On Linux that memory lies at the top of
//! the thread's stack, except for the main thread. So the address leads to both.

use std::{cell::Cell, ptr};

use super::current::HERE;
use crate::primitives::{
    HasLinks, Links, Slab, SlabItem, TAKEN, Zeroed,
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// The entry of one thread.
#[derive(Debug)]
struct ThreadPlace {
    /// An address in the thread's thread-local memory: that of `HERE`.
    here: AtomicU64,
    /// The system's number of the thread; 0 if the thread has ended.
    number: AtomicU32,
    links: Links,
}

// SAFETY: atomics only.
unsafe impl Zeroed for ThreadPlace {}

impl HasLinks for ThreadPlace {
    fn links(&self) -> &Links {
        &self.links
    }
}

static PLACES: Slab<ThreadPlace> = Slab::new();

thread_local! {
    static OWN: Cell<Option<&'static ThreadPlace>> = const { Cell::new(None) };
}

/// The address of this thread's `HERE`.
pub(crate) fn here() -> usize {
    HERE.with(|here| ptr::from_ref(here).addr())
}

/// Notes where this thread has its memory.
pub(super) fn note() {
    if let Some(place) = OWN.get().or_else(|| PLACES.take_for_thread(u32::MAX)) {
        OWN.set(Some(place));
        place.here.store(here() as u64, Ordering::Relaxed);
        place.number.store(number(), Ordering::Relaxed);
    }
}

/// The system's number of this thread.
pub(crate) fn number() -> u32 {
    // `gettid` itself came with glibc 2.30. SAFETY: no arguments.
    let number = unsafe { libc::syscall(libc::SYS_gettid) };
    u32::try_from(number).unwrap_or(0)
}

/// Forgets this thread, when it ends.
pub(super) fn retire() {
    if let Some(place) = OWN.take() {
        place.number.store(0, Ordering::Relaxed);
        PLACES.put(place);
    }
}

/// Forgets the threads that a fork has left behind. Must be called in the child, on its only
/// thread.
pub(super) fn forked() {
    let own = OWN.get();
    PLACES.take_back(own, |place| place.number.store(0, Ordering::Relaxed));
    if let Some(own) = own {
        own.number.store(number(), Ordering::Relaxed);
    }
}

/// The number of each thread, and an address in its thread-local memory.
pub(crate) fn all() -> impl Iterator<Item = (u32, usize)> {
    let living = PLACES.iter().filter(|place| place.link() == TAKEN);
    let read = living.map(|place| {
        let here = usize::try_from(place.here.load(Ordering::Relaxed)).unwrap_or(0);
        (place.number.load(Ordering::Relaxed), here)
    });
    read.filter(|(number, _)| *number != 0)
}

#[cfg(all(test, feature = "enabled"))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_is_known_from_its_first_allocation_to_its_end() {
        let of = |number: u32| all().find(|(it, _)| *it == number);
        let ended = thread::spawn(move || {
            note();
            assert_eq!(of(number()), Some((number(), here())));
            retire();
            number()
        });
        assert_eq!(of(ended.join().expect("no panic")), None);
    }
}
