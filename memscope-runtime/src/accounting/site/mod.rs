//! Sites: the places in the code that create tasks, with the sums over all their tasks.
//!
//! Tasks come and go, and sites stay. An ended task is added to its site's row at once, so that row
//! is complete however many tasks there were.

mod rows;

use super::{
    budget,
    future_type::FutureType,
    site_totals::{Durations, SiteTotals},
};
use crate::{
    config,
    model::{TaskType, text},
    primitives::{
        Hash, InternTable, StaticRef, arena,
        sync::{AtomicU8, AtomicU64, Ordering, add, bump, raise},
    },
};

/// What distinguishes one site from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) name: &'a str,
    pub(crate) task_type: TaskType,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Key<'_> {
    fn hash(&self) -> u64 {
        let place =
            u64::from(self.line) << 32 | u64::from(self.column) << 8 | self.task_type as u64;
        Hash::new().number(self.file.len() as u64).number(place).text(self.name).get()
    }
}

/// One row: the place, and the sums over its closed tasks.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) task_type: TaskType,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    column: u32,
    hash: u64,
    /// The index in the list of sites.
    index: u32,
    /// The site in whose row the tasks of this one are, if that is another site.
    row: StaticRef<Self>,
    /// 1 if tasks of other sites are in the row of this one.
    has_stand_ins: AtomicU8,
    /// 1 if the row stays while no task is counted in it: see [`keep_row`](Self::keep_row).
    keeps_row: AtomicU8,
    spawned: AtomicU64,
    /// Records that memscope took from tasks which go on. It keeps the ids of these tasks, so that
    /// they are not counted again.
    split: AtomicU64,
    /// How many of these tasks have no record now.
    away: AtomicU64,
    /// The type of the largest future that was spawned here.
    future: StaticRef<FutureType>,
    /// Bytes of the arguments by value that the macro saw, + 1. 0 if no macro made the future.
    argument_bytes: AtomicU64,
    boxed: AtomicU64,
    /// What one of its tasks may hold, + 1; 0 if there is no budget.
    pub(in crate::accounting) budget: AtomicU64,
    /// The sums over its closed tasks.
    pub(crate) sums: SiteTotals,
    polls: Durations,
    idles: Durations,
    lives: Durations,
    /// Used only by the thread that holds the collector's history lock.
    pub(crate) level: Level,
    /// Used only by the thread that takes a sample without that lock.
    pub(crate) sampled: Level,
}

/// Live and allocated bytes of all tasks of a site, while a sample is taken.
#[derive(Debug)]
pub(crate) struct Level {
    live_bytes: AtomicU64,
    allocated_bytes: AtomicU64,
}

