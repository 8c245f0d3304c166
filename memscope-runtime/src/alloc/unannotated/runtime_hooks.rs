//! What a runtime's hooks report of its tasks: when a poll begins and ends, when a task ends, and
//! where it was spawned.
//!
//! A task gets a slot in the table at its first poll, and a record in it at its first allocation. A
//! task that has not allocated gets its record when its first poll is over. It gets none if a
//! tracked future was polled or dropped in that poll. Then the task may be nothing but that future,
//! which has a record of its own. So a tracked task has no second row, whatever spawned it.
//!
//! The hooks of one task run on several threads. The end of a poll may be reported after the next
//! poll has begun on another thread, or after the task's end. So each poll has a number, and the
//! end is final.
//!
//! After a task's end its id lives on: the thread that drops a `JoinHandle` drops the output under
//! it, perhaps at this very moment. So the record is evicted by `evict`. While another thread may
//! charge it, it stays as the record of an ended task. A slot also stores the last id that ended in
//! it, so that no thread makes a new record for that task.

use std::{cell::Cell, panic::Location, ptr};

use tokio::task::Id;

use super::{
    HAZARD, LAST, Last, Place, TABLE, away, ends::note_return, evict, find, number, open, protect,
    rows::key, set, site, take_hazard,
};
use crate::{
    accounting::{Record, Site},
    config,
    model::TaskState,
    primitives::{
        StaticRef,
        sync::{AtomicU8, AtomicU64, Ordering, fence},
        this_thread,
    },
};

/// What the hooks have reported of the task in a slot. All zeroes if they have reported nothing.
#[derive(Debug)]
pub(super) struct Reported {
    /// How often the task was polled; 0 if the hooks do not report its polls.
    polls: AtomicU64,
    spawned_at: StaticRef<Location<'static>>,
    /// The last task that ended in this slot.
    ended: AtomicU64,
}

impl Reported {
    pub(super) fn is_reported(&self) -> bool {
        self.polls() != 0
    }

    /// Clears the reports, for a task that the hooks have not reported.
    pub(super) fn forget(&self) {
        self.polls.store(0, Ordering::Relaxed);
        self.spawned_at.clear();
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }
}

/// A poll on this thread. Once it is over for Tokio, the next one may begin on another thread, or
/// the task may end there, before this thread reports.
#[derive(Clone, Copy, Debug)]
struct Poll {
    id: u64,
    /// Its number among the polls of the task.
    number: u64,
    /// The value of [`TRACKED`] at its start.
    tracked: u64,
}

/// The most nested polls: a runtime may run in a blocking section of another one's task.
const MOST_NESTED: usize = 8;

thread_local! {
    static POLLS: [Cell<Poll>; MOST_NESTED] =
        const { [const { Cell::new(Poll { id: 0, number: 0, tracked: 0 }) }; MOST_NESTED] };
    static NESTED: Cell<usize> = const { Cell::new(0) };
    /// Counts the polls and drops of tracked futures on this thread.
    static TRACKED: Cell<u64> = const { Cell::new(0) };
}

impl Poll {
    fn push(self) {
        let nested = NESTED.get();
        POLLS.with(|polls| {
            if let Some(free) = polls.get(nested) {
                free.set(self);
                NESTED.set(nested + 1);
            }
        });
    }

    /// Returns the task's poll on this thread, and how many polls were begun before it.
    fn of(id: u64) -> Option<(Self, usize)> {
        POLLS.with(|polls| {
            let mut begun = polls.iter().take(NESTED.get()).enumerate().rev();
            begun.find(|(_, poll)| poll.get().id == id).map(|(nested, poll)| (poll.get(), nested))
        })
    }

    /// Returns whether no tracked future was polled or dropped in this poll.
    fn is_its_own(self) -> bool {
        self.tracked == TRACKED.get()
    }
}

/// Counts a poll or a drop of a tracked future.
#[inline]
pub(crate) fn note_tracked() {
    TRACKED.set(TRACKED.get().wrapping_add(1));
}

/// Returns the task's id, if reports are noted on this thread.
fn reported_id(id: Id) -> Option<u64> {
    // Only a registered thread has a destructor that returns its hazard.
    let is_on = config::unannotated() && this_thread::is_registered();
    if is_on { number(id) } else { None }
}

/// Whether any runtime has hooks.
static USED: AtomicU8 = AtomicU8::new(0);

/// Whether any runtime has hooks, and has run a task.
pub(super) fn are_used() -> bool {
    USED.load(Ordering::Relaxed) != 0
}

