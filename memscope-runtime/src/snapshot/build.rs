//! Builds a snapshot from one reading and from what the collector has kept.

use super::{
    MemorySnapshot, Parts,
    capture::{self, Reading},
    collector::{self, Collected},
    rows::{self, SiteNames, Tasks},
    sharing::Sharing,
};
use crate::{
    accounting::{UNNAMED, cross_frees, ended_tasks, registry, stacks},
    alloc::{Entered, current, install_check, own_work, self_usage},
    await_points::image,
    config,
    model::{
        AwaitPoints, Measured, Origin, ProcessMemory, Resident, RuntimeMemory, SiteProfile,
        StacksState, TaskCells, Timeline, ToolUsage,
    },
    primitives::{arena, clock, page_map, reserve, start_bits},
    resident::{self, Asked},
    symbols,
};

impl Parts {
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
            resident: Resident::default(),
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
            over_budget: Vec::new(),
            shared: Vec::new(),
            program: None,
            await_points: Vec::new(),
            await_points_measured: AwaitPoints::Off,
            stacks: Vec::new(),
            stacks_measured: StacksState::Off,
            stack_interval_bytes: 0,
            stack_names_pending: 0,
            libraries: Vec::new(),
            heap_graph: None,
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
        let (forgotten, dropped) = ended_tasks::forgotten();
        let observed_ns = clock::now_ns();
        let (sites, site_indices) = rows::sites(&reading, has_sizes, observed_ns);
        if !has_sizes {
            // Another allocator's blocks are not the program's.
            reading.stacks.clear();
        }
        let sampled = rows::stacks(&mut reading, (&sites, &site_indices), |place| {
            collected.map_or(&[], |collected| collected.points.of_stack(place))
        });
        let reading = &reading;
        let names = SiteNames::of(reading);
        let owner_table_bytes = page_map::bytes();
        let holder_table_bytes = start_bits::bytes();
        let history_bytes =
            collected.map_or(Collected::MOST_OWN_BYTES, |collected| collected.own_bytes);
        let (task_cells, task_cells_refused) = task_cells();
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
            resident: Resident::default(),
            tool: ToolUsage {
                own_bytes: arena::bytes()
                    + registry::STATIC_BYTES
                    + history_bytes
                    + owner_table_bytes
                    + holder_table_bytes,
                owner_table_bytes,
                holder_table_bytes,
                blocks_not_listed: start_bits::refused(),
                stack_bytes: stacks::held_bytes(),
                history_bytes,
                name_bytes: symbols::kept_bytes(),
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
                task_cells,
                task_cells_refused,
                await_points_refused: await_points_refused(),
                owner_words_refused: current::words_refused(),
                owner_slots_refused: page_map::slots_refused(),
                names_left_out: symbols::left_out(),
                stacks_dropped: stacks::dropped(),
                stacks_left_out: sampled.left_out,
                stacks_left_out_bytes: sampled.left_out_bytes,
                ..ToolUsage::default()
            },
            tasks,
            sites,
            variables: rows::variables(reading, &names),
            variable_sites: rows::variable_sites(reading),
            hand_overs: rows::hand_overs(reading, &names),
            trends: Vec::new(),
            runtime: rows::runtime(reading, has_sizes),
            timeline: Timeline::default(),
            events: Vec::new(),
            over_budget: rows::over_budget(&names),
            shared: rows::shared(reading, has_sizes),
            program: if reserve::is_short() { None } else { image::here() },
            await_points,
            await_points_measured,
            stacks: sampled.rows,
            stacks_measured: stacks::reason(),
            stack_interval_bytes: stacks::interval_bytes(),
            stack_names_pending: sampled.names_pending,
            libraries: sampled.libraries,
            heap_graph: None,
        };
        let is_unnamed = |site: &&SiteProfile| !site.is_annotated && site.name == UNNAMED;
        for site in snapshot.sites.iter().filter(is_unnamed) {
            snapshot.tool.unnamed_tasks += site.active;
            snapshot.tool.unnamed_bytes += site.live_bytes;
        }
        if let Some(collected) = collected {
            snapshot.add_history(collected, &names);
        }
        snapshot
    }

    /// Where resident memory is.
    fn divide(&self, asked: Asked) -> Resident {
        let live_bytes = self.process.measured.then_some(self.process.whole_bytes);
        resident::divide(live_bytes, self.tool.own_bytes + self.tool.heap_bytes, asked)
    }

    /// Adds the events and the samples that the collector has kept.
    fn add_history(&mut self, collected: &Collected, names: &SiteNames) {
        let measured = self.measured.is_yes();
        if measured {
            self.trends = collected.points.trends(names);
            self.timeline = collected.points.timeline(names);
        }
        self.events = rows::events(&collected.points.events, names, measured);
        self.tool.ring_events = collected.taken;
        self.tool.ring_events_dropped = collected.dropped;
        self.tool.looks = collected.looks;
        self.tool.longest_look_ns = collected.longest_look_ns;
        self.tool.collector_is_running = collector::is_running();
    }
}

