//! Counts of unannotated tasks that have no record.

#[cfg(feature = "tokio")]
use super::FutureType;
use super::Site;

/// Unannotated tasks of one type that have no record, because they have not allocated.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "such tasks are Tokio's"))]
pub(crate) struct Unrecorded {
    /// The site with their name.
    pub(crate) site: &'static Site,
    pub(crate) alive: u64,
    pub(crate) cancelled: u64,
    /// Those that ended otherwise.
    pub(crate) ended: u64,
    /// Finished tasks that still have their cell, and whose `JoinHandle` is held.
    pub(crate) unjoined: u64,
    /// Other finished tasks that still have their cell.
    pub(crate) kept: u64,
    /// See `FutureType::size`.
    pub(crate) future_size_bytes: u64,
}

/// Tokio cells of finished tasks in which an annotated future was polled.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FinishedCells {
    /// Cells of which a `JoinHandle` is held.
    pub(crate) unjoined: u64,
    /// Cells of which no `JoinHandle` is held.
    pub(crate) kept: u64,
}

impl FinishedCells {
    #[cfg(feature = "tokio")]
    pub(crate) fn add(&mut self, has_handle: bool) {
        *(if has_handle { &mut self.unjoined } else { &mut self.kept }) += 1;
    }
}

impl Unrecorded {
    #[cfg(feature = "tokio")]
    pub(crate) fn of(site: &'static Site, future: &FutureType) -> Self {
        let future_size_bytes = future.size as u64;
        Self { site, alive: 0, cancelled: 0, ended: 0, unjoined: 0, kept: 0, future_size_bytes }
    }

    pub(crate) fn spawned(&self) -> u64 {
        self.alive + self.cancelled + self.ended
    }
}
