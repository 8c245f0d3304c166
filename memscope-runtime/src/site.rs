//! A site: the place in the code that makes tasks, and what all its tasks came to.
//!
//! Tasks come and go, sites stay. An ended task is folded into its site's row at once, so that row is whole
//! however many tasks there were.

use std::panic::Location;

use crate::{
    arena::{self, Arena, Zeroed},
    config,
    static_ref::StaticRef,
    sync::{AtomicU64, Ordering, add, raise},
    tally::TallyReading,
    task::{RecordReading, TaskState, TaskType},
};

/// The name of the row that takes in the tasks of all sites past the limit.
pub(crate) const OTHER_NAME: &str = "(other)";

/// What tells one site from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key<'a> {
    pub(crate) name: &'a str,
    pub(crate) task_type: TaskType,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl<'a> Key<'a> {
    pub(crate) fn at(location: &'static Location<'static>, name: &'a str, task_type: TaskType) -> Self {
        Self { name, task_type, file: location.file(), line: location.line(), column: location.column() }
    }

    /// Multiply-and-rotate over eight bytes at a time; names differ mostly at their ends, so all of a name counts.
    fn hash(&self) -> u64 {
        const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
        let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
        let place = u64::from(self.line) << 32 | u64::from(self.column) << 8 | self.task_type as u64;
        let hash = mix(self.file.len() as u64, place);
        self.name.as_bytes().chunks(8).fold(hash, |hash, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            mix(hash, u64::from_le_bytes(word))
        })
    }
}

/// A place that `#[tracked]` was put on, made by the macro; its site is looked up once.
#[derive(Debug)]
pub struct Callsite {
    key: Key<'static>,
    site: StaticRef<Site>,
}

impl Callsite {
    /// A place in the code, with the name and the kind of its tasks.
    pub const fn new(name: &'static str, task_type: TaskType, file: &'static str, line: u32) -> Self {
        Self { key: Key { name, task_type, file, line, column: 0 }, site: StaticRef::none() }
    }

    #[inline]
    pub(crate) fn site(&self) -> &'static Site {
        self.site.get().unwrap_or_else(|| {
            let site = Site::of(self.key);
            self.site.set(site);
            site
        })
    }
}

/// Powers of two: bucket `n` counts the values of `n` significant bits, so below `2^n`.
#[derive(Debug)]
pub(crate) struct Histogram([AtomicU64; BUCKETS]);

const BUCKETS: usize = 65;

impl Histogram {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }

    fn note(&self, value: u64) {
        let bits = u64::BITS - value.leading_zeros();
        self.0[bits as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The buckets that are not empty: the largest value a bucket takes, and its count.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().enumerate().filter_map(|(bits, count)| {
            let count = count.load(Ordering::Relaxed);
            let up_to = u64::MAX.checked_shr(u64::BITS - bits as u32).unwrap_or(0);
            (count != 0).then_some((up_to, count))
        })
    }
}

