//! The last tasks that ended, each with a row of its own: a ring that overwrites the oldest.

use super::{
    counter_cells::CounterCells,
    future_type::FutureType,
    record::{RecordReading, Timing},
    site::Site,
    stream_items::{self, ItemsReading},
    tally::TallyReading,
};
use crossbeam_utils::CachePadded;

use crate::{
    config,
    model::TaskState,
    primitives::{
        Arena, Nanos, Read, SeqLock, StaticRef, WriteGuard, Zeroed, reserve,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, add},
    },
};

/// What stays of an ended task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) id: u64,
    /// Its account, as long as that still carries its id: what is live yet.
    pub(crate) account: u32,
    pub(crate) tally: TallyReading,
    pub(crate) reading: RecordReading,
    pub(crate) items: Option<ItemsReading>,
}

/// One row.
///
/// PERF: on two cache lines; rows come round so seldom that neither is in the cache.
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
/// Tasks that have ended and got a place.
static TICKETS: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Ended tasks without a row, because the oldest one was still being written or there was no
/// memory.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Takes the next row for the task that ends; `None`, and counted, where the last writer is still
/// in it or there is no memory.
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

/// A row that its writer has to itself, until this is dropped.
#[derive(Debug)]
pub(crate) struct SlotWriter {
    row: &'static Row,
    place: u32,
    _writing: WriteGuard<'static>,
}

/// The row of the task that ended after `ticket` others.
///
/// PERF: a power of two of rows, though fewer may be kept: no division.
fn place(ticket: u64) -> u32 {
    u32::try_from(ticket & (config::ended_tasks().next_power_of_two() - 1)).unwrap_or(0)
}

/// The rows from the newest to the oldest, and whether any was being written.
pub(crate) fn read(into: &mut Vec<Ended>) -> bool {
    let written = TICKETS.load(Ordering::Relaxed);
    let kept = config::ended_tasks();
    let mut is_still = true;
    // Where there is not as much, it grows by little.
    let _ = into.try_reserve_exact(usize::try_from(written.min(kept)).unwrap_or(0));
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

/// In a forked child, on its only thread: a row that a thread was writing which is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfWritten(&'static Row);

/// All of them.
pub(crate) fn half_written() -> impl Iterator<Item = HalfWritten> {
    let places = u32::try_from(config::ended_tasks().next_power_of_two()).unwrap_or(0);
    let rows = (0..places).map_while(|place| ROWS.get(place));
    rows.filter(|row| row.version.is_odd()).map(HalfWritten)
}

impl HalfWritten {
    /// The task that the row is of, once its writer has begun.
    pub(crate) fn id(self) -> u64 {
        self.0.id.load(Ordering::Relaxed)
    }

    /// All of it was written.
    pub(crate) fn keep(self) {
        self.0.version.abandon(true);
    }

    /// The row is empty from here on.
    pub(crate) fn forget(self) {
        self.0.version.abandon(false);
        add(&DROPPED, 1);
    }
}

/// Ended tasks that have no row any more, and those that never got one.
pub(crate) fn forgotten() -> (u64, u64) {
    let written = TICKETS.load(Ordering::Relaxed);
    (written.saturating_sub(config::ended_tasks()), DROPPED.load(Ordering::Relaxed))
}

impl SlotWriter {
    /// Writes what stays of the task.
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
        // NOTE: Release on every field, as `SeqLock` wants.
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
    /// What is in there now, written by one or by two.
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
                // What is live yet is the account's.
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
                #[cfg(feature = "layout")]
                await_point: 0,
            },
            items: if flags & ITEMS == 0 { None } else { stream_items::kept(place) },
        })
    }
}
