//! The walk over all accounts: what each kind of owner holds.

use super::{
    capture::{ATTEMPTS, NOT_LISTED, Retained, TaskReading, Workers, blocks, sum},
    largest_sites::LargestSites,
    open_tasks::OpenTasks,
    thinned::Thinned,
    unlisted::{Remainder, Unlisted},
};
use crate::{
    accounting::{
        Account, Balance, EndStamp, ItemsReading, TallyReading, Untracked, end_stamps, registry,
        stream_items,
    },
    model::{TaskId, TaskState},
    primitives::{
        MapByIndex, reserve,
        sync::{Ordering, fence},
    },
};

/// What the walk over the accounts has collected so far.
pub(super) struct AccountWalk<'l> {
    largest: &'l LargestSites,
    pub(super) living: Vec<TaskReading>,
    pub(super) unknown: Vec<TaskReading>,
    pub(super) held: Vec<TaskReading>,
    pub(super) items: Vec<ItemsReading>,
    pub(super) open_sums: Vec<(u32, OpenTasks)>,
    /// The index in `open_sums`, by the index of the site.
    places: MapByIndex<usize>,
    /// The index in `open_sums` that was used last.
    last_place: usize,
    /// Whether `living` is in the order of ids, as it mostly is for tasks that were created one
    /// after another.
    pub(super) is_in_order: bool,
    pub(super) untracked: Untracked,
    pub(super) workers: Workers,
    pub(super) left: MapByIndex<Remainder>,
    pub(super) retained: Thinned<Retained>,
    pub(super) unlisted: Unlisted,
}

impl<'l> AccountWalk<'l> {
    pub(super) fn new(largest: &'l LargestSites) -> Self {
        let mut new = Self {
            largest,
            living: Vec::new(),
            unknown: Vec::new(),
            held: Vec::new(),
            items: Vec::new(),
            open_sums: Vec::new(),
            places: MapByIndex::default(),
            last_place: 0,
            is_in_order: true,
            untracked: Untracked::default(),
            workers: Workers::default(),
            left: MapByIndex::default(),
            retained: Thinned::new(),
            unlisted: Unlisted::default(),
        };
        // Must come before the tasks, of which there may be more than there is room for.
        let sites = largest.expected() + 1;
        reserve::expect(&mut new.open_sums, sites);
        if largest.listed != 0 {
            let _ = (new.places.try_reserve(sites), new.left.try_reserve(sites));
            reserve::take(sites * (size_of::<(u32, usize)>() + size_of::<(u32, Remainder)>()));
        }
        new
    }

    /// Reads one account and, while its owner is open, the owner's record. Adds nothing if the
    /// account is not in use, or is being opened or returned.
    // PERF: puts each kind of owner where it belongs at once. A task's reading is large, and there
    // are many.
    pub(super) fn add(&mut self, account: &'static Account, now_ns: u64) {
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
                        let ending = ending.filter(|_| !has_cell);
                        let blocks = u64::from(live_blocks);
                        let left = Remainder::new(live_bytes, blocks, ending.as_ref(), has_cell);
                        return self.add_left(site, left, ending);
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
        let site = if self.largest.has(site) { site } else { NOT_LISTED };
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
        if !self.largest.has(site) {
            return self.unlisted.add_left(left);
        }
        if self.left.contains_key(&site) || reserve::room(&mut self.left) {
            self.left.entry(site).or_default().add(left);
        } else {
            self.unlisted.add_left(left);
        }
        if let Some(ending) = ending {
            self.retained.add(Retained { site, ending });
        }
    }
}

impl Untracked {
    pub(super) fn add(&mut self, other: Self) {
        self.allocated_bytes += other.allocated_bytes;
        self.allocations += other.allocations;
        self.live_bytes += other.live_bytes;
        self.live_blocks += other.live_blocks;
    }
}

/// Stores what a stream has yielded and returns its index.
#[inline]
pub(super) fn keep(all: &mut Vec<ItemsReading>, items: Option<ItemsReading>) -> Option<u32> {
    let index = u32::try_from(all.len()).ok()?;
    let items = items?;
    reserve::grow(all).then(|| {
        all.push(items);
        index
    })
}
