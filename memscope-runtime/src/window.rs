//! Windows of time: the highest peak of one task since a moment.
//!
//! A new window raises the epoch. At its next poll each task starts its peak anew from what it holds, so within one epoch a peak is of
//! that epoch only. When an epoch ends (another window opens), its maximum goes to every window that is open.

use std::sync::{Mutex, PoisonError};

use crate::sync::{AtomicU32, AtomicU64, Ordering, raise};

static EPOCH: AtomicU32 = AtomicU32::new(0);
/// The highest peak in this epoch of a task that has ended.
static ENDED_PEAK: AtomicU64 = AtomicU64::new(0);
/// Maxima of the open windows, over the epochs before this one.
static OPEN: Mutex<Vec<Open>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Open {
    id: u32,
    peak_bytes: u64,
}

/// The number of windows opened so far.
#[inline]
pub(crate) fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// Notes what a task that has ended held at the most in this epoch.
pub(crate) fn note_ended(peak_bytes: u64) {
    raise(&ENDED_PEAK, peak_bytes);
}

/// Opens a window. `living_peak` gives the highest peak in this epoch among the living tasks, `living_max` what the
/// largest of them holds now.
pub(crate) fn open(living_peak: impl FnOnce() -> u64, living_max: impl FnOnce() -> u64) -> u32 {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let so_far = living_peak().max(ENDED_PEAK.swap(0, Ordering::Relaxed));
    for window in open.iter_mut() {
        window.peak_bytes = window.peak_bytes.max(so_far);
    }
    let id = EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
    let now = living_max();
    open.push(Open { id, peak_bytes: now });
    id
}

/// Closes a window: the highest peak of one task in it.
pub(crate) fn close(id: u32, living_peak: u64) -> u64 {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let earlier = open
        .iter()
        .position(|window| window.id == id)
        .map_or(0, |at| open.swap_remove(at).peak_bytes);
    earlier.max(living_peak).max(ENDED_PEAK.load(Ordering::Relaxed))
}
