//! A snapshot with fewer rows, for a report that has no memory for all of them.

use super::{MemorySnapshot, Parts, sum};
use crate::primitives::reserve;

impl MemorySnapshot {
    /// Copies the snapshot with no rows but those of the `most` largest sites, and counts the rows
    /// that it drops. For a report that has no memory for them.
    pub(crate) fn of_largest_sites(&self, most: usize) -> Self {
        let left_out = |rows: usize| rows as u64;
        let mut tool = self.tool();
        // All tasks that were read, whether or not their rows were made.
        let tasks = self.parts.tasks.len();
        let sites = reserve::rows(self.parts.sites.iter().take(most), |site| Some(site.clone()));
        let rows = [
            tasks,
            self.parts.sites.len() - sites.len(),
            self.parts.variables.len(),
            self.parts.variable_sites.len(),
            self.parts.hand_overs.len(),
            self.parts.trends.len(),
            self.parts.timeline.process.len(),
            self.parts.timeline.sites.len() + self.parts.timeline.shared.len(),
            self.parts.events.len(),
            self.parts.shared.len(),
            self.parts.await_points.len(),
            self.parts.stacks.len(),
        ];
        tool.rows_left_out =
            self.parts.tool.rows_left_out.saturating_add(sum(rows.map(left_out).into_iter()));
        Parts {
            measured: self.parts.measured,
            origin: self.parts.origin,
            is_still: self.parts.is_still,
            timing_is_off: self.parts.timing_is_off,
            observed_ns: self.parts.observed_ns,
            spawned_tasks: self.parts.spawned_tasks,
            active_tasks: self.parts.active_tasks,
            peak_concurrent_tasks: self.parts.peak_concurrent_tasks,
            process: self.parts.process,
            resident: self.parts.resident.clone(),
            runtime: self.parts.runtime,
            tool,
            sites,
            ..Parts::empty()
        }
        .into()
    }
}
