//! An SPSC ring buffer: one thread pushes, one reader drains, and neither waits for the other.
//!
//! One producer pushes at a time and one reader drains at a time. Each keeps its own index and
//! reads the other's only when it must. A full ring drops the newest events and counts them.

use crossbeam_utils::CachePadded;

use super::sync::{AtomicU32, AtomicU64, Ordering, Slot, bump};

/// The contents of one slot.
pub(crate) type Words = [u64; 4];

/// A ring of `N` slots, a power of two. Both counts wrap modulo 2^32; a slot is the count modulo
/// `N`.
#[derive(Debug)]
pub(crate) struct Ring<const N: usize> {
    pushed: CachePadded<Pushed>,
    /// Slots drained so far; written by the reader.
    drained: CachePadded<AtomicU32>,
    slots: [Slot; N],
}

/// The producer's cache line. It holds all that a producer needs to know, so the next producer can
/// continue where the last one stopped.
#[derive(Debug)]
struct Pushed {
    count: AtomicU32,
    /// Slots drained, as of the producer's last look.
    drained: AtomicU32,
    dropped: AtomicU64,
}

impl<const N: usize> Ring<N> {
    #[expect(clippy::cast_possible_truncation, reason = "asserted")]
    pub(crate) const SLOTS: u32 = {
        assert!(N.is_power_of_two() && N <= 1 << 30, "counts go on modulo 2^32");
        N as u32
    };

    #[allow(
        dead_code,
        reason = "rings are made out of zeroed memory; the loom models make them so"
    )]
    pub(crate) fn new() -> Self {
        Self {
            pushed: CachePadded::new(Pushed {
                count: AtomicU32::new(0),
                drained: AtomicU32::new(0),
                dropped: AtomicU64::new(0),
            }),
            drained: CachePadded::new(AtomicU32::new(0)),
            slots: std::array::from_fn(|_| Slot::new()),
        }
    }

    /// Events that were dropped because the ring was full.
    pub(crate) fn dropped(&self) -> u64 {
        self.pushed.dropped.load(Ordering::Relaxed)
    }

    /// Pushes the event that `words` makes, or counts one as dropped if the ring is full. One
    /// producer at a time may call it, and must have synchronised with the producer before it.
    // PERF: a full ring does not ask for the event.
    #[inline]
    pub(crate) fn push(&self, words: impl FnOnce() -> Words) {
        let Pushed { count, drained, dropped } = &*self.pushed;
        let pushed = count.load(Ordering::Relaxed);
        let is_full = |drained: u32| pushed.wrapping_sub(drained) >= Self::SLOTS;
        if is_full(drained.load(Ordering::Relaxed)) {
            // Acquire; pairs with the Release in `drain`: the slot was read before it is written
            // below.
            let now = self.drained.load(Ordering::Acquire);
            if is_full(now) {
                bump(dropped, 1);
                return;
            }
            drained.store(now, Ordering::Relaxed);
        }
        self.slots[(pushed % Self::SLOTS) as usize].put(words());
        // Release; pairs with the Acquire in `drain`.
        count.store(pushed.wrapping_add(1), Ordering::Release);
    }

    /// Removes the events that were pushed before this call, in order, and returns their number.
    /// One reader at a time may call it, and must have synchronised with the reader before it.
    pub(crate) fn drain(&self, mut each: impl FnMut(Words)) -> u32 {
        let start = self.drained.load(Ordering::Relaxed);
        // Acquire; pairs with the Release in `push`: the slots below this count are written.
        let end = self.pushed.count.load(Ordering::Acquire);
        let mut place = start;
        while place != end {
            each(self.slots[(place % Self::SLOTS) as usize].get());
            place = place.wrapping_add(1);
        }
        // Release; pairs with the Acquire in `push`: the slots are read before they are written
        // again.
        self.drained.store(end, Ordering::Release);
        end.wrapping_sub(start)
    }
}
