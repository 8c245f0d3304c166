//! Site totals: sums over the ended tasks of a site, and histograms.

use super::{
    account::Account,
    counter_cells::CounterCells,
    record::{Ending, Record},
    stream_items::{ItemSums, ItemsReading},
    transferred::TransferredIn,
};
use crate::{
    model::{TaskCounters, TaskState},
    primitives::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, add, bump, raise},
};

/// A histogram over powers of two: bucket `n` counts the values with `n` significant bits, which
/// are below `2^n`.
#[derive(Debug)]
pub(crate) struct Histogram([AtomicU64; BUCKETS]);

const BUCKETS: usize = 65;

impl Histogram {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }

    #[inline]
    pub(crate) fn bucket(&self, value: u64) -> &AtomicU64 {
        &self.0[Self::index(value)]
    }

    fn index(value: u64) -> usize {
        (u64::BITS - value.leading_zeros()) as usize
    }

    /// The largest value of a bucket.
    fn largest(bucket: usize) -> u64 {
        let unused = u64::BITS - u32::try_from(bucket).unwrap_or(u64::BITS);
        u64::MAX.checked_shr(unused).unwrap_or(0)
    }

    /// The buckets of the values up to this one.
    pub(crate) fn up_to(&self, value: u64) -> &[AtomicU64] {
        &self.0[..=Self::index(value)]
    }

    /// The buckets that are not empty in all of `parts` together. Yields the largest value of each
    /// bucket, and its count.
    pub(crate) fn buckets<'h>(
        parts: impl IntoIterator<Item = &'h [AtomicU64]>,
    ) -> impl Iterator<Item = (u64, u64)> {
        let mut counts = [0; BUCKETS];
        for part in parts {
            for (sum, count) in counts.iter_mut().zip(part) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        let counts = counts.into_iter().enumerate();
        let used = counts.filter(|(_, count)| *count != 0);
        used.map(|(bucket, count)| (Self::largest(bucket), count))
    }
}

/// A histogram of durations in nanoseconds that many threads add to.
// PERF: it knows which of its buckets are not empty, so a snapshot reads these alone. Most
// durations of a site are of a few powers of two, and none of it is in a cache.
#[derive(Debug)]
pub(crate) struct Durations {
    /// Bit `n` is set if bucket `n` may have a count.
    used: AtomicU64,
    counts: Histogram,
}

impl Durations {
    pub(crate) const fn new() -> Self {
        Self { used: AtomicU64::new(0), counts: Histogram::new() }
    }

    pub(crate) fn note(&self, took_ns: u64) {
        // There are 64 bits, so the last two buckets are one here: durations above 146 years.
        let bucket = Histogram::index(took_ns).min(63);
        let bit = 1 << bucket;
        if self.used.load(Ordering::Relaxed) & bit == 0 {
            self.used.fetch_or(bit, Ordering::Relaxed);
        }
        add(&self.counts.0[bucket], 1);
    }

    /// The largest value of each bucket that is not empty, and its count.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut left = self.used.load(Ordering::Relaxed);
        std::iter::from_fn(move || {
            while left != 0 {
                let bucket = left.trailing_zeros() as usize;
                left &= left - 1;
                let count = self.counts.0[bucket].load(Ordering::Relaxed);
                // The bit is set a moment before the first count.
                if count != 0 {
                    return Some((Histogram::largest(bucket), count));
                }
            }
            None
        })
    }
}

/// Sums over ended tasks; many threads add to them.
///
/// PERF: the sums are kept twice. The thread that gets the lock `lock` adds to `exclusive` with
/// plain stores. A thread that finds it taken adds to `contended` with locked instructions. So an
/// end costs one locked instruction instead of five, and no thread ever waits.
#[derive(Debug)]
pub(crate) struct SiteTotals {
    /// 0 while no thread has it; otherwise the index of the record whose task is added, plus 1.
    lock: AtomicU32,
    /// Whether `contended` has anything.
    // PERF: few sites ever need it, and a snapshot would read its lines of each site.
    is_contended: AtomicU8,
    exclusive: Shard,
    contended: Shard,
    /// The highest peak of one task.
    highest_peak: AtomicU64,
    /// The longest wait of a timed task that completed.
    longest_wait_ns: AtomicU64,
    /// The waits of timed tasks, and how many those are.
    wait_ns: AtomicU64,
    waits: AtomicU64,
    items: ItemSums,
}

#[derive(Debug)]
struct Shard {
    /// Numbers of ended tasks, by the state that they ended in.
    ended: [AtomicU64; TaskState::ALL.len()],
    counters: CounterCells,
    peak_bytes: AtomicU64,
    peaks: Histogram,
}

impl SiteTotals {
    pub(crate) const fn new() -> Self {
        Self {
            lock: AtomicU32::new(0),
            is_contended: AtomicU8::new(0),
            exclusive: Shard::new(),
            contended: Shard::new(),
            highest_peak: AtomicU64::new(0),
            longest_wait_ns: AtomicU64::new(0),
            wait_ns: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            items: ItemSums::new(),
        }
    }

