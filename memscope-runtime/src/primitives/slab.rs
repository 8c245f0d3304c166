//! A slab: items of one type that are reused and never move (Bonwick, USENIX 1994).

use std::{cell::Cell, ptr, thread::LocalKey};

use super::{
    arena::{Arena, Zeroed},
    free_list::FreeList,
    sync::{AtomicU32, AtomicU64, Ordering},
    this_thread,
};

/// An item of a slab. It stores its own index and, while it is free, the link to the next free
/// item.
pub(crate) trait SlabItem: Zeroed {
    fn index(&self) -> u32;
    fn set_index(&self, index: u32);
    fn link(&self) -> u32;
    /// Called as soon as the item is free, so an implementation can notice that here.
    fn set_link(&self, next: u32);
}

/// The index and the link, for items that have room for both.
#[derive(Debug, Default)]
pub(crate) struct Links {
    index: AtomicU32,
    link: AtomicU32,
}

impl Links {
    /// Stores a number of the item's own where a free item keeps its link.
    ///
    /// A thread in `FreeList::pop` may still read it as a link if another thread has taken the item
    /// meanwhile. The list's ABA counter then makes that `pop` fail.
    #[cfg(feature = "layout")]
    pub(crate) fn set_waiting_at(&self, number: u32) {
        self.link.store(number, Ordering::Relaxed);
    }

    /// The number stored since the item was taken.
    #[cfg(feature = "layout")]
    pub(crate) fn waiting_at(&self) -> u32 {
        self.link.load(Ordering::Relaxed)
    }
}

/// The link of an item that a thread has taken for itself.
pub(crate) const TAKEN: u32 = u32::MAX;

/// An item that contains [`Links`].
pub(crate) trait HasLinks: Zeroed {
    fn links(&self) -> &Links;
}

impl<T: HasLinks> SlabItem for T {
    fn index(&self) -> u32 {
        self.links().index.load(Ordering::Relaxed)
    }

    fn set_index(&self, index: u32) {
        self.links().index.store(index, Ordering::Relaxed);
    }

    fn link(&self) -> u32 {
        self.links().link.load(Ordering::Relaxed)
    }

    fn set_link(&self, next: u32) {
        self.links().link.store(next, Ordering::Relaxed);
    }
}

/// An arena whose items are taken, put back and taken again.
#[derive(Debug)]
pub(crate) struct Slab<T: 'static> {
    places: Arena<T>,
    free: FreeList,
}

impl<T: SlabItem> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Arena::new(), free: FreeList::new(AtomicU64::new(0)) }
    }

    /// A slab whose first items are a static array, which needs no memory from the system. The very
    /// first item counts as taken.
    pub(crate) const fn beginning_with<const N: usize>(first: &'static [T; N]) -> Self {
        Self { places: Arena::beginning_with(first), free: FreeList::new(AtomicU64::new(0)) }
    }

    /// Takes a free item or makes a new one. Returns `None` if the system has no memory.
    pub(crate) fn take(&'static self) -> Option<&'static T> {
        self.take_up_to(u32::MAX)
    }

    /// Like [`take`](Self::take), but makes at most `most` items.
    pub(crate) fn take_up_to(&'static self, most: u32) -> Option<&'static T> {
        self.take_from(&self.free, most)
    }

    /// Like [`take_up_to`](Self::take_up_to), but takes from a free list of the caller's own.
    pub(crate) fn take_from(&'static self, free: &FreeList, most: u32) -> Option<&'static T> {
        #[cfg(test)]
        if super::arena::shortage::is_here() {
            return None;
        }
        if let Some(index) = free.pop(|index| self.get(index).map_or(0, T::link)) {
            return self.get(index);
        }
        if self.places.len() >= most {
            return None;
        }
        let (index, place) = self.places.grow()?;
        place.set_index(index);
        Some(place)
    }

    /// Like [`take_up_to`](Self::take_up_to), for an item that one thread keeps until it ends.
    pub(crate) fn take_for_thread(&'static self, most: u32) -> Option<&'static T> {
        let place = self.take_up_to(most)?;
        place.set_link(TAKEN);
        Some(place)
    }

    /// Frees the items of threads that a fork has left behind, after calling `each` on them. Must
    /// be called in the child, on its only thread, whose own item is `own`.
    pub(crate) fn take_back(&'static self, own: Option<&'static T>, each: impl Fn(&'static T)) {
        let left_behind =
            |place: &&T| place.link() == TAKEN && !own.is_some_and(|own| ptr::eq(own, *place));
        for place in self.iter().filter(left_behind) {
            each(place);
            self.put(place);
        }
    }

    /// Frees an item. The thread that takes it next sees all that was written to it before.
    // PERF: out of line, because items that come and go stay in the magazine.
    #[inline(never)]
    pub(crate) fn put(&self, place: &'static T) {
        Self::put_into(&self.free, place);
    }

    pub(crate) fn put_into(free: &FreeList, place: &'static T) {
        free.push(place.index(), |next| place.set_link(next));
    }

    /// Puts the item into this thread's magazine. Frees it if the magazine is full or the thread is
    /// unregistered.
    #[inline]
    pub(crate) fn put_local(&self, magazine: &'static LocalKey<Magazine<T>>, place: &'static T) {
        // An unregistered thread has no end at which it would return its items.
        if !(this_thread::is_registered() && magazine.with(|magazine| magazine.push(place))) {
            self.put(place);
        }
    }

    /// Frees all items in this thread's magazine. The thread puts nothing into it from here on.
    pub(crate) fn empty(&self, magazine: &'static LocalKey<Magazine<T>>) {
        while let Some(place) = magazine.with(Magazine::pop) {
            self.put(place);
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&'static T> {
        self.places.get(index)
    }

    /// The item that begins at this address; `None` if none does.
    #[inline]
    pub(crate) fn at_address(&self, address: usize) -> Option<&'static T> {
        self.places.at_address(address)
    }

    /// Bytes that the slab has taken from the system.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.places.held_bytes()
    }

    /// All items, free or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        self.places.iter()
    }
}

/// A magazine (Bonwick and Adams, USENIX 2001): a few free items that one thread keeps for itself.
///
/// PERF: most tasks are born and end on threads that do both. Their items then circulate in the
/// magazine, without a locked instruction (about 7 ns each) and still warm in the cache.
#[derive(Debug)]
pub(crate) struct Magazine<T: 'static> {
    places: [Cell<Option<&'static T>>; MOST_SPARE],
    len: Cell<usize>,
}

const MOST_SPARE: usize = 64;

impl<T: SlabItem> Magazine<T> {
    pub(crate) const fn new() -> Self {
        Self { places: [const { Cell::new(None) }; MOST_SPARE], len: Cell::new(0) }
    }

    /// Takes the item that was added last.
    #[inline]
    pub(crate) fn pop(&self) -> Option<&'static T> {
        let last = self.len.get().checked_sub(1)?;
        self.len.set(last);
        self.places.get(last)?.get()
    }

    /// Adds an item. Returns `false` if the magazine is full.
    #[inline]
    fn push(&self, place: &'static T) -> bool {
        let len = self.len.get();
        let Some(free) = self.places.get(len) else { return false };
        place.set_link(0);
        free.set(Some(place));
        self.len.set(len + 1);
        true
    }
}