/// One row: the sums over the ended tasks of one place, and how many there were.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) task_type: TaskType,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    column: u32,
    hash: u64,
    /// The place in the table.
    index: u32,
    pub(crate) spawned: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) allocated_bytes: AtomicU64,
    pub(crate) allocations: AtomicU64,
    /// The highest peak of one ended task, and the sum over all of them.
    pub(crate) peak_bytes: AtomicU64,
    pub(crate) peak_sum_bytes: AtomicU64,
    pub(crate) future_size_bytes: AtomicU64,
    pub(crate) wait_sum_ns: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) peaks: Histogram,
    pub(crate) polls: Histogram,
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
            spawned: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            peak_sum_bytes: AtomicU64::new(0),
            future_size_bytes: AtomicU64::new(0),
            wait_sum_ns: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            peaks: Histogram::new(),
            polls: Histogram::new(),
        }
    }

    pub(crate) fn key(&self) -> Key<'static> {
        let Self { name, task_type, file, line, column, .. } = *self;
        Key { name, task_type, file, line, column }
    }

    /// The site with this key, made if need be; `(other)` where there is no room.
    pub(crate) fn of(key: Key<'_>) -> &'static Self {
        let hash = key.hash();
        let mask = TABLE - 1;
        let start = (hash >> 32) as u32 ^ hash as u32;
        for step in 0..PROBES {
            let index = 1 + (start.wrapping_add(step) & mask);
            let Some(slot) = SITES.get_or_make(index) else { break };
            let there = match slot.get() {
                Some(there) => there,
                None => {
                    let Some(new) = make(key, hash, index) else { break };
                    match slot.set_if_none(new) {
                        Ok(()) => return new,
                        Err(there) => there,
                    }
                }
            };
            if there.hash == hash && there.key() == key {
                return there;
            }
        }
        &OTHER
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The site with this index.
    pub(crate) fn get(index: u32) -> Option<&'static Self> {
        if index == 0 { Some(&OTHER) } else { SITES.get(index)?.get() }
    }

    /// All sites that have had a task, `(other)` last.
    pub(crate) fn all() -> impl Iterator<Item = &'static Self> {
        (1..=TABLE)
            .chain([0])
            .filter_map(Self::get)
            .filter(|site| site.spawned.load(Ordering::Relaxed) != 0)
    }

    /// Counts a new task here, or in `(other)` when this would be a row too many. Returns the row and how many tasks it
    /// had before.
    pub(crate) fn admit(&'static self, future_size: usize) -> (&'static Self, u64) {
        let mut site = self;
        let mut earlier = site.spawned.fetch_add(1, Ordering::Relaxed);
        if earlier == 0 && self.index != 0 && !claim_row() {
            site.spawned.fetch_sub(1, Ordering::Relaxed);
            site = &OTHER;
            earlier = site.spawned.fetch_add(1, Ordering::Relaxed);
        }
        raise(&site.future_size_bytes, future_size as u64);
        (site, earlier)
    }

    /// Takes back an `admit`: the task moved to another site before it began.
    pub(crate) fn retract(&self) {
        if self.spawned.fetch_sub(1, Ordering::Relaxed) == 1 && self.index != 0 {
            ROWS.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn count_end(&self, state: TaskState) {
        let counter = match state {
            TaskState::Cancelled => &self.cancelled,
            TaskState::Panicked => &self.panicked,
            TaskState::Completed | TaskState::Idle | TaskState::Running => &self.completed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds an ended task to the sums.
    pub(crate) fn fold(&self, tally: &TallyReading, record: &RecordReading) {
        add(&self.allocated_bytes, tally.allocated_bytes);
        add(&self.allocations, tally.allocations);
        add(&self.peak_sum_bytes, record.peak_bytes);
        raise(&self.peak_bytes, record.peak_bytes);
        self.peaks.note(record.peak_bytes);
        if let Some(wait) = record.timing.wait_ns {
            add(&self.wait_sum_ns, wait);
            add(&self.waits, 1);
        }
    }

    pub(crate) fn note_poll(&self, took_ns: u64) {
        self.polls.note(took_ns);
    }
}

/// Slots of the table; a power of two. Far more than rows, so that probes stay short.
const TABLE: u32 = 1 << 16;
const PROBES: u32 = 64;

/// Bytes of names that are kept; past this, new names go to `(other)`.
const MOST_NAME_BYTES: u64 = 8 << 20;

/// Index 0 stands for `OTHER`.
static SITES: Arena<StaticRef<Site>> = Arena::new();

static OTHER: Site = Site::new(
    Key { name: OTHER_NAME, task_type: TaskType::Unspecified, file: "", line: 0, column: 0 },
    0,
    0,
);

/// Sites that have had a task; all sites made; the bytes of their names.
static ROWS: AtomicU64 = AtomicU64::new(0);
static MADE: AtomicU64 = AtomicU64::new(0);
static NAME_BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: a null `StaticRef` is an empty one.
unsafe impl Zeroed for StaticRef<Site> {}

fn claim_row() -> bool {
    let limit = config::site_rows();
    let claim = |rows| (rows < limit).then_some(rows + 1);
    ROWS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).is_ok()
}

/// Keeps a new site for ever; `None` where there is no room.
///
/// A site that lost its task to a better name stays too, without a row: room is for three sites a row.
fn make(key: Key<'_>, hash: u64, index: u32) -> Option<&'static Site> {
    let names = NAME_BYTES.load(Ordering::Relaxed).saturating_add(key.name.len() as u64);
    if names > MOST_NAME_BYTES || MADE.load(Ordering::Relaxed) >= config::site_rows().saturating_mul(3) {
        return None;
    }
    let name = arena::keep_str(key.name)?;
    let Key { task_type, file, line, column, .. } = key;
    let site = arena::keep(Site::new(Key { name, task_type, file, line, column }, hash, index))?;
    MADE.fetch_add(1, Ordering::Relaxed);
    NAME_BYTES.fetch_add(name.len() as u64, Ordering::Relaxed);
    Some(site)
}

/// The name of a task that nobody named: the function whose body its future is.
pub(crate) fn name_of(type_name: &'static str) -> &'static str {
    let mut name = type_name;
    while let Some(shorter) = name.strip_suffix("::{{closure}}") {
        name = shorter;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_named_after_its_function() {
        assert_eq!(name_of("app::main::{{closure}}::{{closure}}"), "app::main");
        assert_eq!(name_of("futures::Ready<u8>"), "futures::Ready<u8>");
    }

    #[test]
    fn buckets_say_their_largest_value() {
        let histogram = Histogram::new();
        for value in [0, 1, 2, 3, 1024, u64::MAX] {
            histogram.note(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets, [(0, 1), (1, 1), (3, 2), (2047, 1), (u64::MAX, 1)]);
    }

    #[test]
    fn equal_keys_share_a_site_and_different_ones_do_not() {
        let key = Key { name: "a", task_type: TaskType::Mixed, file: "f.rs", line: 1, column: 2 };
        let site = Site::of(key);
        assert!(std::ptr::eq(site, Site::of(key)));
        for different in [
            Key { name: "b", ..key },
            Key { task_type: TaskType::Streaming, ..key },
            Key { file: "g.rs", ..key },
            Key { line: 2, ..key },
            Key { column: 3, ..key },
        ] {
            assert!(!std::ptr::eq(site, Site::of(different)), "{different:?}");
        }
    }
}
