//! Unannotated Tokio tasks, identified by the id of the task that Tokio polls or drops.
//!
//! A set-associative table finds the record of an id. A task ends when its cell is freed (`ends`),
//! if the layout of cells is learned (`alloc::cells`). Otherwise nothing reports its end, and its
//! record stays until its slot is needed. Tasks that hold nothing lose their record first, and a
//! task that comes back gets a new one. A record may be taken away only while no thread is about to
//! charge it: hazard pointers tell (`primitives::hazard`).
//!
//! A runtime with `tokio_hooks` reports more of its tasks: see `runtime_hooks`.

#[cfg(feature = "symbols")]
pub(crate) mod stack_trace;

mod away;
mod charged;
mod context;
pub(crate) mod ends;
mod frees;
mod rows;
mod task_id;
mod type_names;
mod unrecorded;
#[cfg(tokio_unstable)]
mod runtime_hooks;

use std::cell::Cell;

use crate::{
    accounting::Record,
    primitives::{
        Arena, GuardedSlot, HasLinks, HazardSlot, Links, Slab, StaticRef, Zeroed, pending_starts,
        sync::{AtomicU64, Ordering, add},
    },
};

pub(super) use charged::Charged;
pub(crate) use charged::{charge_thread, watch};
pub(crate) use context::{Sight, expect_report, note_block, note_thread, prepare, sight};
pub(crate) use ends::{CellEnd, observe};
pub(super) use frees::record_of_freer;
pub(crate) use rows::site;
use rows::{open, open_unnamed};
#[cfg(tokio_unstable)]
pub(crate) use runtime_hooks::{note_tracked, poll_begins, poll_ends, task_ends};
use task_id::{current_digits, tokio_digits, tokio_id, usable};
pub(crate) use task_id::{introduce, number};
#[cfg(feature = "symbols")]
pub(crate) use type_names::name_type;
pub(crate) use unrecorded::read as unrecorded;

/// Sets of the table. Ids are consecutive, so the sets fill evenly.
const SETS: u32 = 4_096;
/// Slots of one set.
const WAYS: u32 = 16;

/// A slot of the table.
#[derive(Debug)]
struct Place {
    guard: GuardedSlot,
    record: StaticRef<Record>,
    /// The task whose cell was freed while another thread was changing the slot, and its parent.
    freed: AtomicU64,
    freed_parent: AtomicU64,
    #[cfg(tokio_unstable)]
    reported: runtime_hooks::Reported,
}

// SAFETY: atomics and a `StaticRef`, valid when zeroed, without a destructor.
unsafe impl Zeroed for Place {}

/// The hazard pointer of a thread: publishes which task the thread charges.
#[derive(Debug)]
struct ThreadHazard {
    hazard: HazardSlot,
    links: Links,
}

// SAFETY: atomics only.
unsafe impl Zeroed for ThreadHazard {}

impl HasLinks for ThreadHazard {
    fn links(&self) -> &Links {
        &self.links
    }
}

static TABLE: Arena<Place> = Arena::new();
static HAZARDS: Slab<ThreadHazard> = Slab::new();

/// How many tasks that held bytes lost their record, because the table was full.
static SPLIT: AtomicU64 = AtomicU64::new(0);

/// The task that this thread charged last.
#[derive(Clone, Copy, Debug)]
struct Last {
    id: u64,
    record: Option<&'static Record>,
}

impl Last {
    const NONE: Self = Self { id: 0, record: None };

    /// Makes this the task that the thread charged last.
    #[inline]
    fn set(self) {
        LAST.set(self);
        match self.record {
            Some(record) => charged::charge(self.id, record.tally()),
            None => charged::forget(),
        }
    }
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last::NONE) };
    static HAZARD: Cell<Option<&'static ThreadHazard>> = const { Cell::new(None) };
}

/// What Tokio reports when the current task is not the one that this thread charged last: another
/// task, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchedTask(u64);

impl SwitchedTask {
    pub(crate) const NO_TASK: Self = Self(0);

    pub(crate) fn is_no_task(self) -> bool {
        usable(self.0).is_none()
    }

    /// Returns the task's record, if there is a task. Makes the record if the task has none.
    pub(crate) fn find(self) -> Option<&'static Record> {
        let id = usable(self.0)?;
        let last = LAST.get();
        if last.id != id {
            return enter(id);
        }
        last.set();
        last.record
    }
}

