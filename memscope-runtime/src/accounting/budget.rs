//! Budgets of tasks: how much a task may hold, and whether it may hold more.
//!
//! The allocator compares only where a task may hold more than its peak, or more than its budget if
//! that is lower. If the task holds more than its budget, [`note_rise`] marks its record. The end
//! of a poll tests that mark together with others, so a task within its budget pays nothing for a
//! poll.
//!
//! A task that is marked and yet within its budget loses the mark: from then on the allocator
//! compares again.

use super::{Account, Balance, Record, Site, registry, transferred};
use crate::primitives::{
    Arena, StaticRef, Zeroed, arena,
    sync::{AtomicU8, AtomicU64, Ordering},
};

/// The rows stand beside the accounts, under the same indices. They exist once there is a budget.
static BUDGETS: Arena<Row> = Arena::new();

/// One account's budget. Its owner's single writer writes it.
#[derive(Debug)]
struct Row {
    /// The task's id, because accounts are used again.
    task: AtomicU64,
    bytes: AtomicU64,
    flags: AtomicU8,
}

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Row {}

impl Row {
    /// The budget, as live bytes are counted.
    fn most(&self) -> i64 {
        i64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
    }
}

/// Flag: the task's excess was reported.
const TOLD: u8 = 1;
/// Flag: the budget was set for this task, not for its site.
const OWN: u8 = 2;

fn row_of(account: &Account) -> Option<&'static Row> {
    let row = BUDGETS.get(account.index())?;
    (row.task.load(Ordering::Relaxed) == account.id()).then_some(row)
}

/// A budget of tasks with a name. They form a list, the newest first.
#[derive(Debug)]
struct Named {
    name: &'static str,
    bytes: u64,
    next: Option<&'static Named>,
}

/// The list. Only settings add to it. A new site reads it, perhaps in the allocator.
static NAMED: StaticRef<Named> = StaticRef::none();

/// Sets the budget of tasks with this name.
pub(crate) fn set_named(name: &str, bytes: u64) {
    transferred::begin_use();
    let is_known = named(name) == Some(bytes);
    // Without memory for it, later sites of that name have no budget.
    if !is_known && let Some(name) = arena::keep_str(name) {
        loop {
            let next = NAMED.get();
            let Some(new) = arena::keep(Named { name, bytes, next }) else { break };
            if NAMED.replace(next, new) {
                break;
            }
        }
    }
    let sites = (0..).map_while(Site::at);
    for site in sites.filter(|site| site.name == name) {
        site.set_budget(bytes);
    }
}

fn named(name: &str) -> Option<u64> {
    let mut next = NAMED.get();
    while let Some(here) = next {
        if here.name == name {
            return Some(here.bytes);
        }
        next = here.next;
    }
    None
}

/// The budget of tasks with this name, for a new site.
pub(super) fn of_name(name: &str) -> Option<u64> {
    if transferred::is_in_use() { named(name) } else { None }
}

impl Site {
    /// What one of its tasks may hold.
    fn task_budget(&self) -> Option<u64> {
        self.budget.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Sets the budget that an annotation says, unless the program's settings say another one.
    pub(super) fn offer_budget(&self, bytes: u64) {
        if self.task_budget().is_none() && !self.is_other() {
            transferred::begin_use();
            self.set_budget(bytes);
        }
    }

    pub(super) fn set_budget(&self, bytes: u64) {
        self.budget.store(bytes.saturating_add(1), Ordering::Relaxed);
    }
}

impl Record {
    /// Gives the task the budget of its site. Called while the task is being built, once any task
    /// has a budget.
    #[cold]
    #[inline(never)]
    pub(super) fn take_budget_of_site(&self) {
        let Some(bytes) = self.site().and_then(Site::task_budget) else { return };
        self.put_budget(bytes, 0);
    }

