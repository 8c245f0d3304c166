//! From a reading to the rows of a snapshot.

#[cfg(feature = "layout")]
mod await_points;
mod tasks;

use std::collections::HashMap;

use super::{
    capture::{Reading, Retained, SiteReading},
    collector::recent::Kept,
    open_tasks::{EndedTasks, OpenTasks},
};
#[cfg(feature = "layout")]
use crate::await_points::layouts;
use crate::{
    accounting::{
        HandedOver, SharedReading, Site, UNTRACKED, VariableReading, VariableSiteReading,
    },
    await_points::image,
    model::{
        AwaitPoint, AwaitPoints, Bucket, EventKind, HandOver, Items, MOST_NAME, Place,
        ProcessMemory, RuntimeMemory, SharedProfile, SiteProfile, StateMachine, TaskEvent, TaskId,
        TaskState, VariableProfile, VariableSiteProfile, text,
    },
    primitives::{order, reserve},
};

pub(crate) use super::rows::tasks::Tasks;

/// What is known of a site's future takes beside its row: names, types and places of five values.
const MACHINE_BYTES: usize = 4 << 10;
/// The same of a variable: names and places.
const VARIABLE_BYTES: usize = 1 << 10;

/// Where tasks wait: the rows, the index of a row by the number of a node, and whether that is
/// known at all.
pub(crate) fn await_points(
    reading: &Reading,
    measured: bool,
) -> (Vec<AwaitPoint>, HashMap<u32, u32>, AwaitPoints) {
    #[cfg(feature = "layout")]
    {
        let (rows, places) = await_points::await_points(reading, measured);
        (rows, places, await_points::measured())
    }
    #[cfg(not(feature = "layout"))]
    {
        let _ = (reading, measured);
        (Vec::new(), HashMap::new(), AwaitPoints::Off)
    }
}

/// One row a site: the sums over its closed tasks, with the open ones added.
pub(crate) fn sites(reading: &Reading, measured: bool, now_ns: u64) -> Vec<SiteProfile> {
    let mut rows: Vec<SiteProfile> = Vec::new();
    let mut places: HashMap<u32, usize> = HashMap::new();
    let _ = (rows.try_reserve_exact(reading.sites.len()), places.try_reserve(reading.sites.len()));
    for site in &reading.sites {
        if reserve::room(&mut places) && reserve::has_room(&mut rows) {
            places.insert(site.site.index(), rows.len());
            let row = row(site);
            let lists = [&row.peak_histogram, &row.poll_histogram, &row.idle_histogram];
            let buckets = lists.map(Vec::len).iter().sum::<usize>() + row.lifetime_histogram.len();
            reserve::spend(row.name.len() + buckets * size_of::<Bucket>());
            if row.state_machine.is_some() {
                reserve::spend(MACHINE_BYTES);
            }
            rows.push(row);
        } else {
            reserve::leave_out(1);
        }
    }
    for (site, open) in &reading.open_sums {
        if let Some(&place) = places.get(site) {
            rows[place].add_open(open);
        }
    }
    let mut retained: HashMap<usize, Vec<&Retained>> = HashMap::new();
    for task in &reading.retained {
        let Some(&place) = places.get(&task.site) else { continue };
        if retained.contains_key(&place) || reserve::room(&mut retained) {
            reserve::push(retained.entry(place).or_default(), task);
        } else {
            reserve::leave_out(1);
        }
    }
    for (place, tasks) in retained {
        rows[place].add_retained(tasks, now_ns);
    }
    for row in &mut rows {
        let ended = row.completed + row.cancelled + row.panicked + row.given_up + row.ended_unknown;
        row.active = row.spawned.saturating_sub(ended + row.unknown);
        if !measured {
            row.forget_sizes();
        }
    }
    order::by(&mut rows, |a, b| {
        (b.live_bytes, b.allocated_bytes, &a.name).cmp(&(a.live_bytes, a.allocated_bytes, &b.name))
    });
    rows
}

