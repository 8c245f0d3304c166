//! A snapshot with fewer rows, for a report that has no memory for all of them.

use super::{MemorySnapshot, Parts, sum};
use crate::{
    model::{StackProfile, Timeline},
    primitives::reserve,
};

/// A stack, a place where tasks wait, or the timeline takes as much text as about this many sites.
const SITES_OF_ROW: usize = 16;

impl MemorySnapshot {
    /// Copies the snapshot with the rows of the `most` largest sites, for a report that has no
    /// memory for all. The copy has few of the rows that say more of these sites: stacks, places
    /// where tasks wait, shared owners, the timeline of the process. Counts the rows that it drops.
    pub(crate) fn of_largest_sites(&self, most: usize) -> Self {
        let left_out = |rows: usize| rows as u64;
        let mut tool = self.tool();
        // All tasks that were read, whether or not their rows were made.
        let tasks = self.parts.tasks.len();
        let sites = reserve::rows(self.parts.sites.iter().take(most), |site| Some(site.clone()));
        let few = most / SITES_OF_ROW;
        let is_shown = |stack: &&StackProfile| stack.site.is_none_or(|site| site < sites.len());
        let stacks = self.parts.stacks.iter().filter(is_shown).take(few);
        let stacks = reserve::rows(stacks, |stack| Some(stack.clone()));
        let await_points = self.parts.await_points.iter().take(few);
        let await_points = reserve::rows(await_points, |point| Some(point.clone()));
        let shared = reserve::rows(self.parts.shared.iter().take(few), |it| Some(it.clone()));
        let process = self.parts.timeline.process.iter().filter(|_| few != 0);
        let process = reserve::rows(process, |point| Some(*point));
        let all_bytes = |stacks: &[StackProfile]| sum(stacks.iter().map(|it| it.live_bytes));
        tool.stacks_left_out += left_out(self.parts.stacks.len() - stacks.len());
        tool.stacks_left_out_bytes += all_bytes(&self.parts.stacks) - all_bytes(&stacks);
        let rows = [
            tasks,
            self.parts.sites.len() - sites.len(),
            self.parts.variables.len(),
            self.parts.variable_sites.len(),
            self.parts.hand_overs.len(),
            self.parts.trends.len(),
            self.parts.timeline.process.len() - process.len(),
            self.parts.timeline.sites.len() + self.parts.timeline.shared.len(),
            self.parts.events.len(),
            self.parts.shared.len() - shared.len(),
            self.parts.await_points.len() - await_points.len(),
            self.parts.stacks.len() - stacks.len(),
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
            shared,
            await_points,
            await_points_measured: self.parts.await_points_measured.clone(),
            stacks,
            stacks_measured: self.parts.stacks_measured,
            stack_interval_bytes: self.parts.stack_interval_bytes,
            timeline: Timeline { process, ..Timeline::default() },
            program: self.parts.program.clone(),
            ..Parts::empty()
        }
        .into()
    }
}
