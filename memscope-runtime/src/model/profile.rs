//! The rows of a report: plain data, serde both ways.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    state_machine::StateMachine,
    task::{TaskId, TaskState, TaskType},
};
use crate::model::EventKind;

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
    /// Whether the sizes below are measured; if not they are 0 and mean nothing:
    /// [`MemorySnapshot::measured`] says why.
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
    /// Of `freed_bytes`, those freed outside the task: by another task, by a thread, or after its
    /// end.
    pub freed_elsewhere_bytes: u64,
    /// Of `allocated_bytes`, those that others allocated and
    /// [`transfer`](crate::async_memory::transfer) handed over to the task.
    #[serde(default)]
    pub transferred_bytes: u64,
    /// Blocks allocated and not yet freed.
    pub live_blocks: u64,
    /// The size of the future's state machine.
    pub future_size_bytes: u64,
    /// The type of the future.
    pub future_type: Cow<'static, str>,
    /// How often it was polled; 0 where that is not known, as of a task that nobody annotated.
    ///
    /// `tokio_hooks` counts how often Tokio ran such a task: dropping an aborted one is the last
    /// time.
    pub poll_count: u64,
    /// Nanoseconds spent in its polls; `None` where this task was not timed.
    pub busy_ns: Option<u64>,
    /// Nanoseconds from its first poll to its end (or to now) in which it was not polled; `None`
    /// where it was not timed or has not been polled yet.
    pub wait_ns: Option<u64>,
    /// Whether the two are scaled up from a sample of its polls.
    pub timing_is_estimate: bool,
    /// Nanoseconds since its last poll ended, at least; `None` where that is not known, and for a
    /// task that has ended or is being polled.
    ///
    /// Of a timed task's first polls each end is known. After that it is known that a task was not
    /// polled from one snapshot to the next.
    pub idle_ns: Option<u64>,
    /// Nanoseconds that it was woken and not yet polled: always `None`. To know when a task is
    /// woken, each poll would have to hand it a waker of ours, which costs an allocation or a count
    /// of references and makes `Waker::will_wake` say no where it said yes. That time is part of
    /// `wait_ns`.
    #[serde(default)]
    pub scheduled_ns: Option<u64>,
    /// Where it waits: the index of a row of [`MemorySnapshot::await_points`]. `None` where that
    /// was not asked for, for a task that does not wait, and until its next poll where it was asked
    /// for later.
    ///
    /// [`MemorySnapshot::await_points`]: crate::async_memory::MemorySnapshot::await_points
    #[serde(default)]
    pub await_point: Option<u32>,
    /// Bytes of the Tokio cell it was spawned into by `spawn_tracked` or `.spawn()`, and of the box
    /// that Tokio put a large future in; 0 where it was not spawned so.
    pub cell_bytes: u64,
    /// Whether the task was tracked by name. Of others only the memory is measured: polls are not
    /// counted (but see `poll_count`), the future's size and type are not known.
    pub is_annotated: bool,
    /// What it has yielded; `None` for a task that is no stream.
    #[serde(default)]
    pub items: Option<Items>,
}

/// What a tracked stream, or all streams of one place, yielded.
///
/// Only the polls that yielded an item count here, and of these only what the stream itself did: a
/// tracked future or stream inside it has a row of its own. What a stream allocates on the way to
/// an item, in polls that are still pending, is in its `allocated_bytes`: divided by `count`, that
/// is all that an item took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    /// Items yielded.
    pub count: u64,
    /// Bytes of all allocations in the polls that yielded an item.
    pub allocated_bytes: u64,
    /// The most of these in one poll.
    pub largest_bytes: u64,
    /// By how many bytes those polls together raised what is live of the stream's: allocated less
    /// freed by itself. That is what left with the items, where the stream holds as much as before;
    /// below zero where items came from bytes that it held already.
    pub net_bytes: i64,
}

impl Items {
    /// Bytes allocated for an item, on average; 0 where there was none.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub fn mean_bytes(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.allocated_bytes as f64 / self.count as f64 }
    }

    /// Those of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            allocated_bytes: self.allocated_bytes.saturating_add(other.allocated_bytes),
            largest_bytes: self.largest_bytes.max(other.largest_bytes),
            net_bytes: self.net_bytes.saturating_add(other.net_bytes),
        }
    }
}

/// What all tasks of one place in the code hold, held and allocated; whole however many have come
/// and gone.
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
    /// Bytes of all allocations so far.
    pub allocated_bytes: u64,
    /// Of `allocated_bytes`, those that [`transfer`](crate::async_memory::transfer) handed over to
    /// its tasks.
    #[serde(default)]
    pub transferred_bytes: u64,
    /// How many allocations those were.
    pub allocation_count: u64,
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

