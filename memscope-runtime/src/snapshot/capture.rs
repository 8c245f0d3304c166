//! One reading of all records, accounts, sites and the history.
//!
//! Nothing is stopped for it, so tasks go on while it reads. Each account is read once, so no task
//! is counted twice among the living; where tasks ended meanwhile, the reading is repeated a few
//! times, and says so if it never stood still.

use std::collections::HashMap;

use super::open_tasks::OpenTasks;
use crate::{
    accounting::{
        Account, Balance, EndEpochs, EndStamp, Ended, HandedOver, ItemsReading, RecordReading,
        SharedReading, Site, SumsReading, TallyReading, Untracked, VariableReading, VariableSite,
        VariableSiteReading, cross_frees, end_stamps, ended_tasks, registry, shared_owner,
        stream_items, variable,
    },
    model::{TaskId, TaskState},
    primitives::{
        clock, reserve,
        sync::{Ordering, fence},
    },
};

/// How often a reading is repeated when tasks end while it is made.
pub(super) const ATTEMPTS: usize = 8;

/// A task's numbers at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TaskReading {
    pub(crate) id: TaskId,
    pub(crate) tally: TallyReading,
    pub(crate) record: RecordReading,
    /// If it is a stream: the index of what it has yielded.
    // PERF: few are.
    pub(crate) items: Option<u32>,
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
}

/// A site's sums over its closed tasks, and what of theirs is live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiteReading {
    pub(crate) site: &'static Site,
    pub(crate) sums: SumsReading,
    pub(crate) spawned: u64,
    /// Of the records that were given up, those of tasks which went on; and of these tasks the ones
    /// that have no record now.
    pub(crate) split: u64,
    pub(crate) away: u64,
    pub(crate) retained_bytes: u64,
    pub(crate) retained_blocks: u64,
    /// Of these, the bytes of tasks whose Tokio cell still exists.
    pub(crate) unjoined_bytes: u64,
}

/// An ended task, without a Tokio cell, that left bytes which still live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retained {
    /// The index of its site.
    pub(crate) site: u32,
    pub(crate) ending: EndStamp,
}

/// What threads that poll tasks hold outside of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Workers {
    pub(crate) threads: u64,
    pub(crate) live_bytes: u64,
}

/// Everything, at (nearly) one moment.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Tasks that have not ended, in the order of their ids, and those that hold bytes though
    /// nothing tells their end.
    pub(crate) living: Vec<TaskReading>,
    /// Tasks that hold nothing and whose end nothing tells, in the order of their ids.
    pub(crate) unknown: Vec<TaskReading>,
    /// Tasks that have ended and whose future is still held, in the order of their ids.
    pub(crate) held: Vec<TaskReading>,
    /// What both hold together, by the index of their site.
    pub(crate) open_sums: Vec<(u32, OpenTasks)>,
    /// Tasks whose future is gone, the newest first.
    pub(crate) closed: Vec<TaskReading>,
    /// What those of all these that are streams have yielded.
    pub(crate) items: Vec<ItemsReading>,
    pub(crate) sites: Vec<SiteReading>,
    pub(crate) retained: Vec<Retained>,
    pub(crate) untracked: Untracked,
    /// Of `untracked`, the parts that have a name.
    pub(crate) shared: Vec<SharedReading>,
    pub(crate) workers: Workers,
    pub(crate) variables: Vec<VariableReading>,
    pub(crate) variable_sites: Vec<VariableSiteReading>,
    pub(crate) hand_overs: Vec<HandedOver>,
    pub(crate) unlisted: Unlisted,
    /// No task ended while this was read: the sums fit to the byte.
    pub(crate) is_still: bool,
}

/// Reads everything. The caller is in `exempt`, so that the reading does not change what it
/// reads.
pub(crate) fn read() -> Reading {
    let mut reading = attempt();
    for _ in 1..ATTEMPTS {
        if reading.is_still {
            break;
        }
        std::thread::yield_now();
        reading = attempt();
    }
    reading
}

