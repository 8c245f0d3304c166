//! Sums for sites that have no row, and what a site's ended tasks still hold.

use super::capture::TaskReading;
use crate::accounting::{EndStamp, SumsReading};

/// The sums of sites that found no memory for a row. The totals contain them all the same.
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

/// What a site's ended tasks still hold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Remainder {
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
    /// The part of `bytes` whose tasks still have their Tokio cell.
    pub(crate) unjoined_bytes: u64,
    /// The tasks that have none, as far as their ends are known.
    pub(crate) tasks: u64,
    /// When the first of these ended; 0 if no clock was read.
    pub(crate) first_ended_ns: u64,
}

impl Remainder {
    /// What one ended task still holds. `ending` is its end stamp if it has no Tokio cell and the
    /// stamp is known.
    pub(super) fn new(bytes: u64, blocks: u64, ending: Option<&EndStamp>, has_cell: bool) -> Self {
        Self {
            bytes,
            blocks,
            unjoined_bytes: if has_cell { bytes } else { 0 },
            tasks: u64::from(ending.is_some()),
            first_ended_ns: ending.map_or(0, |ending| ending.ended_ns),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
        self.unjoined_bytes += other.unjoined_bytes;
        self.tasks += other.tasks;
        self.first_ended_ns = match (self.first_ended_ns, other.first_ended_ns) {
            (0, only) | (only, 0) => only,
            (one, other) => one.min(other),
        };
    }
}
