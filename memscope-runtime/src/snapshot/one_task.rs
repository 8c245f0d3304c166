//! Rows of tasks for tests: of one task that is about to end, and of all tasks.

use super::{
    capture::{self, TaskReading},
    rows::{self, Tasks},
};
use crate::{
    accounting::{Balance, Record, ended_tasks},
    alloc::{Entered, current, install_check},
    config,
    model::{TaskId, TaskMemoryProfile},
    primitives::{MapByIndex, clock},
};

/// Reads a task on the thread that writes its tally, so its own counts stand still. Returns `None`
/// if the record has no task.
pub(crate) fn read(record: &Record) -> Option<TaskMemoryProfile> {
    let measured = install_check::measured().is_yes();
    let account = record.tally().account()?;
    let Balance::Open { net_bytes, net_blocks, .. } = account.read() else { return None };
    let tally = record.read_tally();
    let task = TaskReading {
        id: TaskId::new(record.tally().id())?,
        tally,
        record: record.read(clock::now_ns())?,
        items: None,
        live_bytes: capture::sum(tally.own_live_bytes, net_bytes),
        live_blocks: capture::blocks(tally.own_live_blocks, net_blocks),
    };
    let _charged = Entered::untracked();
    Some(rows::task(&task, measured))
}

/// The rows of all tasks. Cheaper than a snapshot, and waits for no names.
pub(crate) fn read_all() -> Vec<TaskMemoryProfile> {
    let measured = install_check::measured().is_yes();
    let mut reading = current::exempt(capture::read);
    let _charged = Entered::untracked();
    let rows = Tasks::take(&mut reading, MapByIndex::default(), measured).rows().to_vec();
    // The rest of the reading is memscope's own memory.
    current::exempt(|| drop(reading));
    rows
}

/// How many tasks have ended, for [`keeps_all_since`].
pub(crate) fn ended() -> u64 {
    ended_tasks::count()
}

/// Whether each task that has ended since then still has its row.
pub(crate) fn keeps_all_since(ended: u64) -> bool {
    ended_tasks::count().saturating_sub(ended) <= config::ended_tasks()
}
