#![doc = include_str!("../README.md")]

// The way of a byte, from the future that asks for it to the report that shows it.
mod account;
mod alloc;
mod block;
mod current;
mod future;
mod history;
mod monitor;
mod profile;
mod reading;
mod registry;
mod report;
mod site;
mod snapshot;
#[cfg(feature = "tokio")]
mod spawn;
mod tally;
mod task;
mod window;
// What these stand on.
mod arena;
mod clock;
mod config;
mod error;
mod free_list;
mod probe;
mod static_ref;
mod sync;
mod table;

pub use alloc::TrackingAllocator;
pub use config::{Builder, Timing, builder, init};
pub use error::Error;

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
            Bucket, ProcessMemory, SiteProfile, TaskMemoryProfile, TaskPerformanceMetrics,
            ToolUsage,
        },
        snapshot::{MemorySnapshot, get_memory_snapshot},
        table::HumanBytes,
        task::{TaskId, TaskState, TaskType},
    };
}

/// What the macros expand to; not part of the public contract.
#[doc(hidden)]
pub mod __private {
    pub use crate::{future::track_callsite as track, site::Callsite, task::TaskType};
}
