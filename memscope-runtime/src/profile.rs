//! The rows of a report: plain data, serde both ways.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use crate::task::{TaskId, TaskState, TaskType};

/// What one task holds, held and allocated.
///
/// All sizes are bytes as the program asked for them, without the allocator's own overhead;
/// `live_bytes = allocated_bytes - freed_bytes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskMemoryProfile {
    /// Names the task for the life of the process.
    pub id: TaskId,
    /// The tracked task it is polled in, or else the one that created it.
    pub parent: Option<TaskId>,
    /// The name it was given, or the function its future is the body of.
    pub name: String,
    /// What the task mostly does, as declared.
    pub task_type: TaskType,
    /// Where it is in its life.
    pub state: TaskState,
    /// The file of the annotation or of the call that made it.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// Whether the sizes below are measured; if not they are 0 and mean nothing: [`MemorySnapshot::measured`] says why.
    ///
    /// [`MemorySnapshot::measured`]: crate::async_memory::MemorySnapshot::measured
    pub measured: bool,
    /// Bytes allocated by the task and not yet freed by anybody. On an ended task: retained.
    pub live_bytes: u64,
    /// The most that `live_bytes` ever was.
    pub peak_bytes: u64,
    /// Bytes of all allocations so far.
    pub allocated_bytes: u64,
    /// How many allocations those were; a `realloc` is one.
    pub allocation_count: u64,
    /// Bytes of the task's blocks that were freed, by anybody.
    pub freed_bytes: u64,
    /// Of `freed_bytes`, those freed outside the task: by another task, by a thread, or after its end.
    pub freed_elsewhere_bytes: u64,
    /// Blocks allocated and not yet freed.
    pub live_blocks: u64,
    /// The size of the future's state machine.
    pub future_size_bytes: u64,
    /// The type of the future.
    pub future_type: Cow<'static, str>,
    /// How often it was polled.
    pub poll_count: u64,
    /// Nanoseconds spent in its polls; `None` where this task was not timed.
    pub busy_ns: Option<u64>,
    /// Nanoseconds from its first poll to its end (or to now) in which it was not polled; `None` where it was not
    /// timed or has not been polled yet.
    pub wait_ns: Option<u64>,
    /// Whether the two are scaled up from a sample of its polls.
    pub timing_is_estimate: bool,
}

/// What all tasks of one place in the code hold, held and allocated; whole however many have come and gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SiteProfile {
    /// The name of its tasks.
    pub name: String,
    /// What they mostly do, as declared.
    pub task_type: TaskType,
    /// The file of the annotation or of the call that makes them.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// Whether sizes are measured; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Tasks created.
    pub spawned: u64,
    /// Tasks that have not ended.
    pub active: u64,
    /// Tasks whose future returned `Ready`.
    pub completed: u64,
    /// Tasks whose future was dropped before.
    pub cancelled: u64,
    /// Tasks whose future panicked.
    pub panicked: u64,
    /// Bytes live now, of living and of ended tasks.
    pub live_bytes: u64,
    /// Blocks live now.
    pub live_blocks: u64,
    /// The highest peak of one task.
    pub peak_bytes: u64,
    /// The sum of the peaks of all tasks; divided by `spawned`, their average.
    pub peak_sum_bytes: u64,
    /// Bytes of all allocations so far.
    pub allocated_bytes: u64,
    /// How many allocations those were.
    pub allocation_count: u64,
    /// Bytes of all allocations of ended tasks.
    pub ended_allocated_bytes: u64,
    /// Of `live_bytes`, those of ended tasks.
    pub retained_bytes: u64,
    /// The size of the largest state machine spawned here.
    pub future_size_bytes: u64,
    /// Nanoseconds that ended tasks waited (see [`TaskMemoryProfile::wait_ns`]), summed over the timed ones.
    pub wait_sum_ns: u64,
    /// Ended tasks that were timed.
    pub waits_timed: u64,
    /// Peaks of ended tasks, in bytes.
    pub peak_histogram: Vec<Bucket>,
    /// Durations of the timed polls, in nanoseconds.
    pub poll_histogram: Vec<Bucket>,
}

/// A bar of a histogram over powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The largest value counted here; the smallest is one more than half of it.
    pub up_to: u64,
    /// How many values fell here.
    pub count: u64,
}

impl Bucket {
    pub(crate) fn all(buckets: impl Iterator<Item = (u64, u64)>) -> Vec<Self> {
        buckets.map(|(up_to, count)| Self { up_to, count }).collect()
    }
}

/// The whole that memscope's allocator sees, and its two parts: `tracked + untracked = whole`, to the byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMemory {
    /// Whether sizes are measured; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Live bytes of all tasks, the living and the ended.
    pub tracked_bytes: u64,
    /// Live bytes allocated outside every task.
    pub untracked_bytes: u64,
    /// All live bytes.
    pub whole_bytes: u64,
    /// Live blocks of all tasks.
    pub tracked_blocks: u64,
    /// Live blocks allocated outside every task.
    pub untracked_blocks: u64,
    /// All live blocks.
    pub whole_blocks: u64,
    /// Bytes of all allocations of tasks so far.
    pub tracked_allocated_bytes: u64,
    /// Bytes of all allocations outside every task so far.
    pub untracked_allocated_bytes: u64,
}

/// What memscope itself costs, and what it had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUsage {
    /// Memory of memscope's records, sites and history. It is not part of [`ProcessMemory`]; the words behind the
    /// blocks (8 bytes each) are in neither.
    pub own_bytes: u64,
    /// Rows of ended tasks that could not be written; their sums are in the sites all the same.
    pub events_dropped: u64,
    /// Ended tasks whose row made room for a newer one; their sums are in the sites.
    pub ended_tasks_forgotten: u64,
    /// Tasks that ran untracked because there was no memory for their record.
    pub tasks_without_record: u64,
    /// Tasks counted in `(other)` because their site would have been a row too many.
    pub tasks_in_other: u64,
}

/// How the tasks of one kind fared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPerformanceMetrics {
    /// Tasks created.
    pub task_count: u64,
    /// The average over all tasks of their peak, in MiB; NaN where sizes are not measured.
    #[serde(deserialize_with = "number_or_nan")]
    pub avg_memory_mb: f64,
    /// The highest peak of one task, in MiB; NaN where sizes are not measured.
    #[serde(deserialize_with = "number_or_nan")]
    pub peak_memory_mb: f64,
    /// Completed ÷ created, in percent; 0 when there were none.
    pub completion_rate_percent: f64,
    /// The average over ended, timed tasks of the time from first poll to end in which they were not being polled, in
    /// milliseconds; 0 when none has ended, NaN where timing is switched off.
    #[serde(deserialize_with = "number_or_nan")]
    pub avg_wait_time_ms: f64,
    /// Completed tasks per second since the start of tracking.
    pub throughput_per_sec: f64,
}

/// JSON writes NaN as `null`.
pub(crate) fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
