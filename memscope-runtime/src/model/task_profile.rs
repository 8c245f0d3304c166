//! One task: its memory, its polls and its times.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    counters::{counted_row, counters},
    task::{TaskId, TaskState, TaskType},
};

counters!(counted_row! {
    /// What one task holds, held and allocated.
    ///
    /// All sizes are bytes as the program asked for them, without the allocator's own overhead;
    /// `live_bytes = allocated_bytes - freed_bytes`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    TaskMemoryProfile
    {
        /// The task's id, unique for the life of the process.
        pub id: TaskId,
        /// The tracked task in which it is polled, or otherwise the one that created it.
        pub parent: Option<TaskId>,
        /// The name it was given, or the function that its future is the body of.
        pub name: String,
        /// What the task mostly does, as declared.
        pub task_type: TaskType,
        /// Its state.
        pub state: TaskState,
        /// The file of the annotation or of the call that made it.
        pub file: Cow<'static, str>,
        /// The line there.
        pub line: u32,
        /// Whether the sizes below are measured; if not, they are 0 and mean nothing.
        /// [`MemorySnapshot::measured`] says why.
        ///
        /// [`MemorySnapshot::measured`]: crate::async_memory::MemorySnapshot::measured
        pub measured: bool,
        /// Bytes allocated by the task and not yet freed. On an ended task: retained.
        pub live_bytes: u64,
        /// The most that `live_bytes` ever was.
        pub peak_bytes: u64,
    }
    {
        /// Bytes of the task's blocks that were freed, by any task or thread.
        pub freed_bytes: u64,
        /// The part of `freed_bytes` that was freed outside the task: by another task, by a thread,
        /// or after its end.
        pub freed_elsewhere_bytes: u64,
        /// Blocks allocated and not yet freed.
        pub live_blocks: u64,
        /// The size of the future's state machine.
        ///
        /// For an unannotated task this is the room in its Tokio cell, which has the future and
        /// later its output. So it is the size of the larger of the two, plus Tokio's discriminant
        /// if that finds no room in them. It is 0 if the size is not known. Then the layout of
        /// cells is not learned, or the future may be in a box, where Tokio puts large futures.
        pub future_size_bytes: u64,
        /// The type of the future. Of an unannotated task it is known if the program's symbols have
        /// type parameters, as with `-C symbol-mangling-version=v0`; else `not known`.
        pub future_type: Cow<'static, str>,
        /// How often it was polled; 0 if that is not known, as of most unannotated tasks.
        ///
        /// `tokio_hooks` counts how often Tokio ran such a task. Dropping an aborted one is the
        /// last time.
        pub poll_count: u64,
        /// Nanoseconds spent in its polls; `None` if this task was not timed.
        pub busy_ns: Option<u64>,
        /// Nanoseconds from its first poll to its end (or to now) in which it was not polled;
        /// `None` if it was not timed or not yet polled.
        pub wait_ns: Option<u64>,
        /// Whether the two are scaled up from a sample of its polls.
        pub timing_is_estimate: bool,
        /// Nanoseconds since its last poll ended, at least. `None` if that is not known, and for a
        /// task that has ended or is being polled.
        ///
        /// The first polls of a timed task all have a known end. After them memscope knows that a
        /// task was not polled from one snapshot to the next.
        pub idle_ns: Option<u64>,
        /// Nanoseconds that it was woken and not yet polled: always `None`. To know when a task is
        /// woken, memscope would have to pass its own waker to each poll. That costs an allocation
        /// or a reference count, and makes `Waker::will_wake` return `false` where it returned
        /// `true`. This time is part of `wait_ns`.
        #[serde(default)]
        pub scheduled_ns: Option<u64>,
        /// Where it waits: the index of a row of [`MemorySnapshot::await_points`]. `None` if that
        /// was not asked for, for a task that does not wait, and until its next poll if it was
        /// asked for later.
        ///
        /// [`MemorySnapshot::await_points`]: crate::async_memory::MemorySnapshot::await_points
        #[serde(default)]
        pub await_point: Option<u32>,
        /// Bytes of the Tokio cell into which `spawn_tracked` or `.spawn()` has spawned the task,
        /// and of the box into which Tokio has put a large future. 0 if the task was not spawned in
        /// this way.
        pub cell_bytes: u64,
        /// Whether the task was tracked by name. Of other tasks the memory is measured, and what
        /// their Tokio cells say is known. Polls are not counted (but see `poll_count`).
        pub is_annotated: bool,
        /// Of an unannotated Tokio task that still has its cell: whether its `JoinHandle` is held.
        /// If the task has finished and it is, the task was never joined. If it is not, wakers or
        /// abort handles keep the cell. `None` if that is not known.
        #[serde(default)]
        pub has_handle: Option<bool>,
        /// What the task may hold, in bytes, by `#[tracked(budget = …)]`, `.budget(…)` or
        /// `builder().task_budget(…)`. `None` if it has no budget, or has ended; JSON has no field
        /// then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub budget_bytes: Option<u64>,
        /// What it has yielded; `None` for a task that is no stream.
        #[serde(default)]
        pub items: Option<Items>,
    }
});

/// What a tracked stream, or all streams of one site, yielded.
///
/// Only polls that yielded an item count here, and only the stream's own work in them, as a tracked
/// future or stream inside it has a row of its own. Allocations in polls that are still pending are
/// only in the stream's `allocated_bytes`. That sum divided by `count` is the whole cost of an
/// item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    /// Items yielded.
    pub count: u64,
    /// Bytes of all allocations in the polls that yielded an item.
    pub allocated_bytes: u64,
    /// The most bytes that one of these polls allocated.
    pub largest_bytes: u64,
    /// By how many bytes those polls together raised the stream's live bytes: allocated less freed
    /// by itself. These bytes left with the items, if the stream holds as much as before. Below
    /// zero if items came from bytes that it held already.
    pub net_bytes: i64,
}

impl Items {
    /// Bytes allocated for an item, on average; 0 if there was none.
    #[expect(clippy::cast_precision_loss, reason = "an average")]
    pub fn mean_bytes(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.allocated_bytes as f64 / self.count as f64 }
    }

    /// The items of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            allocated_bytes: self.allocated_bytes.saturating_add(other.allocated_bytes),
            largest_bytes: self.largest_bytes.max(other.largest_bytes),
            net_bytes: self.net_bytes.saturating_add(other.net_bytes),
        }
    }
}
