//! The last tasks that ended, each with a row of its own: a ring that overwrites the oldest.

use crossbeam_utils::CachePadded;

use crate::{
    arena::{Arena, Zeroed},
    config, items,
    record::{FutureType, RecordReading, Timing},
    site::Site,
    static_ref::StaticRef,
    sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence},
    tally::TallyReading,
    task::TaskState,
};

/// What stays of an ended task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) id: u64,
    /// Its account, as long as that still carries its id: what is live yet.
    pub(crate) account: u32,
    pub(crate) tally: TallyReading,
    pub(crate) reading: RecordReading,
}

/// One row. `version` is 0 while empty, odd while it is written, else even and different for each write.
#[derive(Debug)]
struct Row {
    version: AtomicU64,
    id: AtomicU64,
    parent: AtomicU64,
    site: StaticRef<Site>,
    future: StaticRef<FutureType>,
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    frees: AtomicU64,
    own_live_bytes: AtomicU64,
    taken_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    polls: AtomicU64,
    busy_ns: AtomicU64,
    wait_ns: AtomicU64,
    cell_bytes: AtomicU64,
    account: AtomicU32,
    state: AtomicU8,
    flags: AtomicU8,
}

// SAFETY: atomics and `StaticRef`s, all valid when zeroed, none with a destructor.
unsafe impl Zeroed for Row {}

const TIMED: u8 = 1;
const ESTIMATE: u8 = 2;
const ITEMS: u8 = 4;

