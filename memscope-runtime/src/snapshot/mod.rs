//! One consistent reading of all counters, as rows that can be kept, sent and read back.

mod account_walk;
pub(crate) mod await_tree;
pub(crate) mod unlisted;
mod largest_sites;
mod live_sample;
pub(crate) mod build;
pub(crate) mod calls;
pub(crate) mod capture;
pub(crate) mod collector;
mod figures;
#[cfg(feature = "report-file")]
pub(crate) mod head;
mod limits;
pub(crate) mod monitor;
pub(crate) mod one_task;
pub(crate) mod open_tasks;
mod site_reading;
pub(crate) mod ranking;
pub(crate) mod rows;
#[cfg(feature = "report-file")]
pub(crate) mod select;
mod sharing;
mod stand_ins;
mod thinned;
#[cfg(feature = "report-file")]
mod trim;

#[allow(unused_imports, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) use sharing::Sharing;

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

use crate::{
    await_points::Program,
    model::{
        AwaitPoint, AwaitPoints, EventKind, HandOver, HeapGraph, Library, Measured, Origin,
        OverBudgetTask, ProcessMemory, Resident, RuntimeMemory, SharedProfile, SiteProfile,
        StackProfile, StacksState, TaskEvent, TaskId, TaskMemoryProfile, TaskPerformanceMetrics,
        TaskType, Timeline, ToolUsage, Trend, VariableProfile, VariableSiteProfile,
    },
};
use rows::Tasks;

/// All tasks, all sites and the process at one moment; `Display` prints it as a table.
///
/// ```
/// use memscope_runtime::async_memory::{MemorySnapshot, get_memory_snapshot};
///
/// let snapshot = get_memory_snapshot();
/// println!("{snapshot}");
/// let json = serde_json::to_string(&snapshot).unwrap();
/// assert_eq!(serde_json::from_str::<MemorySnapshot>(&json).unwrap(), snapshot);
/// ```
#[derive(Clone, PartialEq, Deserialize)]
#[serde(from = "Parts")]
pub struct MemorySnapshot {
    /// Shared by all callers that took the snapshot at one time.
    parts: Arc<Parts>,
}

/// What a snapshot consists of; its fields are the file format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Parts {
    /// Files that were written before this field existed lack it.
    #[serde(default)]
    origin: Origin,
    measured: Measured,
    is_still: bool,
    timing_is_off: bool,
    observed_ns: u64,
    spawned_tasks: u64,
    active_tasks: u64,
    peak_concurrent_tasks: u64,
    process: ProcessMemory,
    #[serde(default)]
    resident: Resident,
    tool: ToolUsage,
    tasks: Tasks,
    sites: Vec<SiteProfile>,
    variables: Vec<VariableProfile>,
    variable_sites: Vec<VariableSiteProfile>,
    hand_overs: Vec<HandOver>,
    trends: Vec<Trend>,
    runtime: RuntimeMemory,
    #[serde(default)]
    timeline: Timeline,
    #[serde(default)]
    events: Vec<TaskEvent>,
    #[serde(default)]
    over_budget: Vec<OverBudgetTask>,
    #[serde(default)]
    shared: Vec<SharedProfile>,
    #[serde(default)]
    program: Option<Program>,
    #[serde(default)]
    await_points: Vec<AwaitPoint>,
    #[serde(default)]
    await_points_measured: AwaitPoints,
    #[serde(default)]
    stacks: Vec<StackProfile>,
    #[serde(default)]
    stacks_measured: StacksState,
    #[serde(default)]
    stack_interval_bytes: u64,
    #[serde(default)]
    stack_names_pending: u64,
    #[serde(default)]
    libraries: Vec<Library>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    heap_graph: Option<HeapGraph>,
}

impl MemorySnapshot {
    /// The process that this is a snapshot of.
    pub fn origin(&self) -> Origin {
        self.parts.origin
    }

    /// Where tasks wait: one row for each chain of `.await`s at which tasks wait, largest live
    /// bytes first.
    ///
    /// Empty unless [`Builder::await_points`](crate::Builder::await_points) switched it on: see
    /// [`await_points_measured`](Self::await_points_measured). Tasks whose last poll ended before
    /// it was switched on are in no row.
    pub fn await_points(&self) -> &[AwaitPoint] {
        &self.parts.await_points
    }

