//! Each thread's ring: taken at its first event, handed on when the thread ends.

use std::cell::Cell;

use crate::{
    arena::{self, Arena, Zeroed},
    clock, collector, current,
    event::Event,
    free_list::FreeList,
    ring::{Producer, Ring},
    roster::Roster,
    static_ref::StaticRef,
    sync::{AtomicU32, AtomicU64, Ordering, add},
};

/// Events that wait for the collector, of 32 bytes each: 64 KiB a thread.
const SLOTS: usize = 2_048;

/// Threads that have a ring at one time; the events of others are dropped. So all rings together take 64 MiB at the most.
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
    /// In the list of those whose thread has ended.
    link: AtomicU32,
}

// SAFETY: atomics and a `StaticRef`, valid when zeroed, without a destructor.
unsafe impl Zeroed for Place {}

static PLACES: Arena<Place> = Arena::new();
static ROSTER: Roster = Roster::new(AtomicU32::new(0));
/// Rings of threads that have ended: the next thread goes on where they stopped, whether they were drained or not.
static FREE: FreeList = FreeList::new(AtomicU64::new(0));
/// Events of threads without a ring.
static DROPPED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug)]
struct Mine {
    producer: Producer<'static, SLOTS>,
    index: u32,
    /// When the last event was, so that they stay in order.
    last_ns: u64,
}

thread_local! {
    static MINE: Cell<Option<Mine>> = const { Cell::new(None) };
}

/// Puts an event into the thread's ring, or counts it where there is no room. Safe in the allocator.
///
/// PERF: five plain stores and a look at the thread's own end.
#[inline]
pub(crate) fn push(event: Event) {
    match MINE.get().or_else(take) {
        Some(mut mine) => {
            let known_ns = if event.at_ns == 0 { clock::recent_ns() } else { event.at_ns };
            mine.last_ns = mine.last_ns.max(known_ns);
            mine.producer.push(Event { at_ns: mine.last_ns, ..event }.to_words());
            MINE.set(Some(mine));
        }
        None => add(&DROPPED, 1),
    }
}

/// A ring for this thread. `None` while it ends, and where there is no memory or there are too many.
#[cold]
fn take() -> Option<Mine> {
    if !current::thread_is_known() {
        return None;
    }
    let link = |index| PLACES.get(index).map_or(0, |place| place.link.load(Ordering::Relaxed));
    let (index, ring) = match FREE.pop(link) {
        Some(index) => (index, PLACES.get(index)?.ring.get()?),
        None => enter()?,
    };
    Some(Mine { producer: Producer::take_over(ring), index, last_ns: 0 })
}

fn enter() -> Option<(u32, &'static ThreadRing)> {
    if PLACES.len() >= MOST_RINGS {
        return None;
    }
    let (index, place) = PLACES.grow()?;
    let ring = arena::keep_zeroed::<ThreadRing>()?;
    place.ring.set(ring);
    ROSTER.enter(index, |next| place.next.store(next, Ordering::Relaxed));
    Some((index, ring))
}

/// Empties the thread's ring, unless a reader is at it, and hands it on.
pub(crate) fn retire() {
    if let Some(mine) = MINE.take() {
        collector::drain_if_free();
        if let Some(place) = PLACES.get(mine.index) {
            FREE.push(mine.index, |next| place.link.store(next, Ordering::Relaxed));
        }
    }
}

/// Drains every ring into `each`; by one reader at a time. Returns the most that one of them held.
pub(crate) fn drain(mut each: impl FnMut(Event)) -> u32 {
    let mut most = 0;
    for_each(|ring| {
        most = most.max(ring.drain(|words| each(Event::from_words(words))));
    });
    most
}

/// Events that were dropped: the rings were full, or their thread had none.
pub(crate) fn dropped() -> u64 {
    let mut dropped = DROPPED.load(Ordering::Relaxed);
    for_each(|ring| dropped += ring.dropped());
    dropped
}

fn for_each(mut each: impl FnMut(&'static ThreadRing)) {
    let next = |index| PLACES.get(index).map_or(0, |place| place.next.load(Ordering::Relaxed));
    ROSTER.each(next, |index| {
        if let Some(ring) = PLACES.get(index).and_then(|place| place.ring.get()) {
            each(ring);
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
}