    /// Gives the task the budget of its new site, unless it has a budget of its own. Called when it
    /// has moved to another site, before its first poll.
    #[cold]
    #[inline(never)]
    pub(super) fn keep_budget(&self) {
        match self.tally().account().and_then(row_of) {
            Some(row) if row.flags.load(Ordering::Relaxed) & OWN != 0 => {
                self.put_budget(row.bytes.load(Ordering::Relaxed), OWN);
            }
            Some(row) => {
                // The budget was that of the site before.
                row.bytes.store(u64::MAX, Ordering::Relaxed);
                self.take_budget_of_site();
            }
            None => self.take_budget_of_site(),
        }
    }

    /// Gives the task a budget of its own.
    pub(crate) fn set_budget(&self, bytes: u64) {
        transferred::begin_use();
        self.put_budget(bytes, OWN);
    }

    fn put_budget(&self, bytes: u64, flags: u8) {
        // Without memory for the row the task has no budget.
        let Some(account) = self.tally().account() else { return };
        let Some(row) = BUDGETS.get_or_make(account.index()) else { return };
        row.task.store(self.tally().id(), Ordering::Relaxed);
        row.bytes.store(bytes, Ordering::Relaxed);
        row.flags.store(flags, Ordering::Relaxed);
        // The allocator compares only above the peak: what may rise again below it is compared at
        // the end of a poll.
        if self.tally().peak_bytes() > bytes || self.tally().live_bytes() > row.most() {
            self.mark_over_budget();
        }
    }

    /// The task's budget.
    pub(crate) fn budget(&self) -> Option<u64> {
        // PERF: the rows of all budgets are looked at only if there are any.
        if !transferred::is_in_use() {
            return None;
        }
        let row = self.tally().account().and_then(row_of)?;
        Some(row.bytes.load(Ordering::Relaxed))
    }

    /// Makes the allocator compare again, instead of the ends of polls, because the task is within
    /// its budget. The record's single writer calls this.
    pub(crate) fn watch_in_allocator(&self) {
        self.unmark_over_budget();
        let Some(account) = self.tally().account() else { return };
        let Some(row) = row_of(account) else { return };
        self.tally().look_above(account, row.most());
        // The mark that was removed may have been set by a transfer just before.
        if self.tally().live_bytes() > row.most() {
            self.mark_over_budget();
        }
    }

    /// Notes that the task's excess is reported. Returns `false` if it was reported before.
    pub(crate) fn tell_over_budget(&self) -> bool {
        let Some(row) = self.tally().account().and_then(row_of) else { return false };
        let flags = row.flags.load(Ordering::Relaxed);
        row.flags.store(flags | TOLD, Ordering::Relaxed);
        flags & TOLD == 0
    }
}

/// The function that looks at a task that may hold more than its budget; set with the first budget.
static LOOK: StaticRef<fn(&'static Record)> = StaticRef::none();

/// Sets the function that is called at the end of a poll of a marked task.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the reference is kept")]
pub(crate) fn on_excess(look: &'static fn(&'static Record)) {
    LOOK.set(look);
}

/// Calls the function that [`on_excess`] has set, at the end of a poll.
pub(super) fn tell(record: &'static Record) {
    if let Some(look) = LOOK.get() {
        look(record);
    }
}

/// Compares what the account's owner holds with its budget. Returns the budget if it may hold that
/// much. Called by the allocator: takes no lock and no memory.
#[cold]
#[inline(never)]
pub(super) fn note_rise(account: &Account, live_bytes: i64) -> Option<i64> {
    let budget = row_of(account)?.most();
    if live_bytes <= budget {
        return Some(budget);
    }
    if let Balance::Open { record, .. } = account.read()
        && let Some(record) = registry::record(record)
        && record.tally().id() == account.id()
    {
        record.mark_over_budget();
    }
    None
}

/// Compares what the account's owner holds after a transfer with its budget. Any thread may call
/// this.
#[inline]
pub(crate) fn note_transfer(account: &Account, live_bytes: i64) {
    // What the owner allocates next makes its own thread look.
    let _ = note_rise(account, live_bytes);
}