/// Notes that a poll of the task begins on this thread.
pub(crate) fn poll_begins(id: Id, spawned_at: &'static Location<'static>) {
    let Some(id) = reported_id(id) else { return };
    USED.store(1, Ordering::Relaxed);
    let Some(own_hazard) = HAZARD.get().or_else(take_hazard) else { return };
    let known = protect(own_hazard, id);
    let place = known.or_else(|| claim(id));
    // Without a slot the poll is noted all the same, with number 0.
    let number = place.map_or(0, |place| place.reported.polls() + 1);
    Poll { id, number, tracked: TRACKED.get() }.push();
    let Some(place) = place else { return };
    place.reported.polls.store(number, Ordering::Relaxed);
    place.reported.spawned_at.set(spawned_at);
    if known.is_none() && away::is_away(id) {
        // It had a record before, so it is no tracked task.
        place.open_late(id);
    }
    if let Some(record) = place.record.get() {
        record.poll_started(number);
        Last { id, record: Some(record) }.set();
    }
}

/// Notes that the poll is over; the task may have ended in it.
pub(crate) fn poll_ends(id: Id) {
    let Some(id) = number(id) else { return };
    let Some((poll, nested)) = Poll::of(id) else { return };
    NESTED.set(nested);
    let there = find(id).filter(|place| place.reported.polls() == poll.number);
    if let Some(place) = there {
        let own = || poll.is_its_own().then(|| place.open_late(id)).flatten();
        if let Some(record) = place.record.get().or_else(own) {
            record.poll_ended();
        }
    }
    unprotect(id);
    if let Some(place) = there
        && place.reported.ended.load(Ordering::Relaxed) == id
    {
        // The task ended on another thread while this one protected it.
        close(place, id);
    }
}

/// Notes that the task has ended: its future is dropped, and so is its output unless a `JoinHandle`
/// waits for it.
pub(crate) fn task_ends(id: Id, spawned_at: &'static Location<'static>) {
    let Some(id) = reported_id(id) else { return };
    USED.store(1, Ordering::Relaxed);
    // Protects the task until its record is marked as ended. Otherwise a thread that finds the id
    // stored below could evict it. If this happens in a poll of the task, its next allocation finds
    // it again.
    let there = HAZARD
        .get()
        .or_else(take_hazard)
        .map_or_else(|| find(id), |own_hazard| protect(own_hazard, id));
    let memory = there.or_else(|| TABLE.get_or_make(set(id).next()?));
    if let Some(place) = memory {
        // Release; pairs with the Acquire in `has_ended`: seen where the eviction below is seen.
        place.reported.ended.store(id, Ordering::Release);
        // The id is stored before the record is looked for. Pairs with the fence in `open_late`.
        fence(Ordering::SeqCst);
    }
    let poll = Poll::of(id).map(|(poll, _)| poll);
    let Some(place) = there else {
        // There was no slot for the task, or it lost its slot and has not been polled since.
        if away::is_away(id) || poll.is_some_and(Poll::is_its_own) {
            let was_dropped = poll.is_none();
            end_without_place(id, spawned_at, was_dropped);
        }
        return unprotect(id);
    };
    let polls = place.reported.polls();
    let own = || poll.is_some_and(Poll::is_its_own).then(|| place.open_late(id)).flatten();
    let Some(record) = place.record.get().or_else(own) else {
        // Without a record, no thread charges the task.
        unprotect(id);
        place.guard.abandon(id, || place.record.get().is_some());
        return;
    };
    // Outside of its polls, only the shutdown of its runtime ends a task. In a poll it may have
    // completed, panicked or been aborted.
    let was_dropped = polls != 0 && poll.is_none();
    record.task_ended(if was_dropped { TaskState::Cancelled } else { TaskState::Ended }, polls);
    if polls == 0 && place.guard.try_lock() {
        // A blocking task is not polled, so no earlier hook has reported where it was spawned. Its
        // site is the common one, or that of its type.
        if record.site().is_some_and(|there| there.file.is_empty()) {
            record.rename(site_of(spawned_at));
        }
        place.guard.unlock();
    }
    unprotect(id);
    close(place, id);
}

/// Counts a task that ends without a slot.
fn end_without_place(id: u64, spawned_at: &'static Location<'static>, was_dropped: bool) {
    if let Some(record) = open(site_of(spawned_at)) {
        note_return(id);
        record.task_ended(if was_dropped { TaskState::Cancelled } else { TaskState::Ended }, 0);
        record.abandon(false);
    }
}

/// Evicts an ended task, unless another thread may charge its record.
fn close(place: &Place, id: u64) {
    if evict(place, id) {
        place.guard.stay_empty();
    }
    place.settle();
}

