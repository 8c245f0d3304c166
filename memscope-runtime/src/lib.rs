#![doc = include_str!("../README.md")]

// The rooms: a room imports only from rooms above it, as `tests/architecture.rs` checks.
// Parts that know nothing of tasks: lock-free lists and tables, clocks, locks, walks of stacks.
mod primitives;
// Plain data that users and every room may name.
mod model;
// Which tasks and polls are timed.
mod sampling;
// Settings, as data: what a program may choose before it tracks anything.
mod config;
// Settings from the environment: one table that is the parser and the documentation.
mod environment;
// Exact counters: which owner has a block, and what each task, thread, site and variable holds.
mod accounting;
// What runs inside `malloc` and `free`: the allocator, the current owner, charging and freeing.
mod alloc;
// Names of functions, from the symbol tables of the program's files.
mod symbols;
// Finds the heap blocks of a value: `track_var!`, `Trackable`, `transfer`.
mod variables;
// At which `.await` a pending future waits.
mod await_points;
// Wrappers that make a task current: futures, streams, spawns, scopes, spans.
mod tasks;
// Memory and limits of the process, as the system and the allocator count them.
mod resident;
// One consistent reading of all counters, as rows that can be kept, sent and read back.
mod snapshot;
// A copy of the process that stands still, and the parts that may run in it.
mod picture;
// Which roots hold which blocks: the heap as a graph, read in a copy of the process.
mod heap_graph;
// Every task of the process at one moment, and where each one waits.
mod task_dump;
// What the numbers mean: leaks, and the sizes of state machines.
pub mod analysis;
// Text, JSON files, and reports that a process writes by itself.
mod output;
// The memory of a future or closure, for tests: measured, and held to limits.
pub mod testing;
// What a program calls first: settings, and the start time.
mod init;

#[cfg(feature = "report-file")]
pub use crate::output::{ReportGuard, report_guard};
#[cfg(feature = "tracing")]
pub use crate::tasks::MemoryLayer;
#[cfg(all(feature = "tokio", tokio_unstable))]
pub use crate::tasks::tokio_hooks::tokio_hooks;
pub use crate::{
    alloc::TrackingAllocator,
    analysis::allocations::{GlobalTracker, get_global_tracker},
    config::Builder,
    init::{builder, init},
    model::{AllocatorUsage, Error, Limit, OverBudget, Pressure, Stacks},
    sampling::Timing,
    variables::{Blocks, Contents, Trackable},
};

/// Tasks: how they are tracked, and how their memory is read.
pub mod async_memory {
    #[cfg(feature = "tokio")]
    pub use crate::tasks::spawn::{
        spawn_blocking_tracked, spawn_blocking_tracked_as, spawn_tracked, spawn_tracked_as,
    };
    #[cfg(feature = "stream")]
    pub use crate::tasks::{TrackStream, TrackedStream};
    pub use crate::{
        alloc::current::current_task_id,
        analysis::changes::Presence,
        analysis::diff::{ProcessDiff, SiteDiff, SnapshotDiff, VariableSiteDiff},
        analysis::heap_graph_diff::{HeapGraphDiff, RootDiff, UnreachableDiff},
        analysis::stacks::StackDiff,
        await_points::Program,
        heap_graph::heap_graph,
        init::initialize,
        model::{
            AllocatingCode, AllocatorKind, AllocatorUsage, AwaitBranch, AwaitFrame, AwaitNode,
            AwaitPoint, AwaitPoints, Bucket, DumpedCell, DumpedMemory, DumpedTask, Error,
            EventKind, Extent, HandOver, HeapGraph, HeapStep, HeldBy, Holder, HumanBytes, Items,
            Library, Limit, LimitSource, LocalProfile, Measured, MemoryPiece, Origin, OverBudget,
            OverBudgetTask, Place, Pressure, ProcessMemory, ProcessPoint, Resident, RootKind,
            RuntimeMemory, SharedProfile, SiteProfile, StackFrame, StackProfile, StacksState,
            StateMachine, TaskCells, TaskDump, TaskError, TaskEvent, TaskId, TaskMemoryProfile,
            TaskPerformanceMetrics, TaskState, TaskType, Timeline, ToolUsage, Trend, TrendPoint,
            Unreachable, VariableProfile, VariableSiteProfile, WidestState,
        },
        snapshot::{AsyncResourceMonitor, MemorySnapshot, ResourceAnalysis, get_memory_snapshot},
        task_dump::task_dump,
        tasks::{
            CatchPanic, Scope, Scoped, Tracked,
            budget::{WithinBudget, current_task_live_bytes, within_budget},
            future::{create_tracked, track},
            scope::{shared, untracked},
        },
        variables::{
            Transferred,
            transfer::{transfer, transfer_deep},
        },
    };
}

