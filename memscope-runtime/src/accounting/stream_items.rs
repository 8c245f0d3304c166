//! Counts of the items that streams yield.
//!
//! They stand beside the records and the rows of ended tasks, under the same indices. They exist
//! only for streams.

use super::record::Record;
#[cfg(feature = "stream")]
use super::tally::TallyReading;
#[cfg(feature = "stream")]
use crate::primitives::sync::{bump, shift};
use crate::{
    model::Items,
    primitives::{
        Arena, SlabItem, Zeroed,
        sync::{AtomicI64, AtomicU8, AtomicU64, Ordering, add, raise},
    },
};

/// The counts of one stream. They have the same single writer as the stream's record.
#[derive(Debug)]
pub(crate) struct Counts {
    /// The stream's id. If the record serves another task by now, the ids differ.
    id: AtomicU64,
    count: AtomicU64,
    allocated_bytes: AtomicU64,
    largest_bytes: AtomicU64,
    net_bytes: AtomicI64,
}

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Counts {}

/// The counts of streams that have not been dropped, under the indices of their records.
static LIVING: Arena<Counts> = Arena::new();
/// The counts of dropped streams, under the indices of their rows in `ended_tasks`.
static ENDED: Arena<Counts> = Arena::new();

/// 1 once there has been a stream. While it is 0, no thread looks for one.
static IN_USE: AtomicU8 = AtomicU8::new(0);

/// One reading of the counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ItemsReading {
    pub(crate) count: u64,
    pub(crate) allocated_bytes: u64,
    pub(crate) largest_bytes: u64,
    pub(crate) net_bytes: i64,
}

/// Starts counting the items of a new stream. Returns `None` if there is no memory for that.
#[cfg(feature = "stream")]
pub(crate) fn open(record: &Record) -> Option<&'static Counts> {
    IN_USE.store(1, Ordering::Relaxed);
    let counts = LIVING.get_or_make(record.index())?;
    counts.put(ItemsReading::default());
    // Release; pairs with the Acquire in `of_stream`: a reader of the id sees no count of the
    // previous stream.
    counts.id.store(record.tally().id(), Ordering::Release);
    Some(counts)
}

/// The items that the task of this record has yielded; `None` if it is no stream.
#[inline]
pub(crate) fn of(record: &Record) -> Option<ItemsReading> {
    if IN_USE.load(Ordering::Relaxed) == 0 { None } else { of_stream(record) }
}

#[inline(never)]
fn of_stream(record: &Record) -> Option<ItemsReading> {
    let counts = LIVING.get(record.index())?;
    let is_its = counts.id.load(Ordering::Acquire) == record.tally().id();
    is_its.then(|| counts.read())
}

/// Keeps the items of an ended stream. The caller holds the row's write guard. Returns `false` if
/// there is no memory for that.
#[inline(never)]
pub(crate) fn keep(place: u32, items: ItemsReading) -> bool {
    let counts = ENDED.get_or_make(place);
    if let Some(counts) = counts {
        counts.put(items);
    }
    counts.is_some()
}

/// What `keep` has kept. The caller checks the row's version around this.
pub(crate) fn kept(place: u32) -> Option<ItemsReading> {
    ENDED.get(place).map(Counts::read)
}

impl Counts {
    /// Counts an item, given readings of the stream's tally before and after the poll that yielded
    /// it.
    #[cfg(feature = "stream")]
    #[inline]
    pub(crate) fn note(&self, before: &TallyReading, after: &TallyReading) {
        let allocated =
            after.counters.allocated_bytes.wrapping_sub(before.counters.allocated_bytes);
        bump(&self.count, 1);
        bump(&self.allocated_bytes, allocated);
        raise(&self.largest_bytes, allocated);
        shift(&self.net_bytes, after.own_live_bytes.wrapping_sub(before.own_live_bytes));
    }

    // Release and Acquire: as the fields of a row of `ended_tasks`.
    fn put(&self, items: ItemsReading) {
        self.count.store(items.count, Ordering::Release);
        self.allocated_bytes.store(items.allocated_bytes, Ordering::Release);
        self.largest_bytes.store(items.largest_bytes, Ordering::Release);
        self.net_bytes.store(items.net_bytes, Ordering::Release);
    }

    fn read(&self) -> ItemsReading {
        ItemsReading {
            count: self.count.load(Ordering::Acquire),
            allocated_bytes: self.allocated_bytes.load(Ordering::Acquire),
            largest_bytes: self.largest_bytes.load(Ordering::Acquire),
            net_bytes: self.net_bytes.load(Ordering::Acquire),
        }
    }
}

/// Sums over the ended streams of a site; many threads add to them.
#[derive(Debug)]
pub(crate) struct ItemSums {
    streams: AtomicU64,
    count: AtomicU64,
    allocated_bytes: AtomicU64,
    largest_bytes: AtomicU64,
    net_bytes: AtomicI64,
}

impl ItemSums {
    pub(crate) const fn new() -> Self {
        Self {
            streams: AtomicU64::new(0),
            count: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            largest_bytes: AtomicU64::new(0),
            net_bytes: AtomicI64::new(0),
        }
    }

    pub(crate) fn add(&self, items: ItemsReading) {
        add(&self.streams, 1);
        add(&self.count, items.count);
        add(&self.allocated_bytes, items.allocated_bytes);
        raise(&self.largest_bytes, items.largest_bytes);
        self.net_bytes.fetch_add(items.net_bytes, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Option<ItemsReading> {
        (self.streams.load(Ordering::Acquire) != 0).then(|| ItemsReading {
            count: self.count.load(Ordering::Acquire),
            allocated_bytes: self.allocated_bytes.load(Ordering::Acquire),
            largest_bytes: self.largest_bytes.load(Ordering::Acquire),
            net_bytes: self.net_bytes.load(Ordering::Acquire),
        })
    }
}

impl ItemsReading {
    /// The sums of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            allocated_bytes: self.allocated_bytes + other.allocated_bytes,
            largest_bytes: self.largest_bytes.max(other.largest_bytes),
            net_bytes: self.net_bytes + other.net_bytes,
        }
    }

    pub(crate) fn profile(self, measured: bool) -> Items {
        let Self { count, allocated_bytes, largest_bytes, net_bytes } = self;
        if measured {
            Items { count, allocated_bytes, largest_bytes, net_bytes }
        } else {
            Items { count, ..Items::default() }
        }
    }
}
