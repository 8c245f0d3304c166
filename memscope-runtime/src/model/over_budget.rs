//! A task that holds more than its budget.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    HumanBytes, Place, TaskId,
    human::{cell, count, path_end},
};

/// The most places in the code that are shown.
const SHOWN_CODES: usize = 3;
/// With fewer samples the estimate of the bytes is not shown.
const FIRM_SAMPLES: u64 = 4;

/// A task was found above its budget at the end of a poll.
///
/// `Display` names the task, its bytes, the budget, its largest holders, and the code that
/// allocated most.
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
    /// The code that allocated most of what the task holds, by samples of its stacks: the most
    /// bytes first, at most five. Empty without a sample, and where no name is known yet.
    pub allocated_at: Vec<AllocatingCode>,
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

/// Code that allocated live blocks: an estimate, by samples of stacks.
///
/// It is the innermost function that is neither the standard library's nor an executor's.
///
/// ```
/// use memscope_runtime::OverBudget;
///
/// fn log(over: &OverBudget) {
///     for code in &over.allocated_at {
///         eprintln!("{}: about {} bytes", code.function, code.live_bytes);
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocatingCode {
    /// The function's name with its path.
    pub function: String,
    /// The file of the call in it, if the program has line tables and they were read.
    pub file: Option<String>,
    /// The line there.
    pub line: Option<u32>,
    /// Live bytes, by estimate.
    pub live_bytes: u64,
    /// How many sampled blocks the estimate is made of.
    pub live_samples: u64,
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
        for (index, code) in self.allocated_at.iter().take(SHOWN_CODES).enumerate() {
            write!(f, "{}{code}", if index == 0 { "; allocated at " } else { ", " })?;
        }
        Ok(())
    }
}

/// The function and its place, and its bytes if there are enough samples.
impl fmt::Display for AllocatingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", cell(&self.function, 60))?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({}:{line})", path_end(file, 60))?,
            (Some(file), None) => write!(f, " ({})", path_end(file, 60))?,
            (None, _) => {}
        }
        match self.live_samples {
            1 => f.write_str(" by 1 sample"),
            few if few < FIRM_SAMPLES => write!(f, " by {few} samples"),
            many => write!(f, " ≈ {} by {} samples", HumanBytes(self.live_bytes), count(many)),
        }
    }
}

impl std::error::Error for OverBudget {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excess_names_variables_by_bytes_and_code_by_estimates() {
        let code = |function: &str, line: Option<u32>, live_samples: u64| AllocatingCode {
            function: function.to_owned(),
            file: line.map(|_| "src/load.rs".to_owned()),
            line,
            live_bytes: live_samples << 21,
            live_samples,
        };
        let rows = Holder {
            name: "rows".to_owned(),
            file: "src/load.rs".to_owned(),
            line: 3,
            heap_bytes: 9 << 20,
        };
        let over = OverBudget {
            task: TaskId::new(7).expect("an id"),
            name: "load".to_owned(),
            live_bytes: 20 << 20,
            budget_bytes: 16 << 20,
            holders: vec![rows],
            allocated_at: vec![
                code("app::page", Some(12), 6),
                code("app::log", None, 3),
                code("app::a", None, 1),
                code("app::b", None, 1),
            ],
        };
        let expected = "task load (#7) holds 20.0 MiB, more than its budget of 16.0 MiB: `rows` \
                        (src/load.rs:3) 9.0 MiB; allocated at `app::page` (src/load.rs:12) ≈ \
                        12.0 MiB by 6 samples, `app::log` by 3 samples, `app::a` by 1 sample";
        assert_eq!(over.to_string(), expected);
    }
}
