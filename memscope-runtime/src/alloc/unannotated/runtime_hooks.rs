//! What a runtime with hooks tells of its tasks: when a poll begins and ends, when a task has
//! ended, and where it was spawned.
//!
//! A task gets its place in the table at its first poll, and a record in it at its first
//! allocation. One that has not allocated gets its record when its first poll is over: but not if a
//! tracked future was polled or dropped in it, as then the task may be nothing but that future,
//! which has a record of its own. So tracked tasks have no second row, whoever spawned them.
//!
//! The hooks of one task run on several threads, and one that says that a poll is over may come
//! after the next poll has begun elsewhere, or after the end. So each poll has a number, and the
//! end is final.
//!
//! After a task's end its id lives on: who drops a `JoinHandle` drops the output under it, maybe on
//! another thread and at this very moment. So the record is taken away as in `vacate`, and stays,
//! as that of an ended task, where another thread may be charging it. And a place remembers the
//! last id that ended in it, so that nobody makes a new record for it.

use std::{cell::Cell, panic::Location, ptr};

use tokio::task::Id;

use super::{
    LAST, Last, Place, SEAT, TABLE, away, find, key, number, open, set, sit, site, take_seat,
    vacate,
};
use crate::{
    accounting::{Record, Site},
    alloc::current,
    config,
    model::TaskState,
    primitives::{
        StaticRef,
        sync::{AtomicU64, Ordering, fence},
        this_thread,
    },
};

/// Beside a task's id and record. Zeroed: nothing was told.
#[derive(Debug)]
pub(super) struct Told {
    /// How often the task was polled; 0: nobody tells.
    polls: AtomicU64,
    spawned_at: StaticRef<Location<'static>>,
    /// The last task that ended here.
    ended: AtomicU64,
}

impl Told {
    pub(super) fn is_told(&self) -> bool {
        self.polls() != 0
    }

    /// The place is for a task of which nobody tells.
    pub(super) fn forget(&self) {
        self.polls.store(0, Ordering::Relaxed);
        self.spawned_at.clear();
    }

    fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }
}

/// A poll that goes on, on this thread. When it is over for Tokio, the next one may begin on
/// another thread, or the task may end there, before this thread tells.
#[derive(Clone, Copy, Debug)]
struct Poll {
    id: u64,
    /// Which one of the task's.
    number: u64,
    /// What [`TRACKED`] was at its start.
    tracked: u64,
}

/// Polls that nest: a runtime in a blocking part of another one's task.
const MOST_NESTED: usize = 8;

thread_local! {
    static POLLS: [Cell<Poll>; MOST_NESTED] =
        const { [const { Cell::new(Poll { id: 0, number: 0, tracked: 0 }) }; MOST_NESTED] };
    static NESTED: Cell<usize> = const { Cell::new(0) };
    /// How many polls and drops of tracked futures there were on this thread.
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

    /// The task's poll on this thread, and how many were begun before it.
    fn of(id: u64) -> Option<(Self, usize)> {
        POLLS.with(|polls| {
            let mut begun = polls.iter().take(NESTED.get()).enumerate().rev();
            begun.find(|(_, poll)| poll.get().id == id).map(|(nested, poll)| (poll.get(), nested))
        })
    }

    /// Whether no tracked future was polled or dropped in it.
    fn is_its_own(self) -> bool {
        self.tracked == TRACKED.get()
    }
}

/// A tracked future is polled or dropped.
#[inline]
pub(crate) fn note_tracked() {
    TRACKED.set(TRACKED.get().wrapping_add(1));
}

/// The task's number, if anything is to be noted on this thread.
fn told_id(id: Id) -> Option<u64> {
    // The destructor of a known thread gives its seat back.
    let is_on = config::unannotated() && this_thread::is_registered();
    if is_on { number(id) } else { None }
}

/// A poll of the task begins on this thread.
pub(crate) fn poll_begins(id: Id, spawned_at: &'static Location<'static>) {
    let Some(id) = told_id(id) else { return };
    let Some(seat) = SEAT.get().or_else(take_seat) else { return };
    let known = sit(seat, id);
    let place = known.or_else(|| claim(id));
    // Without a place it is a poll all the same, which has no number.
    let number = place.map_or(0, |place| place.told.polls() + 1);
    Poll { id, number, tracked: TRACKED.get() }.push();
    let Some(place) = place else { return };
    place.told.polls.store(number, Ordering::Relaxed);
    place.told.spawned_at.set(spawned_at);
    if known.is_none() && away::is_away(id) {
        // It had a record before: it is no tracked task.
        place.open_late(id);
    }
    if let Some(record) = place.record.get() {
        record.poll_started(number);
        LAST.set(Last { id, record: Some(record) });
    }
}

/// The poll is over; the task may have ended in it.
pub(crate) fn poll_ends(id: Id) {
    let Some(id) = number(id) else { return };
    let Some((poll, nested)) = Poll::of(id) else { return };
    NESTED.set(nested);
    let there = find(id).filter(|place| place.told.polls() == poll.number);
    if let Some(place) = there {
        let own = || poll.is_its_own().then(|| place.open_late(id)).flatten();
        if let Some(record) = place.record.get().or_else(own) {
            record.poll_ended();
        }
    }
    stand_up(id);
    if let Some(place) = there
        && place.told.ended.load(Ordering::Relaxed) == id
    {
        // Elsewhere, while this thread had its seat.
        close(place, id);
    }
}