/// How the live bytes of a living task, or of all tasks of a site, went.
///
/// Every snapshot is a sample, and from `init` on the collector takes some between. Only a few are
/// kept: when there are too many, every other one is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trend {
    /// The task; `None`: all tasks of the site.
    pub task: Option<TaskId>,
    /// The site.
    pub place: Place,
    /// The oldest first; the last one is this snapshot.
    pub points: Vec<TrendPoint>,
}

/// One sample of a [`Trend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrendPoint {
    /// Nanoseconds since the start of tracking.
    pub at_ns: u64,
    /// Bytes live then.
    pub live_bytes: u64,
    /// Bytes of all allocations until then.
    pub allocated_bytes: u64,
}

/// How live bytes went: a fixed number of points (64 at the most) whose distance grows, so that a
/// second and a month take the same memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// The process, the oldest point first; the last one is this snapshot.
    pub process: Vec<ProcessPoint>,
    /// The largest sites, with points of the same times.
    pub sites: Vec<Trend>,
}

/// Live bytes of the process at one time. Tasks that ended just then may be missing in a point that
/// no snapshot was taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPoint {
    /// Nanoseconds since the start of tracking.
    pub at_ns: u64,
    /// Live bytes of all tasks, the living and the ended.
    pub tracked_bytes: u64,
    /// Live bytes allocated outside every task.
    pub untracked_bytes: u64,
    /// Both.
    pub whole_bytes: u64,
}

/// What happened to a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEvent {
    /// Nanoseconds since the start of tracking. Exact for timed tasks; else when the clock was last
    /// read before, by any thread.
    pub at_ns: u64,
    /// What it was.
    pub kind: EventKind,
    /// Whom it happened to.
    pub task: TaskId,
    /// The task's site; `None` where it has given its only task to another name meanwhile.
    pub place: Option<Place>,
    /// Of a large block, its size.
    pub bytes: Option<u64>,
    /// Of a long poll, how long it took; of an end, how long the task lived since its first poll,
    /// where it was timed.
    pub took_ns: Option<u64>,
}

/// What the async runtime itself holds beside the tasks' own bytes, as far as it can be told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeMemory {
    /// Whether sizes are measured; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Living threads that have polled a tracked task.
    pub worker_threads: u64,
    /// Live bytes that these threads allocated outside every tracked task: run queues, timers,
    /// drivers, cells of other tasks, and what else ran there. Part of the untracked bytes.
    pub worker_bytes: u64,
    /// Living tasks in a Tokio cell of their own.
    pub cells: u64,
    /// Live bytes of these cells beyond the state machines in them. Part of the tasks' bytes.
    pub cell_overhead_bytes: u64,
}

/// What is known of a variable's heap memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// All blocks that the variable itself holds (without the contents of its elements, unless it
    /// was registered with `deep:`).
    Whole,
    /// Some of its blocks; others could not be found, or not without waiting.
    Partial,
    /// It held no heap block: no capacity, static data, or plain values. Its end is not seen.
    Nothing,
    /// Its blocks could not be found: nothing is known of its type but size and name, or somebody
    /// held its lock. Its end is not seen.
    Opaque,
    /// Sizes are not measured, since memscope's allocator is not the outermost one. Its end is not
    /// seen.
    NotMeasured,
    /// There were too many live variables to follow this one. Its end is not seen.
    NotFollowed,
}

impl Extent {
    /// Whether the variable is followed to its end, so that `live`, `heap_bytes` and `lifetime_ns`
    /// say something.
    pub const fn is_followed(self) -> bool {
        matches!(self, Self::Whole | Self::Partial)
    }
}

/// A variable that `track_var!` registered: one that lives, or the last of its site that ended or
/// could not be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableProfile {
    /// As it is written in `track_var!`: `cache`, `self.pool`.
    pub name: String,
    /// Its type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// The task that its heap block is charged to (who allocated it, or reallocated it last), or
    /// for one without a block the task that registered it; `None`: outside every task.
    pub task: Option<TaskId>,
    /// The site of that task, while the variable lives.
    pub task_site: Option<Place>,
    /// The task that freed it; `None`: it lives, is not followed, or was freed outside every task.
    pub freed_by: Option<TaskId>,
    /// The size of the value itself.
    pub stack_bytes: u64,
    /// The bytes of its heap blocks now, or at its end.
    pub heap_bytes: u64,
    /// How these are to be read.
    pub extent: Extent,
    /// Whether its block has not been freed. False where its end is not seen.
    pub live: bool,
    /// Nanoseconds from the first `track_var!` to the end of its block, or to now; 0 where its end
    /// is not seen.
    pub lifetime_ns: u64,
}