static ROWS: Arena<Row> = Arena::new();
/// Tasks whose end has begun to be written.
static TICKETS: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Tasks whose end has been written.
static DONE: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// The same two for ends that leave no row.
static FOLDS: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
static FOLDED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Ended tasks without a row, because the oldest one was still being written or there was no memory.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Takes the task's end through: `end` folds it away, and what it returns becomes a row.
///
/// A reader knows by the two counts around it whether sums are on the move.
pub(crate) fn write(end: impl FnOnce() -> Option<Ended>) {
    let ticket = TICKETS.fetch_add(1, Ordering::AcqRel);
    // What follows is not seen before the ticket (pairs with the fence in `Mark::stands`).
    fence(Ordering::Release);
    let place = u32::try_from(ticket % config::ended_tasks()).unwrap_or(0);
    let row = ROWS.get_or_make(place).and_then(|row| row.lock().map(|version| (row, version)));
    let ended = end();
    match (row, ended) {
        (Some((row, version)), Some(ended)) => {
            row.put(place, &ended);
            // Release pairs with the Acquire in `Row::read`.
            row.version.store(version + 1, Ordering::Release);
        }
        (Some((row, version)), None) => row.version.store(version + 1, Ordering::Release),
        (None, _) => {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    // Release pairs with the Acquire in `mark`.
    DONE.fetch_add(1, Ordering::Release);
}

/// Takes an end through that leaves no row.
pub(crate) fn fold(end: impl FnOnce()) {
    FOLDS.fetch_add(1, Ordering::AcqRel);
    // As in `write`.
    fence(Ordering::Release);
    end();
    FOLDED.fetch_add(1, Ordering::Release);
}

/// How many ends were written through at some time, with and without a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    done: u64,
    folded: u64,
}

/// Marks the time before a reading.
pub(crate) fn mark() -> Mark {
    Mark { done: DONE.load(Ordering::Acquire), folded: FOLDED.load(Ordering::Acquire) }
}

impl Mark {
    /// Whether no task was in the middle of its end since the mark: nobody was then, and nobody began after it.
    pub(crate) fn stands(self) -> bool {
        // The fence keeps the reading before this load (as in a sequence lock); an end that the reading saw a part of
        // took its ticket before that part.
        fence(Ordering::Acquire);
        TICKETS.load(Ordering::Relaxed) == self.done && FOLDS.load(Ordering::Relaxed) == self.folded
    }
}

/// The rows from the newest to the oldest, and whether any was being written.
pub(crate) fn read(into: &mut Vec<Ended>) -> bool {
    let written = TICKETS.load(Ordering::Acquire);
    let kept = config::ended_tasks();
    let mut is_still = true;
    for back in 1..=written.min(kept) {
        let place = u32::try_from((written - back) % kept).unwrap_or(0);
        match ROWS.get(place).map(|row| row.read(place)) {
            Some(Seen::Row(ended)) => into.push(ended),
            Some(Seen::Moving) => is_still = false,
            Some(Seen::Empty) | None => {}
        }
    }
    is_still
}

/// Ended tasks that have no row any more, and those that never got one.
pub(crate) fn forgotten() -> (u64, u64) {
    let written = TICKETS.load(Ordering::Relaxed);
    (written.saturating_sub(config::ended_tasks()), DROPPED.load(Ordering::Relaxed))
}

#[expect(clippy::large_enum_variant, reason = "taken apart where it is returned")]
enum Seen {
    Row(Ended),
    Moving,
    Empty,
}

impl Row {
    /// Makes the version odd; `None` when another writer is in there.
    fn lock(&self) -> Option<u64> {
        let version = self.version.load(Ordering::Relaxed);
        let free = version.is_multiple_of(2)
            && self
                .version
                .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        free.then_some(version + 1)
    }

    fn put(&self, place: u32, ended: &Ended) {
        let Ended { id, account, tally, reading } = ended;
        // NOTE: Release on every field, so that a reader that sees any of this also sees the odd version before it
        // (pairs with the Acquire loads in `read`; free on x86).
        let put = |field: &AtomicU64, value| field.store(value, Ordering::Release);
        put(&self.id, *id);
        put(&self.parent, reading.parent);
        self.site.set(reading.site);
        self.future.set(reading.future);
        put(&self.allocated_bytes, tally.allocated_bytes);
        put(&self.allocations, tally.allocations);
        put(&self.frees, tally.frees);
        put(&self.own_live_bytes, tally.own_live_bytes.cast_unsigned());
        put(&self.taken_bytes, tally.taken_bytes);
        put(&self.peak_bytes, reading.peak_bytes);
        put(&self.polls, reading.polls);
        put(&self.busy_ns, reading.timing.busy_ns.unwrap_or(0));
        put(&self.wait_ns, reading.timing.wait_ns.unwrap_or(0));
        put(&self.cell_bytes, reading.cell_bytes);
        self.account.store(*account, Ordering::Release);
        self.state.store(reading.state as u8, Ordering::Release);
        let timed = if reading.timing.busy_ns.is_some() { TIMED } else { 0 };
        let estimate = if reading.timing.is_estimate { ESTIMATE } else { 0 };
        let items = reading.items.is_some_and(|items| items::keep(place, items));
        let items = if items { ITEMS } else { 0 };
        self.flags.store(timed | estimate | items, Ordering::Release);
    }

    fn read(&self, place: u32) -> Seen {
        let version = self.version.load(Ordering::Acquire);
        if version == 0 {
            return Seen::Empty;
        }
        let get = |field: &AtomicU64| field.load(Ordering::Acquire);
        let (Some(site), Some(future)) = (self.site.get(), self.future.get()) else {
            return Seen::Moving;
        };
        let flags = self.flags.load(Ordering::Acquire);
        let timed = flags & TIMED != 0;
        let peak_bytes = get(&self.peak_bytes);
        let ended = Ended {
            id: get(&self.id),
            account: self.account.load(Ordering::Acquire),
            tally: TallyReading {
                allocated_bytes: get(&self.allocated_bytes),
                allocations: get(&self.allocations),
                frees: get(&self.frees),
                own_live_bytes: get(&self.own_live_bytes).cast_signed(),
                taken_bytes: get(&self.taken_bytes),
                peak_bytes,
            },
            reading: RecordReading {
                parent: get(&self.parent),
                site,
                row: site,
                future,
                state: TaskState::from_u8(self.state.load(Ordering::Acquire)),
                polls: get(&self.polls),
                peak_bytes,
                window_peak_bytes: None,
                timing: Timing {
                    busy_ns: timed.then(|| get(&self.busy_ns)),
                    wait_ns: timed.then(|| get(&self.wait_ns)),
                    is_estimate: flags & ESTIMATE != 0,
                },
                idle_ns: None,
                cell_bytes: get(&self.cell_bytes),
                items: if flags & ITEMS == 0 { None } else { items::kept(place) },
            },
        };
        if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
            Seen::Row(ended)
        } else {
            Seen::Moving
        }
    }
}