/// Unprotects the task: this thread does not charge it any more.
fn unprotect(id: u64) {
    if LAST.get().id == id {
        Last::NONE.set();
    }
    if let Some(own_hazard) = HAZARD.get()
        && own_hazard.hazard.is(id)
    {
        own_hazard.hazard.clear();
    }
}

/// Returns whether the task is known to have ended. Its id comes up again when its output is
/// dropped, or when a worker finds it in its queue at shutdown.
pub(super) fn has_ended(id: u64) -> bool {
    let mut places = set(id).map_while(|place| TABLE.get(place));
    places.any(|place| place.reported.ended.load(Ordering::Acquire) == id)
}

/// Claims a slot without a record.
fn claim(id: u64) -> Option<&'static Place> {
    if has_ended(id) {
        return None;
    }
    let place = super::claim(id)?;
    place.record.clear();
    place.reported.forget();
    place.guard.assign(id);
    place.settle();
    Some(place)
}

impl Place {
    /// Opens a record for a task that has a slot.
    pub(super) fn open_late(&self, id: u64) -> Option<&'static Record> {
        if !self.guard.try_lock() {
            return None;
        }
        if self.guard.is_of(id) && self.record.get().is_none() {
            let spawned_at = self.reported.spawned_at.get();
            if let Some(record) = open(spawned_at.map_or_else(site, site_of)) {
                note_return(id);
                record.poll_started(self.reported.polls());
                self.record.set(record);
                // The record is stored before the mark is looked for. Pairs with the fence in
                // `task_ends`: at least one of the two threads sees the other's store.
                fence(Ordering::SeqCst);
                if self.reported.ended.load(Ordering::Acquire) == id {
                    // A thread that drops the output ended the task meanwhile; or it ended in its
                    // only poll.
                    record.end_unless_ended();
                }
            }
        }
        self.guard.unlock();
        self.record.get()
    }
}

/// A spawn place and its site, as a thread caches them.
type Spawner = Option<(&'static Location<'static>, &'static Site)>;

const SPAWNERS: usize = 16;

thread_local! {
    // PERF: a comparison instead of hashing and comparing names.
    static SPAWNERS_SEEN: [Cell<Spawner>; SPAWNERS] = const { [const { Cell::new(None) }; SPAWNERS] };
}

/// Returns the site of all tasks spawned at this place, or the common site if there is no room for
/// it.
fn site_of(at: &'static Location<'static>) -> &'static Site {
    SPAWNERS_SEEN.with(|seen| {
        let last = &seen[(ptr::from_ref(at).addr() >> 3) % SPAWNERS];
        if let Some((location, site)) = last.get()
            && ptr::eq(location, at)
        {
            return site;
        }
        let site = Site::of_bounded(key(Name::of(at).as_str(), at.file(), at.line()));
        let site = if site.is_other() { self::site() } else { site };
        last.set(Some((at, site)));
        site
    })
}

/// The name of a task after its spawn place, built without allocating.
#[derive(Debug)]
struct Name {
    bytes: [u8; Self::MOST],
    length: usize,
}

impl Name {
    const MOST: usize = 96;
    const MOST_OF_FILE: usize = 64;

    fn of(at: &Location<'_>) -> Self {
        let file = at.file().rsplit(['/', '\\']).next().unwrap_or("");
        let file = &file[..file.floor_char_boundary(Self::MOST_OF_FILE)];
        let mut name = Self { bytes: [0; Self::MOST], length: 0 };
        name.push("(spawned at ".bytes());
        name.push(file.bytes());
        name.push(":".bytes());
        let mut power = 1_000_000_000;
        while power > 1 && at.line() < power {
            power /= 10;
        }
        while power != 0 {
            let digit = u8::try_from(at.line() / power % 10).unwrap_or(0);
            name.push([b'0' + digit]);
            power /= 10;
        }
        name.push(")".bytes());
        name
    }

    fn push(&mut self, text: impl IntoIterator<Item = u8>) {
        let free = self.bytes.iter_mut().skip(self.length);
        let mut pushed = 0;
        for (place, byte) in free.zip(text) {
            *place = byte;
            pushed += 1;
        }
        self.length += pushed;
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or(&[]);
        std::str::from_utf8(bytes).unwrap_or("(unannotated)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_by_its_file_and_line() {
        let here = Location::caller();
        let name = Name::of(here);
        assert_eq!(name.as_str(), format!("(spawned at runtime_hooks.rs:{})", here.line()));
    }
}
