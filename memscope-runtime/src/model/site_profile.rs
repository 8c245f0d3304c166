//! The totals of a site, and other rows that name a place in the code.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    counters::{counted_row, counters},
    state_machine::StateMachine,
    task::TaskType,
    task_profile::Items,
};

counters!(counted_row! {
    /// What all tasks of one site hold, held and allocated. The sums are complete, however many
    /// tasks have come and gone.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    SiteProfile
    {
        /// The name of its tasks.
        pub name: String,
        /// What they mostly do, as declared.
        pub task_type: TaskType,
        /// The file of the annotation or of the call that makes them.
        pub file: Cow<'static, str>,
        /// The line there.
        pub line: u32,
        /// Whether sizes are measured; if not, they are 0 and mean nothing.
        pub measured: bool,
        /// Tasks created. Until the layout of Tokio's cells is learned
        /// ([`ToolUsage::task_cells`](crate::async_memory::ToolUsage::task_cells)), an unannotated
        /// task counts only if it has allocated. If the end of tasks is not reported
        /// ([`ends_unknown`](Self::ends_unknown)), a task whose row was given up counts again when
        /// it allocates again.
        ///
        /// `spawned = active + unknown + completed + cancelled + panicked + ended_unknown +
        /// given_up`.
        pub spawned: u64,
        /// Tasks that have not ended. A task whose end is not reported counts here if it holds
        /// bytes: it lives, or has left them behind.
        pub active: u64,
        /// Tasks whose end is not reported and that hold nothing. Whether they live is not known.
        #[serde(default)]
        pub unknown: u64,
        /// Whether the end of some of its tasks is not known, as for unannotated tasks where
        /// [`ToolUsage::task_cells`](crate::async_memory::ToolUsage::task_cells) is not `Learned`.
        #[serde(default)]
        pub ends_unknown: bool,
        /// Tasks whose future returned `Ready`.
        pub completed: u64,
        /// Tasks whose future was dropped before it completed.
        pub cancelled: u64,
        /// Tasks whose future panicked.
        pub panicked: u64,
        /// Unannotated tasks that held nothing for a while and whose row was given up. Such a task
        /// counts as a new one if it allocates again.
        pub given_up: u64,
        /// Unannotated tasks that have ended in a way that is not known:
        /// [`TaskState::Ended`](crate::async_memory::TaskState::Ended).
        #[serde(default)]
        pub ended_unknown: u64,
        /// Whether its tasks were tracked by name.
        pub is_annotated: bool,
        /// Bytes live now, both of living and of ended tasks.
        pub live_bytes: u64,
        /// Blocks live now.
        pub live_blocks: u64,
        /// The highest peak of one task.
        pub peak_bytes: u64,
        /// The sum of the peaks of all tasks. Divided by `spawned` it is their average.
        pub peak_sum_bytes: u64,
    }
    {
        /// Bytes of all allocations of ended tasks.
        pub ended_allocated_bytes: u64,
        /// The part of `live_bytes` that ended tasks have left.
        pub retained_bytes: u64,
        /// Of `retained_bytes`, those whose task still has its Tokio cell: mostly its `JoinHandle`
        /// is held, so that its output waits to be taken. A waker or an abort handle keeps a cell,
        /// too.
        pub unjoined_bytes: u64,
        /// Unannotated tasks that have finished and still have their Tokio cell, because their
        /// `JoinHandle` is held: nothing has joined them.
        #[serde(default)]
        pub unjoined_tasks: u64,
        /// Unannotated tasks that have finished and still have their Tokio cell, although no
        /// `JoinHandle` is held: wakers or abort handles keep it.
        #[serde(default)]
        pub kept_tasks: u64,
        /// Ended tasks that still hold bytes, without those that still have a Tokio cell.
        /// `unjoined_bytes` are not theirs.
        pub retained_tasks: u64,
        /// Nanoseconds since the first of them ended; `None` if there is none, or timing is off.
        pub oldest_retained_ns: Option<u64>,
        /// The largest number of these tasks that follow one another, each created after the end of
        /// the one before: how often it happened one after another. A lower bound where memory was
        /// short: see `retained_by_eighth`.
        pub retained_waves: u64,
        /// How many of these tasks are among the first eighth of all tasks of the site, the second,
        /// and so on, in the order of their creation. Where there was no memory for all of them, as
        /// in a report near the limit, only an even part of them is counted. The sum is then below
        /// `retained_tasks`.
        pub retained_by_eighth: [u64; 8],
        /// The size of the largest state machine spawned here.
        pub future_size_bytes: u64,
        /// The vtable of that future's type as a `dyn Future`, as an offset from the first byte of
        /// the program's image, wherever that is loaded. By it the type is found in the program's
        /// debug information, even later and on another machine. `None` for what is no future, or
        /// if the image of the program is not known.
        #[serde(default)]
        pub future_vtable: Option<u64>,
        /// What the compiler made of that future. With the feature `layout` it is read from the
        /// debug information of the running program. Without it `cargo memscope report` reads it
        /// from a saved snapshot and the program.
        #[serde(default)]
        pub state_machine: Option<StateMachine>,
        /// Why `state_machine` is missing, and what would provide it. `None` if it is there, and
        /// without the feature `layout`.
        #[serde(default)]
        pub state_machine_unknown: Option<String>,
        /// Bytes of the arguments that `#[tracked]` found passed by value; `None` if it did not
        /// make the future.
        pub argument_bytes: Option<u64>,
        /// Tasks whose future Tokio put into a box of its own, because it was larger than Tokio's
        /// limit.
        pub boxed_by_tokio: u64,
        /// The longest wait of a timed task that completed, in nanoseconds.
        pub longest_wait_ns: u64,
        /// Nanoseconds that ended tasks waited, summed over the timed ones: see
        /// [`TaskMemoryProfile::wait_ns`](crate::async_memory::TaskMemoryProfile::wait_ns).
        pub wait_sum_ns: u64,
        /// Ended tasks that were timed.
        pub waits_timed: u64,
        /// Peaks of tasks that have ended and whose futures were dropped, in bytes.
        pub peak_histogram: Vec<Bucket>,
        /// Durations of the timed polls, in nanoseconds.
        pub poll_histogram: Vec<Bucket>,
        /// Waits between two polls that were both timed, in nanoseconds.
        #[serde(default)]
        pub idle_histogram: Vec<Bucket>,
        /// Lives of ended, timed tasks from the first poll to the end, in nanoseconds.
        #[serde(default)]
        pub lifetime_histogram: Vec<Bucket>,
        /// What its streams have yielded; `None` if none of its tasks is a stream.
        #[serde(default)]
        pub items: Option<Items>,
    }
});

