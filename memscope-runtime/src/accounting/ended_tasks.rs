//! The last tasks that ended, each with its own row: a circular buffer that overwrites the oldest
//! row.

use crossbeam_utils::CachePadded;

use super::{
    counter_cells::CounterCells,
    future_type::FutureType,
    record::{RecordReading, Timing},
    site::Site,
    stream_items::{self, ItemsReading},
    tally::TallyReading,
};
use crate::{
    config,
    model::TaskState,
    primitives::{
        Arena, Nanos, Read, SeqLock, StaticRef, WriteGuard, Zeroed, reserve,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, add},
    },
};

/// What is kept of an ended task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) id: u64,
    /// The index of its account. The account holds what still lives, as long as it carries the
    /// task's id.
    pub(crate) account: u32,
    pub(crate) tally: TallyReading,
    pub(crate) reading: RecordReading,
    pub(crate) items: Option<ItemsReading>,
}

/// One row of the buffer.
///
/// PERF: on two cache lines. Rows come round so seldom that neither line is in the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Row {
    version: SeqLock,
    id: AtomicU64,
    parent: AtomicU64,
    site: StaticRef<Site>,
    future: StaticRef<FutureType>,
    counters: CounterCells,
    own_freed_bytes: AtomicU64,
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
/// Ended tasks that have asked for a row.
static TICKETS: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Ended tasks without a row, because the oldest row was still being written or there was no
/// memory.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Takes the next row for a task that ends. If the row's last writer is still at work, or there is
/// no memory, it counts the task as dropped and returns `None`.
#[inline]
pub(crate) fn next() -> Option<SlotWriter> {
    let place = place(TICKETS.fetch_add(1, Ordering::Relaxed));
    let written = ROWS.get_or_make(place).and_then(|row| {
        row.version.write().map(|writing| SlotWriter { row, place, _writing: writing })
    });
    if written.is_none() {
        add(&DROPPED, 1);
    }
    written
}

/// The write guard of a row: the row belongs to this writer until the guard is dropped.
#[derive(Debug)]
pub(crate) struct SlotWriter {
    row: &'static Row,
    place: u32,
    _writing: WriteGuard<'static>,
}

/// The index of the row for the task that ended after `ticket` others.
///
/// PERF: the number of rows is a power of two, though fewer may be kept. That saves a division.
fn place(ticket: u64) -> u32 {
    u32::try_from(ticket & (config::ended_tasks().next_power_of_two() - 1)).unwrap_or(0)
}

/// Reads the rows from the newest to the oldest. Returns false if any of them was being written.
pub(crate) fn read(into: &mut Vec<Ended>) -> bool {
    let written = TICKETS.load(Ordering::Relaxed);
    let kept = config::ended_tasks();
    let mut is_still = true;
    // If there is not as much memory, the list grows in small steps.
    reserve::expect(into, usize::try_from(written.min(kept)).unwrap_or(0));
    for back in 1..=written.min(kept) {
        let place = place(written - back);
        match ROWS.get(place).map(|row| row.version.read(|| row.read(place))) {
            Some(Read::Consistent(Some(ended))) => {
                reserve::push(into, ended);
            }
            Some(Read::Consistent(None) | Read::Torn) => is_still = false,
            Some(Read::Empty) | None => {}
        }
    }
    is_still
}

/// In a forked child, on its only thread: a row that a thread was writing which the fork left
/// behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfWritten(&'static Row);

/// All half-written rows.
pub(crate) fn half_written() -> impl Iterator<Item = HalfWritten> {
    let places = u32::try_from(config::ended_tasks().next_power_of_two()).unwrap_or(0);
    let rows = (0..places).map_while(|place| ROWS.get(place));
    rows.filter(|row| row.version.is_odd()).map(HalfWritten)
}

impl HalfWritten {
    /// The id in this row: the new task's, once its writer has stored it. Before that: the previous
    /// task's, or 0.
    pub(crate) fn id(self) -> u64 {
        self.0.id.load(Ordering::Relaxed)
    }

