//! The last tasks that ended, each with its own row: a circular buffer that overwrites the oldest
//! row.

use crossbeam_utils::CachePadded;

use super::{
    counter_cells::CounterCells,
    future_type::FutureType,
    record::{Ending, RecordReading, Timing},
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
    /// Bytes that it allocated or took over, minus those that it freed itself.
    kept_bytes: AtomicU64,
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
        row.version
            .write()
            .map(|writing| SlotWriter { slot: Slot { row, place }, _writing: writing })
    });
    if written.is_none() {
        add(&DROPPED, 1);
    }
    written
}

/// The write guard of a row: the row belongs to this writer until the guard is dropped.
#[derive(Debug)]
pub(crate) struct SlotWriter {
    slot: Slot,
    _writing: WriteGuard<'static>,
}

/// A row that is being written.
// PERF: passed by value, as the guard cannot be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    row: &'static Row,
    place: u32,
}

/// The index of the row for the task that ended after `ticket` others.
#[expect(clippy::cast_possible_truncation, reason = "the number of places is a power of two")]
fn place(ticket: u64) -> u32 {
    ticket as u32 & config::last_ended_place()
}

/// Reads the rows from the newest to the oldest. Returns `false` if any of them was being written.
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

/// A row that was being written by a thread which a fork has left behind. Only the child uses it,
/// on its only thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfWritten(&'static Row);

/// All half-written rows.
pub(crate) fn half_written() -> impl Iterator<Item = HalfWritten> {
    let rows = (0..=config::last_ended_place()).map_while(|place| ROWS.get(place));
    rows.filter(|row| row.version.is_odd()).map(HalfWritten)
}

impl HalfWritten {
    /// The id in this row. Until the writer has stored the new task's id, it is the previous
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
    #[inline]
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }
}

impl Slot {
    /// Writes the task into the row. `timed` is what [`put_timing`](Self::put_timing) has returned,
    /// or 0 if no poll was timed.
    #[expect(clippy::inline_always, reason = "each value goes through one register")]
    #[inline(always)]
    pub(crate) fn put(self, task: Ending<'_>, timed: u8) {
        let row = self.row;
        // NOTE: Release on every field, as `SeqLock` demands.
        let put = |field: &AtomicU64, value| field.store(value, Ordering::Release);
        put(&row.id, task.id());
        put(&row.parent, task.parent());
        row.site.copy(task.site());
        row.future.copy(task.future());
        row.counters.put(&task.counters());
        put(&row.kept_bytes, task.kept_bytes());
        put(&row.peak_bytes, task.peak_bytes());
        put(&row.polls, task.polls());
        put(&row.cell_bytes, task.cell_bytes());
        row.account.store(task.account(), Ordering::Release);
        row.state.store(task.state(), Ordering::Release);
        let mut flags = timed;
        if let Some(items) = task.items()
            && stream_items::keep(self.place, items)
        {
            flags |= ITEMS;
        }
        row.flags.store(flags, Ordering::Release);
    }

    /// Writes the times of a task into the row, and returns the flags that say so.
    pub(crate) fn put_timing(self, timing: &Timing) -> u8 {
        let Timing { busy_ns: Some(busy_ns), wait_ns, is_estimate } = *timing else { return 0 };
        self.row.busy_ns.store(busy_ns.get(), Ordering::Release);
        self.row.wait_ns.store(wait_ns.map_or(0, Nanos::get), Ordering::Release);
        if is_estimate { TIMED | ESTIMATE } else { TIMED }
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
        let counters = self.counters.get();
        let own_freed_bytes = counters.allocated_bytes.wrapping_sub(get(&self.kept_bytes));
        Some(Ended {
            id: get(&self.id),
            account: self.account.load(Ordering::Acquire),
            tally: TallyReading {
                counters,
                own_freed_bytes,
                peak_bytes,
                // The account knows what still lives.
                own_live_bytes: 0,
                own_live_blocks: 0,
            },
            reading: RecordReading {
                parent: get(&self.parent),
                site,
                counted_site: site,
                is_counted: true,
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
