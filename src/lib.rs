#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | *task* | a future wrapped in [`Tracked`](async_memory::Tracked); it has an id and a row |
//! | *owner* | the task or thread that allocated a block; it stays the owner until the block is freed |
//! | *block* | one allocation: a pointer and a layout |
//! | *live* | allocated and not yet freed |
//! | *peak* | the most that was live at one time |
//! | *freed elsewhere*, *by others* | freed while the owner was not the current task |
//! | *retained*, *of ended* | live though the owner has ended |
//! | *untracked* | allocated outside every task |
//! | *whole* | tasks + untracked: all that the allocator sees |
//! | *site* | the place in the code, and the name, that tasks are made under |
//! | *current* | the task that is being polled or dropped on this thread: the innermost where they nest |
//! | *variable* | what `track_var!` registered: it lives as long as its heap block |
//! | *await point* | a chain of `.await`s that a task waits at |
//! | *name* | of a block: the variable that holds it |
//! | *hand-over* | a block that one task allocates and another frees |
//! | *wave* | ended tasks that follow one another: each was created after the end of the one before |
//! | *unannotated* | a Tokio task without annotation, known by the id that Tokio gave it |
//! | *cell* | the block that Tokio keeps a spawned task in |
//! | *ended* | completed, cancelled or panicked |
//! | *dropped* (of a row) | given up because there was no room for it; always counted |
#![forbid(unsafe_code)]

#[cfg(any(doc, doctest))]
pub mod documentation;

pub use memscope_macros::{Trackable, track_var, tracked};
#[doc(hidden)]
pub use memscope_runtime::__private;
pub use memscope_runtime::{
    Blocks, Builder, Contents, Error, GlobalTracker, Timing, Trackable, TrackingAllocator,
    analysis, async_memory, builder, get_global_tracker, init,
};

#[cfg(feature = "tracing")]
pub use memscope_runtime::MemoryLayer;
#[cfg(all(feature = "tokio", tokio_unstable))]
pub use memscope_runtime::tokio_hooks;
#[cfg(feature = "report-file")]
pub use memscope_runtime::{ReportGuard, report_guard};

#[cfg(all(feature = "enabled", feature = "global-allocator"))]
#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);
