#![doc = include_str!("../README.md")]

// The way of a byte. A future …
pub mod analysis;
mod output;
mod tasks;
mod await_points;
mod variables;
mod alloc;
mod accounting;
mod model;
mod primitives;
// … is polled, and is its thread's current task; so what the allocator gives out …
// … carries its owner, and is counted by it or, when others free it, for it.
// A task's record ends in the sums of its site and, for a while, in a row of its own.
// What happens on the way goes through each thread's ring to the collector, and into a history of
// fixed size.
// A variable names the blocks that it holds.
// All of it is read, and shown.
mod snapshot;
// It is judged …
// … and written to a file, at the latest when the process ends.
// What these stand on.
mod config;
mod environment;
mod sampling;

pub use crate::alloc::TrackingAllocator;
pub use crate::analysis::allocations::{GlobalTracker, get_global_tracker};
pub use crate::config::{Builder, builder, init};
pub use crate::model::Error;
#[cfg(feature = "report-file")]
pub use crate::output::{ReportGuard, auto_report::report_guard};
pub use crate::sampling::Timing;
#[cfg(feature = "tracing")]
pub use crate::tasks::MemoryLayer;
#[cfg(all(feature = "tokio", tokio_unstable))]
pub use crate::tasks::tokio_hooks::tokio_hooks;
pub use crate::variables::{Blocks, Contents, Trackable};

/// Tasks: how they are tracked, and how their memory is read.
pub mod async_memory {
    #[cfg(feature = "tokio")]
    pub use crate::tasks::spawn::{
        spawn_blocking_tracked, spawn_blocking_tracked_as, spawn_tracked, spawn_tracked_as,
    };
    #[cfg(feature = "stream")]
    pub use crate::tasks::{TrackStream, TrackedStream};
    pub use crate::{
        accounting::EventKind,
        alloc::{Measured, current::current_task_id},
        analysis::diff::{Presence, ProcessDiff, SiteDiff, SnapshotDiff, VariableSiteDiff},
        await_points::Program,
        config::initialize,
        model::{
            AwaitFrame, AwaitPoint, AwaitPoints, Bucket, Error, Extent, HandOver, HumanBytes,
            Items, LocalProfile, Origin, Place, ProcessMemory, ProcessPoint, RuntimeMemory,
            SharedProfile, SiteProfile, StateMachine, TaskError, TaskEvent, TaskId,
            TaskMemoryProfile, TaskPerformanceMetrics, TaskState, TaskType, Timeline, ToolUsage,
            Trend, TrendPoint, VariableProfile, VariableSiteProfile, WidestState,
        },
        snapshot::{AsyncResourceMonitor, MemorySnapshot, ResourceAnalysis, get_memory_snapshot},
        tasks::{
            CatchPanic, Scope, Scoped, Tracked,
            future::{create_tracked, track},
            scope::{shared, untracked},
        },
        variables::{
            Transferred,
            transfer::{transfer, transfer_deep},
        },
    };
}

/// What `cargo memscope` reads files and shows texts with; not part of the public contract.
#[doc(hidden)]
pub mod __terminal {
    pub use crate::model::{
        Visible, VisiblePath,
        text::{said, visible, visible_lines, visible_path},
    };
    #[cfg(feature = "report-file")]
    pub use crate::output::{MOST_BYTES, input::read};
}

/// What the macros expand to; not part of the public contract.
#[doc(hidden)]
pub mod __private {
    /// The size of an argument whose type need not be written.
    pub const fn size_of<T>(_: &T) -> usize {
        core::mem::size_of::<T>()
    }

    /// For tests of what takes long: a clock that is set forward, and a round of the collector at
    /// that time.
    pub use crate::{
        primitives::clock::advance as advance_clock, snapshot::collector::round as collect,
    };

    pub use crate::{
        accounting::{Callsite, VariableCallsite, variable::track_value},
        model::TaskType,
        tasks::future::track_callsite as track,
        variables::{
            ByContents, ByHandle, ByParts, ByValue, Found, Handle, Value, trackable::blocks_of,
        },
    };
}
