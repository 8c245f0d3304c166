//! What open tasks hold together.

use super::capture::TaskReading;
use crate::{
    accounting::ItemsReading,
    model::{TaskCounters, TaskState},
    primitives::Nanos,
};

/// The sums over the open tasks of one site: the tasks whose future still exists.
///
/// PERF: each task is added while its numbers are in the cache. A hundred thousand readings would
/// not fit there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OpenTasks {
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
    pub(crate) counters: TaskCounters,
    pub(crate) highest_peak_bytes: u64,
    /// The sum of all peaks.
    pub(crate) peak_sum_bytes: u64,
    /// `None` if none of the tasks is a stream.
    pub(crate) items: Option<ItemsReading>,
    /// Tokio cells of tasks that have not ended, and the bytes that these cells have beyond the
    /// futures.
    pub(crate) cells: u64,
    pub(crate) cell_overhead_bytes: u64,
    /// Tasks whose end nothing reports, and of these the ones that hold nothing.
    pub(crate) unknown: u64,
    pub(crate) unknown_without_bytes: u64,
    /// Tasks that their site does not count yet.
    pub(crate) uncounted: u64,
    pub(crate) ended: EndedTasks,
}

/// Of the open tasks, the ones that have ended while their future is still held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EndedTasks {
    /// Indexed by how they ended.
    pub(crate) tasks: [u64; TaskState::ALL.len()],
    pub(crate) live_bytes: u64,
    pub(crate) allocated_bytes: u64,
    /// Unannotated tasks whose `JoinHandle` is held, and those without one.
    pub(crate) unjoined: u64,
    pub(crate) kept: u64,
    pub(crate) wait_sum_ns: u64,
    pub(crate) waits: u64,
    /// Over the tasks that completed.
    pub(crate) longest_wait_ns: u64,
}

impl OpenTasks {
    /// Adds a task. `items` is what it has yielded, if it is a stream.
    #[inline]
    pub(crate) fn add(&mut self, task: &TaskReading, items: Option<ItemsReading>) {
        let TaskReading { tally, record, live_bytes, live_blocks, .. } = task;
        self.live_bytes += live_bytes;
        self.live_blocks += live_blocks;
        self.counters = self.counters.plus(tally.counters);
        self.highest_peak_bytes = self.highest_peak_bytes.max(record.peak_bytes);
        self.peak_sum_bytes += record.peak_bytes;
        if let Some(items) = items {
            self.items = Some(self.items.unwrap_or_default().and(items));
        }
        self.uncounted += u64::from(!record.is_counted);
        if record.state == TaskState::Unknown {
            self.unknown += 1;
            self.unknown_without_bytes += u64::from(*live_bytes == 0);
        } else if record.state.is_ended() {
            self.ended.add(task);
        } else if record.cell_bytes != 0 {
            self.cells += 1;
            self.cell_overhead_bytes += record.cell_bytes.saturating_sub(record.future.size as u64);
        }
    }
}

impl OpenTasks {
    /// Adds the tasks of another site.
    pub(super) fn merge(&mut self, other: &Self) {
        // A new field must be merged, too.
        let &Self {
            live_bytes,
            live_blocks,
            counters,
            highest_peak_bytes,
            peak_sum_bytes,
            items,
            cells,
            cell_overhead_bytes,
            unknown,
            unknown_without_bytes,
            uncounted,
            ref ended,
        } = other;
        self.live_bytes += live_bytes;
        self.live_blocks += live_blocks;
        self.counters = self.counters.plus(counters);
        self.highest_peak_bytes = self.highest_peak_bytes.max(highest_peak_bytes);
        self.peak_sum_bytes += peak_sum_bytes;
        self.items = match (self.items, items) {
            (Some(items), Some(others)) => Some(items.and(others)),
            (items, others) => items.or(others),
        };
        self.cells += cells;
        self.cell_overhead_bytes += cell_overhead_bytes;
        self.unknown += unknown;
        self.unknown_without_bytes += unknown_without_bytes;
        self.uncounted += uncounted;
        self.ended.merge(ended);
    }
}

impl EndedTasks {
    fn merge(&mut self, other: &Self) {
        // A new field must be merged, too.
        let &Self {
            tasks,
            live_bytes,
            allocated_bytes,
            unjoined,
            kept,
            wait_sum_ns,
            waits,
            longest_wait_ns,
        } = other;
        self.tasks.iter_mut().zip(tasks).for_each(|(sum, tasks)| *sum += tasks);
        self.live_bytes += live_bytes;
        self.allocated_bytes += allocated_bytes;
        self.unjoined += unjoined;
        self.kept += kept;
        self.wait_sum_ns += wait_sum_ns;
        self.waits += waits;
        self.longest_wait_ns = self.longest_wait_ns.max(longest_wait_ns);
    }

    fn add(&mut self, task: &TaskReading) {
        self.tasks[task.record.state as usize] += 1;
        self.live_bytes += task.live_bytes;
        self.allocated_bytes += task.tally.counters.allocated_bytes;
        self.unjoined += u64::from(task.record.has_handle == Some(true));
        self.kept += u64::from(task.record.has_handle == Some(false));
        if let Some(wait_ns) = task.record.timing.wait_ns.map(Nanos::get) {
            self.wait_sum_ns += wait_ns;
            self.waits += 1;
            if task.record.state == TaskState::Completed {
                self.longest_wait_ns = self.longest_wait_ns.max(wait_ns);
            }
        }
    }
}