    /// Whether it is known where tasks wait, and if not, why.
    ///
    /// ```
    /// use memscope_runtime::async_memory::{AwaitPoints, get_memory_snapshot};
    ///
    /// let snapshot = get_memory_snapshot();
    /// assert_eq!(snapshot.await_points_measured(), &AwaitPoints::Off, "off by default");
    /// assert!(snapshot.await_points().is_empty());
    /// ```
    pub fn await_points_measured(&self) -> &AwaitPoints {
        &self.parts.await_points_measured
    }

    /// Where a task of this snapshot waits; `None` where that is not known.
    pub fn await_point_of(&self, task: &TaskMemoryProfile) -> Option<&AwaitPoint> {
        self.parts.await_points.get(usize::try_from(task.await_point?).ok()?)
    }

    /// The program that ran: the file in which the [vtables of its
    /// futures](SiteProfile::future_vtable) can be looked up. `None` where it is not known, and in
    /// files written before this field existed.
    ///
    /// ```
    /// use memscope_runtime::async_memory::get_memory_snapshot;
    ///
    /// let snapshot = get_memory_snapshot();
    /// if let Some(program) = snapshot.program() {
    ///     assert!(!program.path.is_empty());
    /// }
    /// ```
    pub fn program(&self) -> Option<&Program> {
        self.parts.program.as_ref()
    }

    /// Nanoseconds from the start of tracking to this snapshot.
    pub(crate) fn observed_ns(&self) -> u64 {
        self.parts.observed_ns
    }

    /// Whether sizes are measured, and if not, why. Numbers of tasks and polls are counted in any
    /// case.
    pub fn measured(&self) -> Measured {
        self.parts.measured
    }

    /// Whether the snapshot is consistent: no task ended while it was read, so all sums are exact
    /// to the byte. Otherwise each task is still counted once, but the totals of tasks that ended
    /// at that moment may be missing.
    pub fn is_still(&self) -> bool {
        self.parts.is_still
    }

    /// Tasks created so far, without the unannotated ones.
    pub fn spawned_task_count(&self) -> u64 {
        self.parts.spawned_tasks
    }

    /// Tasks that have not completed, been cancelled or panicked, without the unannotated ones.
    pub fn active_task_count(&self) -> usize {
        usize::try_from(self.parts.active_tasks).unwrap_or(usize::MAX)
    }

    /// The most tasks that were ever alive at one time, without the unannotated ones.
    pub fn peak_concurrent_tasks(&self) -> usize {
        usize::try_from(self.parts.peak_concurrent_tasks).unwrap_or(usize::MAX)
    }

    /// Bytes of all allocations that tracked tasks have made so far.
    pub fn total_memory_bytes(&self) -> u64 {
        self.parts.process.tracked_allocated_bytes
    }

    /// Bytes that tracked tasks, living and ended, have allocated and that are not yet freed.
    pub fn live_memory_bytes(&self) -> u64 {
        self.parts.process.tracked_bytes
    }

    /// How many allocations tracked tasks have made so far.
    pub fn total_allocations(&self) -> u64 {
        sum(self.parts.sites.iter().map(|site| site.allocation_count))
    }

    /// Of the bytes that ended tasks allocated, the share that was freed again, in percent; 100
    /// when nothing outlived its task. Of annotated tasks alone, if there are any.
    pub fn memory_efficiency_percent(&self) -> f64 {
        if !self.parts.measured.is_yes() {
            return f64::NAN;
        }
        let sites = &self.parts.sites;
        let are_annotated = sites.iter().any(|site| site.is_annotated);
        let sites = || sites.iter().filter(|site| site.is_annotated == are_annotated);
        let allocated = sum(sites().map(|site| site.ended_allocated_bytes));
        let retained = sum(sites().map(|site| site.retained_bytes));
        if retained == 0 { 100.0 } else { 100.0 * (1.0 - ratio(retained, allocated).min(1.0)) }
    }

