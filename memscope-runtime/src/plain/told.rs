//! What a runtime with hooks tells of its tasks: when a poll begins and ends, when a task has ended, and where it was spawned.
//!
//! A task gets its place in the table at its first poll, and a record in it at its first allocation. One that has not allocated gets its record when
//! its first poll is over: but not if a tracked future was polled or dropped in it, as then the task may be nothing but that future, which
//! has a record of its own. So tracked tasks have no second row, whoever spawned them.
//!
//! After a task's end its id lives on: who drops a `JoinHandle` drops the output under it, maybe on another thread and at this very
//! moment. So the record is taken away as in `vacate`, and stays, as that of an ended task, where another thread may be charging it. And a place
//! remembers the last id that ended in it, so that nobody makes a new record for it.

use std::{cell::Cell, panic::Location, ptr};

use tokio::task::Id;

use super::{
    LAST, Last, Place, SEAT, TABLE, find, number, open, set, sit, site, take_seat, vacate,
};
use crate::{
    config, current,
    record::Record,
    site::{Key, PLAIN_COLUMN, Site},
    static_ref::StaticRef,
    sync::{AtomicU32, AtomicU64, Ordering, bump},
    task::{TaskState, TaskType},
};

/// Beside a task's id and record. Zeroed: nothing was told.
#[derive(Debug)]
pub(super) struct Told {
    /// How often the task was polled; 0: nobody tells.
    polls: AtomicU64,
    /// What [`TRACKED`] was at the start of the last poll.
    tracked: AtomicU64,
    spawned_at: StaticRef<Location<'static>>,
    /// The last task that ended here.
    ended: AtomicU64,
    /// 1 while the task is polled.
    is_polled: AtomicU32,
}

impl Told {
    pub(super) fn is_told(&self) -> bool {
        self.polls.load(Ordering::Relaxed) != 0
    }

    /// The place is for a task of which nobody tells.
    pub(super) fn forget(&self) {
        self.polls.store(0, Ordering::Relaxed);
        self.is_polled.store(0, Ordering::Relaxed);
        self.spawned_at.clear();
    }

    /// Whether no tracked future was polled or dropped in the poll that goes on, or has just ended, on this thread.
    fn is_its_own(&self) -> bool {
        self.tracked.load(Ordering::Relaxed) == TRACKED.get()
    }
}

thread_local! {
    /// How many polls and drops of tracked futures there were on this thread.
    static TRACKED: Cell<u64> = const { Cell::new(0) };
}

/// A tracked future is polled or dropped.
#[inline]
pub(crate) fn note_tracked() {
    TRACKED.set(TRACKED.get().wrapping_add(1));
}

/// The task's number, if anything is to be noted on this thread.
fn told_id(id: Id) -> Option<u64> {
    // The destructor of a known thread gives its seat back.
    let is_on = config::unannotated() && current::thread_is_known();
    if is_on { number(id) } else { None }
}

/// A poll of the task begins on this thread.
pub(crate) fn poll_begins(id: Id, spawned_at: &'static Location<'static>) {
    let Some(id) = told_id(id) else { return };
    let Some(seat) = SEAT.get().or_else(take_seat) else { return };
    let Some(place) = sit(seat, id).or_else(|| claim(id)) else { return };
    let told = &place.told;
    bump(&told.polls, 1);
    told.is_polled.store(1, Ordering::Relaxed);
    told.tracked.store(TRACKED.get(), Ordering::Relaxed);
    told.spawned_at.set(spawned_at);
    if let Some(record) = place.record.get() {
        record.tell(TaskState::Running, told.polls.load(Ordering::Relaxed));
        LAST.set(Last { id, record: Some(record) });
    }
}

/// The poll is over; the task may have ended in it.
pub(crate) fn poll_ends(id: Id) {
    let Some(id) = told_id(id) else { return };
    if let Some(place) = find(id) {
        let told = &place.told;
        let own = || told.is_its_own().then(|| place.open_late(id)).flatten();
        told.is_polled.store(0, Ordering::Relaxed);
        if let Some(record) = place.record.get().or_else(own) {
            record.tell(TaskState::Idle, told.polls.load(Ordering::Relaxed));
        }
    }
    stand_up(id);
}

