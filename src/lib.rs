#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | *task* | a [`Tracked`](async_memory::Tracked) future, or a Tokio task without annotation |
//! | *owner* | the task or thread that allocated a block, until the block is freed |
//! | *block* | one allocation: a pointer and a layout |
//! | *live* | allocated and not yet freed |
//! | *peak* | the highest number of live bytes at one time |
//! | *freed elsewhere*, *by others* | freed while the owner was not the current task |
//! | *retained*, *of ended* | live after the owner has ended |
//! | *untracked* | allocated outside of all tasks |
//! | *whole* | tasks + untracked: everything that the allocator counts |
//! | *site* | a place in the code where tasks are created, with their name |
//! | *current* | the task that this thread polls or drops; of nested tasks, the innermost |
//! | *variable* | a value registered by `track_var!`; it lives as long as its heap block |
//! | *await point* | the chain of `.await`s at which a task waits |
//! | *name* | of a block: the variable that holds it |
//! | *hand-over* | a block that one task allocates and another frees |
//! | *wave* | ended tasks that follow one another: each was created after the previous one ended |
//! | *unannotated* | a Tokio task that is not wrapped, identified by its Tokio id |
//! | *cell* | the heap block in which Tokio keeps a spawned task |
//! | *ended* | completed, cancelled or panicked |
//! | *dropped* (of a row) | discarded for lack of space; always counted |
#![forbid(unsafe_code)]

#[cfg(any(doc, doctest))]
pub mod documentation;

pub use memscope_macros::{Trackable, test, track_var, tracked};
#[doc(hidden)]
pub use memscope_runtime::__private;
pub use memscope_runtime::{
    AllocatorUsage, Blocks, Builder, Contents, Error, GlobalTracker, Limit, OverBudget, Pressure,
    Stacks, Timing, Trackable, TrackingAllocator, analysis, assert_memory, async_memory, builder,
    get_global_tracker, init, testing,
};

#[cfg(feature = "tracing")]
pub use memscope_runtime::MemoryLayer;
#[cfg(all(feature = "tokio", tokio_unstable))]
pub use memscope_runtime::tokio_hooks;
#[cfg(feature = "tower")]
pub use memscope_runtime::tower;
#[cfg(feature = "report-file")]
pub use memscope_runtime::{ReportGuard, report_guard};
// It is registered before `main`, if it is linked.
#[cfg(feature = "html")]
use memscope_export as _;
#[cfg(feature = "server")]
#[doc(inline)]
pub use memscope_server as server;

#[cfg(all(feature = "enabled", feature = "global-allocator"))]
#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);
