//! Rows of sites.

use std::cmp::Reverse;

#[cfg(feature = "layout")]
use crate::await_points::layouts;
use crate::{
    accounting::{Site, UNNAMED, Unrecorded},
    await_points::image,
    model::{
        Bucket, Items, SiteProfile, StateMachine, TaskCounters, TaskState, counters, row_of, text,
    },
    primitives::{MapByIndex, order, reserve},
    snapshot::{
        capture::{Reading, Retained},
        open_tasks::{EndedTasks, OpenTasks},
        site_reading::SiteReading,
    },
};

/// The memory that a site's state machine takes beside its row: names, types and places of five
/// values.
const MACHINE_BYTES: usize = 4 << 10;

/// Returns one row for each site: the sums over its closed tasks, with the open ones added. Also
/// returns the index of the site of each row.
pub(crate) fn sites(
    reading: &Reading,
    measured: bool,
    now_ns: u64,
) -> (Vec<SiteProfile>, Vec<u32>) {
    let mut rows: Vec<SiteProfile> = Vec::new();
    let mut indices: Vec<u32> = Vec::new();
    let mut places = MapByIndex::<usize>::default();
    let _ = (rows.try_reserve_exact(reading.sites.len()), places.try_reserve(reading.sites.len()));
    // Takes the largest sites first, so that they get rows if there is no memory for all.
    for site in largest_first(reading) {
        if reserve::room(&mut places) && reserve::grow(&mut indices) && reserve::has_room(&mut rows)
        {
            indices.push(site.site.index());
            places.insert(site.site.index(), rows.len());
            let row = row(site, now_ns);
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
    for tasks in reading.retained.chunk_by(|a, b| a.site == b.site) {
        if let Some(&place) = tasks.first().and_then(|task| places.get(&task.site)) {
            rows[place].add_retained(tasks);
        }
    }
    for tasks in &reading.unrecorded {
        if let Some(&place) = places.get(&tasks.site.index()) {
            rows[place].add_unrecorded(tasks);
        }
    }
    for row in &mut rows {
        let ended = row.completed + row.cancelled + row.panicked + row.given_up + row.ended_unknown;
        row.active = row.spawned.saturating_sub(ended + row.unknown);
        if row.name == UNNAMED && !row.is_annotated {
            // This site has had tasks of any type, and some are in the rows of their names by now.
            row.future_size_bytes = 0;
        }
        if !measured {
            row.forget_sizes();
        }
    }
    order::both_by(&mut rows, &mut indices, |a, b| {
        (b.live_bytes, b.allocated_bytes, &a.name).cmp(&(a.live_bytes, a.allocated_bytes, &b.name))
    });
    (rows, indices)
}

/// The sites by their live bytes; in any order if there is no memory for a list.
fn largest_first(reading: &Reading) -> impl Iterator<Item = &SiteReading> {
    let mut live = MapByIndex::<u64>::default();
    let _ = live.try_reserve(reading.open_sums.len());
    for (site, open) in &reading.open_sums {
        if reserve::room(&mut live) {
            live.insert(*site, open.live_bytes);
        }
    }
    let mut sites = reserve::list::<(u64, &SiteReading)>(reading.sites.len());
    if let Some(sites) = &mut sites {
        sites.extend(reading.sites.iter().map(|site| {
            let open = live.get(&site.site.index()).copied().unwrap_or(0);
            (site.left.bytes + open, site)
        }));
        // PERF: a sort that is compiled for this type. The sort over positions compares through a
        // vtable. With the sort of all rows, it took 1.1 of 18 million instructions of a scrape of
        // 1,000 sites (callgrind).
        sites.sort_unstable_by_key(|(live, site)| (Reverse(*live), site.site.index()));
    }
    let all = sites.is_none().then_some(&reading.sites).into_iter().flatten();
    sites.into_iter().flatten().map(|(_, site)| site).chain(all)
}

fn row(reading: &SiteReading, now_ns: u64) -> SiteProfile {
    let SiteReading { site, sums, left, .. } = *reading;
    // A task that lost its record and gets another is one task.
    let SiteReading { split, away, .. } = *reading;
    let spawned = reading.spawned.wrapping_add(away).wrapping_sub(split);
    let given_up = sums.given_up.saturating_sub(split);
    let future_vtable = vtable(site).and_then(image::offset_of);
    let (state_machine, state_machine_unknown) = state_machine(site, future_vtable);
    counters!(row_of! { sums.counters, SiteProfile {
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
        live_bytes: left.bytes,
        live_blocks: left.blocks,
        peak_bytes: sums.highest_peak_bytes,
        peak_sum_bytes: sums.peak_sum_bytes,
        ended_allocated_bytes: sums.counters.allocated_bytes,
        retained_bytes: left.bytes,
        unjoined_bytes: left.unjoined_bytes,
        unjoined_tasks: 0,
        kept_tasks: 0,
        retained_tasks: left.tasks,
        oldest_retained_ns: Some(left.first_ended_ns)
            .filter(|ended| *ended != 0)
            .map(|ended| now_ns.saturating_sub(ended)),
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
        peak_histogram: Bucket::all(site.peaks()),
        poll_histogram: Bucket::all(site.polls()),
        idle_histogram: Bucket::all(site.idles()),
        lifetime_histogram: Bucket::all(site.lives()),
        items: sums.items.map(|items| items.profile(true)),
    } })
}

/// What the compiler made of a site's future, or why that is not known. `offset` is the offset of
/// the future's vtable in the program's image.
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
    // `(other)` has tasks from many places.
    site.future().filter(|_| !site.is_other())?.vtable.map(|vtable| vtable())
}

impl SiteProfile {
    fn add_open(&mut self, open: &OpenTasks) {
        self.live_bytes += open.live_bytes;
        self.live_blocks += open.live_blocks;
        self.peak_bytes = self.peak_bytes.max(open.highest_peak_bytes);
        self.peak_sum_bytes += open.peak_sum_bytes;
        self.set_counters(self.counters().plus(open.counters));
        if let Some(items) = open.items {
            self.items = Some(self.items.unwrap_or_default().and(items.profile(true)));
        }
        self.unknown += open.unknown_without_bytes;
        self.ends_unknown |= open.unknown != 0;
        let EndedTasks { tasks, live_bytes, allocated_bytes, unjoined, kept, .. } = open.ended;
        self.unjoined_tasks += unjoined;
        self.kept_tasks += kept;
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

    fn add_unrecorded(&mut self, tasks: &Unrecorded) {
        self.spawned += tasks.spawned();
        self.cancelled += tasks.cancelled;
        self.ended_unknown += tasks.ended;
        self.unjoined_tasks += tasks.unjoined;
        self.kept_tasks += tasks.kept;
        self.future_size_bytes = self.future_size_bytes.max(tasks.future_size_bytes);
    }

    /// Adds how the ended tasks that still hold bytes are spread. `tasks` are all of them, in the
    /// order of their ends, or an even part.
    fn add_retained(&mut self, tasks: &[Retained]) {
        for task in tasks {
            let eighth = 8 * u128::from(task.ending.ordinal) / u128::from(self.spawned.max(1));
            self.retained_by_eighth[usize::try_from(eighth).unwrap_or(7).min(7)] += 1;
        }
        // The longest chain of tasks that follow one another, by greedy interval scheduling: of the
        // tasks created after the last one ended, always the one that ends first.
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
            &mut self.ended_allocated_bytes,
            &mut self.retained_bytes,
            &mut self.unjoined_bytes,
            &mut self.retained_tasks,
            &mut self.retained_waves,
        ] {
            *size = 0;
        }
        self.set_counters(TaskCounters::default());
        self.retained_by_eighth = [0; 8];
        self.oldest_retained_ns = None;
        self.peak_histogram.clear();
        if let Some(items) = &mut self.items {
            *items = Items { count: items.count, ..Items::default() };
        }
    }
}
