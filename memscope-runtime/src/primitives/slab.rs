//! Places of one kind that are used again and never move.

use std::{cell::Cell, ptr, thread::LocalKey};

use super::{
    arena::{Arena, Zeroed},
    free_list::FreeList,
    sync::{AtomicU32, AtomicU64, Ordering},
    this_thread,
};

/// What a pool is made of: a place knows its index, and, while it is free, the next free one.
pub(crate) trait SlabItem: Zeroed {
    fn index(&self) -> u32;
    fn set_index(&self, index: u32);
    fn link(&self) -> u32;
    /// Called as soon as the place is free, so that it can be told by this.
    fn set_link(&self, next: u32);
}

/// Both, for places that have room for them.
#[derive(Debug)]
pub(crate) struct Links {
    index: AtomicU32,
    link: AtomicU32,
}

impl Links {
    /// A number of the place's own, kept where the link of a free place is: who follows a link
    /// while the place is taken, which happens to those that are overtaken, is told by the list's
    /// count of changes.
    #[cfg(feature = "layout")]
    pub(crate) fn set_waiting_at(&self, number: u32) {
        self.link.store(number, Ordering::Relaxed);
    }

    /// What was noted since the place was taken.
    #[cfg(feature = "layout")]
    pub(crate) fn waiting_at(&self) -> u32 {
        self.link.load(Ordering::Relaxed)
    }
}

/// Stands for the link of a place that a thread has for itself.
pub(crate) const TAKEN: u32 = u32::MAX;

/// A place with [`Links`].
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

/// An arena whose places are taken, put back and taken again.
#[derive(Debug)]
pub(crate) struct Slab<T: 'static> {
    places: Arena<T>,
    free: FreeList,
}

impl<T: SlabItem> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { places: Arena::new(), free: FreeList::new(AtomicU64::new(0)) }
    }

    /// A pool whose first places are there without memory from the system; the first of all is
    /// taken.
    pub(crate) const fn beginning_with<const N: usize>(first: &'static [T; N]) -> Self {
        Self { places: Arena::beginning_with(first), free: FreeList::new(AtomicU64::new(0)) }
    }

    /// A free place, a new one if need be; `None` when the system has no memory.
    pub(crate) fn take(&'static self) -> Option<&'static T> {
        self.take_up_to(u32::MAX)
    }

    /// The same with so many places at the most.
    pub(crate) fn take_up_to(&'static self, most: u32) -> Option<&'static T> {
        self.take_from(&self.free, most)
    }

    /// The same for those of a kind that are put into a list of their own.
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

    /// The same for one thread, which has the place for itself until it ends.
    pub(crate) fn take_for_thread(&'static self, most: u32) -> Option<&'static T> {
        let place = self.take_up_to(most)?;
        place.set_link(TAKEN);
        Some(place)
    }

    /// In a forked child, on its only thread: gives the places of the threads that are not there to
    /// others, each first to `each`. `own`: that of the thread.
    pub(crate) fn take_back(&'static self, own: Option<&'static T>, each: impl Fn(&'static T)) {
        let left_behind =
            |place: &&T| place.link() == TAKEN && !own.is_some_and(|own| ptr::eq(own, *place));
        for place in self.iter().filter(left_behind) {
            each(place);
            self.put(place);
        }
    }

    /// Whoever takes the place next sees all that was written to it before.
    // PERF: out of line, as those that come and go stay near.
    #[inline(never)]
    pub(crate) fn put(&self, place: &'static T) {
        Self::put_into(&self.free, place);
    }

    pub(crate) fn put_into(free: &FreeList, place: &'static T) {
        free.push(place.index(), |next| place.set_link(next));
    }

    /// Puts the place back for this thread, if it has not enough.
    #[inline]
    pub(crate) fn put_local(&self, spare: &'static LocalKey<Magazine<T>>, place: &'static T) {
        // A thread that nobody knows has no end at which it would give its places back.
        if !(this_thread::is_registered() && spare.with(|spare| spare.push(place))) {
            self.put(place);
        }
    }

    /// Gives all that this thread kept to the others; it keeps nothing from here on.
    pub(crate) fn empty(&self, spare: &'static LocalKey<Magazine<T>>) {
        while let Some(place) = spare.with(Magazine::pop) {
            self.put(place);
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&'static T> {
        self.places.get(index)
    }

    /// The place that begins at this address; `None` where none does.
    #[inline]
    pub(crate) fn at_address(&self, address: usize) -> Option<&'static T> {
        self.places.at_address(address)
    }

    /// All places, free or not.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static T> {
        self.places.iter()
    }
}

/// A few free places that one thread keeps for itself.
///
/// PERF: a task is mostly born and buried on threads that do both, so that its places go round
/// here, without a locked instruction (about 7 ns each) and still warm in the cache.
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

    /// Takes the place that was added last.
    #[inline]
    pub(crate) fn pop(&self) -> Option<&'static T> {
        let last = self.len.get().checked_sub(1)?;
        self.len.set(last);
        self.places.get(last)?.get()
    }

    /// Adds a place unless there are enough.
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
