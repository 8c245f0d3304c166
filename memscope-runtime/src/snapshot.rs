//! A snapshot: one reading, as plain data that can be kept, sent and read back.

use serde::{Deserialize, Serialize};

use crate::{
    arena, clock, config,
    current::{self, Entered},
    hand_over, history,
    probe::{self, Measured},
    profile::{
        HandOver, ProcessMemory, RuntimeMemory, SharedProfile, SiteProfile, TaskMemoryProfile,
        TaskPerformanceMetrics, ToolUsage, Trend, VariableProfile, VariableSiteProfile,
    },
    reading::{self, Reading, TaskReading},
    registry,
    rows::{self, Names},
    samples::{self, Series},
    task::{TaskId, TaskType},
};

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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemorySnapshot {
    measured: Measured,
    is_still: bool,
    timing_is_off: bool,
    observed_ns: u64,
    spawned_tasks: u64,
    active_tasks: u64,
    peak_concurrent_tasks: u64,
    process: ProcessMemory,
    tool: ToolUsage,
    tasks: Vec<TaskMemoryProfile>,
    sites: Vec<SiteProfile>,
    variables: Vec<VariableProfile>,
    variable_sites: Vec<VariableSiteProfile>,
    hand_overs: Vec<HandOver>,
    trends: Vec<Trend>,
    runtime: RuntimeMemory,
    #[serde(default)]
    shared: Vec<SharedProfile>,
}

/// Reads all records into a snapshot. No task is stopped for it.
///
/// The snapshot's own memory is charged to the thread, outside every task, and is not in its numbers. It may be taken anywhere: inside a
/// tracked task, in a destructor, while a thread ends, before anything ran.
///
/// # Cost
///
/// It walks all records: a fraction of a microsecond for each living task, each kept ended one and each site.
pub fn get_memory_snapshot() -> MemorySnapshot {
    let measured = probe::measured();
    if !current::ENABLED {
        return MemorySnapshot::empty();
    }
    let (reading, samples, counts) = current::as_memscope(|| {
        let reading = reading::read();
        let samples = samples::take(&reading);
        (reading, samples, registry::counts())
    });
    let _untracked = Entered::untracked();
    let snapshot = MemorySnapshot::from_reading(&reading, &samples, counts, measured);
    drop((reading, samples));
    snapshot
}

impl MemorySnapshot {
    fn empty() -> Self {
        Self {
            measured: Measured::Disabled,
            is_still: true,
            timing_is_off: true,
            observed_ns: 0,
            spawned_tasks: 0,
            active_tasks: 0,
            peak_concurrent_tasks: 0,
            process: ProcessMemory::default(),
            tool: ToolUsage::default(),
            tasks: Vec::new(),
            sites: Vec::new(),
            variables: Vec::new(),
            variable_sites: Vec::new(),
            hand_overs: Vec::new(),
            trends: Vec::new(),
            runtime: RuntimeMemory::default(),
            shared: Vec::new(),
        }
    }