/// Returns the record of the task that Tokio polls or drops here, if this thread charged it last.
#[inline]
pub(crate) fn cached_task() -> Result<&'static Record, SwitchedTask> {
    let id = current_digits();
    let last = LAST.get();
    if last.id == id
        && let Some(record) = last.record
    {
        charged::charge(id, record.tally());
        Ok(record)
    } else {
        Err(SwitchedTask(id))
    }
}

/// Returns the record of the current task, for a free: it makes no record. Returns `Err` if the
/// current task has no record.
pub(crate) fn known() -> Result<Option<&'static Record>, NoRecord> {
    tokio_id().map_or(Ok(None), known_as)
}

/// Returns the id of the current task's record; 0 if there is no task, or it has no record.
#[inline]
pub(crate) fn known_id() -> u64 {
    let Some(id) = tokio_id() else { return 0 };
    known_as(id).ok().flatten().map_or(0, |record| record.tally().id())
}

/// [`known`] for the task with this id.
#[inline(never)]
fn known_as(id: u64) -> Result<Option<&'static Record>, NoRecord> {
    let last = LAST.get();
    if last.id == id {
        return Ok(last.record);
    }
    let Some(own_hazard) = HAZARD.get().or_else(take_hazard) else { return Ok(None) };
    let record = protect(own_hazard, id).and_then(|place| place.record.get()).ok_or(NoRecord)?;
    Last { id, record: Some(record) }.set();
    Ok(Some(record))
}

/// The current task has no record, because it has not allocated, nor freed much of others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRecord;

/// Finds or makes the record of a task that the thread has switched to.
#[inline(never)]
fn enter(id: u64) -> Option<&'static Record> {
    let own_hazard = HAZARD.get().or_else(take_hazard)?;
    let record = match protect(own_hazard, id) {
        Some(place) => place.record.get().or_else(|| place.open_late(id)),
        None => make(id),
    };
    Last { id, record }.set();
    record
}

/// Protects the task: publishes that this thread charges it, then finds its slot.
fn protect(own_hazard: &ThreadHazard, id: u64) -> Option<&'static Place> {
    Last::NONE.set();
    own_hazard.hazard.publish(id);
    find(id)
}

fn take_hazard() -> Option<&'static ThreadHazard> {
    let own_hazard = HAZARDS.take_for_thread(u32::MAX)?;
    HAZARD.set(Some(own_hazard));
    Some(own_hazard)
}

/// Returns the thread's hazard, when the thread ends.
pub(crate) fn retire() {
    Last::NONE.set();
    if let Some(own_hazard) = HAZARD.take() {
        own_hazard.hazard.clear();
        HAZARDS.put(own_hazard);
    }
}

/// Releases the hazards and slots of threads that a fork has left behind. Must be called in the
/// child, on its only thread.
pub(crate) fn forked() {
    HAZARDS.take_back(HAZARD.get(), |own_hazard| own_hazard.hazard.clear());
    // A task with a record but without a slot keeps its bytes, and gets another record if it comes
    // back.
    for place in (0..SETS * WAYS).filter_map(|place| TABLE.get(place)) {
        if place.guard.unlock_abandoned() {
            place.record.clear();
        }
    }
}

/// Iterates over the slots where this id may be.
fn set(id: u64) -> impl Iterator<Item = u32> {
    let first = u32::try_from(id % u64::from(SETS)).unwrap_or(0);
    // Way by way, so a program with few tasks makes few slots.
    (0..WAYS).map(move |way| first + way * SETS)
}

fn find(id: u64) -> Option<&'static Place> {
    let mut places = set(id).map_while(|place| TABLE.get(place));
    places.find(|place| place.guard.is_of(id))
}

/// Gives the task a slot and a record.
fn make(id: u64) -> Option<&'static Record> {
    #[cfg(tokio_unstable)]
    if runtime_hooks::has_ended(id) {
        return None;
    }
    claim(id).and_then(|place| occupy(place, id))
}

