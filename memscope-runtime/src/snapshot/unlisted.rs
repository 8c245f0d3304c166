//! What belongs to sites that have no row, and what is left of a site's ended tasks.

use super::capture::TaskReading;
use crate::accounting::SumsReading;

/// What belongs to sites that found no memory for a row. It is in the sums all the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unlisted {
    pub(crate) live_bytes: u64,
    pub(crate) live_blocks: u64,
    /// Without the transferred bytes.
    pub(crate) allocated_bytes: u64,
}

impl Unlisted {
    pub(super) fn add_closed(&mut self, sums: &SumsReading) {
        self.allocated_bytes += sums.counters.first_allocated_bytes();
    }

    pub(super) fn add_left(&mut self, left: Remainder) {
        self.live_bytes += left.bytes;
        self.live_blocks += left.blocks;
    }

    pub(super) fn add_open(&mut self, task: &TaskReading) {
        self.live_bytes += task.live_bytes;
        self.live_blocks += task.live_blocks;
        self.allocated_bytes += task.tally.counters.first_allocated_bytes();
    }
}

/// What is left of a site's ended tasks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remainder {
    pub(super) bytes: u64,
    pub(super) blocks: u64,
    pub(super) unjoined_bytes: u64,
}

impl Remainder {
    pub(super) fn new(bytes: u64, blocks: u64, has_cell: bool) -> Self {
        Self { bytes, blocks, unjoined_bytes: if has_cell { bytes } else { 0 } }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
        self.unjoined_bytes += other.unjoined_bytes;
    }
}
