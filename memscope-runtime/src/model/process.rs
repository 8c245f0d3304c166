//! Totals of the process: its memory, the async runtime's, and memscope's own.

use serde::{Deserialize, Serialize};

/// What the async runtime itself holds besides the tasks' own bytes, as far as memscope can tell
/// them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeMemory {
    /// Whether sizes are measured; if not, they are 0 and mean nothing.
    pub measured: bool,
    /// Living threads that have polled a tracked task.
    pub worker_threads: u64,
    /// Live bytes that these threads allocated outside every tracked task: run queues, timers,
    /// drivers, cells of other tasks, and what else ran there. A part of the untracked bytes.
    pub worker_bytes: u64,
    /// Living tasks in a Tokio cell of their own.
    pub cells: u64,
    /// Live bytes of these cells beyond the state machines in them. A part of the tasks' bytes.
    pub cell_overhead_bytes: u64,
    /// Cells of finished tasks in which an annotated future was polled, as in
    /// `tokio::spawn(track(work))`, and whose `JoinHandle` is held: nothing has joined them.
    #[serde(default)]
    pub unjoined_cells: u64,
    /// Such cells of which no `JoinHandle` is held: wakers or abort handles keep them.
    #[serde(default)]
    pub kept_cells: u64,
}

/// All memory that memscope's allocator counts, and its two parts. `tracked + untracked = whole`,
/// to the byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMemory {
    /// Whether sizes are measured; if not, they are 0 and mean nothing.
    pub measured: bool,
    /// Live bytes of all tasks, both living and ended.
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
    /// How many allocations those were; `None` in files that were written before this field
    /// existed.
    #[serde(default)]
    pub untracked_allocation_count: Option<u64>,
    /// The part of `untracked_bytes` that belongs to shared owners: see
    /// [`shared`](crate::async_memory::shared).
    #[serde(default)]
    pub shared_bytes: u64,
}

