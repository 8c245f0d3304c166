//! A snapshot: one reading, as plain data that can be kept, sent and read back.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    arena, clock, config,
    current::{self, Entered},
    history,
    probe::{self, Measured},
    profile::{
        Bucket, HandOver, ProcessMemory, RuntimeMemory, SiteProfile, TaskMemoryProfile,
        TaskPerformanceMetrics, ToolUsage, Trend, VariableProfile, VariableSiteProfile,
    },
    reading::{self, Reading, SiteReading, TaskReading},
    registry,
    task::{TaskId, TaskState, TaskType},
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
    let (reading, counts) = current::as_memscope(|| {
        let reading = reading::read();
        (reading, registry::counts())
    });
    let _untracked = Entered::untracked();
    let snapshot = MemorySnapshot::from_reading(&reading, counts, measured);
    drop(reading);
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
        }
    }

    fn from_reading(reading: &Reading, counts: registry::Counts, measured: Measured) -> Self {
        let has_sizes = measured.is_yes();
        let mut open: Vec<&TaskReading> = reading.open.iter().collect();
        open.sort_unstable_by_key(|task| task.id);
        // A completed task whose future is still held is an ended one.
        let (mut ended, living): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|task| task.record.state.is_ended());
        ended.reverse();
        ended.extend(&reading.closed);
        let tasks =
            living.into_iter().chain(ended).filter_map(|task| profile(task, has_sizes)).collect();
        let sites = sites(reading, has_sizes);
        let (forgotten, dropped) = history::forgotten();
        let process = process(reading, has_sizes);
        Self {
            measured,
            is_still: reading.is_still,
            timing_is_off: config::timing() == config::Timing::Off,
            observed_ns: clock::now_ns(),
            spawned_tasks: counts.spawned,
            active_tasks: counts.spawned.saturating_sub(counts.ended),
            peak_concurrent_tasks: counts.peak_concurrent,
            process,
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
            },
            tasks,
            sites,
            variables: Vec::new(),
            variable_sites: Vec::new(),
            hand_overs: Vec::new(),
            trends: Vec::new(),
            runtime: RuntimeMemory::default(),
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
        let sites = || self.sites.iter().filter(move |site| site.task_type == task_type);
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

fn profile(task: &TaskReading, measured: bool) -> Option<TaskMemoryProfile> {
    let TaskReading { id, tally, record, live_bytes, live_blocks } = task;
    let sizes = |bytes| if measured { bytes } else { 0 };
    let freed_bytes = tally.allocated_bytes.saturating_sub(*live_bytes);
    Some(TaskMemoryProfile {
        id: TaskId::new(*id)?,
        parent: TaskId::new(record.parent),
        name: record.site.name.to_owned(),
        task_type: record.site.task_type,
        state: record.state,
        file: record.site.file.into(),
        line: record.site.line,
        measured,
        live_bytes: sizes(*live_bytes),
        peak_bytes: sizes(record.peak_bytes),
        allocated_bytes: sizes(tally.allocated_bytes),
        allocation_count: sizes(tally.allocations),
        freed_bytes: sizes(freed_bytes),
        freed_elsewhere_bytes: sizes(freed_bytes.saturating_sub(tally.own_freed_bytes())),
        live_blocks: sizes(*live_blocks),
        future_size_bytes: record.future.size as u64,
        future_type: (record.future.name)().into(),
        poll_count: record.polls,
        busy_ns: record.timing.busy_ns,
        wait_ns: record.timing.wait_ns,
        timing_is_estimate: record.timing.is_estimate,
        idle_ns: None,
        cell_bytes: 0,
    })
}

/// One row a site: the sums over its closed tasks, with the open ones added.
fn sites(reading: &Reading, measured: bool) -> Vec<SiteProfile> {
    let mut rows: Vec<SiteProfile> = reading.sites.iter().map(row).collect();
    let places: HashMap<u32, usize> =
        reading.sites.iter().enumerate().map(|(place, site)| (site.site.index(), place)).collect();
    for task in &reading.open {
        if let Some(row) =
            places.get(&task.record.row.index()).and_then(|&place| rows.get_mut(place))
        {
            row.add_open(task);
        }
    }
    for row in &mut rows {
        row.active = row.spawned.saturating_sub(row.completed + row.cancelled + row.panicked);
        if !measured {
            row.forget_sizes();
        }
    }
    rows.sort_by(|a, b| {
        (b.live_bytes, b.allocated_bytes, &a.name).cmp(&(a.live_bytes, a.allocated_bytes, &b.name))
    });
    rows
}