impl SiteProfile {
    /// Tasks that are known to have ended.
    pub(crate) fn ended(&self) -> u64 {
        let others = self.active.saturating_add(self.unknown).saturating_add(self.given_up);
        self.spawned.saturating_sub(others)
    }
}

/// A bar of a histogram over powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// The largest value counted here. The smallest is one more than half of it.
    pub up_to: u64,
    /// How many values fell here.
    pub count: u64,
}

impl Bucket {
    pub(crate) fn all(buckets: impl Iterator<Item = (u64, u64)>) -> Vec<Self> {
        buckets.map(|(up_to, count)| Self { up_to, count }).collect()
    }
}

/// A place in the code that makes tasks, and their name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The name of its tasks.
    pub name: String,
    /// The file of the annotation or of the call that makes them.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
}

/// Blocks that one site's tasks allocated, and that another site's tasks freed or took over by
/// [`transfer`](crate::async_memory::transfer), so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// The site whose tasks allocated them, or `None` for code outside every task.
    pub from: Option<Place>,
    /// The site whose tasks freed them, or `None` for code outside every task. It equals `from` if
    /// one task of a site freed what another one allocated.
    pub to: Option<Place>,
    /// The number of blocks.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was allocated in the [`shared`](crate::async_memory::shared) scopes of one name: a part of
/// the untracked memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedProfile {
    /// The name.
    pub name: String,
    /// Whether sizes are measured; if not, they are 0 and mean nothing.
    pub measured: bool,
    /// Bytes allocated in its scopes and not yet freed.
    pub live_bytes: u64,
    /// The most that `live_bytes` ever was.
    pub peak_bytes: u64,
    /// Bytes of all allocations so far.
    pub allocated_bytes: u64,
    /// The number of these allocations.
    pub allocation_count: u64,
    /// Bytes of its blocks that were freed, by any task or thread.
    pub freed_bytes: u64,
    /// Blocks allocated and not yet freed.
    pub live_blocks: u64,
}

/// How the tasks of one kind performed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPerformanceMetrics {
    /// Tasks created.
    pub task_count: u64,
    /// The average peak of all tasks, in MiB; NaN if sizes are not measured.
    #[serde(deserialize_with = "number_or_nan")]
    pub avg_memory_mb: f64,
    /// The highest peak of one task, in MiB; NaN if sizes are not measured.
    #[serde(deserialize_with = "number_or_nan")]
    pub peak_memory_mb: f64,
    /// Completed ÷ created, in percent; 0 if there were none.
    #[serde(deserialize_with = "number_or_nan")]
    pub completion_rate_percent: f64,
    /// The average time from first poll to end in which a task was not being polled, in
    /// milliseconds, over ended, timed tasks. 0 if none has ended, NaN if timing is off.
    #[serde(deserialize_with = "number_or_nan")]
    pub avg_wait_time_ms: f64,
    /// Completed tasks per second since the start of tracking.
    #[serde(deserialize_with = "number_or_nan")]
    pub throughput_per_sec: f64,
}

/// JSON writes NaN as `null`.
pub(crate) fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
