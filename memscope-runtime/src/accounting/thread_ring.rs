//! Event rings of threads: a thread takes one at its first event, and the next thread takes it over
//! when that thread ends.

use std::cell::Cell;

use super::event::Event;
use crate::primitives::{
    AppendList, HasLinks, Links, Ring, Slab, SlabItem, StaticRef, Zeroed, arena, clock,
    sync::{AtomicU32, AtomicU64, Ordering, add, bump, fence},
    this_thread,
};

/// Events that wait for the collector: 32 bytes each, 64 KiB a thread.
const SLOTS: usize = 2_048;

/// The most threads that have a ring at one time. The events of other threads are dropped. So all
/// rings together take at most 64 MiB.
const MOST_RINGS: u32 = 1_024;

pub(crate) type ThreadRing = Ring<SLOTS>;

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for ThreadRing {}

/// A slot for a ring, with its links.
#[derive(Debug)]
struct Place {
    ring: StaticRef<ThreadRing>,
    /// The link in the append list of all rings.
    next: AtomicU32,
    links: Links,
    /// The time of its last event, which keeps the events in order.
    last_ns: AtomicU64,
    /// Twice the number of task ends that its threads have finished; odd while one is in progress.
    folds: AtomicU64,
}

// SAFETY: atomics and a `StaticRef`, valid when zeroed, without a destructor.
unsafe impl Zeroed for Place {}

impl HasLinks for Place {
    fn links(&self) -> &Links {
        &self.links
    }
}

/// The slots. When a thread has ended, its ring goes to the next thread, whether it was drained or
/// not. That thread goes on where the other stopped.
static PLACES: Slab<Place> = Slab::new();
static RINGS: AppendList = AppendList::new(AtomicU32::new(0));
/// Events of threads without a ring.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many task ends threads without a slot have begun, and how many they have finished.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static FOLDED: AtomicU64 = AtomicU64::new(0);

/// A thread's slot, and the ring in it.
#[derive(Clone, Copy)]
struct Mine {
    place: &'static Place,
    ring: &'static ThreadRing,
}

thread_local! {
    static MINE: Cell<Option<Mine>> = const { Cell::new(None) };
}

/// Pushes an event into the thread's ring, or counts it as dropped if there is no room. May be
/// called inside the allocator.
///
/// PERF: seven plain stores. `event` makes the event, and is not called if there is no room.
#[inline]
pub(crate) fn push(event: impl FnOnce() -> Event) {
    let Some(Mine { place, ring }) = mine() else { return add(&DROPPED, 1) };
    ring.push(|| {
        let event = event();
        let known_ns = if event.at_ns == 0 { clock::recent_ns() } else { event.at_ns };
        let at_ns = known_ns.max(place.last_ns.load(Ordering::Relaxed));
        place.last_ns.store(at_ns, Ordering::Relaxed);
        Event { at_ns, ..event }.to_words()
    });
}

/// Guard of a task's end in progress. A reader must not see a part of the end: see [`EndEpochs`].
#[derive(Debug)]
pub(crate) struct EndInProgress {
    /// The slot's count; `None` if the thread has no slot.
    place: Option<&'static AtomicU64>,
}

impl EndInProgress {
    /// Begins a task's end. PERF: plain stores, because each thread has its own count.
    #[inline]
    pub(crate) fn begin() -> Self {
        let place = mine().map(|mine| &mine.place.folds);
        match place {
            Some(folds) => bump(folds, 1),
            None => add(&BEGUN, 1),
        }
        // What follows is not seen before the odd count. Pairs with the fence in
        // `EndEpochs::is_unchanged`.
        fence(Ordering::Release);
        Self { place }
    }
}