    /// How the tasks of one kind performed, over all their sites.
    pub fn get_task_metrics(&self, task_type: TaskType) -> TaskPerformanceMetrics {
        let is_of = move |site: &&SiteProfile| site.task_type == task_type && site.is_annotated;
        let sites = || self.parts.sites.iter().filter(is_of);
        let sum = |field: fn(&SiteProfile) -> u64| sum(sites().map(field));
        let (task_count, completed) = (sum(|site| site.spawned), sum(|site| site.completed));
        let peak_bytes = sites().map(|site| site.peak_bytes).max().unwrap_or(0);
        let mib = |bytes: f64| if self.parts.measured.is_yes() { bytes / MIB } else { f64::NAN };
        TaskPerformanceMetrics {
            task_count,
            avg_memory_mb: mib(ratio(sum(|site| site.peak_sum_bytes), task_count)),
            peak_memory_mb: mib(float(peak_bytes)),
            completion_rate_percent: 100.0 * ratio(completed, task_count).min(1.0),
            avg_wait_time_ms: if self.parts.timing_is_off {
                f64::NAN
            } else {
                ratio(sum(|site| site.wait_sum_ns), sum(|site| site.waits_timed)) / 1e6
            },
            throughput_per_sec: ratio(completed, self.parts.observed_ns) * 1e9,
        }
    }

    /// The living tasks in the order of their ids, then the ended ones that are kept, the newest
    /// first.
    ///
    /// Nothing reports the end of an unannotated task, except on a runtime with `tokio_hooks`: its
    /// state is `Unknown`. Such tasks stand among the living while they hold bytes, and after the
    /// living otherwise.
    ///
    /// The rows are made when they are first needed: by this call, or by anything else that shows
    /// them. Their memory is charged to the thread that does so, outside every task.
    pub fn tasks(&self) -> &[TaskMemoryProfile] {
        self.parts.tasks.rows()
    }

    /// The task with this id, if it lives or its row is still kept.
    pub fn task(&self, id: TaskId) -> Option<&TaskMemoryProfile> {
        self.tasks().iter().find(|task| task.id == id)
    }

    /// One row for each place in the code (and name) that made tasks, largest live bytes first.
    pub fn sites(&self) -> &[SiteProfile] {
        &self.parts.sites
    }

    /// The sites whose tasks have this name: several where the same name was given at several
    /// places.
    pub fn sites_named(&self, name: &str) -> impl Iterator<Item = &SiteProfile> {
        self.parts.sites.iter().filter(move |site| site.name == name)
    }

    /// The whole, and its tracked and untracked parts.
    pub fn process(&self) -> ProcessMemory {
        self.parts.process
    }

    /// The live variables that `track_var!` registered, the largest first. Then, for each place and
    /// type, the last one that has ended or could not be followed.
    pub fn variables(&self) -> &[VariableProfile] {
        &self.parts.variables
    }

    /// One row for each `track_var!` and type of variable, largest live bytes first.
    pub fn variable_sites(&self) -> &[VariableSiteProfile] {
        &self.parts.variable_sites
    }

    /// Cross-task frees: which site frees what another allocated, most bytes first.
    pub fn hand_overs(&self) -> &[HandOver] {
        &self.parts.hand_overs
    }

    /// How live bytes changed from snapshot to snapshot, for the largest sites and the largest
    /// living tasks.
    pub fn trends(&self) -> &[Trend] {
        &self.parts.trends
    }

    /// How live bytes of the process and of the largest sites have changed since the start.
    ///
    /// Points are taken at snapshots and, from `init` on, about once a second while something
    /// happens. The distance between points grows with time, so that their number stays bounded.
    pub fn timeline(&self) -> &Timeline {
        &self.parts.timeline
    }

    /// The latest events, in order: the last 512 creations and ends of tasks, the last 64 large
    /// blocks and the last 64 long polls.
    ///
    /// Events are for looking at, not for counting. Where they come faster than they are collected,
    /// they are dropped, and [`ToolUsage::ring_events_dropped`] counts the dropped ones. No sum and
    /// no count depends on them.
    pub fn events(&self) -> &[TaskEvent] {
        &self.parts.events
    }

