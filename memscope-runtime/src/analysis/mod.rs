//! What the rows mean: leaks, differences, sizes of futures.

pub(crate) mod allocations;
pub(crate) mod diff;
pub(crate) mod future_sizes;
pub(crate) mod leaks;
