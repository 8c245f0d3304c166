//! What happens at the end of a poll that leaves a task above its budget.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    current::{self, Entered, exempt},
    discharge::known,
    warn,
};
use crate::{
    accounting::{Account, Record, budget, variable},
    config,
    model::{Holder, OverBudget, TaskId, human::cell},
    primitives::{Lock, Renew, clock, order},
};

/// How many tasks above their budgets are kept, the newest ones.
const MOST_NOTES: usize = 64;

/// What is kept of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) task: u64,
    /// The index of its site.
    pub(crate) site: u32,
    pub(crate) live_bytes: u64,
    pub(crate) budget_bytes: u64,
    pub(crate) at_ns: u64,
}

#[derive(Debug)]
struct Notes {
    notes: [Note; MOST_NOTES],
    /// How many there ever were.
    count: usize,
}

impl Notes {
    const NONE: Self = {
        let none = Note { task: 0, site: 0, live_bytes: 0, budget_bytes: 0, at_ns: 0 };
        Self { notes: [none; MOST_NOTES], count: 0 }
    };
}

static NOTES: Lock<Notes> = Lock::new(Notes::NONE);

impl Renew for Notes {
    fn renew(&mut self) {
        self.count = 0;
    }
}

/// The tasks that were above their budgets, the newest first, and how many there were.
pub(crate) fn notes() -> (Vec<Note>, u64) {
    let notes = NOTES.lock();
    let newest = (0..notes.count).rev().take(MOST_NOTES);
    let all = newest.map(|number| notes.notes[number % MOST_NOTES]).collect();
    (all, notes.count as u64)
}

fn note(record: &Record, live_bytes: u64, budget_bytes: u64) {
    let site = record.tally().account().map_or(0, Account::site);
    let (task, at_ns) = (record.tally().id(), clock::now_ns());
    let mut notes = NOTES.lock();
    let place = notes.count % MOST_NOTES;
    notes.notes[place] = Note { task, site, live_bytes, budget_bytes, at_ns };
    notes.count += 1;
}

/// The most variables that are named.
const MOST_HOLDERS: usize = 5;

impl Record {
    /// What the task holds, if that is more than its budget.
    pub(crate) fn bytes_over_budget(&self) -> Option<(u64, u64)> {
        let budget = self.budget()?;
        let live = u64::try_from(self.tally().live_bytes()).unwrap_or(0);
        (live > budget).then_some((live, budget))
    }

    /// The task's excess, with its largest holders.
    pub(crate) fn over_budget(&self, live_bytes: u64, budget_bytes: u64) -> Option<OverBudget> {
        let task = TaskId::new(self.tally().id())?;
        let name = self.site().map_or("", |site| site.name).to_owned();
        let mut variables: Vec<_> =
            variable::read().filter(|variable| variable.task == task.as_u64()).collect();
        order::by(&mut variables, |a, b| b.heap_bytes.cmp(&a.heap_bytes));
        let holders = variables.iter().take(MOST_HOLDERS).map(|variable| Holder {
            name: variable.site.key.name.to_owned(),
            file: variable.site.key.file.to_owned(),
            line: variable.site.key.line,
            heap_bytes: variable.heap_bytes,
        });
        Some(OverBudget { task, name, live_bytes, budget_bytes, holders: holders.collect() })
    }
}

/// Returns what the current task holds, annotated or not; `None` outside of tasks.
pub(crate) fn current_task_live_bytes() -> Option<u64> {
    known(current::tally()).task_live_bytes()
}

/// Has the tasks looked at that are above their budgets. Called before any task has one.
pub(crate) fn prepare() {
    static LOOK: fn(&'static Record) = look;
    budget::on_excess(&LOOK);
}

/// Looks at a task that may hold more than its budget. Tells the first excess that a poll leaves
/// behind.
#[cold]
#[inline(never)]
fn look(record: &'static Record) {
    let Some((live, budget)) = record.bytes_over_budget() else {
        return record.watch_in_allocator();
    };
    if !record.tell_over_budget() {
        return;
    }
    record.note_over_budget(live);
    note(record, live, budget);
    let Some(call) = config::on_over_budget() else { return };
    let Some(over) = exempt(|| record.over_budget(live, budget)) else { return };
    let called = catch_unwind(AssertUnwindSafe(|| {
        let _untracked = Entered::untracked();
        call(&over);
    }));
    if called.is_err() {
        let name = cell(&over.name, 60);
        warn(format_args!("the function of `on_over_budget` has panicked, called for {name}"));
    }
    exempt(|| drop(over));
}
