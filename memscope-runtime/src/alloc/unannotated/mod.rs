//! Tokio tasks that nobody annotated: known by the id that Tokio keeps for the task it polls or
//! drops.
//!
//! A runtime with `tokio_hooks` tells more of its tasks: see `told`.
//!
//! A table finds the record of an id. On stable Rust nobody says when such a task ends, so a record
//! stays until its place is wanted: first those whose tasks hold nothing are given up, and a task
//! that comes back gets a new one. Whoever gives up a record must know that no thread is about to
//! charge it: see `lease`.

#[cfg(feature = "task-names")]
pub(crate) mod stack_trace;

#[cfg(tokio_unstable)]
mod away;
mod context;
#[cfg(tokio_unstable)]
mod runtime_hooks;

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
};

use crate::{
    accounting::{FutureType, Key, NewTask, PLAIN_COLUMN, Record, Site, registry},
    model::TaskType,
    primitives::{
        Arena, BUSY, GuardedSlot, HasLinks, HazardSlot, Links, Slab, StaticRef, Zeroed,
        pending_starts,
        sync::{AtomicU64, Ordering, add},
    },
    sampling::Sampling,
};

pub(crate) use super::unannotated::context::{Sight, note_block, note_thread, prepare, sight};
#[cfg(tokio_unstable)]
pub(crate) use super::unannotated::runtime_hooks::{
    note_tracked, poll_begins, poll_ends, task_ends,
};

/// Sets of places; ids are dealt out in turn, so that they fill evenly.
const SETS: u32 = 4_096;
/// Places of one set.
const WAYS: u32 = 16;

/// A place of the table.
#[derive(Debug)]
struct Place {
    lease: GuardedSlot,
    record: StaticRef<Record>,
    #[cfg(tokio_unstable)]
    told: runtime_hooks::Told,
}

// SAFETY: atomics and a `StaticRef`, valid when zeroed, without a destructor.
unsafe impl Zeroed for Place {}

/// Where a thread says which task it charges.
#[derive(Debug)]
struct ThreadHazard {
    charging: HazardSlot,
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
static SEATS: Slab<ThreadHazard> = Slab::new();

/// Records that were taken from tasks which held bytes, for want of places.
static SPLIT: AtomicU64 = AtomicU64::new(0);

/// The task that this thread charged last.
#[derive(Clone, Copy, Debug)]
struct Last {
    id: u64,
    record: Option<&'static Record>,
}

thread_local! {
    static LAST: Cell<Last> = const { Cell::new(Last { id: 0, record: None }) };
    static SEAT: Cell<Option<&'static ThreadHazard>> = const { Cell::new(None) };
}

/// The task that is current is not the one that this thread charged last, or there is none: what
/// Tokio said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchedTask(u64);

impl SwitchedTask {
    pub(crate) const NOBODY: Self = Self(0);

    pub(crate) fn is_nobody(self) -> bool {
        usable(self.0).is_none()
    }

    /// Its record, if it is a task.
    pub(crate) fn find(self) -> Option<&'static Record> {
        let id = usable(self.0)?;
        let last = LAST.get();
        if last.id == id { last.record } else { enter(id) }
    }
}

/// The record of the task that Tokio polls or drops on this thread, if this thread charged it last.
// PERF: one comparison; nothing that is read before Tokio is asked has to be kept meanwhile.
#[inline]
pub(crate) fn cached_task() -> Result<&'static Record, SwitchedTask> {
    let id = digits(tokio::task::try_id());
    let last = LAST.get();
    if last.id == id
        && let Some(record) = last.record
    {
        Ok(record)
    } else {
        Err(SwitchedTask(id))
    }
}

/// The record of the current task for somebody who only frees: a task without one gets none. `Err`:
/// it is in a task that has none.
pub(crate) fn known() -> Result<Option<&'static Record>, NoRecord> {
    let Some(id) = tokio_id() else { return Ok(None) };
    let last = LAST.get();
    if last.id == id {
        return Ok(last.record);
    }
    let Some(seat) = SEAT.get().or_else(take_seat) else { return Ok(None) };
    let record = sit(seat, id).and_then(|place| place.record.get()).ok_or(NoRecord)?;
    LAST.set(Last { id, record: Some(record) });
    Ok(Some(record))
}

/// The task that is current has no record, as it has not allocated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoRecord;

/// Asks Tokio for the first time on this thread, where it cannot be seen whether Tokio has run
/// here. The caller has seen to it that Tokio is not asked meanwhile.
///
/// Tokio then registers the destructor of a thread-local, which may allocate. After that it only
/// reads, and once that destructor has run it says that there is no task.
pub(crate) fn introduce() {
    let _ = tokio::task::try_id();
}

