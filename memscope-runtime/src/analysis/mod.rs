//! What the numbers mean: leaks, and the sizes of state machines.

pub(crate) mod allocations;
pub(crate) mod changes;
pub(crate) mod diff;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod future_sizes;
pub(crate) mod heap_graph_diff;
pub(crate) mod leaks;
pub(crate) mod stacks;

pub use allocations::{AllocationInfo, AllocationKind};
pub use future_sizes::{AsyncAnalysisReport, AsyncAnalyzer, FutureStates};
pub use leaks::{
    Backlog, Certainty, KnownBy, Leak, LeakCause, LeakKind, LeakOptions, Leaks, NotJudged, Severity,
};