impl Drop for EndInProgress {
    #[inline]
    fn drop(&mut self) {
        // Release; pairs with the Acquire in `EndEpochs::read`.
        match self.place {
            Some(folds) => {
                let odd = folds.load(Ordering::Relaxed);
                folds.store(odd.wrapping_add(1), Ordering::Release);
            }
            None => {
                FOLDED.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// The epochs of task ends of all threads: a seqlock that is sharded over the threads.
///
/// A reader takes this before it reads, and asks [`is_unchanged`](Self::is_unchanged) afterwards.
/// If so, no task was in the middle of its end meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndEpochs {
    /// Whether no thread was in the middle of an end.
    are_whole: bool,
    count: u64,
}

impl EndEpochs {
    pub(crate) fn read() -> Self {
        let folded = FOLDED.load(Ordering::Acquire);
        let mut folds = Self { are_whole: BEGUN.load(Ordering::Relaxed) == folded, count: folded };
        for_each(|place| {
            let count = place.folds.load(Ordering::Acquire);
            folds.are_whole &= count.is_multiple_of(2);
            folds.count = folds.count.wrapping_add(count);
        });
        folds
    }

    /// Whether no thread has been in the middle of an end since this was read, and none is now.
    pub(crate) fn is_unchanged(self) -> bool {
        // The fence keeps the reader's loads before these loads, as in a seqlock. A reader that saw
        // a part of an end sees that the end has begun.
        fence(Ordering::Acquire);
        self.are_whole && Self::read() == self
    }
}

/// This thread's slot. `None` while the thread ends, without memory, or if there are too many
/// rings.
#[inline]
fn mine() -> Option<Mine> {
    MINE.get().or_else(take)
}

#[cold]
fn take() -> Option<Mine> {
    if !this_thread::is_registered() {
        return None;
    }
    let place = PLACES.take_for_thread(MOST_RINGS)?;
    let ring = match place.ring.get() {
        Some(ring) => ring,
        None => enter(place)?,
    };
    let mine = Mine { place, ring };
    MINE.set(Some(mine));
    Some(mine)
}

/// Gives a new slot its ring.
fn enter(place: &'static Place) -> Option<&'static ThreadRing> {
    let Some(ring) = arena::keep_pages::<ThreadRing>() else {
        PLACES.put(place);
        return None;
    };
    place.ring.set(ring);
    RINGS.push(place.index(), |next| place.next.store(next, Ordering::Relaxed));
    Some(ring)
}

/// Gives the thread's ring to the next thread, with the events that are in it.
pub(crate) fn retire() {
    if let Some(mine) = MINE.take() {
        PLACES.put(mine.place);
    }
}

/// Lets other threads go on with the rings of threads that a fork has left behind. Must be called
/// in the child, on its only thread. Returns whether one of those threads was in the middle of a
/// task's end, which nothing will finish.
pub(crate) fn forked() -> bool {
    let own = MINE.get().map(|mine| mine.place);
    let is_odd = |place: &Place| !place.folds.load(Ordering::Relaxed).is_multiple_of(2);
    if own.is_some_and(is_odd) {
        // A signal handler forks, and this thread goes on with that end itself.
        return false;
    }
    let begun = BEGUN.load(Ordering::Relaxed);
    let mut any = FOLDED.swap(begun, Ordering::Relaxed) != begun;
    for_each(|place| {
        if is_odd(place) {
            add(&place.folds, 1);
            any = true;
        }
    });
    PLACES.take_back(own, |_| ());
    any
}

/// Drains every ring into `each`; only one reader at a time may call this. Returns the most events
/// that one ring held.
pub(crate) fn drain(mut each: impl FnMut(Event)) -> u32 {
    let mut most = 0;
    for_each_ring(|ring| {
        most = most.max(ring.drain(|words| each(Event::from_words(words))));
    });
    most
}

/// Events that were dropped, because a ring was full or their thread had none.
pub(crate) fn dropped() -> u64 {
    let mut dropped = DROPPED.load(Ordering::Relaxed);
    for_each_ring(|ring| dropped += ring.dropped());
    dropped
}

fn for_each_ring(mut each: impl FnMut(&'static ThreadRing)) {
    for_each(|place| {
        if let Some(ring) = place.ring.get() {
            each(ring);
        }
    });
}

fn for_each(mut each: impl FnMut(&'static Place)) {
    let next = |index| PLACES.get(index).map_or(0, |place| place.next.load(Ordering::Relaxed));
    RINGS.for_each(next, |index| {
        if let Some(place) = PLACES.get(index) {
            each(place);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_far_below_a_mebibyte() {
        assert!(size_of::<ThreadRing>() <= 66 << 10, "{}", size_of::<ThreadRing>());
    }

    #[test]
    fn an_end_that_goes_on_or_is_over_by_now_does_not_leave_a_reading_standing() {
        let ends = || {
            let before = EndEpochs::read();
            let folding = EndInProgress::begin();
            assert!(!before.is_unchanged(), "it has begun");
            let within = EndEpochs::read();
            assert!(!within.is_unchanged(), "it goes on");
            drop(folding);
            assert!(!within.is_unchanged() && !before.is_unchanged(), "it has begun and is over");
        };
        // Without a slot of its own, and with one.
        std::thread::spawn(move || {
            ends();
            this_thread::set_registered(true);
            assert!(mine().is_some());
            ends();
        })
        .join()
        .expect("no panic");
    }
}