/// Reads all records into a snapshot. Tasks run on meanwhile.
///
/// Threads that ask at one time share snapshots: while one is taken, the others wait, and one of
/// them then takes the next for all. So a snapshot is never older than the call that returns it.
/// However many threads ask, only one reading takes memory at a time.
///
/// The snapshot's rows are charged to the thread that takes it, outside every task, and are not in
/// the snapshot's own numbers. The readings of its tasks stay memscope's own memory
/// ([`ToolUsage::heap_bytes`]) until the snapshot is dropped. A snapshot may be taken anywhere:
/// inside a tracked task, in a destructor, while a thread ends, before anything has run.
///
/// # Cost
///
/// It walks all records: a fraction of a microsecond for each living task, each ended task that is
/// kept and each site. The rows of tasks cost as much again when they are first needed: by
/// [`tasks`](MemorySnapshot::tasks) or `Display`.
///
/// Names have at most 256 characters, so memory grows with the number of rows. The unit below is
/// the size of the snapshot as JSON, about 550 bytes a task:
///
/// | what | units |
/// |---|---|
/// | a snapshot | 1 |
/// | its rows of tasks | 2 |
/// | `leaks`, `diff` | 1 |
/// | `Display`, which looks for leaks | 1½ |
/// | `allocations` | 3 |
/// | serde | one row at a time |
/// | `{:#}` | 1, and twelve times what it prints |
///
/// Each takes at most 1 MiB more than that. If there is less memory, rows are left out, and
/// [`ToolUsage::rows_left_out`] says how many. The sums of the process stay complete.
pub fn get_memory_snapshot() -> MemorySnapshot {
    static SHARING: Sharing<MemorySnapshot> = Sharing::new();
    if !config::ENABLED {
        return Parts::empty().into();
    }
    SHARING.get(|| take(|| Some(Entered::untracked())))
}

/// Takes a snapshot. `enter` makes the owner of the snapshot's own memory current, or returns
/// `None` to leave it as it is.
fn take(enter: fn() -> Option<Entered>) -> MemorySnapshot {
    // NOTE: must come before the measuring, which allocates a block to see whether the allocator is
    // installed.
    let work = own_work::work();
    let measured = install_check::measured();
    // Must come before the reading: if no name is awaited, the rows have their names.
    let names_awaited = symbols::wait_for_names();
    let heap = self_usage::live();
    let (reading, collected, counts) = current::exempt(|| {
        let reading = capture::read();
        let collected = collector::collect(&reading);
        (reading, collected, registry::counts())
    });
    let _charged = enter();
    let mut snapshot = Parts::new(reading, collected.as_ref(), counts, measured);
    (snapshot.tool.heap_bytes, snapshot.tool.heap_blocks) = heap;
    snapshot.resident = current::exempt(|| snapshot.divide(Asked::Yes));
    snapshot.tool.rows_left_out = work.left_out();
    snapshot.tool.names_awaited = names_awaited;
    if snapshot.stack_names_pending != 0 && !symbols::want_stack_names() {
        snapshot.stack_names_pending = 0;
    }
    snapshot.into()
}

/// A snapshot that is memscope's own memory. Must be called, and its result dropped, inside
/// `exempt`.
#[cfg(feature = "report-file")]
pub(crate) fn for_memscope(asked: Asked) -> MemorySnapshot {
    let work = own_work::work();
    let measured = install_check::measured();
    let names_awaited = symbols::want_if_waiting();
    let reading = capture::read();
    let collected = collector::collect(&reading);
    let mut snapshot = Parts::new(reading, collected.as_ref(), registry::counts(), measured);
    snapshot.resident = snapshot.divide(asked);
    snapshot.tool.rows_left_out = work.left_out();
    snapshot.tool.names_awaited = names_awaited;
    snapshot.into()
}

/// [`for_memscope`] for a reader that takes the next snapshot soon, which has the names that this
/// one lacks.
#[cfg(feature = "report-file")]
pub(crate) fn for_server() -> MemorySnapshot {
    if config::ENABLED { take(|| None) } else { Parts::empty().into() }
}

#[cfg(feature = "report-file")]
impl MemorySnapshot {
    /// Whether it shows tasks or code whose names a look-up would find.
    pub(crate) fn lacks_names(&self) -> bool {
        self.parts.stack_names_pending != 0 || self.parts.tool.names_awaited != 0
    }
}

/// Unannotated tasks that lost their record while they held bytes.
fn split() -> u64 {
    #[cfg(feature = "tokio")]
    return crate::alloc::unannotated::split();
    #[cfg(not(feature = "tokio"))]
    0
}

/// Whether unannotated tasks end exactly, and how many of their cells were not noted.
fn task_cells() -> (TaskCells, u64) {
    #[cfg(feature = "tokio")]
    return (crate::alloc::cells::state(), crate::alloc::cells::refused());
    #[cfg(not(feature = "tokio"))]
    (TaskCells::NotTried, 0)
}

/// Polls after which there was no room to note where the task waits.
fn await_points_refused() -> u64 {
    #[cfg(feature = "layout")]
    return crate::await_points::tree::refused();
    #[cfg(not(feature = "layout"))]
    0
}