/// The number in the id of Tokio's current task, on a thread that was introduced.
#[inline]
fn tokio_id() -> Option<u64> {
    usable(digits(tokio::task::try_id()))
}

/// The number in Tokio's id.
#[cfg(tokio_unstable)]
fn number(id: tokio::task::Id) -> Option<u64> {
    usable(digits(Some(id)))
}

/// An id's number, unless it could be taken for an empty place or a busy one.
fn usable(number: u64) -> Option<u64> {
    (number != 0 && number & BUSY == 0).then_some(number)
}

/// The number in Tokio's id; 0: there is none.
#[inline]
fn digits(id: Option<tokio::task::Id>) -> u64 {
    /// Takes the one number that an id hashes.
    struct Number(u64);

    impl Hasher for Number {
        fn write(&mut self, bytes: &[u8]) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            self.0 = u64::from_ne_bytes(word);
        }

        fn write_u64(&mut self, number: u64) {
            self.0 = number;
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }

    let mut number = Number(0);
    if let Some(id) = id {
        id.hash(&mut number);
    }
    number.0
}

/// The thread comes from another task, or from none.
#[inline(never)]
fn enter(id: u64) -> Option<&'static Record> {
    let seat = SEAT.get().or_else(take_seat)?;
    let record = match sit(seat, id) {
        Some(place) => place.record.get().or_else(|| place.open_late(id)),
        None => make(id),
    };
    LAST.set(Last { id, record });
    record
}

/// Says that this thread charges the task, and finds its place.
fn sit(seat: &ThreadHazard, id: u64) -> Option<&'static Place> {
    LAST.set(Last { id: 0, record: None });
    seat.charging.begin(id);
    find(id)
}

fn take_seat() -> Option<&'static ThreadHazard> {
    let seat = SEATS.take_for_thread(u32::MAX)?;
    SEAT.set(Some(seat));
    Some(seat)
}

/// The thread ends.
pub(crate) fn retire() {
    LAST.set(Last { id: 0, record: None });
    if let Some(seat) = SEAT.take() {
        seat.charging.end();
        SEATS.put(seat);
    }
}

/// In a forked child, on its only thread: the others charge no task any more, and hold no place.
pub(crate) fn forked() {
    let own = SEAT.get();
    SEATS.take_back(own, |seat| {
        // A thread that looks for the place of a task holds no other places than where that may be.
        let id = seat.charging.get();
        if id != 0 && !own.is_some_and(|own| own.charging.is(id)) {
            for place in set(id).map_while(|place| TABLE.get(place)) {
                // A task that has a record without a place keeps its bytes, and gets another one if
                // it comes back.
                if place.lease.abandon() {
                    place.record.clear();
                }
            }
        }
        seat.charging.end();
    });
}

/// The places where this id may be.
fn set(id: u64) -> impl Iterator<Item = u32> {
    let first = u32::try_from(id % u64::from(SETS)).unwrap_or(0);
    // Way by way, so that a program with few tasks needs few places.
    (0..WAYS).map(move |way| first + way * SETS)
}

fn find(id: u64) -> Option<&'static Place> {
    let mut places = set(id).map_while(|place| TABLE.get(place));
    places.find(|place| place.lease.is_of(id))
}

/// Gives the task a place and a record.
fn make(id: u64) -> Option<&'static Record> {
    #[cfg(tokio_unstable)]
    if runtime_hooks::has_ended(id) {
        return None;
    }
    claim(id).and_then(|place| fill(place, id))
}

/// A place for the task, busy and held by this thread: one whose task holds nothing, an empty one,
/// or that of the oldest task of its set.
fn claim(id: u64) -> Option<&'static Place> {
    let mut oldest: Option<(u64, &Place)> = None;
    for place in set(id) {
        let Some(place) = TABLE.get_or_make(place) else { break };
        let Some(there) = place.lease.id() else { continue };
        if there == 0 {
            if place.lease.take(id) {
                return Some(place);
            }
            continue;
        }
        if place.is_spare() && vacate(place, there) {
            return Some(place);
        }
        // A task without a record has less to lose than any.
        let age = if place.record.get().is_some() { there } else { 0 };
        if oldest.is_none_or(|(oldest, _)| age < oldest) {
            oldest = Some((age, place));
        }
    }
    let (_, oldest) = oldest?;
    take_over(oldest, id).or_else(|| set(id).find_map(|place| take_over(TABLE.get(place)?, id)))
}

