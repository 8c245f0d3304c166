//! Captures all records, accounts, sites and ended tasks in one reading.
//!
//! Tasks run on while the reader captures them. The reader reads each account once, so no living
//! task is counted twice. If a task ends meanwhile, the reader starts again, a few times at most.
//! If a task ended in each attempt, `is_still` is false.

use super::{
    account_walk::{AccountWalk, keep},
    largest_sites::LargestSites,
    open_tasks::OpenTasks,
    site_reading::{self, SiteReading},
    stand_ins,
    unlisted::Unlisted,
};
#[cfg(feature = "tokio")]
use crate::alloc::unannotated;
use crate::{
    accounting::{
        Balance, CrossFree, EndEpochs, EndStamp, Ended, FinishedCells, ItemsReading, RecordReading,
        SharedReading, TallyReading, Unrecorded, Untracked, VariableReading, VariableSite,
        VariableSiteReading, cross_frees, ended_tasks, registry, shared_owner,
        stacks::{self, StackReading},
        variable,
    },
    model::TaskId,
    primitives::{clock, reserve},
};

/// How often a reading is repeated while tasks end during it.
pub(super) const ATTEMPTS: usize = 8;

/// Room in the list of tasks for tasks that are created while it is made.
const SPARE: usize = 16;

/// A task's numbers at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskReading {
    pub(crate) id: TaskId,
    pub(crate) tally: TallyReading,
    pub(crate) record: RecordReading,
    /// The index of what the task has yielded, if it is a stream.
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

/// One reading of everything, at nearly one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The tasks, in this order:
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
    /// What the tasks of the first three kinds hold together, by the index of their site. Those of
    /// all sites that get no row have [`NOT_LISTED`].
    pub(crate) open_sums: Vec<(u32, OpenTasks)>,
    /// What the streams among all these tasks have yielded.
    pub(crate) items: Vec<ItemsReading>,
    pub(crate) sites: Vec<SiteReading>,
    /// Sorted by site, and within each site by their ends. If there is no memory for all of them,
    /// an even part. The reading of their site has their number.
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
    /// Whether the reading has only the largest sites.
    pub(crate) is_cut: bool,
}

/// Stands for the index of all sites that get no row.
pub(crate) const NOT_LISTED: u32 = u32::MAX;

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
    let largest = LargestSites::choose();
    let bound = reserve::left();
    let mut tries = 1;
    let mut reading = loop {
        let reading = attempt(&largest);
        if reading.is_still || tries == ATTEMPTS {
            break reading;
        }
        tries += 1;
        // The memory of this reading is free again for the next one.
        drop(reading);
        reserve::set_left(bound);
        std::thread::yield_now();
    };
    stand_ins::move_to_rows(&mut reading);
    // PERF: an unstable sort, because a leaking site may have very many such tasks.
    reading.retained.sort_unstable_by_key(|task| (task.site, task.ending.spawned));
    reading
}

fn attempt(largest: &LargestSites) -> Reading {
    reserve::count_anew();
    reserve::leave_out(largest.left_out);
    let folds = EndEpochs::read();
    let mut ended = Vec::new();
    let aside = reserve::put_aside();
    let rows_still = ended_tasks::read(&mut ended);
    drop(aside);
    // NOTE: must be read before the walk. The walk adds each open task to these sums, so they must
    // not contain it yet.
    let mut seen = AccountWalk::new(largest);
    let sums = site_reading::sums_of_ended(largest, &mut seen.unlisted);
    let is_cut = largest.left_out != 0 || sums.first_left_out.is_some();
    let registry::Counts { spawned, ended: over, .. } = registry::counts();
    // PERF: room for the expected number of open tasks, and for the ended ones that are appended
    // later. So the list does not move, and no more memory is touched.
    let open = usize::try_from(spawned.saturating_sub(over)).unwrap_or(0);
    // If there is less memory, the lists grow in small steps.
    reserve::expect(&mut seen.living, open + open / 32 + SPARE + ended.len());
    // Puts memory aside for the rows of sites, which have the sums of all tasks.
    let aside = reserve::put_aside();
    let now_ns = clock::now_ns();
    for account in registry::accounts() {
        seen.add(account, now_ns);
    }
    let AccountWalk { living: mut tasks, mut unknown, mut held, mut items, .. } = seen;
    let AccountWalk { open_sums, mut untracked, workers, left, retained, unlisted, .. } = seen;
    drop(aside);
    let shared: Vec<SharedReading> = reserve::rows(shared_owner::read(), Some);
    for shared in &shared {
        untracked.add(shared.memory);
    }
    // NOTE: must be read after the walk. So every open task has its site here, and no site shows
    // more tasks than it has spawned.
    let mut unlisted = unlisted;
    let mut sites = site_reading::listed(largest, sums, &open_sums, &left, &mut unlisted);
    // NOTE: must be read after the sites, so that a task that gets a record meanwhile is not
    // counted twice.
    let (unrecorded, finished_cells) = site_reading::unrecorded();
    for site in site_reading::sites_without_tasks(&sites, &unrecorded) {
        if largest.has(site.site.index()) {
            reserve::push(&mut sites, site);
        }
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
        retained: retained.into_list(),
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
        is_cut,
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
