//! Living tasks that have lost their record, because there are more tasks than slots in the table.
//! They stay counted, and are not counted again when they are polled again.

use crate::{
    accounting::Site,
    primitives::{
        Arena, Zeroed,
        sync::{AtomicU32, AtomicU64, Ordering},
    },
};

/// Sets of a set-associative table. Ids are consecutive, so the sets fill evenly.
const SETS: u32 = 1 << 14;
/// Slots of one set: 262,144 tasks in all, of 16 bytes each.
const WAYS: u32 = 16;

/// The slot of one task.
#[derive(Debug)]
struct AwaySlot {
    /// The task's Tokio id; 0 if the slot is free.
    id: AtomicU64,
    /// The index of the site that counts it.
    site: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Zeroed for AwaySlot {}

static TASKS: Arena<AwaySlot> = Arena::new();

/// Stands for an id while a thread fills or empties the slot.
const BUSY: u64 = u64::MAX;

/// How many tasks are noted.
static NOTED: AtomicU64 = AtomicU64::new(0);

fn slots(id: u64) -> impl Iterator<Item = u32> {
    let first = u32::try_from(id % u64::from(SETS)).unwrap_or(0);
    (0..WAYS).map(move |way| first + way * SETS)
}

/// Notes the task, which this site counts. Returns `false` if its set is full.
pub(super) fn leave(id: u64, site: &Site) -> bool {
    for slot in slots(id) {
        let Some(slot) = TASKS.get_or_make(slot) else { return false };
        let is_free = slot.id.load(Ordering::Relaxed) == 0;
        if is_free
            && slot.id.compare_exchange(0, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            slot.site.store(site.index(), Ordering::Relaxed);
            // Release; pairs with the Acquire in `come_back`.
            slot.id.store(id, Ordering::Release);
            NOTED.fetch_add(1, Ordering::Relaxed);
            return true;
        }
    }
    false
}

/// Returns whether the task is noted.
#[inline]
pub(super) fn is_away(id: u64) -> bool {
    // PERF: as in `come_back`.
    NOTED.load(Ordering::Relaxed) != 0 && has(id)
}

#[cold]
#[inline(never)]
fn has(id: u64) -> bool {
    let mut slots = slots(id).map_while(|slot| TASKS.get(slot));
    slots.any(|slot| slot.id.load(Ordering::Relaxed) == id)
}

/// Forgets the task, and returns the site that counts it, if it was noted.
#[inline]
pub(super) fn come_back(id: u64) -> Option<&'static Site> {
    // PERF: few programs have that many tasks. The thread that takes a task's record away has noted
    // the task before. So a thread that no longer finds the task's slot sees the note.
    if NOTED.load(Ordering::Relaxed) == 0 { None } else { find_back(id) }
}

#[cold]
#[inline(never)]
fn find_back(id: u64) -> Option<&'static Site> {
    let mut slots = slots(id).map_while(|slot| TASKS.get(slot));
    let slot = slots.find(|slot| slot.id.load(Ordering::Relaxed) == id)?;
    // Acquire; pairs with the Release in `leave`.
    slot.id.compare_exchange(id, BUSY, Ordering::Acquire, Ordering::Relaxed).ok()?;
    let site = slot.site.load(Ordering::Relaxed);
    slot.id.store(0, Ordering::Relaxed);
    NOTED.fetch_sub(1, Ordering::Relaxed);
    Site::at(site)
}