/// The task has ended: its future is gone, and its output too unless somebody waits for it.
pub(crate) fn task_ends(id: Id, spawned_at: &'static Location<'static>) {
    let Some(id) = told_id(id) else { return };
    // Until the record says that its task has ended: whoever else finds the mark below may take it
    // away as soon as nobody charges it. A task in whose poll this happens is found again when it
    // allocates.
    let there = SEAT.get().or_else(take_seat).map_or_else(|| find(id), |seat| sit(seat, id));
    let memory = there.or_else(|| TABLE.get_or_make(set(id).next()?));
    if let Some(place) = memory {
        // Release: who finds the place taken away, by its mark below, finds this.
        place.told.ended.store(id, Ordering::Release);
        // Before the record is looked for (pairs with the fence in `open_late`).
        fence(Ordering::SeqCst);
    }
    let poll = Poll::of(id).map(|(poll, _)| poll);
    let Some(place) = there else {
        // There was no place for it, or it lost it and was not polled since.
        if away::is_away(id) || poll.is_some_and(Poll::is_its_own) {
            let was_dropped = poll.is_none();
            end_without_place(id, spawned_at, was_dropped);
        }
        return stand_up(id);
    };
    let polls = place.told.polls();
    let own = || poll.is_some_and(Poll::is_its_own).then(|| place.open_late(id)).flatten();
    let Some(record) = place.record.get().or_else(own) else {
        // Nobody charges what has no record.
        stand_up(id);
        place.lease.abandon(id, || place.record.get().is_some());
        return;
    };
    // Outside of its polls a task is ended by the shutdown of its runtime. In a poll it may have
    // completed, panicked or been aborted.
    let was_dropped = polls != 0 && poll.is_none();
    record.task_ended(if was_dropped { TaskState::Cancelled } else { TaskState::Ended }, polls);
    if polls == 0 && place.lease.hold() {
        // A blocking task: it is not polled, so that nobody has said where it was spawned.
        if record.site().is_some_and(|there| ptr::eq(there, site())) {
            record.rename(site_of(spawned_at));
        }
        place.lease.unlock();
    }
    stand_up(id);
    close(place, id);
}

/// Counts a task that ends while it has no place.
fn end_without_place(id: u64, spawned_at: &'static Location<'static>, was_dropped: bool) {
    if let Some(record) = open(site_of(spawned_at)) {
        note_return(id);
        record.task_ended(if was_dropped { TaskState::Cancelled } else { TaskState::Ended }, 0);
        record.abandon(false);
    }
}

/// The task has a record: if it lost one before, it is not one more.
pub(super) fn note_return(id: u64) {
    if let Some(site) = away::come_back(id) {
        site.note_return();
    }
}

/// Has a place taken from its task by `end`. Returns whether that was done, and whether the task is
/// one that goes on and is counted although it has no record.
pub(super) fn leave(place: &Place, id: u64, end: impl FnOnce() -> bool) -> (bool, bool) {
    let is_told = || {
        let record = place.record.get().filter(|_| place.told.is_told());
        record.filter(|record| !record.state().is_ended()).and_then(Record::row)
    };
    // Before the place is taken: the task may be polled again at once, and must find that it was
    // counted.
    let noted = is_told().is_some_and(|row| away::leave(id, row));
    let is_free = end();
    let goes_on = is_free && is_told().is_some();
    if noted && !goes_on {
        away::come_back(id);
    }
    (is_free, noted && goes_on)
}

/// Takes the record of an ended task away, if no other thread may be charging it.
fn close(place: &Place, id: u64) {
    if vacate(place, id) {
        place.lease.stay_empty();
    }
}

/// This thread does not charge the task any more.
fn stand_up(id: u64) {
    if LAST.get().id == id {
        LAST.set(Last { id: 0, record: None });
    }
    if let Some(seat) = SEAT.get()
        && seat.charging.is(id)
    {
        seat.charging.end();
    }
}

/// Whether the task is known to have ended: its id is met again when its output is dropped, or a
/// worker finds it in its queue at shutdown.
pub(super) fn has_ended(id: u64) -> bool {
    let mut places = set(id).map_while(|place| TABLE.get(place));
    places.any(|place| place.told.ended.load(Ordering::Acquire) == id)
}

/// A place without a record.
fn claim(id: u64) -> Option<&'static Place> {
    if has_ended(id) {
        return None;
    }
    let place = super::claim(id)?;
    place.record.clear();
    place.told.forget();
    place.lease.begin(id);
    Some(place)
}

impl Place {
    /// A record for a task that has a place.
    pub(super) fn open_late(&self, id: u64) -> Option<&'static Record> {
        if !self.lease.hold() {
            return None;
        }
        if self.lease.is_of(id) && self.record.get().is_none() {
            let spawned_at = self.told.spawned_at.get();
            if let Some(record) = open(spawned_at.map_or_else(site, site_of)) {
                note_return(id);
                record.poll_started(self.told.polls());
                self.record.set(record);
                // The record is there before the mark is looked for (pairs with the fence in
                // `task_ends`): one of the two sees the other.
                fence(Ordering::SeqCst);
                if self.told.ended.load(Ordering::Acquire) == id {
                    // By who drops the output meanwhile, or in the task's only poll.
                    record.end_unless_ended();
                }
            }
        }
        self.lease.unlock();
        self.record.get()
    }
}

/// What a thread remembers of the last places that spawned.
type Spawner = Option<(&'static Location<'static>, &'static Site)>;

const SPAWNERS: usize = 16;

thread_local! {
    // PERF: a comparison instead of hashing and comparing names.
    static SPAWNERS_SEEN: [Cell<Spawner>; SPAWNERS] = const { [const { Cell::new(None) }; SPAWNERS] };
}

/// The site of all tasks that are spawned at this place; the common one where there is no room for
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

/// The name of a task that is known by its place, put together without memory.
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
        assert_eq!(name.as_str(), format!("(spawned at told.rs:{})", here.line()));
    }
}