fn attempt() -> Reading {
    reserve::count_anew();
    let folds = EndEpochs::read();
    let mut ended = Vec::new();
    let rows_still = ended_tasks::read(&mut ended);
    // Before the walk: an open task is added to these, and must not be in them yet.
    let mut sums: HashMap<u32, SumsReading> = HashMap::new();
    let mut seen = Capture { is_in_order: true, ..Capture::default() };
    for site in Site::all() {
        let read = site.sums.read();
        if reserve::room(&mut sums) {
            sums.insert(site.index(), read);
        } else {
            seen.unlisted.add_closed(&read);
        }
    }
    let registry::Counts { spawned, ended: over, .. } = registry::counts();
    // PERF: as many as there mostly will be, with room for the ended ones behind them, so that they
    // need not move and no more memory is touched.
    let open = usize::try_from(spawned.saturating_sub(over)).unwrap_or(0);
    // Where there is not as much, they grow by little.
    let _ = seen.living.try_reserve(open + ended.len());
    let now_ns = clock::now_ns();
    for account in registry::accounts() {
        seen.add(account, now_ns);
    }
    let Capture { mut living, mut unknown, mut held, mut items, .. } = seen;
    let Capture { open_sums, mut untracked, workers, left, retained, unlisted, .. } = seen;
    let shared: Vec<SharedReading> = reserve::rows(shared_owner::read(), Some);
    for shared in &shared {
        untracked.add(shared.memory);
    }
    // After the walk: every open task has a site here, and none has more tasks than were spawned.
    let mut sites = Vec::new();
    let mut unlisted = unlisted;
    for site in Site::all() {
        let left = left.get(&site.index()).copied().unwrap_or_default();
        let sums = sums.get(&site.index()).copied().unwrap_or_default();
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
    if !seen.is_in_order {
        living.sort_unstable_by_key(|task| task.id);
    }
    unknown.sort_unstable_by_key(|task| task.id);
    held.sort_unstable_by_key(|task| task.id);
    let is_in = |tasks: &[TaskReading], id| tasks.binary_search_by_key(&id, |task| task.id).is_ok();
    let is_open = |id| [&living, &unknown, &held].into_iter().any(|tasks| is_in(tasks, id));
    let mut closed = Vec::new();
    let _ = closed.try_reserve_exact(ended.len());
    for task in ended.iter().filter_map(|ended| after_the_end(ended, &mut items)) {
        if !is_open(task.id) {
            reserve::push(&mut closed, task);
        }
    }
    let is_still = rows_still && folds.is_unchanged();
    Reading {
        living,
        unknown,
        held,
        open_sums,
        closed,
        items,
        sites,
        retained,
        untracked,
        shared,
        workers,
        variables: reserve::rows(variable::read(), Some),
        variable_sites: reserve::rows(VariableSite::all(), |site| Some(site.read())),
        hand_overs: reserve::rows(cross_frees::read(), Some),
        unlisted,
        is_still,
    }
}

/// What belongs to sites for which there was no memory: in no row, and in the sums all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unlisted {
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
    /// Without what was taken over.
    pub(crate) allocated_bytes: u64,
}

impl Unlisted {
    fn add_closed(&mut self, sums: &SumsReading) {
        self.allocated_bytes += sums.counters.first_allocated_bytes();
    }

    fn add_left(&mut self, left: Remainder) {
        self.live_bytes += left.bytes;
        self.live_blocks += left.blocks;
    }

    fn add_open(&mut self, task: &TaskReading) {
        self.live_bytes += task.live_bytes;
        self.live_blocks += task.live_blocks;
        self.allocated_bytes += task.tally.counters.first_allocated_bytes();
    }
}

/// What is left of a site's ended tasks.
#[derive(Clone, Copy, Debug, Default)]
struct Remainder {
    bytes: u64,
    blocks: u64,
    unjoined_bytes: u64,
}

impl Remainder {
    fn new(bytes: u64, blocks: u64, has_cell: bool) -> Self {
        Self { bytes, blocks, unjoined_bytes: if has_cell { bytes } else { 0 } }
    }

    fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
        self.unjoined_bytes += other.unjoined_bytes;
    }
}

/// What was seen so far.
#[derive(Default)]
struct Capture {
    living: Vec<TaskReading>,
    unknown: Vec<TaskReading>,
    held: Vec<TaskReading>,
    items: Vec<ItemsReading>,
    open_sums: Vec<(u32, OpenTasks)>,
    /// The places in `open_sums`, by the index of the site.
    places: HashMap<u32, usize>,
    /// The last one that was added to.
    last_place: usize,
    /// `living` is in the order of ids, as the accounts of tasks mostly are that were created one
    /// after another.
    is_in_order: bool,
    untracked: Untracked,
    workers: Workers,
    left: HashMap<u32, Remainder>,
    retained: Vec<Retained>,
    unlisted: Unlisted,
}

impl Capture {
    /// Reads one account and, while its owner is open, the record behind it. Nothing, where it is
    /// not in use, or coming or going.
    // PERF: each kind is put where it belongs at once. A task's reading is large, and there are
    // many.
    fn add(&mut self, account: &'static Account, now_ns: u64) {
        // A task that ends between two looks is read again, then as ended; a place that is used
        // anew at that very moment is left out, as a task that was created later.
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
                // Read by its name.
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
                    // Once the end has begun, there is none.
                    let Some(record) = registry::record(record) else { continue };
                    // Looked at before and after: in between it was this task's all the time.
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

    /// The place of a site in `open_sums`, made if need be; past the end where there is no memory
    /// for it.
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

/// Own and others' part: never below zero, as the account was read first.
pub(super) fn sum(own: i64, net: i64) -> u64 {
    u64::try_from(own.saturating_add(net)).unwrap_or(0)
}

/// The same for blocks, which are counted modulo 2^32.
fn blocks(own: u32, net: u32) -> u64 {
    u64::try_from(own.wrapping_add(net).cast_signed()).unwrap_or(0)
}

/// Keeps what a stream has yielded: its index.
#[inline]
fn keep(all: &mut Vec<ItemsReading>, items: Option<ItemsReading>) -> Option<u32> {
    let index = u32::try_from(all.len()).ok()?;
    let items = items?;
    reserve::grow(all).then(|| {
        all.push(items);
        index
    })
}

/// An ended task and what is live of it now.
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
    // An account that serves another by now means that the last byte was freed.
    let (live_bytes, live_blocks) = live.unwrap_or((0, 0));
    // A block may have been transferred to it while it ended.
    let record =
        RecordReading { peak_bytes: ended.reading.peak_bytes.max(live_bytes), ..ended.reading };
    let id = TaskId::new(ended.id)?;
    let items = keep(items, ended.items);
    Some(TaskReading { id, tally: ended.tally, record, items, live_bytes, live_blocks })
}