    /// Adds a task that ends. Calls `close` when all is added but the number of tasks.
    #[expect(clippy::inline_always, reason = "each value goes through one register")]
    #[inline(always)]
    pub(crate) fn add(&self, task: Ending<'_>, close: impl FnOnce()) {
        raise(&self.highest_peak, task.peak_bytes());
        if let Some(items) = task.items() {
            self.items.add(items);
        }
        // Acquire; pairs with the Release below: this thread sees what the last one added before it
        // adds more.
        // PERF: an exchange without a comparison would take two instructions less, but overwrite
        // which record has the lock.
        let locked =
            self.lock.compare_exchange(0, task.index() + 1, Ordering::Acquire, Ordering::Relaxed);
        if locked.is_ok() {
            self.exclusive.add(task, close, bump);
            self.lock.store(0, Ordering::Release);
        } else {
            let (record, account, taken) = task.parts();
            self.add_contended(record, account, taken, close);
        }
    }

    /// [`add`](Self::add) without the lock.
    // PERF: takes parts, because the whole would have to lie on the stack for it.
    #[cold]
    #[inline(never)]
    fn add_contended(
        &self,
        record: &Record,
        account: &Account,
        taken: Option<&TransferredIn>,
        close: impl FnOnce(),
    ) {
        self.contended().add(Ending::new(record, account, taken), close, add);
    }

    /// Adds how long a timed task that ends has waited.
    pub(crate) fn add_wait(&self, wait_ns: u64, state: TaskState) {
        if state == TaskState::Completed {
            raise(&self.longest_wait_ns, wait_ns);
        }
        add(&self.wait_ns, wait_ns);
        add(&self.waits, 1);
    }

    /// Releases the lock, because no other thread is left to add to `exclusive`. Must be called in
    /// a forked child, on its only thread. Returns what other threads were adding.
    pub(crate) fn forked(&self) -> HalfAdded {
        let holder = self.lock.swap(0, Ordering::Relaxed).checked_sub(1);
        let is_contended = self.is_contended.load(Ordering::Relaxed) != 0;
        // PERF: a site has hundreds of numbers, and few sites have an end that was interrupted.
        HalfAdded {
            holder,
            is_holder_uncounted: holder.is_some() && self.exclusive.uncounted() != 0,
            others_uncounted: if is_contended { self.contended.uncounted() } else { 0 },
        }
    }

    /// Counts a task that is in the sums but not in the number of tasks. Only a forked child calls
    /// this, on its only thread. `is_holder` says whether the task's thread had the lock.
    pub(crate) fn count(&self, state: TaskState, is_holder: bool) {
        let shard = if is_holder { &self.exclusive } else { &self.contended };
        bump(&shard.ended[state as usize], 1);
    }

    /// Adds bytes that a task took over while it was being added.
    pub(crate) fn add_taken(&self, bytes: u64) {
        let counters = TaskCounters {
            allocated_bytes: bytes,
            transferred_bytes: bytes,
            ..TaskCounters::default()
        };
        self.contended().counters.add(&counters, add);
    }

    /// The shard for threads that do not have the lock. The caller adds to it.
    fn contended(&self) -> &Shard {
        if self.is_contended.load(Ordering::Relaxed) == 0 {
            // Must come before anything is added. A reading that finds 0 is of an earlier moment,
            // or it starts again, because an end is under way meanwhile.
            self.is_contended.store(1, Ordering::Release);
        }
        &self.contended
    }

    /// The shards that may have counts.
    fn parts(&self) -> impl Iterator<Item = &Shard> {
        let is_contended = self.is_contended.load(Ordering::Acquire) != 0;
        [&self.exclusive].into_iter().chain(is_contended.then_some(&self.contended))
    }

    pub(crate) fn read(&self) -> SumsReading {
        let get = |of: fn(&Shard) -> &AtomicU64| {
            self.parts().map(|part| of(part).load(Ordering::Acquire)).sum::<u64>()
        };
        let counters = self.parts().map(|part| part.counters.get());
        SumsReading {
            completed: get(|part| &part.ended[TaskState::Completed as usize]),
            cancelled: get(|part| &part.ended[TaskState::Cancelled as usize]),
            panicked: get(|part| &part.ended[TaskState::Panicked as usize]),
            given_up: get(|part| &part.ended[TaskState::Unknown as usize]),
            ended_unknown: get(|part| &part.ended[TaskState::Ended as usize]),
            counters: counters.fold(TaskCounters::default(), TaskCounters::plus),
            longest_wait_ns: self.longest_wait_ns.load(Ordering::Relaxed),
            highest_peak_bytes: self.highest_peak.load(Ordering::Relaxed),
            peak_sum_bytes: get(|part| &part.peak_bytes),
            wait_sum_ns: self.wait_ns.load(Ordering::Acquire),
            waits: self.waits.load(Ordering::Acquire),
            items: self.items.read(),
        }
    }