/// All variables that one `track_var!` registered with one type; whole however many have come and
/// gone: `registered = live + ended + repeated + unfollowed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableSiteProfile {
    /// As it is written in `track_var!`.
    pub name: String,
    /// The variables' type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// The size of the value itself.
    pub stack_bytes: u64,
    /// How often the `track_var!` was passed.
    pub registered: u64,
    /// Variables whose block has not been freed.
    pub live: u64,
    /// Variables whose block was freed.
    pub ended: u64,
    /// Registrations of a block that already had this name.
    pub repeated: u64,
    /// Registrations without a block to follow: see [`Extent`].
    pub unfollowed: u64,
    /// The heap bytes of the live ones.
    pub live_bytes: u64,
    /// The most heap bytes that one of them had at its registration, after a growth or at its end.
    pub largest_bytes: u64,
    /// The sum of the lifetimes of those that ended.
    pub lifetime_sum_ns: u64,
    /// The longest lifetime of one that ended.
    pub longest_lifetime_ns: u64,
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

/// The whole that memscope's allocator sees, and its two parts: `tracked + untracked = whole`, to
/// the byte.
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
    /// Of `untracked_bytes`, those of shared owners: see [`shared`](crate::async_memory::shared).
    #[serde(default)]
    pub shared_bytes: u64,
}

/// What memscope itself costs, and what it had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUsage {
    /// Memory of memscope's records, sites and history. It is not part of [`ProcessMemory`]; the
    /// words in front of the blocks (8 bytes each) are in neither.
    pub own_bytes: u64,
    /// Of these, the table of the owners of blocks of 4 KiB and more: 64 KiB for each 16 MiB of
    /// addresses at which the program ever had such a block, whatever its tasks do.
    #[serde(default)]
    pub owner_table_bytes: u64,
    /// Rows of ended tasks that could not be written; their sums are in the sites all the same.
    pub events_dropped: u64,
    /// Ended tasks whose row made room for a newer one; their sums are in the sites.
    pub ended_tasks_forgotten: u64,
    /// Tasks that ran untracked because there was no memory for their record.
    pub tasks_without_record: u64,
    /// Tasks counted in `(other)` because their site would have been a row too many.
    pub tasks_in_other: u64,
    /// Hand-overs that were not counted because there were too many pairs of sites.
    pub hand_overs_lost: u64,
    /// Events that were taken out of the threads' rings so far.
    #[serde(default)]
    pub ring_events: u64,
    /// Events that came while their thread's ring was full, or had none. They are missing in
    /// `events()`, and nowhere else.
    ///
    /// Rings are emptied by snapshots and, from [`init`](crate::init) on, by a thread: ten times a
    /// second, or as often as [`Builder::sample_every`](crate::Builder::sample_every) says where
    /// that is more often.
    #[serde(default)]
    pub ring_events_dropped: u64,
    /// Bytes that memscope held in the program's heap when the snapshot began: its settings and
    /// plans of reports, and snapshots that other threads were reading. They are not part of
    /// [`ProcessMemory`].
    #[serde(default)]
    pub heap_bytes: u64,
    /// In so many blocks.
    #[serde(default)]
    pub heap_blocks: u64,
    /// Whether the collector's thread was there.
    #[serde(default)]
    pub collector_is_running: bool,
    /// Unannotated tasks that were given up while they held bytes or their polls were counted,
    /// since there were too many of them: they may have several rows.
    pub tasks_split: u64,
    /// Polls at whose end it could not be kept where the task waits: there were too many such
    /// places (16,384), or there was no memory.
    #[serde(default)]
    pub await_points_refused: u64,
    /// Rows that this snapshot leaves out as there was no memory for them. All sums of the process
    /// count what is in them.
    ///
    /// From its first snapshot, report or `init` on memscope keeps 2 MiB of address space, none of
    /// it resident, for what it has to say when the program's memory is at its end.
    #[serde(default)]
    pub rows_left_out: u64,
    /// Blocks that were freed or reallocated after the program had written over their owner's word,
    /// as a write in front of a block does. The block is freed all the same, and its bytes stay
    /// with the owner that it had.
    #[serde(default)]
    pub owner_words_refused: u64,
    /// Blocks of 4 KiB and more that count as untracked, as there was no memory for their place in
    /// the table of owners.
    #[serde(default)]
    pub owner_slots_refused: u64,
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
