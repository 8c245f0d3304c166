//! All tasks of one site, and what is said of a place in the code.

use super::{
    counters::{counted_row, counters},
    state_machine::StateMachine,
    task::TaskType,
    task_profile::Items,
};
use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

counters!(counted_row! {
    /// What all tasks of one place in the code hold, held and allocated; whole however many have come
    /// and gone.
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
        /// Whether sizes are measured; if not they are 0 and mean nothing.
        pub measured: bool,
        /// Tasks created. Of unannotated tasks whose end nothing tells
        /// ([`ends_unknown`](Self::ends_unknown)): those seen, and one whose row was given up is seen
        /// anew when it allocates again.
        ///
        /// `spawned = active + unknown + completed + cancelled + panicked + ended_unknown + given_up`.
        pub spawned: u64,
        /// Tasks that have not ended. Of those whose end nothing tells, the ones that hold bytes: they
        /// live, or left these behind.
        pub active: u64,
        /// Tasks whose end nothing tells and that hold nothing: whether they live is not known.
        #[serde(default)]
        pub unknown: u64,
        /// Whether nothing tells the end of some of its tasks, as of unannotated ones, on a runtime
        /// without `tokio_hooks`.
        #[serde(default)]
        pub ends_unknown: bool,
        /// Tasks whose future returned `Ready`.
        pub completed: u64,
        /// Tasks whose future was dropped before.
        pub cancelled: u64,
        /// Tasks whose future panicked.
        pub panicked: u64,
        /// Unannotated tasks that held nothing for a while and whose row was given up; one that
        /// allocates again is counted anew.
        pub given_up: u64,
        /// Unannotated tasks of which a runtime with `tokio_hooks` said that they ended, but not how.
        #[serde(default)]
        pub ended_unknown: u64,
        /// Whether its tasks were tracked by name.
        pub is_annotated: bool,
        /// Bytes live now, of living and of ended tasks.
        pub live_bytes: u64,
        /// Blocks live now.
        pub live_blocks: u64,
        /// The highest peak of one task.
        pub peak_bytes: u64,
        /// The sum of the peaks of all tasks; divided by `spawned`, their average.
        pub peak_sum_bytes: u64,
    }
    {
        /// Bytes of all allocations of ended tasks.
        pub ended_allocated_bytes: u64,
        /// Of `live_bytes`, those of ended tasks.
        pub retained_bytes: u64,
        /// The part of `retained_bytes` whose task still has its Tokio cell: its `JoinHandle` is held,
        /// so its output waits to be taken.
        pub unjoined_bytes: u64,
        /// Ended tasks that still hold bytes, those with a Tokio cell left out: `unjoined_bytes` are
        /// not theirs.
        pub retained_tasks: u64,
        /// How long ago the first of them ended; `None` where there is none, or timing is off.
        pub oldest_retained_ns: Option<u64>,
        /// The longest row of these tasks in which each was created after the end of the one before:
        /// how often it happened one after another.
        pub retained_waves: u64,
        /// How many of these tasks are among the first eighth of all tasks of the site (in the order of
        /// their creation), the second, ….
        pub retained_by_eighth: [u64; 8],
        /// The size of the largest state machine spawned here.
        pub future_size_bytes: u64,
        /// The vtable of that future's type as a `dyn Future`: how far it is from the first byte of the
        /// program's image, wherever that is loaded. It finds the type in the program's debug
        /// information, also later and elsewhere. `None` for what is no future, and where the program's
        /// place is not known.
        #[serde(default)]
        pub future_vtable: Option<u64>,
        /// What the compiler made of that future. Read from the debug information of the running
        /// program, with the feature `layout`; without it `cargo memscope report` reads it from a saved
        /// snapshot and the program.
        #[serde(default)]
        pub state_machine: Option<StateMachine>,
        /// Why there is none, and what would bring it; `None` where there is one, and without the
        /// feature `layout`.
        #[serde(default)]
        pub state_machine_unknown: Option<String>,
        /// Bytes of the arguments that `#[tracked]` found passed by value; `None` where the future was
        /// not made by it.
        pub argument_bytes: Option<u64>,
        /// Tasks whose future Tokio put into a box of its own, as it was larger than its limit.
        pub boxed_by_tokio: u64,
        /// The longest that a timed task waited which completed, in nanoseconds.
        pub longest_wait_ns: u64,
        /// Nanoseconds that ended tasks waited (see [`TaskMemoryProfile::wait_ns`]), summed over the
        /// timed ones.
        pub wait_sum_ns: u64,
        /// Ended tasks that were timed.
        pub waits_timed: u64,
        /// Peaks of ended tasks, in bytes.
        pub peak_histogram: Vec<Bucket>,
        /// Durations of the timed polls, in nanoseconds.
        pub poll_histogram: Vec<Bucket>,
        /// Waits between two polls of which both were timed, in nanoseconds.
        #[serde(default)]
        pub idle_histogram: Vec<Bucket>,
        /// Lives of ended, timed tasks, from the first poll to the end, in nanoseconds.
        #[serde(default)]
        pub lifetime_histogram: Vec<Bucket>,
        /// What its streams have yielded; `None` where none of its tasks is a stream.
        #[serde(default)]
        pub items: Option<Items>,
    }
});

impl SiteProfile {
    /// Tasks of which it is known that they have ended.
    pub(crate) fn ended(&self) -> u64 {
        let others = self.active.saturating_add(self.unknown).saturating_add(self.given_up);
        self.spawned.saturating_sub(others)
    }
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

/// Blocks that one site's tasks allocated and another's freed or took over by
/// [`transfer`](crate::async_memory::transfer), so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// Who allocated; `None`: outside every task.
    pub from: Option<Place>,
    /// Who freed; `None`: outside every task. The same as `from` where one task of a site freed
    /// what another allocated.
    pub to: Option<Place>,
    /// How many blocks.
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
    /// Whether sizes are measured; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Bytes allocated in its scopes and not yet freed by anybody.
    pub live_bytes: u64,
    /// The most that `live_bytes` ever was.
    pub peak_bytes: u64,
    /// Bytes of all allocations so far.
    pub allocated_bytes: u64,
    /// How many allocations those were.
    pub allocation_count: u64,
    /// Bytes of its blocks that were freed, by anybody, anywhere.
    pub freed_bytes: u64,
    /// Blocks allocated and not yet freed.
    pub live_blocks: u64,
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
    #[serde(deserialize_with = "number_or_nan")]
    pub completion_rate_percent: f64,
    /// The average over ended, timed tasks of the time from first poll to end in which they were
    /// not being polled, in milliseconds; 0 when none has ended, NaN where timing is switched off.
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
