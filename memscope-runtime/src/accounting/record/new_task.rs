//! A task that gets a record.

use super::Record;
use crate::{
    accounting::{future_type::FutureType, registry, site::Site},
    config,
    model::TaskState,
    sampling::Sampling,
};

/// What is known of a task before it has a record.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) site: &'static Site,
    /// None: the task is counted when its name is known, at the latest when it ends. Its site keeps
    /// its row.
    // PERF: most tasks of a storm would otherwise be counted in one row, and moved to another one.
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
/// for its record; each report shows how many tasks that were.
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
