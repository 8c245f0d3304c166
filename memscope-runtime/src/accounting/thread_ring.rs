//! Each thread's ring: taken at its first event, handed on when the thread ends.

use std::cell::Cell;

use super::event::Event;
use crate::primitives::{
    AppendList, HasLinks, Links, Ring, Slab, SlabItem, StaticRef, Zeroed, arena, clock,
    sync::{AtomicU32, AtomicU64, Ordering, add, fence},
    this_thread,
};

/// Events that wait for the collector, of 32 bytes each: 64 KiB a thread.
const SLOTS: usize = 2_048;

/// Threads that have a ring at one time; the events of others are dropped. So all rings together
/// take 64 MiB at the most.
const MOST_RINGS: u32 = 1_024;

pub(crate) type ThreadRing = Ring<SLOTS>;

// SAFETY: atomics only.
unsafe impl Zeroed for ThreadRing {}

/// A ring, and its links.
#[derive(Debug)]
struct Place {
    ring: StaticRef<ThreadRing>,
    /// In the roster of all rings.
    next: AtomicU32,
    links: Links,
    /// When its last event was, so that they stay in order.
    last_ns: AtomicU64,
    /// Twice the ends of tasks that its threads have folded away; odd while one is on the way.
    folds: AtomicU64,
}

// SAFETY: atomics and a `StaticRef`, valid when zeroed, without a destructor.
unsafe impl Zeroed for Place {}

impl HasLinks for Place {
    fn links(&self) -> &Links {
        &self.links
    }
}

/// A ring goes from a thread that has ended to the next one, which goes on where the other stopped,
/// whether it was drained or not.
static PLACES: Slab<Place> = Slab::new();
static RINGS: AppendList = AppendList::new(AtomicU32::new(0));
/// Events of threads without a ring.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// What threads without a place have begun to fold away, and what they have folded away.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static FOLDED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static MINE: Cell<Option<&'static Place>> = const { Cell::new(None) };
}

/// Puts an event into the thread's ring, or counts it where there is no room. Safe in the
/// allocator.
///
/// PERF: seven plain stores.
#[inline]
pub(crate) fn push(event: Event) {
    match mine().and_then(|place| Some((place, place.ring.get()?))) {
        Some((place, ring)) => {
            let known_ns = if event.at_ns == 0 { clock::recent_ns() } else { event.at_ns };
            let at_ns = known_ns.max(place.last_ns.load(Ordering::Relaxed));
            place.last_ns.store(at_ns, Ordering::Relaxed);
            ring.push(Event { at_ns, ..event }.to_words());
        }
        None => add(&DROPPED, 1),
    }
}

/// The end of a task is on its way, until this is dropped; a reader must not see a part of it: see
/// [`EndEpochs`].
#[derive(Debug)]
pub(crate) struct EndInProgress {
    /// The thread's own count, and what it was; `None`: it has no place.
    place: Option<(&'static AtomicU64, u64)>,
}

impl EndInProgress {
    /// PERF: plain stores, as each thread counts by itself.
    #[inline]
    pub(crate) fn begin() -> Self {
        let place = mine().map(|Place { folds, .. }| (folds, folds.load(Ordering::Relaxed)));
        match place {
            Some((folds, before)) => folds.store(before.wrapping_add(1), Ordering::Relaxed),
            None => add(&BEGUN, 1),
        }
        // What follows is not seen before the odd count (pairs with the fence in `EndEpochs::is_unchanged`).
        fence(Ordering::Release);
        Self { place }
    }
}

impl Drop for EndInProgress {
    #[inline]
    fn drop(&mut self) {
        // Release pairs with the Acquire in `EndEpochs::read`.
        match self.place {
            Some((folds, before)) => folds.store(before.wrapping_add(2), Ordering::Release),
            None => {
                FOLDED.fetch_add(1, Ordering::Release);
            }
        }
    }
}

/// How many ends of tasks all threads had folded away at some time. A reader takes this before and
/// asks after: if it still stands, no task was in the middle of its end meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndEpochs {
    /// Nobody was at one.
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

    /// Whether nobody was in the middle of an end since this was read, and nobody is.
    pub(crate) fn is_unchanged(self) -> bool {
        // The fence keeps the reading before these loads (as in a sequence lock): who saw a part of
        // an end sees that it has begun.
        fence(Ordering::Acquire);
        self.are_whole && Self::read() == self
    }
}

/// This thread's place. `None` while it ends, and where there is no memory or there are too many.
#[inline]
fn mine() -> Option<&'static Place> {
    MINE.get().or_else(take)
}

#[cold]
fn take() -> Option<&'static Place> {
    if !this_thread::is_registered() {
        return None;
    }
    let place = PLACES.take_for_thread(MOST_RINGS)?;
    if place.ring.get().is_none() {
        enter(place)?;
    }
    MINE.set(Some(place));
    Some(place)
}

/// Gives a new place its ring.
fn enter(place: &'static Place) -> Option<()> {
    let Some(ring) = arena::keep_zeroed::<ThreadRing>() else {
        PLACES.put(place);
        return None;
    };
    place.ring.set(ring);
    RINGS.push(place.index(), |next| place.next.store(next, Ordering::Relaxed));
    Some(())
}

/// Hands the thread's ring on, with the events that are in it.
pub(crate) fn retire() {
    if let Some(place) = MINE.take() {
        PLACES.put(place);
    }
}

/// In a forked child, on its only thread: other threads go on with the rings of those that are not
/// there. Returns whether one of these was in the middle of the end of a task, which will not go
/// on.
pub(crate) fn forked() -> bool {
    let own = MINE.get();
    let is_odd = |place: &Place| !place.folds.load(Ordering::Relaxed).is_multiple_of(2);
    if own.is_some_and(is_odd) {
        // It goes on with that itself: a signal handler forks.
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

/// Drains every ring into `each`; by one reader at a time. Returns the most that one of them held.
pub(crate) fn drain(mut each: impl FnMut(Event)) -> u32 {
    let mut most = 0;
    for_each_ring(|ring| {
        most = most.max(ring.drain(|words| each(Event::from_words(words))));
    });
    most
}

/// Events that were dropped: the rings were full, or their thread had none.
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
        // Without a place of its own, and with one.
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