    /// The histograms of the tasks' peaks, one for each shard that has any.
    // PERF: only the buckets that may have a task. A snapshot reads those of a thousand sites, and
    // none of them is in a cache.
    pub(crate) fn peaks(&self) -> impl Iterator<Item = &[AtomicU64]> {
        let parts = self.parts().filter(|part| part.has_ended());
        // Read after the numbers of ended tasks. A peak is noted before its task is counted.
        parts.map(|part| part.peaks.up_to(self.highest_peak.load(Ordering::Relaxed)))
    }
}

impl Shard {
    const fn new() -> Self {
        Self {
            ended: [const { AtomicU64::new(0) }; TaskState::ALL.len()],
            counters: CounterCells::new(),
            peak_bytes: AtomicU64::new(0),
            peaks: Histogram::new(),
        }
    }

    /// Whether any task is counted here.
    fn has_ended(&self) -> bool {
        self.ended.iter().any(|ended| ended.load(Ordering::Acquire) != 0)
    }

    /// Adds an ended task, each number with `add`.
    ///
    /// The order lets a forked child tell how far a thread of its parent had come: see
    /// [`HalfAdded`].
    #[inline]
    fn add(&self, task: Ending<'_>, close: impl FnOnce(), add: impl Fn(&AtomicU64, u64)) {
        self.counters.add(&task.counters(), &add);
        add(&self.peak_bytes, task.peak_bytes());
        add(self.peaks.bucket(task.peak_bytes()), 1);
        close();
        if let Some(ended) = self.ended.get(usize::from(task.state())) {
            add(ended, 1);
        }
    }

    /// How many tasks are in the sums but not in the number of tasks.
    fn uncounted(&self) -> u64 {
        let sum = |parts: &[AtomicU64]| {
            parts.iter().map(|part| part.load(Ordering::Relaxed)).sum::<u64>()
        };
        sum(&self.peaks.0).wrapping_sub(sum(&self.ended))
    }
}

/// What threads were adding to a site's totals when the process was forked.
///
/// A task's peak is the last of its numbers that is added before its account begins to close, and
/// the task is counted after that. So an account that is not closing belongs to a task that is not
/// counted. The number of peaks is the number of counted tasks, plus one for each task in between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HalfAdded {
    /// The index of the record whose thread had the lock.
    pub(crate) holder: Option<u32>,
    /// Whether the holder's task is in the sums but not in the number of tasks.
    pub(crate) is_holder_uncounted: bool,
    /// How many tasks of other threads are in the sums but not in the number of tasks.
    pub(crate) others_uncounted: u64,
}

/// One reading of the sums.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SumsReading {
    pub(crate) completed: u64,
    pub(crate) cancelled: u64,
    pub(crate) panicked: u64,
    /// Unannotated tasks whose record memscope took back.
    pub(crate) given_up: u64,
    /// Unannotated tasks that ended in a way that is not known.
    pub(crate) ended_unknown: u64,
    pub(crate) counters: TaskCounters,
    pub(crate) highest_peak_bytes: u64,
    pub(crate) longest_wait_ns: u64,
    /// The sum of the peaks of all tasks.
    pub(crate) peak_sum_bytes: u64,
    pub(crate) wait_sum_ns: u64,
    pub(crate) waits: u64,
    /// `None` if none of the tasks was a stream.
    pub(crate) items: Option<ItemsReading>,
}

impl SumsReading {
    /// The sums of both.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            completed: self.completed + other.completed,
            cancelled: self.cancelled + other.cancelled,
            panicked: self.panicked + other.panicked,
            given_up: self.given_up + other.given_up,
            ended_unknown: self.ended_unknown + other.ended_unknown,
            counters: self.counters.plus(other.counters),
            highest_peak_bytes: self.highest_peak_bytes.max(other.highest_peak_bytes),
            longest_wait_ns: self.longest_wait_ns.max(other.longest_wait_ns),
            peak_sum_bytes: self.peak_sum_bytes + other.peak_sum_bytes,
            wait_sum_ns: self.wait_sum_ns + other.wait_sum_ns,
            waits: self.waits + other.waits,
            items: match (self.items, other.items) {
                (Some(items), Some(others)) => Some(items.and(others)),
                (items, others) => items.or(others),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_were_noted() {
        let durations = Durations::new();
        assert_eq!(durations.buckets().count(), 0);
        for took_ns in [0, 1, 2, 3, 1024, 1 << 62, u64::MAX] {
            durations.note(took_ns);
        }
        let buckets: Vec<_> = durations.buckets().collect();
        assert_eq!(buckets, [(0, 1), (1, 1), (3, 2), (2047, 1), (u64::MAX >> 1, 2)]);
    }

    #[test]
    fn buckets_say_their_largest_value() {
        let histogram = Histogram::new();
        for value in [0, 1, 2, 3, 1024, u64::MAX] {
            add(histogram.bucket(value), 1);
        }
        let buckets: Vec<_> = Histogram::buckets([histogram.up_to(u64::MAX)]).collect();
        assert_eq!(buckets, [(0, 1), (1, 1), (3, 2), (2047, 1), (u64::MAX, 1)]);
        let buckets: Vec<_> = Histogram::buckets([histogram.up_to(2)]).collect();
        assert_eq!(buckets, [(0, 1), (1, 1), (3, 2)]);
    }
}
