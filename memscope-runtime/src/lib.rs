#![doc = include_str!("../README.md")]

// The way of a byte. A future …
mod future;
#[cfg(feature = "tokio")]
mod spawn;
mod scope;
#[cfg(feature = "tracing")]
mod tracing;
// … is polled, and is its thread's current task; so what the allocator gives out …
mod current;
#[cfg(feature = "tokio")]
mod plain;
mod alloc;
// … carries its owner, and is counted by it or, when others free it, for it.
mod block;
mod tally;
mod peak;
mod account;
mod taken;
// A task's record ends in the sums of its site and, for a while, in a row of its own.
mod shared;
mod task;
#[cfg(feature = "tracing")]
mod span;
mod record;
mod site;
mod sums;
mod registry;
mod ending;
mod hand_over;
mod history;
mod window;
// A variable names the blocks that it holds.
mod value;
mod trackable;
mod learned;
mod variable;
mod variable_site;
mod transfer;
// All of it is read, and shown.
mod reading;
mod samples;
mod rows;
mod profile;
mod snapshot;
mod report;
mod table;
mod monitor;
// … and judged.
mod allocation;
mod future_states;
mod leaks;
// What these stand on.
mod config;
mod error;
mod probe;
mod clock;
mod places;
mod arena;
mod free_list;
mod holds;
mod static_ref;
mod sync;
#[cfg(test)]
mod fixture;

pub use alloc::TrackingAllocator;
pub use allocation::{GlobalTracker, get_global_tracker};
pub use config::{Builder, Timing, builder, init};
pub use error::Error;
#[cfg(feature = "tracing")]
pub use tracing::MemoryLayer;
pub use trackable::{Blocks, Contents, Trackable};

/// What the numbers mean: leaks, and the sizes of state machines.
pub mod analysis {
    pub use crate::{
        allocation::{AllocationInfo, AllocationKind},
        future_states::{AsyncAnalysisReport, AsyncAnalyzer, FutureStates},
        leaks::{Leak, LeakKind, LeakOptions, Leaks, NotJudged, Severity},
    };
}

/// Tasks: how they are tracked, and how their memory is read.
pub mod async_memory {
    #[cfg(feature = "tokio")]
    pub use crate::spawn::{spawn_tracked, spawn_tracked_as};
    pub use crate::{
        config::initialize,
        current::current_task_id,
        error::{Error, TaskError},
        future::{CatchPanic, Tracked, create_tracked, track},
        monitor::{AsyncResourceMonitor, ResourceAnalysis},
        probe::Measured,
        profile::{
            Bucket, Extent, HandOver, Place, ProcessMemory, RuntimeMemory, SharedProfile,
            SiteProfile, TaskMemoryProfile, TaskPerformanceMetrics, ToolUsage, Trend, TrendPoint,
            VariableProfile, VariableSiteProfile,
        },
        scope::{Scope, Scoped, shared, untracked},
        snapshot::{MemorySnapshot, get_memory_snapshot},
        table::HumanBytes,
        task::{TaskId, TaskState, TaskType},
        transfer::{Transferred, transfer, transfer_deep},
    };
}

/// What the macros expand to; not part of the public contract.
#[doc(hidden)]
pub mod __private {
    /// The size of an argument whose type need not be written.
    pub const fn size_of<T>(_: &T) -> usize {
        core::mem::size_of::<T>()
    }

    pub use crate::{
        future::track_callsite as track,
        site::Callsite,
        task::TaskType,
        trackable::{Found, Handle, blocks_of},
        value::{ByContents, ByHandle, ByParts, ByValue, Value},
        variable::track_value,
        variable_site::VariableCallsite,
    };
}