/// Takes a place from its task, whatever that holds, unless a thread charges it; or an empty one.
fn take_over(place: &'static Place, id: u64) -> Option<&'static Place> {
    let there = place.lease.id()?;
    if there == 0 {
        return place.lease.take(id).then_some(place);
    }
    let loses = place.record.get().is_some();
    let is_vacated = vacate(place, there);
    if is_vacated && loses {
        add(&SPLIT, 1);
    }
    is_vacated.then_some(place)
}

/// Takes the record out of a place and folds it away, unless a thread charges it. The place is busy
/// and held then.
fn vacate(place: &Place, there: u64) -> bool {
    let end = || place.lease.end(there, SEATS.iter().map(|seat| &seat.charging));
    #[cfg(tokio_unstable)]
    let (is_free, goes_on) = runtime_hooks::leave(place, there, end);
    #[cfg(not(tokio_unstable))]
    let (is_free, goes_on) = (end(), false);
    if is_free && let Some(record) = place.record.get() {
        record.abandon(goes_on);
        place.record.clear();
    }
    is_free
}

/// Opens a record in a place that this thread has claimed.
fn fill(place: &Place, id: u64) -> Option<&'static Record> {
    let record = open(site());
    #[cfg(tokio_unstable)]
    place.told.forget();
    pending_starts::occasion_in_allocator();
    match record {
        Some(record) => {
            #[cfg(tokio_unstable)]
            runtime_hooks::note_return(id);
            place.record.set(record);
            place.lease.begin(id);
        }
        None => place.lease.stay_empty(),
    }
    record
}

impl Place {
    /// Whether nobody misses the task's record.
    fn is_spare(&self) -> bool {
        let record = self.record.get();
        #[cfg(tokio_unstable)]
        if self.told.is_told() || record.is_some_and(|record| record.state().is_ended()) {
            return record.is_some_and(|record| record.state().is_ended());
        }
        record.is_some_and(Record::holds_nothing)
    }

    /// A record for a task that got a place before it allocated.
    #[cfg(not(tokio_unstable))]
    #[expect(clippy::unused_self, reason = "as where a task's polls are told")]
    fn open_late(&self, _: u64) -> Option<&'static Record> {
        None
    }
}

/// Has a task traced that has become large; its record is this thread's last.
#[cfg(feature = "task-names")]
#[inline]
pub(crate) fn note_size(tally: &'static crate::accounting::Tally) {
    if tally.own_live_bytes() >= crate::config::named_from()
        && let Last { id, record: Some(record) } = LAST.get()
        && record.tally().id() == tally.id()
        && record.is_first_trace()
    {
        stack_trace::take(id, tally.id());
    }
}

/// Gives the task with Tokio's id, if it still has the record of this id, the name of its future.
#[cfg(feature = "task-names")]
pub(crate) fn rename(tokio_id: u64, id: u64, name: &str) {
    let Some(place) = find(tokio_id) else { return };
    if place.lease.hold() {
        if place.lease.is_of(tokio_id)
            && let Some(record) = place.record.get()
            && record.tally().id() == id
        {
            // Where it was spawned, if that is known.
            let (file, line) = record.site().map_or(("", 0), |site| (site.file, site.line));
            record.rename(Site::of(key(name, file, line)));
        }
        place.lease.unlock();
    }
}

/// The site of all of them.
#[inline]
pub(crate) fn site() -> &'static Site {
    SITE.get().unwrap_or_else(make_site)
}

static SITE: StaticRef<Site> = StaticRef::none();

#[cold]
#[inline(never)]
fn make_site() -> &'static Site {
    let site = Site::of_bounded(key("(unannotated)", "", 0));
    SITE.set(site);
    site
}

/// The key of a site of theirs.
fn key<'k>(name: &'k str, file: &'static str, line: u32) -> Key<'k> {
    Key { name, task_type: TaskType::Unspecified, file, line, column: PLAIN_COLUMN }
}

fn open(site: &'static Site) -> Option<&'static Record> {
    let (row, ordinal) = site.admit(FutureType::not_known());
    let task = NewTask {
        site,
        counted_site: row,
        future: FutureType::not_known(),
        parent: 0,
        sampling: Sampling::NONE,
        ordinal,
        is_annotated: false,
    };
    let record = registry::open_task(&task);
    if record.is_none() {
        row.retract();
    }
    record
}

/// How many tasks lost their record while they held bytes, or their polls were told.
pub(crate) fn split() -> u64 {
    SPLIT.load(Ordering::Relaxed)
}
