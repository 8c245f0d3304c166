//! Every task of the process at one moment, and where each one waits.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use super::{AwaitPoint, AwaitPoints, DumpedCell, DumpedMemory, TaskId, TaskState};

/// All tasks of the process at one moment; [`task_dump`](crate::async_memory::task_dump) makes it.
///
/// `Display` prints them as a tree of the places where they wait: tasks that wait at the same
/// places are one row, with their number and their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDump {
    /// How long the process stood still.
    #[serde(default)]
    pub pause_ns: u64,
    /// How long the whole took. The process ran on meanwhile.
    #[serde(default)]
    pub taken_ns: u64,
    /// The most memory that the copy of the process took at one time: what was resident above the
    /// memory that it began with. The system counts that in steps of some pages.
    #[serde(default)]
    pub copy_bytes: u64,
    /// The tasks: those that have not ended, then those that have ended and still have their Tokio
    /// cell; each in the order in which they were spawned.
    pub tasks: Vec<DumpedTask>,
    /// Whether the places where tasks wait are known; if not, why, and what to do.
    #[serde(default)]
    pub await_points: AwaitPoints,
    /// Threads of Tokio's runtimes, which Tokio keeps as tasks. They are not among `tasks`.
    #[serde(default)]
    pub workers: u64,
    /// Why tasks without annotations are missing; `None` if none is.
    #[serde(default)]
    pub missing: Option<String>,
    /// Waiting tasks whose place is not known because the program has no debug information of their
    /// types. 0 in a dump that was decoded.
    #[serde(default)]
    pub without_types: u64,
    /// Memory from which the places of these can be read elsewhere; `None` if it was not asked for:
    /// [`Builder::dump_memory`](crate::Builder::dump_memory).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<DumpedMemory>,
    /// Tasks whose memory is only partly in `memory`, because there was too much of it. Their
    /// places may stay unknown. In a dump that was decoded, 0 if no place stayed unknown for want
    /// of memory.
    #[serde(default)]
    pub memory_left_out: u64,
}

/// A task, at the moment of a dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DumpedTask {
    /// The task's id in memscope's other reports. `None` for a task that has allocated nothing, and
    /// so has no row there.
    pub id: Option<TaskId>,
    /// The number of the id that Tokio gave the task. `None` if the task is only a part of a Tokio
    /// task, which `track` or `#[tracked]` has made a task.
    pub tokio_id: Option<u64>,
    /// What the task runs: the name of its future, or the one that it was given.
    pub name: String,
    /// Its state. A task that is woken and not polled yet is `Idle`.
    pub state: TaskState,
    /// Whether a thread polled it at this moment.
    pub running: bool,
    /// Where it waits. `None` if it does not, or if that is not known: see `unknown`. Of its
    /// numbers, only sizes are those of this task; its frames have no `locals`.
    pub await_point: Option<AwaitPoint>,
    /// The queue that it waits in: of a lock, a semaphore, a bounded channel or a `Notify` of
    /// Tokio's, or of an asynchronous `Mutex` of futures. Tasks with one number wait in the same
    /// queue. Number 1 has most tasks. `None` if it waits for something else, or if that is not
    /// known.
    pub queue: Option<u64>,
    /// Why there is no await point, or why none can be known.
    pub unknown: Option<String>,
    /// Whether `live_bytes` is measured; if not, it is 0 and means nothing.
    pub measured: bool,
    /// Bytes that the task has allocated and that live, to the byte.
    pub live_bytes: u64,
    /// The size of its future; 0 if that is not known.
    pub future_size_bytes: u64,
    /// The task that spawned it.
    pub parent: Option<TaskId>,
    /// Whether a `JoinHandle` of the task is held, if that is known.
    pub has_handle: Option<bool>,
    /// Where its cell is in the dump's [`memory`](TaskDump::memory), if that is to be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cell: Option<DumpedCell>,
}

impl Default for DumpedTask {
    fn default() -> Self {
        Self {
            id: None,
            tokio_id: None,
            name: String::new(),
            state: TaskState::Unknown,
            running: false,
            await_point: None,
            queue: None,
            unknown: None,
            measured: false,
            live_bytes: 0,
            future_size_bytes: 0,
            parent: None,
            has_handle: None,
            cell: None,
        }
    }
}

/// How many of the tasks wait in each queue. A task that is a part of another one waits with that
/// one, and is not counted.
pub(crate) fn queues(tasks: &[DumpedTask]) -> BTreeMap<u64, u64> {
    let mut queues: BTreeMap<u64, u64> = BTreeMap::new();
    for task in tasks {
        if let Some(queue) = task.queue {
            *queues.entry(queue).or_default() += u64::from(task.tokio_id.is_some());
        }
    }
    queues
}

/// Replaces the queues, which are addresses or other numbers, by numbers from 1 on. Number 1 has
/// most tasks.
#[allow(dead_code, reason = "for dumps of tasks, which are made on Linux alone, or decoded")]
pub(crate) fn number_queues(tasks: &mut [DumpedTask]) {
    let mut queues: Vec<(u64, u64)> = queues(tasks).into_iter().collect();
    queues.sort_by_key(|(queue, tasks)| (Reverse(*tasks), *queue));
    let numbers: BTreeMap<u64, u64> = queues.iter().map(|(queue, _)| *queue).zip(1_u64..).collect();
    for queue in tasks.iter_mut().filter_map(|task| task.queue.as_mut()) {
        *queue = numbers.get(queue).copied().unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_most_tasks_is_number_one() {
        let of = |queue| DumpedTask { queue, tokio_id: Some(1), ..DumpedTask::default() };
        let mut tasks =
            [Some(0x7f00), None, Some(0x5500), Some(0x7f00), Some(0x6600)].map(of).to_vec();
        number_queues(&mut tasks);
        let numbers = |tasks: &[DumpedTask]| tasks.iter().map(|it| it.queue).collect::<Vec<_>>();
        assert_eq!(numbers(&tasks), [Some(1), None, Some(2), Some(1), Some(3)]);
        let part = || DumpedTask { queue: Some(3), ..DumpedTask::default() };
        tasks.extend([part(), part()]);
        number_queues(&mut tasks);
        assert_eq!(numbers(&tasks)[4..], [Some(3); 3], "a part of a task is no further one");
    }
}
