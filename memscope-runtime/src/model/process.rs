//! Totals of the process: its memory, the async runtime's, and memscope's own.

use serde::{Deserialize, Serialize};

/// What the async runtime itself holds beside the tasks' own bytes, as far as it can be told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeMemory {
    /// Whether sizes are measured; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Living threads that have polled a tracked task.
    pub worker_threads: u64,
    /// Live bytes that these threads allocated outside every tracked task: run queues, timers,
    /// drivers, cells of other tasks, and what else ran there. Part of the untracked bytes.
    pub worker_bytes: u64,
    /// Living tasks in a Tokio cell of their own.
    pub cells: u64,
    /// Live bytes of these cells beyond the state machines in them. Part of the tasks' bytes.
    pub cell_overhead_bytes: u64,
}

/// The whole that memscope's allocator sees, and its two parts: `tracked + untracked = whole`, to
/// the byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMemory {
    /// Whether sizes are measured; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Live bytes of all tasks, the living and the ended.
    pub tracked_bytes: u64,
    /// Live bytes allocated outside every task.
    pub untracked_bytes: u64,
    /// All live bytes.
    pub whole_bytes: u64,
    /// Live blocks of all tasks.
    pub tracked_blocks: u64,
    /// Live blocks allocated outside every task.
    pub untracked_blocks: u64,
    /// All live blocks.
    pub whole_blocks: u64,
    /// Bytes of all allocations of tasks so far.
    pub tracked_allocated_bytes: u64,
    /// Bytes of all allocations outside every task so far.
    pub untracked_allocated_bytes: u64,
    /// Of `untracked_bytes`, those of shared owners: see [`shared`](crate::async_memory::shared).
    #[serde(default)]
    pub shared_bytes: u64,
}

/// What memscope itself costs, and what it had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUsage {
    /// Memory of memscope's records, sites and history. It is not part of [`ProcessMemory`]; the
    /// words in front of the blocks (8 bytes each) are in neither.
    pub own_bytes: u64,
    /// Of these, the table of the owners of blocks of 4 KiB and more: 64 KiB for each 16 MiB of
    /// addresses at which the program ever had such a block, whatever its tasks do.
    #[serde(default)]
    pub owner_table_bytes: u64,
    /// Rows of ended tasks that could not be written; their sums are in the sites all the same.
    pub events_dropped: u64,
    /// Ended tasks whose row made room for a newer one; their sums are in the sites.
    pub ended_tasks_forgotten: u64,
    /// Tasks that ran untracked because there was no memory for their record.
    pub tasks_without_record: u64,
    /// Tasks counted in `(other)` because their site would have been a row too many.
    pub tasks_in_other: u64,
    /// Hand-overs that were not counted because there were too many pairs of sites.
    pub hand_overs_lost: u64,
    /// Events that were taken out of the threads' rings so far.
    #[serde(default)]
    pub ring_events: u64,
    /// Events that came while their thread's ring was full, or had none. They are missing in
    /// `events()`, and nowhere else.
    ///
    /// Rings are emptied by snapshots and, from [`init`](crate::init) on, by a thread: ten times a
    /// second, or as often as [`Builder::sample_every`](crate::Builder::sample_every) says where
    /// that is more often.
    #[serde(default)]
    pub ring_events_dropped: u64,
    /// Bytes that memscope held in the program's heap when the snapshot began: its settings and
    /// plans of reports, and snapshots that other threads were reading. They are not part of
    /// [`ProcessMemory`].
    #[serde(default)]
    pub heap_bytes: u64,
    /// In so many blocks.
    #[serde(default)]
    pub heap_blocks: u64,
    /// Whether the collector's thread was there.
    #[serde(default)]
    pub collector_is_running: bool,
    /// Unannotated tasks that were given up while they held bytes or their polls were counted,
    /// since there were too many of them: they may have several rows.
    pub tasks_split: u64,
    /// Polls at whose end it could not be kept where the task waits: there were too many such
    /// places (16,384), or there was no memory.
    #[serde(default)]
    pub await_points_refused: u64,
    /// Rows that this snapshot leaves out as there was no memory for them. All sums of the process
    /// count what is in them.
    ///
    /// From its first snapshot, report or `init` on memscope keeps 2 MiB of address space, none of
    /// it resident, for what it has to say when the program's memory is at its end.
    #[serde(default)]
    pub rows_left_out: u64,
    /// Blocks that were freed or reallocated after the program had written over their owner's word,
    /// as a write in front of a block does. The block is freed all the same, and its bytes stay
    /// with the owner that it had.
    #[serde(default)]
    pub owner_words_refused: u64,
    /// Blocks of 4 KiB and more that count as untracked, as there was no memory for their place in
    /// the table of owners.
    #[serde(default)]
    pub owner_slots_refused: u64,
}