    fn from_reading(
        reading: &Reading,
        samples: &[Series],
        counts: registry::Counts,
        measured: Measured,
    ) -> Self {
        let has_sizes = measured.is_yes();
        let mut open: Vec<&TaskReading> = reading.open.iter().collect();
        open.sort_unstable_by_key(|task| task.id);
        // A completed task whose future is still held is an ended one.
        let (mut ended, living): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|task| task.record.state.is_ended());
        ended.reverse();
        ended.extend(&reading.closed);
        let tasks = living
            .into_iter()
            .chain(ended)
            .filter_map(|task| rows::task(task, has_sizes))
            .collect();
        let (forgotten, dropped) = history::forgotten();
        let observed_ns = clock::now_ns();
        let names = Names::of(reading);
        Self {
            measured,
            is_still: reading.is_still,
            timing_is_off: config::timing() == config::Timing::Off,
            observed_ns,
            spawned_tasks: counts.spawned,
            active_tasks: counts.spawned.saturating_sub(counts.ended),
            peak_concurrent_tasks: counts.peak_concurrent,
            process: rows::process(reading, has_sizes),
            tool: ToolUsage {
                own_bytes: arena::bytes(),
                events_dropped: dropped,
                ended_tasks_forgotten: forgotten,
                tasks_without_record: counts.lost,
                tasks_in_other: reading
                    .sites
                    .iter()
                    .filter(|site| site.site.is_other())
                    .map(|site| site.spawned)
                    .sum(),
                hand_overs_lost: hand_over::lost(),
                tasks_split: split(),
            },
            tasks,
            sites: rows::sites(reading, has_sizes, observed_ns),
            variables: rows::variables(reading, &names),
            variable_sites: rows::variable_sites(reading),
            hand_overs: rows::hand_overs(reading, &names),
            trends: if has_sizes { samples::trends(samples, &names) } else { Vec::new() },
            runtime: rows::runtime(reading, has_sizes),
            shared: rows::shared(reading, has_sizes),
        }
    }

    /// Whether sizes are measured, and if not, why. Numbers of tasks and polls are counted in any case.
    pub fn measured(&self) -> Measured {
        self.measured
    }

    /// Whether no task ended while the snapshot was read, so that all sums fit to the byte. Else each task still is
    /// counted once, but the totals of those that ended in that moment may be missing.
    pub fn is_still(&self) -> bool {
        self.is_still
    }

    /// Tasks created so far.
    pub fn spawned_task_count(&self) -> u64 {
        self.spawned_tasks
    }

    /// Tasks that have not ended: not completed, cancelled or panicked.
    pub fn active_task_count(&self) -> usize {
        usize::try_from(self.active_tasks).unwrap_or(usize::MAX)
    }

    /// The most tasks that ever lived at one time.
    pub fn peak_concurrent_tasks(&self) -> usize {
        usize::try_from(self.peak_concurrent_tasks).unwrap_or(usize::MAX)
    }

    /// Bytes of all allocations that tracked tasks have made so far.
    pub fn total_memory_bytes(&self) -> u64 {
        self.process.tracked_allocated_bytes
    }

    /// Bytes that tracked tasks, living and ended, have allocated and nobody has freed.
    pub fn live_memory_bytes(&self) -> u64 {
        self.process.tracked_bytes
    }

    /// How many allocations tracked tasks have made so far.
    pub fn total_allocations(&self) -> u64 {
        self.sites.iter().map(|site| site.allocation_count).sum()
    }

    /// Of the bytes that ended tasks allocated, the share that was freed again, in percent; 100 when nothing outlived its task.
    pub fn memory_efficiency_percent(&self) -> f64 {
        if !self.measured.is_yes() {
            return f64::NAN;
        }
        let allocated: u64 = self.sites.iter().map(|site| site.ended_allocated_bytes).sum();
        let retained: u64 = self.sites.iter().map(|site| site.retained_bytes).sum();
        if retained == 0 { 100.0 } else { 100.0 * (1.0 - ratio(retained, allocated)) }
    }

    /// How the tasks of one kind fared, over all its sites.
    pub fn get_task_metrics(&self, task_type: TaskType) -> TaskPerformanceMetrics {
        let is_of = move |site: &&SiteProfile| site.task_type == task_type && site.is_annotated;
        let sites = || self.sites.iter().filter(is_of);
        let sum = |field: fn(&SiteProfile) -> u64| sites().map(field).sum::<u64>();
        let (task_count, completed) = (sum(|site| site.spawned), sum(|site| site.completed));
        let peak_bytes = sites().map(|site| site.peak_bytes).max().unwrap_or(0);
        let mib = |bytes: f64| if self.measured.is_yes() { bytes / MIB } else { f64::NAN };
        TaskPerformanceMetrics {
            task_count,
            avg_memory_mb: mib(ratio(sum(|site| site.peak_sum_bytes), task_count)),
            peak_memory_mb: mib(float(peak_bytes)),
            completion_rate_percent: 100.0 * ratio(completed, task_count),
            avg_wait_time_ms: if self.timing_is_off {
                f64::NAN
            } else {
                ratio(sum(|site| site.wait_sum_ns), sum(|site| site.waits_timed)) / 1e6
            },
            throughput_per_sec: ratio(completed, self.observed_ns) * 1e9,
        }
    }

    /// The living tasks in the order of their ids, then the kept ended ones, the newest first.
    pub fn tasks(&self) -> &[TaskMemoryProfile] {
        &self.tasks
    }

    /// The task with this id, if it lives or its row is still kept.
    pub fn task(&self, id: TaskId) -> Option<&TaskMemoryProfile> {
        self.tasks.iter().find(|task| task.id == id)
    }

    /// One row for each place in the code (and name) that made tasks, largest live bytes first.
    pub fn sites(&self) -> &[SiteProfile] {
        &self.sites
    }

    /// The sites whose tasks have this name: several where the same name was given at several places.
    pub fn sites_named(&self, name: &str) -> impl Iterator<Item = &SiteProfile> {
        self.sites.iter().filter(move |site| site.name == name)
    }

    /// The whole, and its tracked and untracked parts.
    pub fn process(&self) -> ProcessMemory {
        self.process
    }

    /// The live variables that `track_var!` registered, the largest first; then, of each place and type, the last one that has ended
    /// or could not be followed.
    pub fn variables(&self) -> &[VariableProfile] {
        &self.variables
    }

    /// One row for each `track_var!` and type of variable, largest live bytes first.
    pub fn variable_sites(&self) -> &[VariableSiteProfile] {
        &self.variable_sites
    }

    /// Who frees what others allocated, by sites, most bytes first.
    pub fn hand_overs(&self) -> &[HandOver] {
        &self.hand_overs
    }

    /// How live bytes went from snapshot to snapshot: of the largest sites and of the largest living tasks.
    pub fn trends(&self) -> &[Trend] {
        &self.trends
    }

    /// What was allocated in [`shared`](crate::async_memory::shared) scopes: one row a name, largest live bytes first.
    pub fn shared(&self) -> &[SharedProfile] {
        &self.shared
    }

    /// What the async runtime itself holds.
    pub fn runtime(&self) -> RuntimeMemory {
        self.runtime
    }

    /// What memscope itself costs, and what it had to give up.
    pub fn tool(&self) -> ToolUsage {
        self.tool
    }

    /// Seconds from the start of tracking to this snapshot.
    pub fn observed_seconds(&self) -> f64 {
        float(self.observed_ns) / 1e9
    }
}

/// Unannotated tasks that lost their record while they held bytes.
fn split() -> u64 {
    #[cfg(feature = "tokio")]
    return crate::plain::split();
    #[cfg(not(feature = "tokio"))]
    0
}

pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// Bytes as `f64`: exact up to 8 PiB.
#[expect(clippy::cast_precision_loss, reason = "no program has 8 PiB")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

/// `part / whole`; 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { float(part) / float(whole) }
}