fn row(reading: &SiteReading) -> SiteProfile {
    let SiteReading { site, sums, retained_bytes, retained_blocks, unjoined_bytes, .. } = *reading;
    // A task that lost its record and gets another is one task.
    let SiteReading { split, away, .. } = *reading;
    let spawned = reading.spawned.wrapping_add(away).wrapping_sub(split);
    let given_up = sums.given_up.saturating_sub(split);
    let future_vtable = vtable(site).and_then(image::offset_of);
    let (state_machine, state_machine_unknown) = state_machine(site, future_vtable);
    SiteProfile {
        name: site.name.to_owned(),
        task_type: site.task_type,
        file: text::file(site.file),
        line: site.line,
        measured: true,
        spawned,
        active: 0,
        unknown: 0,
        ends_unknown: given_up != 0,
        completed: sums.completed,
        cancelled: sums.cancelled,
        panicked: sums.panicked,
        given_up,
        ended_unknown: sums.ended_unknown,
        is_annotated: !site.is_plain(),
        live_bytes: retained_bytes,
        live_blocks: retained_blocks,
        peak_bytes: sums.highest_peak_bytes,
        peak_sum_bytes: sums.peak_sum_bytes,
        allocated_bytes: sums.allocated_bytes,
        transferred_bytes: sums.taken_bytes,
        allocation_count: sums.allocations,
        ended_allocated_bytes: sums.allocated_bytes,
        retained_bytes,
        unjoined_bytes,
        retained_tasks: 0,
        oldest_retained_ns: None,
        retained_waves: 0,
        retained_by_eighth: [0; 8],
        future_size_bytes: site.future().map_or(0, |future| future.size as u64),
        future_vtable,
        state_machine,
        state_machine_unknown,
        argument_bytes: site.argument_bytes(),
        boxed_by_tokio: site.boxed(),
        longest_wait_ns: sums.longest_wait_ns,
        wait_sum_ns: sums.wait_sum_ns,
        waits_timed: sums.waits,
        peak_histogram: Bucket::all(site.sums.peaks()),
        poll_histogram: Bucket::all(site.polls()),
        idle_histogram: Bucket::all(site.idles()),
        lifetime_histogram: Bucket::all(site.lives()),
        items: sums.items.map(|items| items.profile(true)),
    }
}

/// What the compiler made of a site's future, or why that is not known. `offset`: of the future's
/// vtable in the program's image.
#[cfg(feature = "layout")]
fn state_machine(site: &Site, offset: Option<u64>) -> (Option<StateMachine>, Option<String>) {
    if vtable(site).is_none() {
        return (None, None);
    }
    let bytes = site.future().map_or(0, |future| future.size as u64);
    let machine = offset
        .ok_or_else(|| "it is not known where the program was loaded".to_owned())
        .and_then(|vtable| layouts::state_machine(vtable, bytes));
    match machine {
        Ok(machine) => (Some(machine), None),
        Err(why) => (None, Some(why)),
    }
}

#[cfg(not(feature = "layout"))]
fn state_machine(_: &Site, _: Option<u64>) -> (Option<StateMachine>, Option<String>) {
    (None, None)
}

/// The address of the vtable of a site's future.
fn vtable(site: &Site) -> Option<usize> {
    // In `(other)` are tasks of many places.
    site.future().filter(|_| !site.is_other())?.vtable.map(|vtable| vtable())
}

impl SiteProfile {
    fn add_open(&mut self, open: &OpenTasks) {
        self.live_bytes += open.live_bytes;
        self.live_blocks += open.live_blocks;
        self.peak_bytes = self.peak_bytes.max(open.highest_peak_bytes);
        self.peak_sum_bytes += open.peak_sum_bytes;
        self.allocated_bytes += open.allocated_bytes;
        self.transferred_bytes += open.taken_bytes;
        self.allocation_count += open.allocations;
        if let Some(items) = open.items {
            self.items = Some(self.items.unwrap_or_default().and(items.profile(true)));
        }
        self.unknown += open.unknown_without_bytes;
        self.ends_unknown |= open.unknown != 0;
        let EndedTasks { tasks, live_bytes, allocated_bytes, .. } = open.ended;
        self.completed += tasks[TaskState::Completed as usize];
        self.cancelled += tasks[TaskState::Cancelled as usize];
        self.panicked += tasks[TaskState::Panicked as usize];
        self.ended_unknown += tasks[TaskState::Ended as usize];
        self.retained_bytes += live_bytes;
        self.ended_allocated_bytes += allocated_bytes;
        self.wait_sum_ns += open.ended.wait_sum_ns;
        self.waits_timed += open.ended.waits;
        self.longest_wait_ns = self.longest_wait_ns.max(open.ended.longest_wait_ns);
    }

