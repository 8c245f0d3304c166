//! Opens the record of a new task.

use super::Record;
use crate::{
    accounting::{future_type::FutureType, registry, site::Site},
    config,
    model::TaskState,
    sampling::Sampling,
};

/// The facts about a task that its record begins with.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) site: &'static Site,
    /// The site that counts the task. `None` if the task is counted later, when its name is known
    /// or at its end. Its site then keeps its row.
    // PERF: otherwise most tasks of a storm would be counted in one row, and then moved to another.
    pub(crate) counted_site: Option<&'static Site>,
    pub(crate) future: &'static FutureType,
    pub(crate) parent: u64,
    pub(crate) sampling: Sampling,
    /// How many tasks the row had before.
    pub(crate) ordinal: u64,
    pub(crate) state: TaskState,
    pub(crate) is_annotated: bool,
}

/// Starts a task that `parent` creates (0 if no task does). Returns `None` if there is no memory
/// for its record. Each report shows the number of such tasks.
pub(crate) fn open(
    site: &'static Site,
    future: &'static FutureType,
    parent: u64,
) -> Option<&'static Record> {
    let (counted_site, earlier) = site.admit(future);
    let sampling = config::sampling(earlier);
    let record = registry::open_task(&NewTask {
        site,
        counted_site: Some(counted_site),
        future,
        parent,
        sampling,
        ordinal: earlier,
        state: TaskState::Idle,
        is_annotated: true,
    });
    if record.is_none() {
        counted_site.retract();
    }
    record
}
