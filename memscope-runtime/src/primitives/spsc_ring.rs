//! A ring: what one thread says, read by another, without either waiting.
//!
//! One thread pushes at a time and one reader drains at a time; each knows its own end by itself
//! and looks at the other's only when it has to. A full ring drops what comes, the newest, and
//! counts it.

use crossbeam_utils::CachePadded;

use super::sync::{AtomicU32, AtomicU64, Ordering, Slot, bump};

/// What one slot holds.
pub(crate) type Words = [u64; 4];

/// `N` slots, a power of two. Both counts go on for ever, modulo 2^32; the slot is the count modulo
/// `N`.
#[derive(Debug)]
pub(crate) struct Ring<const N: usize> {
    pushed: CachePadded<Pushed>,
    /// How many were drained; written by the reader.
    drained: CachePadded<AtomicU32>,
    slots: [Slot; N],
}

/// The producer's line: all that it needs to know, so that the next one goes on where it stopped.
#[derive(Debug)]
struct Pushed {
    count: AtomicU32,
    /// How many were drained, when the producer last looked.
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

    /// What was pushed and found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.pushed.dropped.load(Ordering::Relaxed)
    }

    /// Adds to the ring; counts where there is no room. By one producer at a time, each of which
    /// has seen the one before.
    #[inline]
    pub(crate) fn push(&self, words: Words) {
        let Pushed { count, drained, dropped } = &*self.pushed;
        let pushed = count.load(Ordering::Relaxed);
        let is_full = |drained: u32| pushed.wrapping_sub(drained) >= Self::SLOTS;
        if is_full(drained.load(Ordering::Relaxed)) {
            // Acquire pairs with the Release in `drain`: what is written below was read before.
            let now = self.drained.load(Ordering::Acquire);
            drained.store(now, Ordering::Relaxed);
            if is_full(now) {
                bump(dropped, 1);
                return;
            }
        }
        self.slots[(pushed % Self::SLOTS) as usize].put(words);
        // Release pairs with the Acquire in `drain`.
        count.store(pushed.wrapping_add(1), Ordering::Release);
    }

    /// Takes out what was pushed before this call, in that order; by one reader at a time, each of
    /// which has seen the one before.
    pub(crate) fn drain(&self, mut each: impl FnMut(Words)) -> u32 {
        let start = self.drained.load(Ordering::Relaxed);
        // Acquire pairs with the Release in `push`: the slots below this count are written.
        let end = self.pushed.count.load(Ordering::Acquire);
        let mut place = start;
        while place != end {
            each(self.slots[(place % Self::SLOTS) as usize].get());
            place = place.wrapping_add(1);
        }
        // Release pairs with the Acquire in `push`: the slots are read before they are written
        // anew.
        self.drained.store(end, Ordering::Release);
        end.wrapping_sub(start)
    }
}