/// Requests as tasks: a layer for tower, axum, hyper and tonic.
#[cfg(feature = "tower")]
pub mod tower {
    pub use crate::tasks::tower::{TrackLayer, TrackService, TrackedBody, TrackedResponse};
}

/// What `cargo memscope` uses to read files and to show texts; not part of the public contract.
#[doc(hidden)]
pub mod __terminal {
    pub use crate::model::{
        Visible, VisiblePath,
        text::{cell, said, visible, visible_lines, visible_path, width},
    };
    pub use crate::{model::symbol::same_function, snapshot::calls::explain_calls};
    #[cfg(feature = "report-file")]
    pub use crate::{
        output::{MOST_BYTES, file::json, input::read, text::Selected},
        snapshot::{ranking::Ranking, select::Hidden},
    };
}

/// What `cargo memscope tasks` reads the memory in dumps with; not part of the public contract.
#[doc(hidden)]
#[cfg(all(feature = "decode", target_pointer_width = "64"))]
pub mod __decode {
    pub use crate::task_dump::decode::{decode, keep};
}

/// What `memscope-export` is registered with; not part of the public contract.
#[doc(hidden)]
#[cfg(feature = "report-file")]
pub mod __page {
    pub use crate::output::file::page::{FIRST_LINES, WritePage, register};
}

/// What `memscope-server` is made with; not part of the public contract.
#[doc(hidden)]
#[cfg(feature = "report-file")]
pub mod __server {
    pub use crate::{
        output::server::{Wanted, own, register, snapshot, spawn, warn},
        snapshot::head::{head, largest_tasks},
    };
}

/// What the macros expand to; not part of the public contract.
#[doc(hidden)]
pub mod __private {
    /// The size of an argument whose type need not be written.
    pub const fn size_of<T>(_: &T) -> usize {
        core::mem::size_of::<T>()
    }

    /// What `#[memscope_rs::test]` and `assert_memory!` expand to.
    pub mod testing {
        pub use crate::testing::{
            block_on::block_on,
            condition::{Condition, assert_all},
            limits::{Limits, Verdict, check, run, run_sync},
        };
    }

    /// For tests of long runs: sets the clock forward, and runs a round of the collector at that
    /// time.
    pub use crate::{
        primitives::clock::advance as advance_clock, snapshot::collector::round as collect,
    };

    /// For tests: looks up the names of tasks and stacks on this thread, not at the pace of
    /// memscope's own. Returns how many tasks still wait for theirs.
    pub fn look_up_names() -> u64 {
        let end = std::time::Instant::now() + crate::symbols::MOST_LOOKING_UP;
        crate::symbols::look_up_until(end);
        crate::symbols::want_if_waiting()
    }

    pub use crate::alloc::countdown::seed as seed_stacks;

    /// For tests: stacks as they were sampled.
    pub use crate::accounting::stacks::{STACK_NEEDED, StackReading, error_bound};

    /// For tests: reads all stacks.
    pub fn stacks() -> Vec<StackReading> {
        crate::alloc::current::exempt(stacks::read)
    }

    /// For tests: the mean number of bytes between two samples, the samples that were lost, and
    /// whether any are taken.
    pub fn stacks_state() -> (u64, u64, crate::model::StacksState) {
        (stacks::interval_bytes(), stacks::dropped(), stacks::reason())
    }

    use crate::accounting::stacks;

    pub use crate::{
        accounting::{Callsite, VariableCallsite},
        model::TaskType,
        tasks::future::track_callsite as track,
        variables::{
            ByContents, ByHandle, ByParts, ByValue, Found, Handle, Value, register::track_value,
            trackable::blocks_of,
        },
    };
}