/// Claims a slot for the task: an empty one, one whose task holds nothing, or that of the oldest
/// task of the set. Where tasks end exactly, one that holds nothing lives, and keeps its slot as
/// long as there are empty ones. The claimed slot is busy and locked by this thread.
fn claim(id: u64) -> Option<&'static Place> {
    let are_exact = ends::are_exact();
    let mut oldest: Option<(u64, &Place)> = None;
    for place in set(id) {
        let Some(place) = TABLE.get_or_make(place) else { break };
        let Some(there) = place.guard.id() else { continue };
        if there == 0 {
            if place.guard.try_claim(id) {
                return Some(place);
            }
            continue;
        }
        let is_spare = place.is_spare();
        if is_spare && !are_exact && evict(place, there) {
            return Some(place);
        }
        // A task without a record, or that holds nothing, loses least.
        let age = if place.record.get().is_some() && !is_spare { there } else { 0 };
        if oldest.is_none_or(|(oldest, _)| age < oldest) {
            oldest = Some((age, place));
        }
    }
    let (_, oldest) = oldest?;
    take_over(oldest, id).or_else(|| set(id).find_map(|place| take_over(TABLE.get(place)?, id)))
}

/// Takes a slot from its task, whatever the task holds, unless a thread charges it. Also takes an
/// empty slot.
fn take_over(place: &'static Place, id: u64) -> Option<&'static Place> {
    let there = place.guard.id()?;
    if there == 0 {
        return place.guard.try_claim(id).then_some(place);
    }
    let loses = place.record.get().is_some();
    let is_vacated = evict(place, there);
    if is_vacated && loses {
        add(&SPLIT, 1);
    }
    is_vacated.then_some(place)
}

/// Evicts the task: archives the record of a slot, unless a thread charges it. The slot is then
/// busy and locked by this thread.
fn evict(place: &Place, there: u64) -> bool {
    let end = || place.guard.try_retire(there, HAZARDS.iter().map(|own_hazard| &own_hazard.hazard));
    let (is_free, goes_on) = ends::leave(place, there, end);
    if !is_free {
        place.settle();
    } else if let Some(record) = place.record.get() {
        record.abandon(goes_on);
        place.record.clear();
    }
    is_free
}

/// Occupies a slot that this thread has claimed: opens a record in it.
fn occupy(place: &Place, id: u64) -> Option<&'static Record> {
    let record = open_unnamed();
    #[cfg(tokio_unstable)]
    place.reported.forget();
    pending_starts::occasion_in_allocator();
    match record {
        Some(record) => {
            ends::note_return(id);
            place.record.set(record);
            place.guard.assign(id);
        }
        None => place.guard.stay_empty(),
    }
    place.settle();
    record
}

impl Place {
    /// Returns whether the slot can be taken at no loss.
    fn is_spare(&self) -> bool {
        let record = self.record.get();
        #[cfg(tokio_unstable)]
        if self.reported.is_reported() || record.is_some_and(|record| record.state().is_ended()) {
            return record.is_some_and(|record| record.state().is_ended());
        }
        record.is_some_and(Record::holds_nothing)
    }

    /// Opens a record for a task that got a slot before it allocated.
    #[cfg(not(tokio_unstable))]
    #[expect(clippy::unused_self, reason = "as where hooks report polls")]
    fn open_late(&self, _: u64) -> Option<&'static Record> {
        None
    }
}

/// Takes the stack trace of an unannotated task if stacks are taken, or once the task is large. Its
/// record must be the one that this thread charged last. Does nothing for a thread.
#[cfg(feature = "symbols")]
#[inline]
pub(crate) fn note_size(tally: &'static crate::accounting::Tally) {
    // The record of an ended task has the id of threads.
    if tally.id() != 0
        && (type_names::takes_stacks() || tally.own_live_bytes() >= crate::config::named_from())
        && let Last { id, record: Some(record) } = LAST.get()
        && record.tally().id() == tally.id()
        && record.is_first_trace()
    {
        type_names::note_stack();
        stack_trace::take(id, tally.id());
    }
}

/// Renames the task with this Tokio id after its future, if it still has the record of this id.
///
/// A task whose spawn place a hook has reported keeps the row of that place. Only a few of the
/// tasks that are spawned there have their stack taken, so the others would be in another row.
#[cfg(feature = "symbols")]
pub(crate) fn rename(tokio_id: u64, id: u64, name: &str) {
    let Some(place) = find(tokio_id) else { return };
    if place.guard.try_lock() {
        if place.guard.is_of(tokio_id)
            && let Some(record) = place.record.get()
            && record.tally().id() == id
            && record.site().is_none_or(|site| site.file.is_empty())
        {
            record.rename(rows::named(name));
        }
        place.guard.unlock();
        place.settle();
    }
}

/// Counts the tasks that lost their record while they held bytes, or while the runtime's hooks
/// reported their polls.
pub(crate) fn split() -> u64 {
    SPLIT.load(Ordering::Relaxed)
}