    /// Adds the ended tasks that still hold bytes.
    fn add_retained(&mut self, mut tasks: Vec<&Retained>, now_ns: u64) {
        self.retained_tasks = tasks.len() as u64;
        let ends = tasks.iter().map(|task| task.ending.ended_ns).filter(|ended| *ended != 0);
        self.oldest_retained_ns = ends.min().map(|ended| now_ns.saturating_sub(ended));
        for task in &tasks {
            let eighth = 8 * u128::from(task.ending.ordinal) / u128::from(self.spawned.max(1));
            self.retained_by_eighth[usize::try_from(eighth).unwrap_or(7).min(7)] += 1;
        }
        // The longest row of tasks that follow one another: always the one that ends first of those
        // that begin after the last. PERF: where much leaks, these are very many.
        tasks.sort_unstable_by_key(|task| task.ending.spawned);
        let mut last_end = 0;
        for Retained { ending, .. } in tasks {
            if ending.ordinal >= last_end {
                self.retained_waves += 1;
                last_end = ending.spawned;
            }
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
            &mut self.transferred_bytes,
            &mut self.allocation_count,
            &mut self.ended_allocated_bytes,
            &mut self.retained_bytes,
            &mut self.unjoined_bytes,
            &mut self.retained_tasks,
            &mut self.retained_waves,
        ] {
            *size = 0;
        }
        self.retained_by_eighth = [0; 8];
        self.oldest_retained_ns = None;
        self.peak_histogram.clear();
        if let Some(items) = &mut self.items {
            *items = Items { count: items.count, ..Items::default() };
        }
    }
}

/// The whole and its parts.
pub(crate) fn process(reading: &Reading, measured: bool) -> ProcessMemory {
    if !measured {
        return ProcessMemory::default();
    }
    let open = |field: fn(&OpenTasks) -> u64| {
        reading.open_sums.iter().map(|(_, open)| field(open)).sum::<u64>()
    };
    let sites = |field: fn(&SiteReading) -> u64| reading.sites.iter().map(field).sum::<u64>();
    let Reading { untracked, unlisted, .. } = reading;
    let tracked_bytes =
        open(|open| open.live_bytes) + sites(|site| site.retained_bytes) + unlisted.live_bytes;
    let tracked_blocks =
        open(|open| open.live_blocks) + sites(|site| site.retained_blocks) + unlisted.live_blocks;
    ProcessMemory {
        measured,
        tracked_bytes,
        untracked_bytes: untracked.live_bytes,
        whole_bytes: tracked_bytes + untracked.live_bytes,
        tracked_blocks,
        untracked_blocks: untracked.live_blocks,
        whole_blocks: tracked_blocks + untracked.live_blocks,
        // What was taken over was allocated once.
        tracked_allocated_bytes: open(|open| open.allocated_bytes.saturating_sub(open.taken_bytes))
            + sites(|site| site.sums.allocated_bytes.saturating_sub(site.sums.taken_bytes))
            + unlisted.allocated_bytes,
        untracked_allocated_bytes: untracked.allocated_bytes,
        shared_bytes: reading.shared.iter().map(|shared| shared.memory.live_bytes).sum(),
    }
}