    /// The long polls among the events. A long poll is a timed poll that took at least
    /// [`Builder::long_poll`](crate::Builder::long_poll), and kept its worker from other tasks for
    /// that time.
    pub fn long_polls(&self) -> impl Iterator<Item = &TaskEvent> {
        self.parts.events.iter().filter(|event| event.kind == EventKind::LongPoll)
    }

    /// What was allocated in [`shared`](crate::async_memory::shared) scopes: one row a name,
    /// largest live bytes first.
    pub fn shared(&self) -> &[SharedProfile] {
        &self.parts.shared
    }

    /// Where the code allocates: the call stacks with the most live bytes, the largest first. All
    /// their bytes are estimates from samples.
    ///
    /// At most 100 stacks are kept, and [`ToolUsage::stacks_left_out`] counts the others. Why there
    /// are none says [`stacks_measured`](Self::stacks_measured).
    pub fn stacks(&self) -> &[StackProfile] {
        &self.parts.stacks
    }

    /// Whether there was no memory for the largest stacks.
    pub(crate) fn has_few_stacks(&self) -> bool {
        self.parts.tool.stacks_left_out != 0 && self.parts.stacks.len() < rows::MOST_STACKS
    }

    /// Whether call stacks are sampled, and if not, why. There are none either where sizes are not
    /// [measured](Self::measured).
    pub fn stacks_measured(&self) -> StacksState {
        self.parts.stacks_measured
    }

    /// The mean number of allocated bytes between two samples of a stack, at the time of the
    /// snapshot; 0 if none are taken. Each sample counts with the mean that was valid for it.
    pub fn stack_interval_bytes(&self) -> u64 {
        self.parts.stack_interval_bytes
    }

    /// Calls in [`stacks`](Self::stacks) whose names and lines a thread looks up for a later
    /// snapshot.
    pub fn stack_names_pending(&self) -> u64 {
        self.parts.stack_names_pending
    }

    /// What held the heap at about the time of this snapshot. `None` unless a report has taken it,
    /// or [`with_heap_graph`](Self::with_heap_graph) has added it.
    pub fn heap_graph(&self) -> Option<&HeapGraph> {
        self.parts.heap_graph.as_ref()
    }

    /// Adds what holds the heap, of about the same time: [`leaks`](Self::leaks) then says what
    /// holds the bytes of a finding, and that nothing does. Files of the snapshot have it too.
    ///
    /// ```
    /// use memscope_runtime::async_memory::{get_memory_snapshot, heap_graph};
    ///
    /// let snapshot = get_memory_snapshot();
    /// let snapshot = match heap_graph() {
    ///     Ok(graph) => snapshot.with_heap_graph(graph),
    ///     Err(why) => {
    ///         println!("{why}");
    ///         snapshot
    ///     }
    /// };
    /// println!("{}", snapshot.leaks());
    /// ```
    #[must_use = "it is another snapshot"]
    pub fn with_heap_graph(self, graph: HeapGraph) -> Self {
        // It is shared only while several callers asked at one time.
        let mut parts = Arc::try_unwrap(self.parts).unwrap_or_else(|shared| (*shared).clone());
        parts.heap_graph = Some(graph);
        parts.into()
    }

    /// What the async runtime itself holds.
    pub fn runtime(&self) -> RuntimeMemory {
        self.parts.runtime
    }

    /// What memscope itself costs, and what it had to give up.
    pub fn tool(&self) -> ToolUsage {
        let rows_left_out =
            self.parts.tool.rows_left_out.saturating_add(self.parts.tasks.left_out());
        ToolUsage { rows_left_out, ..self.parts.tool }
    }

    /// Seconds from the start of tracking to this snapshot.
    pub fn observed_seconds(&self) -> f64 {
        float(self.parts.observed_ns) / 1e9
    }
}

impl From<Parts> for MemorySnapshot {
    fn from(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }
}

impl Serialize for MemorySnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl fmt::Debug for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.fmt(f)
    }
}

pub use build::get_memory_snapshot;
#[cfg(feature = "report-file")]
pub(crate) use build::{for_memscope, for_server};
use figures::ratio;
pub(crate) use figures::{MIB, float, sum};
pub use monitor::{AsyncResourceMonitor, ResourceAnalysis};
