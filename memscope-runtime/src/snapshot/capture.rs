//! Captures all records, accounts, sites and ended tasks in one reading.
//!
//! Tasks run on while the reader captures them. The reader reads each account once, so no living
//! task is counted twice. If a task ends meanwhile, the reader starts again, a few times at most; a
//! reading that was never undisturbed says so.

use std::collections::HashMap;

use super::{
    open_tasks::OpenTasks,
    site_reading::{self, SiteReading},
    stand_ins,
    unlisted::{Remainder, Unlisted},
};
#[cfg(feature = "tokio")]
use crate::alloc::unannotated;
use crate::{
    accounting::{
        Account, Balance, CrossFree, EndEpochs, EndStamp, Ended, FinishedCells, ItemsReading,
        RecordReading, SharedReading, Site, SumsReading, TallyReading, Unrecorded, Untracked,
        VariableReading, VariableSite, VariableSiteReading, cross_frees, end_stamps, ended_tasks,
        registry, shared_owner,
        stacks::{self, StackReading},
        stream_items, variable,
    },
    model::{TaskId, TaskState},
    primitives::{
        clock, reserve,
        sync::{Ordering, fence},
    },
};

/// How often a reading is repeated while tasks end during it.
pub(super) const ATTEMPTS: usize = 8;

/// A task's numbers at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskReading {
    pub(crate) id: TaskId,
    pub(crate) tally: TallyReading,
    pub(crate) record: RecordReading,
    /// If the task is a stream: the index of what it has yielded.
    // PERF: an index, because few tasks are streams.
    pub(crate) items: Option<u32>,
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
}

/// An ended task without a Tokio cell whose bytes are still live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retained {
    /// The index of its site.
    pub(crate) site: u32,
    pub(crate) ending: EndStamp,
}

/// What the threads that poll tasks hold outside of tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Workers {
    pub(crate) threads: u64,
    pub(crate) live_bytes: u64,
}

/// Everything, at (nearly) one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    /// In this order:
    ///
    /// 1. Tasks that have not ended, in the order of their ids. Among them are tasks that hold
    ///    bytes and whose end nothing reports.
    /// 2. Tasks that hold nothing and whose end nothing reports, in the order of their ids.
    /// 3. Tasks that have ended while their future is still held, the newest first.
    /// 4. Tasks whose future is gone, the newest first.
    // PERF: one list, because a task's reading is large, and there are many.
    pub(crate) tasks: Vec<TaskReading>,
    /// How many tasks are of the first kind.
    living: usize,
    /// What the tasks of the first three kinds hold together, by the index of their site.
    pub(crate) open_sums: Vec<(u32, OpenTasks)>,
    /// What the streams among all these tasks have yielded.
    pub(crate) items: Vec<ItemsReading>,
    pub(crate) sites: Vec<SiteReading>,
    pub(crate) retained: Vec<Retained>,
    /// Unannotated tasks without a record.
    pub(crate) unrecorded: Vec<Unrecorded>,
    pub(crate) finished_cells: FinishedCells,
    pub(crate) untracked: Untracked,
    /// The named parts of `untracked`.
    pub(crate) shared: Vec<SharedReading>,
    pub(crate) workers: Workers,
    pub(crate) variables: Vec<VariableReading>,
    pub(crate) variable_sites: Vec<VariableSiteReading>,
    pub(crate) hand_overs: Vec<CrossFree>,
    pub(crate) stacks: Vec<StackReading>,
    pub(crate) unlisted: Unlisted,
    /// Whether no task ended during the reading; then the sums are exact to the byte.
    pub(crate) is_still: bool,
}

impl Reading {
    /// Tasks that have not ended, in the order of their ids.
    pub(crate) fn living(&self) -> &[TaskReading] {
        self.tasks.get(..self.living).unwrap_or_default()
    }
}

/// Reads everything. Must be called inside `exempt`, so that the reading does not change what it
/// reads.
pub(crate) fn read() -> Reading {
    #[cfg(feature = "tokio")]
    unannotated::observe();
    let mut reading = attempt();
    for _ in 1..ATTEMPTS {
        if reading.is_still {
            break;
        }
        std::thread::yield_now();
        reading = attempt();
    }
    stand_ins::move_to_rows(&mut reading);
    reading
}

