//! Rows of tasks that were above their budgets.

use super::site_names::SiteNames;
use crate::{
    alloc::over_budget,
    model::{OverBudgetTask, TaskId},
    primitives::reserve,
};

/// The rows, the newest first.
pub(crate) fn over_budget(names: &SiteNames) -> Vec<OverBudgetTask> {
    let (notes, _) = over_budget::notes();
    reserve::rows(notes, |note| {
        Some(OverBudgetTask {
            task: TaskId::new(note.task)?,
            place: names.get(note.site),
            live_bytes: note.live_bytes,
            budget_bytes: note.budget_bytes,
            at_ns: note.at_ns,
        })
    })
}
