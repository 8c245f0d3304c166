#![doc = include_str!("../README.md")]

// The way of a byte, from the future that asks for it to the report that shows it.
mod future;
#[cfg(feature = "tokio")]
mod spawn;
mod current;
mod alloc;
mod block;
mod tally;
mod account;
mod task;
mod site;
mod registry;
mod history;
mod window;
mod reading;
mod profile;
mod snapshot;
mod report;
mod monitor;
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
    pub use crate::{
        config::initialize,
        current::current_task_id,
        error::{Error, TaskError},
        future::{CatchPanic, Tracked, create_tracked, track},
        monitor::{AsyncResourceMonitor, ResourceAnalysis},
        probe::Measured,
        profile::{
            Bucket, ProcessMemory, SiteProfile, TaskMemoryProfile, TaskPerformanceMetrics, ToolUsage,
        },
        snapshot::{MemorySnapshot, get_memory_snapshot},
        task::{TaskId, TaskState, TaskType},
    };
    #[cfg(feature = "tokio")]
    pub use crate::spawn::{spawn_tracked, spawn_tracked_as};
}

/// What the macros expand to; not part of the public contract.
#[doc(hidden)]
pub mod __private {
    pub use crate::{future::track_callsite as track, site::Callsite, task::TaskType};
}