fn attempt() -> Reading {
    reserve::count_anew();
    let folds = EndEpochs::read();
    let mut ended = Vec::new();
    let aside = reserve::put_aside();
    let rows_still = ended_tasks::read(&mut ended);
    drop(aside);
    // NOTE: read before the walk. An open task is added to these sums, so they must not contain it
    // yet.
    let mut seen = Capture { is_in_order: true, ..Capture::default() };
    let sums = site_reading::sums_of_ended(&mut seen.unlisted);
    let registry::Counts { spawned, ended: over, .. } = registry::counts();
    // PERF: room for the expected number of open tasks, and for the ended ones that are appended
    // later. So the list does not move, and no more memory is touched.
    let open = usize::try_from(spawned.saturating_sub(over)).unwrap_or(0);
    // If there is less memory, the lists grow in small steps.
    reserve::expect(&mut seen.living, open + ended.len());
    // For the rows of sites, which have the sums of all tasks.
    let aside = reserve::put_aside();
    let now_ns = clock::now_ns();
    for account in registry::accounts() {
        seen.add(account, now_ns);
    }
    let Capture { living: mut tasks, mut unknown, mut held, mut items, .. } = seen;
    let Capture { open_sums, mut untracked, workers, left, retained, unlisted, .. } = seen;
    drop(aside);
    let shared: Vec<SharedReading> = reserve::rows(shared_owner::read(), Some);
    for shared in &shared {
        untracked.add(shared.memory);
    }
    // NOTE: read after the walk. So every open task has its site here, and no site shows more tasks
    // than it has spawned.
    let mut sites = Vec::new();
    let mut unlisted = unlisted;
    // PERF: both walks over the sites are in the order of their indices.
    let mut sums = sums.into_iter().peekable();
    for site in Site::all() {
        let left = left.get(&site.index()).copied().unwrap_or_default();
        while sums.next_if(|(index, _)| *index < site.index()).is_some() {}
        let sums = sums.next_if(|(index, _)| *index == site.index());
        let sums = sums.map_or_else(SumsReading::default, |(_, sums)| sums);
        let (split, away) = site.split_and_away();
        let reading = SiteReading {
            site,
            sums,
            spawned: site.spawned(),
            split,
            away,
            retained_bytes: left.bytes,
            retained_blocks: left.blocks,
            unjoined_bytes: left.unjoined_bytes,
        };
        if !reserve::push(&mut sites, reading) {
            unlisted.add_closed(&sums);
            unlisted.add_left(left);
        }
    }
    // NOTE: read after the sites. A task that gets a record meanwhile is not counted twice.
    let (unrecorded, finished_cells) = site_reading::unrecorded();
    for site in site_reading::sites_without_tasks(&sites, &unrecorded) {
        reserve::push(&mut sites, site);
    }
    if !seen.is_in_order {
        tasks.sort_unstable_by_key(|task| task.id);
    }
    unknown.sort_unstable_by_key(|task| task.id);
    held.sort_unstable_by_key(|task| task.id);
    let living = tasks.len();
    let is_in = |tasks: &[TaskReading], id| tasks.binary_search_by_key(&id, |task| task.id).is_ok();
    // `tasks` has room for the others, if there was memory for it.
    let aside = reserve::put_aside();
    for task in &unknown {
        reserve::push(&mut tasks, *task);
    }
    for task in held.iter().rev() {
        reserve::push(&mut tasks, *task);
    }
    for ended in &ended {
        let Some(task) = after_the_end(ended, &mut items) else { continue };
        let is_open =
            [&tasks[..living], &unknown, &held].into_iter().any(|open| is_in(open, task.id));
        if !is_open {
            reserve::push(&mut tasks, task);
        }
    }
    drop(aside);
    let is_still = rows_still && folds.is_unchanged();
    Reading {
        tasks,
        living,
        open_sums,
        items,
        sites,
        retained,
        unrecorded,
        finished_cells,
        untracked,
        shared,
        workers,
        variables: reserve::rows(variable::read(), Some),
        variable_sites: reserve::rows(VariableSite::all(), |site| Some(site.read())),
        hand_overs: reserve::rows(cross_frees::read(), Some),
        stacks: stacks::read(),
        unlisted,
        is_still,
    }
}