impl Level {
    pub(crate) const fn new() -> Self {
        Self { live_bytes: AtomicU64::new(0), allocated_bytes: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, live_bytes: u64, allocated_bytes: u64) {
        self.live_bytes.store(live_bytes, Ordering::Relaxed);
        self.allocated_bytes.store(allocated_bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, live_bytes: u64, allocated_bytes: u64) {
        bump(&self.live_bytes, live_bytes);
        bump(&self.allocated_bytes, allocated_bytes);
    }

    pub(crate) fn get(&self) -> (u64, u64) {
        (self.live_bytes.load(Ordering::Relaxed), self.allocated_bytes.load(Ordering::Relaxed))
    }
}

impl Site {
    const fn new(key: Key<'static>, hash: u64, index: u32) -> Self {
        Self {
            name: key.name,
            task_type: key.task_type,
            file: key.file,
            line: key.line,
            column: key.column,
            hash,
            index,
            row: StaticRef::none(),
            has_stand_ins: AtomicU8::new(0),
            keeps_row: AtomicU8::new(0),
            spawned: AtomicU64::new(0),
            split: AtomicU64::new(0),
            away: AtomicU64::new(0),
            future: StaticRef::none(),
            argument_bytes: AtomicU64::new(0),
            boxed: AtomicU64::new(0),
            budget: AtomicU64::new(0),
            sums: SiteTotals::new(),
            polls: Durations::new(),
            idles: Durations::new(),
            lives: Durations::new(),
            level: Level::new(),
            sampled: Level::new(),
        }
    }

    pub(crate) fn key(&self) -> Key<'static> {
        let Self { name, task_type, file, line, column, .. } = *self;
        Key { name, task_type, file, line, column }
    }
    /// Returns the site with this key, and makes it if it does not exist. Returns `(other)` if
    /// there is no room.
    pub(crate) fn of(key: Key<'_>) -> &'static Self {
        text::with_name(key.name, |name| Self::of_bounded(Key { name, ..key }))
    }

    /// [`Site::of`] for a name that does not exceed the longest length.
    pub(crate) fn of_bounded(key: Key<'_>) -> &'static Self {
        let hash = key.hash();
        let is_same = |site: &Self| site.hash == hash && site.key() == key;
        let make = |index| make(key, hash, index);
        SITES.get_or_insert(hash, is_same, || has_room(&key), make).unwrap_or(&OTHER)
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// Whether the tasks of this site are unannotated.
    pub(crate) fn is_plain(&self) -> bool {
        self.column > PLAIN_COLUMN - MOST_STAND_INS
    }

    /// Whether this is `(other)`.
    pub(crate) fn is_other(&self) -> bool {
        self.index == OTHER.index
    }

    /// Keeps the type of the largest future.
    #[inline(never)]
    pub(in crate::accounting) fn note_future(&self, future: &'static FutureType) {
        loop {
            let known = self.future.get();
            if known.is_some_and(|known| known.size >= future.size)
                || self.future.replace(known, future)
            {
                return;
            }
        }
    }

    pub(crate) fn spawned(&self) -> u64 {
        self.spawned.load(Ordering::Acquire)
    }

    /// Notes that a task has lost its record and goes on.
    pub(crate) fn note_split(&self) {
        self.split.fetch_add(1, Ordering::Relaxed);
        self.away.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a task that lost its record gets one again.
    #[cfg(feature = "tokio")]
    pub(crate) fn note_return(&self) {
        self.away.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many records were taken from tasks that went on, and how many of these tasks have none
    /// now.
    pub(crate) fn split_and_away(&self) -> (u64, u64) {
        (self.split.load(Ordering::Relaxed), self.away.load(Ordering::Relaxed))
    }

    /// The type of the largest future that was spawned here.
    pub(crate) fn future(&self) -> Option<&'static FutureType> {
        self.future.get()
    }

    /// Notes how many bytes of arguments the future has captured.
    #[inline]
    pub(crate) fn note_arguments(&self, bytes: u64) {
        raise(&self.argument_bytes, bytes + 1);
    }

    pub(crate) fn argument_bytes(&self) -> Option<u64> {
        self.argument_bytes.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Notes that Tokio has boxed a future.
    pub(crate) fn note_boxed(&self) {
        add(&self.boxed, 1);
    }

    /// How many futures Tokio has boxed.
    pub(crate) fn boxed(&self) -> u64 {
        self.boxed.load(Ordering::Relaxed)
    }

    /// The durations of timed polls.
    pub(crate) fn polls(&self) -> impl Iterator<Item = (u64, u64)> {
        self.polls.buckets()
    }

    pub(crate) fn note_poll(&self, took_ns: u64) {
        self.polls.note(took_ns);
    }

    /// The waits between two timed polls.
    pub(crate) fn idles(&self) -> impl Iterator<Item = (u64, u64)> {
        self.idles.buckets()
    }

    pub(crate) fn note_idle(&self, waited_ns: u64) {
        self.idles.note(waited_ns);
    }

    /// The lifetimes of timed tasks, from the first poll to the end.
    pub(crate) fn lives(&self) -> impl Iterator<Item = (u64, u64)> {
        self.lives.buckets()
    }

    pub(crate) fn note_life(&self, lived_ns: u64) {
        self.lives.note(lived_ns);
    }

    /// The site with this index.
    pub(crate) fn at(index: u32) -> Option<&'static Self> {
        if index == OTHER_INDEX { Some(&OTHER) } else { SITES.get(index) }
    }
}

/// The most bytes of names that are kept. Past this, new names go to `(other)`.
const MOST_NAME_BYTES: u64 = 8 << 20;

/// All sites except `OTHER`.
static SITES: InternTable<Site> = InternTable::new();

static OTHER: Site = Site::new(
    Key { name: "(other)", task_type: TaskType::Unspecified, file: "", line: 0, column: 0 },
    0,
    OTHER_INDEX,
);

/// The name of unannotated tasks whose name is not known.
pub(crate) const UNNAMED: &str = "(unannotated)";

/// Stands for the column of sites with unannotated tasks: no source file is as wide.
pub(crate) const PLAIN_COLUMN: u32 = u32::MAX;

/// The columns below that, for sites of tasks whose name is not known yet: one for each type.
const MOST_STAND_INS: u32 = 4_097;

/// The index of `(other)`.
const OTHER_INDEX: u32 = u32::MAX - 1;

/// Stands for a site's index where something happened outside every task.
pub(crate) const UNTRACKED: u32 = u32::MAX - 2;

/// The bytes of the names of all sites.
static NAME_BYTES: AtomicU64 = AtomicU64::new(0);

/// Whether there is room for another site, its row and its name.
///
/// A site whose task moved to a better name stays, without a row. So there is room for three sites
/// a row.
fn has_room(key: &Key<'_>) -> bool {
    let rows = config::site_rows();
    let names = NAME_BYTES.load(Ordering::Relaxed).saturating_add(key.name.len() as u64);
    rows::ROWS.load(Ordering::Relaxed) < rows
        && SITES.made() < rows.saturating_mul(3)
        && names <= MOST_NAME_BYTES
}

/// Makes a new site, which is kept for ever. Returns `None` if the system has no memory.
fn make(key: Key<'_>, hash: u64, index: u32) -> Option<&'static Site> {
    let name = arena::keep_str(key.name)?;
    let Key { task_type, file, line, column, .. } = key;
    let site = arena::keep(Site::new(Key { name, task_type, file, line, column }, hash, index))?;
    NAME_BYTES.fetch_add(name.len() as u64, Ordering::Relaxed);
    if let Some(bytes) = budget::of_name(name) {
        site.set_budget(bytes);
    }
    Some(site)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn equal_keys_share_a_site_and_different_ones_do_not() {
        let key = Key { name: "a", task_type: TaskType::Mixed, file: "f.rs", line: 1, column: 2 };
        let site = Site::of(key);
        assert!(ptr::eq(site, Site::of(key)));
        for different in [
            Key { name: "b", ..key },
            Key { task_type: TaskType::Streaming, ..key },
            Key { file: "g.rs", ..key },
            Key { line: 2, ..key },
            Key { column: 3, ..key },
        ] {
            assert!(!ptr::eq(site, Site::of(different)), "{different:?}");
        }
    }
}