    /// Keeps the row: all of it was written.
    pub(crate) fn keep(self) {
        self.0.version.abandon(true);
    }

    /// Empties the row.
    pub(crate) fn forget(self) {
        self.0.version.abandon(false);
        add(&DROPPED, 1);
    }
}

/// How many ended tasks have asked for a row.
pub(crate) fn count() -> u64 {
    TICKETS.load(Ordering::Relaxed)
}

/// How many ended tasks have lost their row, and how many never got one.
pub(crate) fn forgotten() -> (u64, u64) {
    let written = TICKETS.load(Ordering::Relaxed);
    (written.saturating_sub(config::ended_tasks()), DROPPED.load(Ordering::Relaxed))
}

impl SlotWriter {
    /// Writes the task into the row.
    #[inline]
    pub(crate) fn put(
        &self,
        id: u64,
        account: u32,
        tally: &TallyReading,
        reading: &RecordReading,
        items: Option<&ItemsReading>,
    ) {
        let row = self.row;
        // NOTE: Release on every field, as `SeqLock` demands.
        let put = |field: &AtomicU64, value| field.store(value, Ordering::Release);
        put(&row.id, id);
        put(&row.parent, reading.parent);
        row.site.set(reading.site);
        row.future.set(reading.future);
        row.counters.put(&tally.counters);
        put(&row.own_freed_bytes, tally.own_freed_bytes);
        put(&row.peak_bytes, reading.peak_bytes);
        put(&row.polls, reading.polls);
        put(&row.cell_bytes, reading.cell_bytes);
        row.account.store(account, Ordering::Release);
        row.state.store(reading.state as u8, Ordering::Release);
        let mut timed = 0;
        if let Timing { busy_ns: Some(busy_ns), wait_ns, .. } = reading.timing {
            put(&row.busy_ns, busy_ns.get());
            put(&row.wait_ns, wait_ns.map_or(0, Nanos::get));
            timed = TIMED;
        }
        let estimate = if reading.timing.is_estimate { ESTIMATE } else { 0 };
        let items = items.is_some_and(|items| stream_items::keep(self.place, *items));
        let items = if items { ITEMS } else { 0 };
        row.flags.store(timed | estimate | items, Ordering::Release);
    }
}

impl Row {
    /// Reads the fields. They may mix two tasks: the caller's seqlock detects that.
    fn read(&self, place: u32) -> Option<Ended> {
        let get = |field: &AtomicU64| field.load(Ordering::Acquire);
        let (site, future) = (self.site.get()?, self.future.get()?);
        let flags = self.flags.load(Ordering::Acquire);
        let timed = flags & TIMED != 0;
        let peak_bytes = get(&self.peak_bytes);
        Some(Ended {
            id: get(&self.id),
            account: self.account.load(Ordering::Acquire),
            tally: TallyReading {
                counters: self.counters.get(),
                own_freed_bytes: get(&self.own_freed_bytes),
                peak_bytes,
                // The account knows what still lives.
                own_live_bytes: 0,
                own_live_blocks: 0,
            },
            reading: RecordReading {
                parent: get(&self.parent),
                site,
                counted_site: site,
                future,
                state: TaskState::from_u8(self.state.load(Ordering::Acquire)),
                polls: get(&self.polls),
                peak_bytes,
                timing: Timing {
                    busy_ns: timed.then(|| Nanos::new(get(&self.busy_ns))),
                    wait_ns: timed.then(|| Nanos::new(get(&self.wait_ns))),
                    is_estimate: flags & ESTIMATE != 0,
                },
                idle_ns: None,
                cell_bytes: get(&self.cell_bytes),
                has_handle: None,
                budget_bytes: u64::MAX,
                #[cfg(feature = "layout")]
                await_point: 0,
            },
            items: if flags & ITEMS == 0 { None } else { stream_items::kept(place) },
        })
    }
}
