//! What runs inside `malloc` and `free`: the allocator, the current owner, charging and freeing.

pub(crate) mod thread_exit;
pub(crate) mod any_layout;
pub(crate) mod allocator;
#[cfg(all(unix, any(feature = "enabled", feature = "report-file", feature = "tokio")))]
#[allow(dead_code, reason = "the rooms above use it with some features alone")]
mod blocked_signals;
#[cfg(feature = "tokio")]
pub(crate) mod cells;
pub(crate) mod charge;
pub(crate) mod countdown;
pub(crate) mod current;
pub(crate) mod diagnostics;
pub(crate) mod discharge;
mod inline_blocks;
mod inner_allocator;
pub(crate) mod install_check;
mod outside;
pub(crate) mod over_budget;
pub(crate) mod own_threads;
pub(crate) mod poll_guard;
mod recent;
pub(crate) mod own_work;
pub(crate) mod self_usage;
#[cfg(feature = "tracing")]
pub(crate) mod span_entries;
pub(crate) mod spawn_charge;
#[cfg(all(feature = "enabled", target_os = "linux"))]
#[allow(dead_code, reason = "pictures of the heap need more features")]
pub(crate) mod thread_places;
#[cfg(feature = "tokio")]
pub(crate) mod unannotated;

pub use allocator::TrackingAllocator;
#[cfg(all(
    target_os = "linux",
    any(feature = "report-file", all(feature = "enabled", feature = "symbols"))
))]
pub(crate) use blocked_signals::AllBlocked;
pub(crate) use current::Entered;
#[cfg(feature = "tokio")]
pub(crate) use current::Spawning;
pub(crate) use diagnostics::warn;
pub(crate) use install_check::Probe;
pub(crate) use own_threads::Background;
