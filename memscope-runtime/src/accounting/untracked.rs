//! Untracked memory: what is allocated outside every task.

/// Sums over what was allocated outside every task.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Untracked {
    pub(crate) allocated_bytes: u64,
    pub(crate) allocations: u64,
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
}
