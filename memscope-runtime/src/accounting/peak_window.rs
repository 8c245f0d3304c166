//! Windows of time: the highest peak of one task since a moment.
//!
//! A new window raises the epoch. At its next poll each task starts its peak anew from what it
//! holds, so within one epoch a peak is of that epoch only. A task that ends, or goes on to a later
//! epoch, gives its peak to every window that was open in the epoch of that peak.
//!
//! No lock is taken: a window has a place of its own, which tasks raise.

use crate::primitives::{
    HasLinks, Links, Slab, Zeroed,
    sync::{AtomicU32, AtomicU64, Ordering},
};

static EPOCH: AtomicU32 = AtomicU32::new(0);
static WINDOWS: Slab<Place> = Slab::new();
/// How many windows are open: as long as there is none, no task looks for one.
static OPEN: AtomicU32 = AtomicU32::new(0);

/// The place of a window; used again for another when it is closed.
#[derive(Debug)]
struct Place {
    /// The first epoch in the window; 0: it is not open.
    since: AtomicU32,
    /// In the lower 48 bits the highest peak of tasks that have ended or gone on, and what the
    /// largest one held when the window was opened. Above them the low bits of `since`, so that
    /// what is meant for the window before finds that the place is not its any more.
    peak: AtomicU64,
    links: Links,
}

const BYTES: u64 = (1 << 48) - 1;

// SAFETY: atomics only.
unsafe impl Zeroed for Place {}

impl HasLinks for Place {
    fn links(&self) -> &Links {
        &self.links
    }
}

/// A window that is open; closed when dropped.
#[derive(Debug)]
pub(crate) struct Window {
    /// `None`: there was no memory.
    place: Option<&'static Place>,
    since: u32,
}

/// The number of windows opened so far; some may have been opened together.
#[inline]
pub(crate) fn epoch() -> u32 {
    // Acquire pairs with the Release in `Window::open`: a task of this epoch finds the window.
    EPOCH.load(Ordering::Acquire)
}

/// Whether there is a window that a peak could be in.
#[inline]
pub(crate) fn any_is_open() -> bool {
    OPEN.load(Ordering::Relaxed) != 0
}

/// Gives the peak of a task that ends, or goes on to another epoch, to the windows that were open
/// in its epoch.
#[cold]
#[inline(never)]
pub(crate) fn note(epoch: u32, peak_bytes: u64) {
    for place in WINDOWS.iter() {
        let since = place.since.load(Ordering::Acquire);
        if since != 0 && since <= epoch {
            place.raise(since, peak_bytes);
        }
    }
}

impl Place {
    /// Raises the peak of the window that began with this epoch, if the place is still its.
    fn raise(&self, since: u32, peak_bytes: u64) {
        let new = tag(since) | peak_bytes.min(BYTES);
        let higher = |there: u64| (there & !BYTES == tag(since) && there < new).then_some(new);
        // Release pairs with the Acquire in `peak_bytes`.
        let _ = self.peak.fetch_update(Ordering::Release, Ordering::Relaxed, higher);
    }
}

fn tag(since: u32) -> u64 {
    u64::from(since) << 48
}

impl Window {
    /// Opens a window.
    pub(crate) fn open() -> Self {
        let place = WINDOWS.take();
        let before = epoch();
        let since = before.wrapping_add(1);
        if let Some(place) = place {
            place.peak.store(tag(since), Ordering::Relaxed);
            // NOTE: before the epoch begins, so that no task goes through it unseen. Release pairs
            // with the Acquire in `give`.
            place.since.store(since, Ordering::Release);
            OPEN.fetch_add(1, Ordering::Relaxed);
        }
        // Where another window has just begun this epoch, both have it. Release pairs with the
        // Acquire in `epoch`.
        let _ = EPOCH.compare_exchange(before, since, Ordering::AcqRel, Ordering::Relaxed);
        Self { place, since }
    }

    /// What a task holds when the window was just opened is in it.
    pub(crate) fn add(&self, live_bytes: u64) {
        if let Some(place) = self.place {
            place.raise(self.since, live_bytes);
        }
    }

    /// Whether a peak of this epoch is one in the window.
    pub(crate) fn has(&self, epoch: u32) -> bool {
        epoch >= self.since
    }

    /// The highest peak of tasks that have ended or gone on, and of what was there at the start. To
    /// be asked for after the living tasks were looked at: one that goes on meanwhile is in here.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.place.map_or(0, |place| place.peak.load(Ordering::Acquire) & BYTES)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            place.since.store(0, Ordering::Relaxed);
            OPEN.fetch_sub(1, Ordering::Relaxed);
            WINDOWS.put(place);
        }
    }
}
