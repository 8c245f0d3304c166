//! How a snapshot is made: out of one reading and of what the collector has kept.

use super::{
    MemorySnapshot,
    capture::{self, Reading},
    collector::{self, Collected},
    rows::{self, SiteNames, Tasks},
};
#[cfg(feature = "task-names")]
use crate::alloc::unannotated::stack_trace;
use crate::{
    accounting::{cross_frees, ended_tasks, registry},
    alloc::{Entered, current, install_check, own_work, self_usage},
    await_points::image,
    config,
    model::{AwaitPoints, Measured, Origin, ProcessMemory, RuntimeMemory, Timeline, ToolUsage},
    primitives::{arena, clock, page_map, reserve},
};

impl MemorySnapshot {
    pub(super) fn empty() -> Self {
        Self {
            origin: Origin::default(),
            measured: Measured::Disabled,
            is_still: true,
            timing_is_off: true,
            observed_ns: 0,
            spawned_tasks: 0,
            active_tasks: 0,
            peak_concurrent_tasks: 0,
            process: ProcessMemory::default(),
            tool: ToolUsage::default(),
            tasks: Vec::new().into(),
            sites: Vec::new(),
            variables: Vec::new(),
            variable_sites: Vec::new(),
            hand_overs: Vec::new(),
            trends: Vec::new(),
            runtime: RuntimeMemory::default(),
            timeline: Timeline::default(),
            events: Vec::new(),
            shared: Vec::new(),
            program: None,
            await_points: Vec::new(),
            await_points_measured: AwaitPoints::Off,
        }
    }

    fn new(
        mut reading: Reading,
        collected: Option<&Collected>,
        counts: registry::Counts,
        measured: Measured,
    ) -> Self {
        let has_sizes = measured.is_yes();
        let (await_points, places, await_points_measured) = rows::await_points(&reading, has_sizes);
        let tasks = Tasks::take(&mut reading, places, has_sizes);
        let reading = &reading;
        let (forgotten, dropped) = ended_tasks::forgotten();
        let observed_ns = clock::now_ns();
        let names = SiteNames::of(reading);
        let owner_table_bytes = page_map::bytes();
        let mut snapshot = Self {
            origin: Origin::here(),
            measured,
            is_still: reading.is_still,
            timing_is_off: config::timing() == crate::sampling::Timing::Off,
            observed_ns,
            spawned_tasks: counts.spawned,
            active_tasks: counts.spawned.saturating_sub(counts.ended),
            peak_concurrent_tasks: counts.peak_concurrent,
            process: rows::process(reading, has_sizes),
            tool: ToolUsage {
                own_bytes: arena::bytes()
                    + registry::STATIC_BYTES
                    + collector::OWN_BYTES
                    + owner_table_bytes,
                owner_table_bytes,
                events_dropped: dropped,
                ended_tasks_forgotten: forgotten,
                tasks_without_record: counts.lost,
                tasks_in_other: reading
                    .sites
                    .iter()
                    .filter(|site| site.site.is_other())
                    .map(|site| site.spawned)
                    .sum(),
                hand_overs_lost: cross_frees::lost(),
                tasks_split: split(),
                await_points_refused: await_points_refused(),
                owner_words_refused: current::words_refused(),
                owner_slots_refused: page_map::slots_refused(),
                ..ToolUsage::default()
            },
            tasks,
            sites: rows::sites(reading, has_sizes, observed_ns),
            variables: rows::variables(reading, &names),
            variable_sites: rows::variable_sites(reading),
            hand_overs: rows::hand_overs(reading, &names),
            trends: Vec::new(),
            runtime: rows::runtime(reading, has_sizes),
            timeline: Timeline::default(),
            events: Vec::new(),
            shared: rows::shared(reading, has_sizes),
            program: if reserve::is_short() { None } else { image::here() },
            await_points,
            await_points_measured,
        };
        if let Some(collected) = collected {
            snapshot.add_history(collected, &names);
        }
        snapshot
    }

    /// Adds what the collector knows.
    fn add_history(&mut self, collected: &Collected, names: &SiteNames) {
        let measured = self.measured.is_yes();
        if let (true, Some(samples)) = (measured, collected.samples.first()) {
            self.trends = samples.trends(names);
            self.timeline = samples.timeline(names);
        }
        self.events = rows::events(&collected.events, names, measured);
        self.tool.ring_events = collected.taken;
        self.tool.ring_events_dropped = collected.dropped;
        self.tool.collector_is_running = collector::is_running();
    }
}

/// Reads all records into a snapshot. No task is stopped for it.
///
/// The snapshot's rows are charged to the thread, outside every task, and are not in its numbers;
/// what its tasks are read into stays memscope's own memory ([`ToolUsage::heap_bytes`]) until it is
/// dropped. It may be taken anywhere: inside a tracked task, in a destructor, while a thread ends,
/// before anything ran.
///
/// # Cost
///
/// It walks all records: a fraction of a microsecond for each living task, each kept ended one and
/// each site. As much again when its tasks are first asked for one by one: by
/// [`tasks`](MemorySnapshot::tasks), `Display`.
///
/// Names have 256 characters at the most, so memory goes with the number of rows. In units of what
/// it is as JSON (about 550 bytes a task), a snapshot takes one, its rows of tasks two, `Display` a
/// half, `leaks` and `diff` one, `allocations` three; serde takes one row at a time, and `{:#}`
/// twelve times what it prints; each of them 1 MiB at the most beside that. Where there is less,
/// rows are left out: [`ToolUsage::rows_left_out`] says how many, and no sum misses them.
pub fn get_memory_snapshot() -> MemorySnapshot {
    if !config::ENABLED {
        return MemorySnapshot::empty();
    }
    // First: whether sizes are measured is seen by a block.
    let work = own_work::work();
    let measured = install_check::measured();
    #[cfg(feature = "task-names")]
    if !reserve::is_short() {
        stack_trace::name_all();
    }
    let heap = self_usage::live();
    let (reading, collected, counts) = current::exempt(|| {
        let reading = capture::read();
        let collected = collector::collect(&reading);
        (reading, collected, registry::counts())
    });
    let _untracked = Entered::untracked();
    let mut snapshot = MemorySnapshot::new(reading, collected.as_ref(), counts, measured);
    (snapshot.tool.heap_bytes, snapshot.tool.heap_blocks) = heap;
    snapshot.tool.rows_left_out = work.left_out();
    snapshot
}

/// A snapshot whose own memory is memscope's: the caller is in `exempt` and drops it there.
#[cfg(feature = "report-file")]
pub(crate) fn for_memscope() -> MemorySnapshot {
    let work = own_work::work();
    let measured = install_check::measured();
    let reading = capture::read();
    let collected = collector::collect(&reading);
    let mut snapshot =
        MemorySnapshot::new(reading, collected.as_ref(), registry::counts(), measured);
    snapshot.tool.rows_left_out = work.left_out();
    snapshot
}

/// Unannotated tasks that lost their record while they held bytes.
fn split() -> u64 {
    #[cfg(feature = "tokio")]
    return crate::alloc::unannotated::split();
    #[cfg(not(feature = "tokio"))]
    0
}

/// How often it could not be kept where a task waits.
fn await_points_refused() -> u64 {
    #[cfg(feature = "layout")]
    return crate::await_points::tree::refused();
    #[cfg(not(feature = "layout"))]
    0
}
