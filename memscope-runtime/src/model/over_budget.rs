//! A task that holds more than its budget.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{HumanBytes, Place, TaskId, human::cell};

/// A task was found above its budget at the end of a poll.
///
/// `Display` names the task, its bytes, the budget and its largest holders.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverBudget {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: String,
    /// What it held at the end of the poll.
    pub live_bytes: u64,
    /// What it may hold.
    pub budget_bytes: u64,
    /// Live variables of the task that `track_var!` registered, the largest first, at most five.
    pub holders: Vec<Holder>,
}

/// A variable that holds memory of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The variable's name.
    pub name: String,
    /// The file of its `track_var!`.
    pub file: String,
    /// The line of its `track_var!`.
    pub line: u32,
    /// Bytes of its blocks.
    pub heap_bytes: u64,
}

/// A task that was above its budget, in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverBudgetTask {
    /// The task.
    pub task: TaskId,
    /// Its site.
    pub place: Option<Place>,
    /// What it held when a poll first left it above its budget.
    pub live_bytes: u64,
    /// What it might hold.
    pub budget_bytes: u64,
    /// Nanoseconds from the start of tracking to then.
    pub at_ns: u64,
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, live_bytes, budget_bytes, .. } = self;
        let [live, budget] = [*live_bytes, *budget_bytes].map(HumanBytes);
        write!(
            f,
            "task {} (#{task}) holds {live}, more than its budget of {budget}",
            cell(&self.name, 60)
        )?;
        for (index, Holder { name, file, line, heap_bytes }) in self.holders.iter().enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            let bytes = HumanBytes(*heap_bytes);
            write!(f, "{before}`{}` ({}:{line}) {bytes}", cell(name, 40), cell(file, 60))?;
        }
        Ok(())
    }
}

impl std::error::Error for OverBudget {}
