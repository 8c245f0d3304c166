//! Peak windows: the highest peak of one task since a moment.
//!
//! A new window raises the epoch. At its next poll each task restarts its peak from what it holds.
//! So a peak within one epoch belongs to that epoch only. When a task ends or enters a later epoch,
//! it reports its peak to every window that was open in the peak's epoch.
//!
//! There is no lock: each window has its own slot, which tasks raise.

use crate::primitives::{
    HasLinks, Links, Slab, Zeroed,
    sync::{AtomicU32, AtomicU64, Ordering},
};

static EPOCH: AtomicU32 = AtomicU32::new(0);
static WINDOWS: Slab<Place> = Slab::new();
/// How many windows are open. While it is 0, no task looks for one.
static OPEN: AtomicU32 = AtomicU32::new(0);

/// The slot of a window; another window reuses it when this one is closed.
#[derive(Debug)]
struct Place {
    /// The first epoch in the window; 0 if it is not open.
    since: AtomicU32,
    /// The lower 48 bits hold the highest peak of tasks that have ended or entered a later epoch.
    /// They also include what the largest task held when the window was opened. Above them are the
    /// low bits of `since`. These reveal to a task that raises an earlier window that the slot is
    /// no longer that window's.
    peak: AtomicU64,
    links: Links,
}

const BYTES: u64 = (1 << 48) - 1;

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Place {}

impl HasLinks for Place {
    fn links(&self) -> &Links {
        &self.links
    }
}

/// An open window; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Window {
    /// `None` if there was no memory.
    place: Option<&'static Place>,
    since: u32,
}

/// How many windows have been opened. Windows opened at the same moment may share an epoch.
#[inline]
pub(crate) fn epoch() -> u32 {
    // Acquire; pairs with the Release in `Window::open`: a task of this epoch finds the window.
    EPOCH.load(Ordering::Acquire)
}

/// Whether there is a window that a peak could belong to.
#[inline]
pub(crate) fn any_is_open() -> bool {
    OPEN.load(Ordering::Relaxed) != 0
}

/// Reports the peak of a task that ends or enters another epoch to the windows that were open in
/// its epoch.
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
    /// Raises the peak of the window that began with this epoch, if the slot still belongs to it.
    fn raise(&self, since: u32, peak_bytes: u64) {
        let new = tag(since) | peak_bytes.min(BYTES);
        let higher = |there: u64| (there & !BYTES == tag(since) && there < new).then_some(new);
        // Release; pairs with the Acquire in `peak_bytes`.
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
            // NOTE: must come before the epoch begins, so that no task goes through it unseen.
            // Release; pairs with the Acquire in `note`.
            place.since.store(since, Ordering::Release);
            OPEN.fetch_add(1, Ordering::Relaxed);
        }
        // If another window has just begun this epoch, both share it. Release; pairs with the
        // Acquire in `epoch`.
        let _ = EPOCH.compare_exchange(before, since, Ordering::AcqRel, Ordering::Relaxed);
        Self { place, since }
    }

    /// Adds what a task holds right after the window was opened.
    pub(crate) fn add(&self, live_bytes: u64) {
        if let Some(place) = self.place {
            place.raise(self.since, live_bytes);
        }
    }

    /// Whether a peak of this epoch belongs to the window.
    pub(crate) fn has(&self, epoch: u32) -> bool {
        epoch >= self.since
    }

    /// The highest peak of tasks that have ended or entered a later epoch, and of what was there at
    /// the start. Must be called after the living tasks were read: a task that leaves the epoch
    /// meanwhile is in here.
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
