//! Keeps the tasks that were above their budgets.

use super::{current, discharge::known};
use crate::{
    accounting::{Account, Record},
    primitives::{Lock, Renew, clock},
};

/// The most tasks that are kept, the newest ones.
const MOST_NOTES: usize = 64;

/// What is kept of a task that was above its budget.
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
    /// The number of notes ever made.
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

/// Notes that the task was above its budget.
pub(crate) fn note(record: &Record, live_bytes: u64, budget_bytes: u64) {
    let site = record.tally().account().map_or(0, Account::site);
    let (task, at_ns) = (record.tally().id(), clock::now_ns());
    let mut notes = NOTES.lock();
    let place = notes.count % MOST_NOTES;
    notes.notes[place] = Note { task, site, live_bytes, budget_bytes, at_ns };
    notes.count += 1;
}

impl Record {
    /// What the task holds and its budget, if it holds more than that.
    pub(crate) fn bytes_over_budget(&self) -> Option<(u64, u64)> {
        let budget = self.budget()?;
        let live = u64::try_from(self.tally().live_bytes()).unwrap_or(0);
        (live > budget).then_some((live, budget))
    }
}

/// Returns what the current task holds, annotated or not; `None` outside of tasks.
pub(crate) fn current_task_live_bytes() -> Option<u64> {
    known(current::tally()).task_live_bytes()
}
