//! Sums of what is allocated outside of every task.

/// What was allocated outside every task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Untracked {
    pub(crate) allocated_bytes: u64,
    pub(crate) allocations: u64,
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
}