/// The shared owners, largest live bytes first.
pub(crate) fn shared(reading: &Reading, measured: bool) -> Vec<SharedProfile> {
    let sizes = |size| if measured { size } else { 0 };
    let row = |shared: &SharedReading| SharedProfile {
        name: shared.name.to_owned(),
        measured,
        live_bytes: sizes(shared.memory.live_bytes),
        peak_bytes: sizes(shared.peak_bytes),
        allocated_bytes: sizes(shared.memory.allocated_bytes),
        allocation_count: sizes(shared.memory.allocations),
        freed_bytes: sizes(shared.memory.allocated_bytes.saturating_sub(shared.memory.live_bytes)),
        live_blocks: sizes(shared.memory.live_blocks),
    };
    let mut rows = reserve::rows(&reading.shared, |shared| Some(row(shared)));
    order::by(&mut rows, |a, b| {
        (b.live_bytes, b.allocated_bytes, &a.name).cmp(&(a.live_bytes, a.allocated_bytes, &b.name))
    });
    rows
}

/// The sites' names by their index.
pub(crate) struct Names(HashMap<u32, Place>);

impl Names {
    pub(crate) fn of(reading: &Reading) -> Self {
        let mut names = HashMap::new();
        let _ = names.try_reserve(reading.sites.len());
        for site in &reading.sites {
            if !reserve::room(&mut names) || reserve::is_short() {
                break;
            }
            reserve::spend(site.site.name.len());
            names.insert(site.site.index(), Place::of(site.site));
        }
        Self(names)
    }

    /// `None`: outside every task.
    pub(crate) fn get(&self, site: u32) -> Option<Place> {
        let place = self.0.get(&site)?;
        reserve::spend(place.name.len());
        Some(place.clone())
    }
}

impl Place {
    pub(crate) fn of(site: &Site) -> Self {
        Self { name: site.name.to_owned(), file: text::file(site.file), line: site.line }
    }
}

/// The live variables, the largest first; then the last of each site that is over or could not be
/// followed.
pub(crate) fn variables(reading: &Reading, names: &Names) -> Vec<VariableProfile> {
    let mut live = reserve::rows(&reading.variables, |variable| {
        reserve::spend(VARIABLE_BYTES);
        Some(live_variable(variable, names))
    });
    order::by(&mut live, |a, b| {
        (b.heap_bytes, b.lifetime_ns, &a.name).cmp(&(a.heap_bytes, a.lifetime_ns, &b.name))
    });
    for site in reading.variable_sites.iter().filter(|site| site.last.is_some()) {
        if reserve::has_room(&mut live) {
            live.extend(past_variable(site));
            reserve::spend(VARIABLE_BYTES);
        } else {
            reserve::leave_out(1);
        }
    }
    live
}

fn live_variable(reading: &VariableReading, names: &Names) -> VariableProfile {
    let key = reading.site.key;
    VariableProfile {
        name: text::start(key.name, MOST_NAME).into_owned(),
        type_name: text::type_name(key.type_name),
        file: text::file(key.file),
        line: key.line,
        task: TaskId::new(reading.task),
        task_site: names.get(reading.task_site),
        freed_by: None,
        stack_bytes: reading.site.stack_bytes(),
        heap_bytes: reading.heap_bytes,
        extent: reading.extent,
        live: true,
        lifetime_ns: reading.lifetime_ns,
    }
}

fn past_variable(site: &VariableSiteReading) -> Option<VariableProfile> {
    let past = site.last?;
    Some(VariableProfile {
        name: text::start(site.key.name, MOST_NAME).into_owned(),
        type_name: text::type_name(site.key.type_name),
        file: text::file(site.key.file),
        line: site.key.line,
        task: TaskId::new(past.task),
        task_site: None,
        freed_by: TaskId::new(past.freed_by),
        stack_bytes: site.stack_bytes,
        heap_bytes: past.heap_bytes,
        extent: past.extent,
        live: false,
        lifetime_ns: past.lifetime_ns,
    })
}

