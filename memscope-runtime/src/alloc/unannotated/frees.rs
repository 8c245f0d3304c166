//! Tasks that have no record, and free blocks of others.
//!
//! A free makes no record, so a task that only frees a little costs little. A task that frees on
//! and on, as the receiver of a channel does, gets one: then its row has the frees.

use std::cell::Cell;

use super::{SwitchedTask, task_id::tokio_id};
use crate::accounting::Record;

/// How many blocks of others a task frees on one thread before it gets a record.
const FREES: u32 = 16;
/// How many tasks a thread counts at one time.
const TASKS: usize = 8;

/// The frees of a task without a record.
#[derive(Clone, Copy, Debug)]
struct Count {
    id: u64,
    frees: u32,
}

thread_local! {
    static COUNTS: [Cell<Count>; TASKS] =
        const { [const { Cell::new(Count { id: 0, frees: 0 }) }; TASKS] };
}

/// Counts a free of the current task, which has no record. Returns a record if the task has freed
/// often.
#[cold]
#[inline(never)]
pub(in crate::alloc) fn record_of_freer() -> Option<&'static Record> {
    let id = tokio_id()?;
    let is_often = COUNTS.with(|counts| {
        // Ids are consecutive, so tasks that run at one time mostly have different counts.
        let count = &counts[usize::try_from(id % TASKS as u64).unwrap_or(0)];
        let frees = if count.get().id == id { count.get().frees.saturating_add(1) } else { 1 };
        count.set(Count { id, frees });
        frees > FREES
    });
    if is_often { SwitchedTask(id).find() } else { None }
}