/// What the walk over the accounts has collected so far.
#[derive(Default)]
struct Capture {
    living: Vec<TaskReading>,
    unknown: Vec<TaskReading>,
    held: Vec<TaskReading>,
    items: Vec<ItemsReading>,
    open_sums: Vec<(u32, OpenTasks)>,
    /// The index in `open_sums`, by the index of the site.
    places: HashMap<u32, usize>,
    /// The index in `open_sums` that was used last.
    last_place: usize,
    /// Whether `living` is in the order of ids, as it mostly is for tasks that were created one
    /// after another.
    is_in_order: bool,
    untracked: Untracked,
    workers: Workers,
    left: HashMap<u32, Remainder>,
    retained: Vec<Retained>,
    unlisted: Unlisted,
}

impl Capture {
    /// Reads one account and, while its owner is open, the owner's record. Adds nothing if the
    /// account is not in use, or is being opened or returned.
    // PERF: sorts each kind where it belongs at once. A task's reading is large, and there are
    // many.
    fn add(&mut self, account: &'static Account, now_ns: u64) {
        // Each attempt reads the id before and after, with an Acquire fence in between, as in a
        // seqlock. If the task ends between two looks, the next attempt reads it as ended. An
        // account that is reused at this very moment is left out: its new task counts as created
        // later.
        for _ in 0..ATTEMPTS {
            if account.is_free() {
                return;
            }
            let id = account.id();
            match account.read() {
                Balance::Closed { live_bytes: 0, .. } => return,
                Balance::Closed { live_bytes, live_blocks, site, has_cell } => {
                    let ending = end_stamps::of(account);
                    fence(Ordering::Acquire);
                    if account.id() == id {
                        let left = Remainder::new(live_bytes, u64::from(live_blocks), has_cell);
                        return self.add_left(site, left, ending.filter(|_| !has_cell));
                    }
                }
                // `shared_owner::read` reads it, by its name.
                Balance::Open { record: registry::SHARED_RECORD, .. } if id == 0 => return,
                Balance::Open { net_bytes, net_blocks, record, .. } if id == 0 => {
                    let read = if record == registry::ORPHANS_RECORD {
                        registry::orphans(account).map(|tally| (tally, false))
                    } else {
                        let record = registry::record(record);
                        record.map(|record| (record.tally().read(), record.is_worker()))
                    };
                    let Some((tally, works)) = read else { return };
                    fence(Ordering::Acquire);
                    if account.id() == 0 {
                        let live_bytes = sum(tally.own_live_bytes, net_bytes);
                        let live_blocks = blocks(tally.own_live_blocks, net_blocks);
                        return self.add_thread(&tally, live_bytes, live_blocks, works);
                    }
                }
                Balance::Open { net_bytes, net_blocks, record, .. } => {
                    let Some(task_id) = TaskId::new(id) else { return };
                    // A task whose end has begun has no record.
                    let Some(record) = registry::record(record) else { continue };
                    // The record's id is checked before and after, so the record was this task's
                    // all the time.
                    if record.tally().id() != id {
                        continue;
                    }
                    let Some(reading) = record.read(now_ns) else { continue };
                    let tally = record.read_tally();
                    fence(Ordering::Acquire);
                    if record.tally().id() == id && account.id() == id {
                        let live_bytes = sum(tally.own_live_bytes, net_bytes);
                        let live_blocks = blocks(tally.own_live_blocks, net_blocks);
                        let task = TaskReading {
                            id: task_id,
                            tally,
                            record: reading,
                            items: None,
                            live_bytes,
                            live_blocks,
                        };
                        return self.add_open(task, stream_items::of(record));
                    }
                }
            }
        }
    }