/// What memscope itself costs, and what it could not record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUsage {
    /// Memory of memscope's records, sites and history. It is not part of [`ProcessMemory`]. The
    /// owner words in front of the blocks (8 bytes each) are in neither.
    pub own_bytes: u64,
    /// Of `own_bytes`, the table of the owners of blocks of 4 KiB and more. It grows with the
    /// addresses at which the program ever had such a block, whatever its tasks do: by 64 KiB at
    /// most for each 16 MiB. On Linux only its pages that are in memory count.
    #[serde(default)]
    pub owner_table_bytes: u64,
    /// Of `own_bytes`, the table of where blocks begin, if
    /// [`Builder::holders`](crate::Builder::holders) is on. It grows with the addresses at which
    /// the program ever had a block below 4 KiB: by 128 KiB at most for each 16 MiB. On Linux only
    /// its pages that are in memory count.
    #[serde(default)]
    pub holder_table_bytes: u64,
    /// Blocks that are in no heap graph, because there was no memory for that table.
    #[serde(default)]
    pub blocks_not_listed: u64,
    /// The part of `own_bytes` for sampled call stacks and the records of sampled blocks. It grows
    /// up to a limit, as the program allocates at new places.
    #[serde(default)]
    pub stack_bytes: u64,
    /// The part of `own_bytes` for the samples of the timeline and the last events, at most 520
    /// KiB.
    #[serde(default)]
    pub history_bytes: u64,
    /// Of `own_bytes`, names of functions, at most 256 KiB, and what else is known of calls: their
    /// libraries, and functions that were inlined there.
    #[serde(default)]
    pub name_bytes: u64,
    /// Rows of ended tasks that could not be written. The sites still count them in their totals.
    pub events_dropped: u64,
    /// Ended tasks whose row was dropped for a newer one. The sites still count them in their
    /// totals.
    pub ended_tasks_forgotten: u64,
    /// Tasks that ran untracked because there was no memory for their record.
    pub tasks_without_record: u64,
    /// Tasks counted in `(other)` because their site would have been a row too many.
    pub tasks_in_other: u64,
    /// Hand-overs that were not counted because there were too many pairs of sites.
    pub hand_overs_lost: u64,
    /// Events that were read from the threads' rings so far.
    #[serde(default)]
    pub ring_events: u64,
    /// Events that were dropped because their thread's ring was full, or because it had none. Only
    /// `events()` lacks them.
    ///
    /// Snapshots empty the rings. From [`init`](crate::init()) on a thread empties them too: ten
    /// times a second, or more often if [`Builder::sample_every`](crate::Builder::sample_every)
    /// asks for it.
    #[serde(default)]
    pub ring_events_dropped: u64,
    /// Bytes that memscope held in the program's heap when the snapshot began: its settings, the
    /// reports that it is to write, and snapshots that other threads were reading. They are not
    /// part of [`ProcessMemory`].
    #[serde(default)]
    pub heap_bytes: u64,
    /// The number of blocks of `heap_bytes`.
    #[serde(default)]
    pub heap_blocks: u64,
    /// How often memscope has looked at the program so far: snapshots, and samples of the timeline
    /// by the collector's thread.
    #[serde(default)]
    pub looks: u64,
    /// The longest time that the collector's thread took for a sample.
    #[serde(default)]
    pub longest_look_ns: u64,
    /// Whether the collector's thread was running.
    #[serde(default)]
    pub collector_is_running: bool,
    /// Unannotated tasks that have not ended and have no name: those in the row `(unannotated)`.
    #[serde(default)]
    pub unnamed_tasks: u64,
    /// Bytes that these tasks hold.
    #[serde(default)]
    pub unnamed_bytes: u64,
    /// Whether unannotated Tokio tasks end exactly, because memscope has learned what is in their
    /// cells.
    #[serde(default)]
    pub task_cells: TaskCells,
    /// Blocks that may be cells of tasks and were not noted, for lack of memory. The ends of such
    /// tasks are not known.
    #[serde(default)]
    pub task_cells_refused: u64,
    /// Unannotated tasks that were given up because there were too many of them, while they held
    /// bytes or their polls were counted. Such a task may have several rows.
    pub tasks_split: u64,
    /// Polls whose await point could not be recorded: there were too many await points (16,384), or
    /// there was no memory.
    #[serde(default)]
    pub await_points_refused: u64,
    /// Rows that this snapshot leaves out because there was no memory for them. All totals of the
    /// process count what is in them.
    ///
    /// From its first snapshot, report or `init` on memscope keeps 2 MiB of address space, none of
    /// it resident. It is for what memscope must report when the program has no memory left.
    #[serde(default)]
    pub rows_left_out: u64,
    /// Blocks that were freed or reallocated after the program had overwritten their owner word, as
    /// a write in front of a block does. Such a block is freed all the same, and its bytes stay
    /// with the owner that it had.
    #[serde(default)]
    pub owner_words_refused: u64,
    /// Blocks of 4 KiB and more that count as untracked, because there was no memory for their slot
    /// in the table of owners.
    #[serde(default)]
    pub owner_slots_refused: u64,
    /// Functions without a name because there were too many: memscope keeps the names of 8,192
    /// addresses, and 256 KiB of text.
    #[serde(default)]
    pub names_left_out: u64,
    /// Samples of call stacks that were lost, because there was no room for the stack or for the
    /// sample. The figures of [`StackProfile`](crate::async_memory::StackProfile)s lack them.
    #[serde(default)]
    pub stacks_dropped: u64,
    /// Call stacks that are not among the rows of this snapshot, because it keeps the largest 100.
    #[serde(default)]
    pub stacks_left_out: u64,
    /// Live bytes of these stacks, by estimate.
    #[serde(default)]
    pub stacks_left_out_bytes: u64,
    /// Tasks whose names are being looked up by a thread of memscope's: snapshots after this one
    /// have them.
    #[serde(default)]
    pub names_awaited: u64,
}

/// Whether memscope has learned the layout of the block that Tokio keeps a task in, its *cell*. If
/// so, an unannotated task ends for memscope when Tokio frees its cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskCells {
    /// No task was spawned on Tokio, or memscope cannot learn it on this system.
    #[default]
    NotTried,
    /// It is known.
    Learned,
    /// The sample tasks contradicted each other or Tokio. So the ends of unannotated tasks are not
    /// known.
    Refused,
}
