//! The rings: pushing against draining, appending against walking, handing on to the next thread.

use loom::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
};

use crate::{
    Plain,
    primitives::append_list::AppendList,
    primitives::free_list::FreeList,
    primitives::spsc_ring::{Ring, Words},
};

/// All four words of an event carry its number, so a mixture of two events is noticed.
fn event(number: u64) -> Words {
    [number; 4]
}

fn number_of(words: Words) -> u64 {
    assert_eq!(words, [words[0]; 4], "words of two events");
    words[0]
}

fn drain<const N: usize>(ring: &Ring<N>, seen: &mut Vec<u64>) {
    let before = seen.len();
    let drained = ring.drain(|words| seen.push(number_of(words)));
    assert_eq!(seen.len() - before, drained as usize);
}

/// Four events through two slots, which are drained twice meanwhile. The events that were drained
/// or dropped are all there were, in order.
#[test]
fn what_is_drained_and_what_is_dropped_is_what_was_pushed() {
    loom::model(|| {
        let ring = Arc::new(Ring::<2>::new());
        let pushing = {
            let ring = Arc::clone(&ring);
            thread::spawn(move || {
                (1..=4).for_each(|number| ring.push(|| event(number)));
            })
        };
        let mut seen = Vec::new();
        drain(&ring, &mut seen);
        drain(&ring, &mut seen);
        pushing.join().expect("no panic");
        drain(&ring, &mut seen);
        assert_eq!(seen.len() as u64 + ring.dropped(), 4);
        assert!(seen.is_sorted() && seen[..2] == [1, 2], "{seen:?}");
    });
}

/// Two slots, filled again and again; each round drops its newest events.
#[test]
fn a_full_ring_keeps_the_oldest_and_drops_the_newest() {
    loom::model(|| {
        let ring = Ring::<2>::new();
        let mut seen = Vec::new();
        for round in 0..3 {
            (0..5).for_each(|number| ring.push(|| event(10 * round + number)));
            drain(&ring, &mut seen);
        }
        assert_eq!((seen.as_slice(), ring.dropped()), (&[0, 1, 10, 11, 20, 21][..], 9));
    });
}

/// The rings of threads that come and go, as `accounting::thread_ring` keeps them.
struct Threads {
    rings: AppendList,
    free: FreeList,
    places: [Place; 2],
    made: AtomicU32,
    reader: Mutex<Vec<u64>>,
}

struct Place {
    /// Written once, before the ring is appended: a thread that walks the rings sees it.
    is_made: Plain,
    next: AtomicU32,
    link: AtomicU32,
    ring: Ring<2>,
}

impl Threads {
    fn new() -> Arc<Self> {
        let place = || Place {
            is_made: Plain::new(),
            next: AtomicU32::new(0),
            link: AtomicU32::new(0),
            ring: Ring::new(),
        };
        Arc::new(Self {
            rings: AppendList::new(AtomicU32::new(0)),
            free: FreeList::new(AtomicU64::new(0)),
            places: [place(), place()],
            made: AtomicU32::new(0),
            reader: Mutex::new(Vec::new()),
        })
    }

    /// The life of one thread: it takes a ring, pushes and hands the ring on.
    fn live(&self, numbers: &[u64]) {
        let link = |index: u32| self.places[index as usize].link.load(Ordering::Relaxed);
        let index = self.free.pop(link).unwrap_or_else(|| {
            let index = self.made.fetch_add(1, Ordering::Relaxed);
            let place = &self.places[index as usize];
            place.is_made.replace(1);
            self.rings.push(index, |next| place.next.store(next, Ordering::Relaxed));
            index
        });
        let place = &self.places[index as usize];
        for number in numbers {
            place.ring.push(|| event(*number));
        }
        self.free.push(index, |next| place.link.store(next, Ordering::Relaxed));
    }

    fn drain_all(&self) {
        let mut seen = self.reader.lock().expect("no panic");
        let next = |index: u32| self.places[index as usize].next.load(Ordering::Relaxed);
        self.rings.for_each(next, |index| {
            let place = &self.places[index as usize];
            assert_eq!(place.is_made.get(), 1, "what is pushed is there");
            drain(&place.ring, &mut seen);
        });
    }

    fn seen(&self) -> Vec<u64> {
        self.drain_all();
        let mut seen = self.reader.lock().expect("no panic").clone();
        seen.sort_unstable();
        seen
    }
}

/// Two threads append a ring each, or the later one takes the ring of the one that has ended. A
/// third walks the rings meanwhile.
#[test]
fn every_event_of_threads_that_come_and_go_is_seen_once() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let threads = Threads::new();
        let reading = {
            let threads = Arc::clone(&threads);
            thread::spawn(move || threads.drain_all())
        };
        let living = {
            let threads = Arc::clone(&threads);
            thread::spawn(move || threads.live(&[1]))
        };
        threads.live(&[2]);
        reading.join().expect("no panic");
        living.join().expect("no panic");
        assert_eq!(threads.seen(), [1, 2]);
    });
}

/// A ring goes from one thread to the next while it is drained. The new thread continues where the
/// last one stopped.
#[test]
fn a_ring_that_is_handed_on_loses_and_doubles_nothing_but_what_it_counts() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let threads = Threads::new();
        threads.live(&[1, 2]);
        let reading = {
            let threads = Arc::clone(&threads);
            thread::spawn(move || threads.drain_all())
        };
        let living = {
            let threads = Arc::clone(&threads);
            thread::spawn(move || threads.live(&[3, 4]))
        };
        reading.join().expect("no panic");
        living.join().expect("no panic");
        let seen = threads.seen();
        assert_eq!(threads.made.load(Ordering::Relaxed), 1, "handed on");
        assert_eq!(seen.len() as u64 + threads.places[0].ring.dropped(), 4);
        assert!(seen.starts_with(&[1, 2]), "{seen:?}");
    });
}

/// Two readers take turns, each after the other.
#[test]
fn readers_take_turns() {
    loom::model(|| {
        let threads = Threads::new();
        threads.live(&[1]);
        let other = {
            let threads = Arc::clone(&threads);
            thread::spawn(move || threads.drain_all())
        };
        threads.live(&[2]);
        threads.drain_all();
        other.join().expect("no panic");
        assert_eq!(threads.seen(), [1, 2]);
    });
}