/// One row for each `track_var!` and type, largest live bytes first.
pub(crate) fn variable_sites(reading: &Reading) -> Vec<VariableSiteProfile> {
    let mut live_bytes: HashMap<*const (), u64> = HashMap::new();
    for variable in &reading.variables {
        if !reserve::room(&mut live_bytes) {
            break;
        }
        *live_bytes.entry(std::ptr::from_ref(variable.site).cast()).or_default() +=
            variable.heap_bytes;
    }
    let row = |site: &VariableSiteReading| VariableSiteProfile {
        name: text::start(site.key.name, MOST_NAME).into_owned(),
        type_name: text::type_name(site.key.type_name),
        file: text::file(site.key.file),
        line: site.key.line,
        stack_bytes: site.stack_bytes,
        registered: site.registered,
        live: site.registered.saturating_sub(site.ended + site.repeated + site.unfollowed),
        ended: site.ended,
        repeated: site.repeated,
        unfollowed: site.unfollowed,
        live_bytes: live_bytes.get(&site.id).copied().unwrap_or(0),
        largest_bytes: site.largest_bytes,
        lifetime_sum_ns: site.lifetime_sum_ns,
        longest_lifetime_ns: site.longest_lifetime_ns,
    };
    let mut rows = reserve::rows(&reading.variable_sites, |site| Some(row(site)));
    order::by(&mut rows, |a, b| {
        (b.live_bytes, b.registered, &a.name).cmp(&(a.live_bytes, a.registered, &b.name))
    });
    rows
}

/// The pairs of sites, those that moved most bytes first.
pub(crate) fn hand_overs(reading: &Reading, names: &Names) -> Vec<HandOver> {
    let mut sums: HashMap<(u32, u32), (u64, u64)> = HashMap::new();
    for &HandedOver { from, to, blocks, bytes } in &reading.hand_overs {
        if !reserve::room(&mut sums) {
            reserve::leave_out(1);
            continue;
        }
        let sum = sums.entry((from, to)).or_default();
        *sum = (sum.0 + blocks, sum.1 + bytes);
    }
    // A site that has given its only task to another has no name any more, and nothing to hand
    // over.
    let is_known = |site: &u32| *site == UNTRACKED || names.get(*site).is_some();
    let mut rows: Vec<HandOver> = reserve::rows(sums, |((from, to), (blocks, bytes))| {
        (is_known(&from) && is_known(&to) && blocks != 0).then(|| HandOver {
            from: names.get(from),
            to: names.get(to),
            blocks,
            bytes,
        })
    });
    order::by(&mut rows, |a, b| {
        (b.bytes, b.blocks, &a.from, &a.to).cmp(&(a.bytes, a.blocks, &b.from, &b.to))
    });
    rows
}

/// What happened, in the order in which it came.
pub(crate) fn events(events: &[Kept], names: &Names, measured: bool) -> Vec<TaskEvent> {
    let row = |kept: &Kept| {
        let event = kept.event;
        let (bytes, took_ns) = match event.kind {
            EventKind::Spawned => (None, None),
            EventKind::LargeBlock => (Some(event.amount), None),
            EventKind::LongPoll => (None, Some(event.amount)),
            EventKind::Completed | EventKind::Cancelled | EventKind::Panicked => {
                (None, (event.amount != 0).then_some(event.amount))
            }
        };
        let (task, place) = (TaskId::new(event.task)?, names.get(event.site));
        Some(TaskEvent { at_ns: event.at_ns, kind: event.kind, task, place, bytes, took_ns })
    };
    // A wrapped allocator sees other blocks than the program's.
    let is_known = |kept: &&Kept| measured || kept.event.kind != EventKind::LargeBlock;
    reserve::rows(events.iter().filter(is_known), row)
}

/// What the async runtime holds beside the tasks' own bytes.
pub(crate) fn runtime(reading: &Reading, measured: bool) -> RuntimeMemory {
    if !measured {
        return RuntimeMemory::default();
    }
    RuntimeMemory {
        measured,
        worker_threads: reading.workers.threads,
        worker_bytes: reading.workers.live_bytes,
        cells: reading.open_sums.iter().map(|(_, open)| open.cells).sum(),
        cell_overhead_bytes: reading
            .open_sums
            .iter()
            .map(|(_, open)| open.cell_overhead_bytes)
            .sum(),
    }
}