/// The task has ended: its future is gone, and its output too unless somebody waits for it.
pub(crate) fn task_ends(id: Id, spawned_at: &'static Location<'static>) {
    let Some(id) = told_id(id) else { return };
    stand_up(id);
    let there = find(id);
    let memory = there.or_else(|| TABLE.get_or_make(set(id).next()?));
    if let Some(place) = memory {
        // SeqCst: before this thread looks at the seats; who comes later and finds no place finds this.
        place.told.ended.store(id, Ordering::SeqCst);
    }
    let Some(place) = there else { return };
    let told = &place.told;
    let is_polled = told.is_polled.load(Ordering::Relaxed) != 0;
    let own = || (is_polled && told.is_its_own()).then(|| place.open_late(id)).flatten();
    let Some(record) = place.record.get().or_else(own) else {
        // Nobody charges what has no record.
        let _ = place.id.compare_exchange(id, 0, Ordering::AcqRel, Ordering::Relaxed);
        return;
    };
    let polls = told.polls.load(Ordering::Relaxed);
    // Nobody polls a task that the shutdown of its runtime drops. In a poll it may have completed, panicked or been aborted.
    let state =
        if polls != 0 && !is_polled { TaskState::Cancelled } else { TaskState::Ended };
    record.tell(state, polls);
    if polls == 0 && place.hold() {
        // A blocking task: it is not polled, so that nobody has said where it was spawned.
        if record.site().is_some_and(|there| ptr::eq(there, site())) {
            record.rename(site_of(spawned_at));
        }
        place.let_go();
    }
    if vacate(place, id) {
        place.id.store(0, Ordering::Release);
        place.let_go();
    }
}

/// This thread does not charge the task any more.
fn stand_up(id: u64) {
    if LAST.get().id == id {
        LAST.set(Last { id: 0, record: None });
    }
    if let Some(seat) = SEAT.get()
        && seat.id.load(Ordering::Relaxed) == id
    {
        // Release: what the thread charged is seen by who takes the record away.
        seat.id.store(0, Ordering::Release);
    }
}

/// Whether the task is known to have ended: its id is met again when its output is dropped, or a worker finds it in its queue at shutdown.
pub(super) fn has_ended(id: u64) -> bool {
    let mut places = set(id).map_while(|place| TABLE.get(place));
    places.any(|place| place.told.ended.load(Ordering::SeqCst) == id)
}

/// A place without a record.
fn claim(id: u64) -> Option<&'static Place> {
    if has_ended(id) {
        return None;
    }
    let place = super::claim(id)?;
    place.record.clear();
    place.told.forget();
    place.id.store(id, Ordering::SeqCst);
    place.let_go();
    Some(place)
}

impl Place {
    /// A record for a task that has a place.
    pub(super) fn open_late(&self, id: u64) -> Option<&'static Record> {
        if !self.hold() {
            return None;
        }
        if self.id.load(Ordering::SeqCst) == id && self.record.get().is_none() {
            let spawned_at = self.told.spawned_at.get();
            if let Some(record) = open(spawned_at.map_or_else(site, site_of)) {
                let (state, polls) = match self.told.ended.load(Ordering::SeqCst) {
                    // By who drops the output meanwhile.
                    ended if ended == id => (TaskState::Ended, &self.told.polls),
                    _ => (TaskState::Running, &self.told.polls),
                };
                record.tell(state, polls.load(Ordering::Relaxed));
                self.record.set(record);
            }
        }
        self.let_go();
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

/// The site of all tasks that are spawned at this place; the common one where there is no room for it.
fn site_of(at: &'static Location<'static>) -> &'static Site {
    SPAWNERS_SEEN.with(|seen| {
        let last = &seen[(ptr::from_ref(at).addr() >> 3) % SPAWNERS];
        if let Some((location, site)) = last.get()
            && ptr::eq(location, at)
        {
            return site;
        }
        let site = Site::of(Key {
            name: Name::of(at).as_str(),
            task_type: TaskType::Unspecified,
            file: at.file(),
            line: at.line(),
            column: PLAIN_COLUMN,
        });
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