fn row(reading: &SiteReading) -> SiteProfile {
    let SiteReading { site, sums, spawned, retained_bytes, retained_blocks } = *reading;
    SiteProfile {
        name: site.name.to_owned(),
        task_type: site.task_type,
        file: site.file.into(),
        line: site.line,
        measured: true,
        spawned,
        active: 0,
        completed: sums.completed,
        cancelled: sums.cancelled,
        panicked: sums.panicked,
        live_bytes: retained_bytes,
        live_blocks: retained_blocks,
        peak_bytes: sums.highest_peak_bytes,
        peak_sum_bytes: sums.peak_sum_bytes,
        allocated_bytes: sums.allocated_bytes,
        allocation_count: sums.allocations,
        ended_allocated_bytes: sums.allocated_bytes,
        retained_bytes,
        unjoined_bytes: 0,
        retained_tasks: 0,
        oldest_retained_ns: None,
        retained_waves: 0,
        retained_by_eighth: [0; 8],
        future_size_bytes: site.future_size_bytes(),
        argument_bytes: None,
        boxed_by_tokio: 0,
        longest_wait_ns: 0,
        wait_sum_ns: sums.wait_sum_ns,
        waits_timed: sums.waits,
        peak_histogram: Bucket::all(site.sums.peaks()),
        poll_histogram: Bucket::all(site.polls()),
    }
}

impl SiteProfile {
    fn add_open(&mut self, task: &TaskReading) {
        self.live_bytes += task.live_bytes;
        self.live_blocks += task.live_blocks;
        self.peak_bytes = self.peak_bytes.max(task.record.peak_bytes);
        self.peak_sum_bytes += task.record.peak_bytes;
        self.allocated_bytes += task.tally.allocated_bytes;
        self.allocation_count += task.tally.allocations;
        match task.record.state {
            TaskState::Idle | TaskState::Running => return,
            TaskState::Completed => self.completed += 1,
            TaskState::Cancelled => self.cancelled += 1,
            TaskState::Panicked => self.panicked += 1,
        }
        // It has ended, but its future is still there.
        self.retained_bytes += task.live_bytes;
        self.ended_allocated_bytes += task.tally.allocated_bytes;
        if let Some(wait_ns) = task.record.timing.wait_ns {
            self.wait_sum_ns += wait_ns;
            self.waits_timed += 1;
        }
    }

    fn forget_sizes(&mut self) {
        self.measured = false;
        for size in [
            &mut self.live_bytes,
            &mut self.live_blocks,
            &mut self.peak_bytes,
            &mut self.peak_sum_bytes,
            &mut self.allocated_bytes,
            &mut self.allocation_count,
            &mut self.ended_allocated_bytes,
            &mut self.retained_bytes,
        ] {
            *size = 0;
        }
        self.peak_histogram.clear();
    }
}

fn process(reading: &Reading, measured: bool) -> ProcessMemory {
    if !measured {
        return ProcessMemory::default();
    }
    let open = |field: fn(&TaskReading) -> u64| reading.open.iter().map(field).sum::<u64>();
    let sites = |field: fn(&SiteReading) -> u64| reading.sites.iter().map(field).sum::<u64>();
    let tracked_bytes = open(|task| task.live_bytes) + sites(|site| site.retained_bytes);
    let tracked_blocks = open(|task| task.live_blocks) + sites(|site| site.retained_blocks);
    let Reading { untracked, .. } = reading;
    ProcessMemory {
        measured,
        tracked_bytes,
        untracked_bytes: untracked.live_bytes,
        whole_bytes: tracked_bytes + untracked.live_bytes,
        tracked_blocks,
        untracked_blocks: untracked.live_blocks,
        whole_blocks: tracked_blocks + untracked.live_blocks,
        tracked_allocated_bytes: open(|task| task.tally.allocated_bytes)
            + sites(|site| site.sums.allocated_bytes),
        untracked_allocated_bytes: untracked.allocated_bytes,
    }
}