    #[inline]
    fn add_open(&mut self, mut task: TaskReading, items: Option<ItemsReading>) {
        let site = task.record.counted_site.index();
        // PERF: tasks of one site mostly follow each other.
        if self.open_sums.get(self.last_place).is_none_or(|(last, _)| *last != site) {
            self.last_place = self.place_of(site);
        }
        match self.open_sums.get_mut(self.last_place) {
            Some((_, sum)) => sum.add(&task, items),
            None => self.unlisted.add_open(&task),
        }
        task.items = keep(&mut self.items, items);
        if task.record.state.is_ended() {
            reserve::push(&mut self.held, task);
        } else if task.record.state == TaskState::Unknown && task.live_bytes == 0 {
            reserve::push(&mut self.unknown, task);
        } else {
            self.is_in_order &= self.living.last().is_none_or(|last| last.id < task.id);
            reserve::push(&mut self.living, task);
        }
    }

    /// Returns the index of a site in `open_sums` and adds it if need be. Returns an index past the
    /// end if there is no memory for it.
    fn place_of(&mut self, site: u32) -> usize {
        if let Some(place) = self.places.get(&site) {
            return *place;
        }
        let new = self.open_sums.len();
        if !reserve::room(&mut self.places) || !reserve::grow(&mut self.open_sums) {
            return usize::MAX;
        }
        self.open_sums.push((site, OpenTasks::default()));
        self.places.insert(site, new);
        new
    }

    fn add_thread(&mut self, tally: &TallyReading, live_bytes: u64, live_blocks: u64, works: bool) {
        self.untracked.add(Untracked {
            allocated_bytes: tally.counters.allocated_bytes,
            allocations: tally.counters.allocation_count,
            live_bytes,
            live_blocks,
        });
        if works {
            self.workers.threads += 1;
            self.workers.live_bytes += live_bytes;
        }
    }

    fn add_left(&mut self, site: u32, left: Remainder, ending: Option<EndStamp>) {
        if self.left.contains_key(&site) || reserve::room(&mut self.left) {
            self.left.entry(site).or_default().add(left);
        } else {
            self.unlisted.add_left(left);
        }
        if let Some(ending) = ending {
            reserve::push(&mut self.retained, Retained { site, ending });
        }
    }
}

impl Untracked {
    fn add(&mut self, other: Self) {
        self.allocated_bytes += other.allocated_bytes;
        self.allocations += other.allocations;
        self.live_bytes += other.live_bytes;
        self.live_blocks += other.live_blocks;
    }
}

/// The owner's own part plus the other threads' part. It is never below zero, because the account
/// is read first.
pub(super) fn sum(own: i64, net: i64) -> u64 {
    u64::try_from(own.saturating_add(net)).unwrap_or(0)
}

/// `sum` for blocks, which are counted modulo 2^32.
pub(super) fn blocks(own: u32, net: u32) -> u64 {
    u64::try_from(own.wrapping_add(net).cast_signed()).unwrap_or(0)
}

/// Stores what a stream has yielded and returns its index.
#[inline]
fn keep(all: &mut Vec<ItemsReading>, items: Option<ItemsReading>) -> Option<u32> {
    let index = u32::try_from(all.len()).ok()?;
    let items = items?;
    reserve::grow(all).then(|| {
        all.push(items);
        index
    })
}

/// An ended task, and what of it is still live.
fn after_the_end(ended: &Ended, items: &mut Vec<ItemsReading>) -> Option<TaskReading> {
    let live = registry::account(ended.account).and_then(|account| {
        let before = account.id();
        match account.read() {
            Balance::Closed { live_bytes, live_blocks, .. }
                if before == ended.id && account.id() == before =>
            {
                Some((live_bytes, u64::from(live_blocks)))
            }
            _ => None,
        }
    });
    // If the account serves another owner by now, the task's last byte was freed.
    let (live_bytes, live_blocks) = live.unwrap_or((0, 0));
    // A block may have been transferred to the task while it ended.
    let record =
        RecordReading { peak_bytes: ended.reading.peak_bytes.max(live_bytes), ..ended.reading };
    let id = TaskId::new(ended.id)?;
    let items = keep(items, ended.items);
    Some(TaskReading { id, tally: ended.tally, record, items, live_bytes, live_blocks })
}
