//! A snapshot without its rows, and its largest tasks: for a reader that gets one a second.

use std::cmp::Reverse;

use super::{MemorySnapshot, Parts};
use crate::model::TaskMemoryProfile;

/// Copies the snapshot without its rows. What is known of the process and of memscope stays.
pub fn head(snapshot: &MemorySnapshot) -> MemorySnapshot {
    let parts = &snapshot.parts;
    Parts {
        origin: parts.origin,
        measured: parts.measured,
        is_still: parts.is_still,
        timing_is_off: parts.timing_is_off,
        observed_ns: parts.observed_ns,
        spawned_tasks: parts.spawned_tasks,
        active_tasks: parts.active_tasks,
        peak_concurrent_tasks: parts.peak_concurrent_tasks,
        process: parts.process,
        resident: parts.resident.clone(),
        tool: snapshot.tool(),
        runtime: parts.runtime,
        program: parts.program.clone(),
        await_points_measured: parts.await_points_measured.clone(),
        stacks_measured: parts.stacks_measured,
        stack_interval_bytes: parts.stack_interval_bytes,
        stack_names_pending: parts.stack_names_pending,
        libraries: parts.libraries.clone(),
        ..Parts::empty()
    }
    .into()
}

/// The tasks with the most live bytes, the largest first, and how many others there are. The rows
/// of the others are not made.
pub fn largest_tasks(snapshot: &MemorySnapshot, most: usize) -> (Vec<TaskMemoryProfile>, usize) {
    let (mut rows, all) = snapshot.parts.tasks.largest(most);
    rows.sort_by_key(|task| Reverse(task.live_bytes));
    let others = all - rows.len();
    (rows, others)
}
