//! Compares two snapshots: what grew and what went, site by site.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    alloc::own_work,
    analysis::{
        changes::{Changes, Presence, change},
        stacks::{StackDiff, stack_diffs},
    },
    model::{SiteProfile, TaskType, VariableSiteProfile},
    primitives::{order, reserve},
    snapshot::MemorySnapshot,
};

// PERF: rarely used functions are `#[inline]`, so only programs that call them spend build time on
// them.

/// What changed from one snapshot to a later one. [`MemorySnapshot::diff`] makes it, and `Display`
/// prints it with the largest growth first.
///
/// All changes are later minus earlier, exact below 8 EiB. If both snapshots are
/// [consistent](MemorySnapshot::is_still), the sites' changes add up to the change of the tracked
/// bytes: rows that did not change are left out, and add nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotDiff {
    /// Whether both snapshots are of the same run of the same process. If not, rows are matched all
    /// the same, but a difference is not a growth.
    pub same_process: bool,
    /// Whether sizes are measured in both; if not they are 0 and mean nothing.
    pub measured: bool,
    /// Whether no task ended while either was read; then sums are exact to the byte.
    pub is_still: bool,
    /// Nanoseconds from the earlier to the later one. Negative if they were passed the other way
    /// round; `None` if the processes differ.
    pub elapsed_ns: Option<i64>,
    /// The change of the totals.
    pub process: ProcessDiff,
    /// The sites of tasks that changed, largest growth of live bytes first. Sites with the same
    /// name, kind, file and line share a row.
    pub sites: Vec<SiteDiff>,
    /// The `track_var!`s that changed, largest growth of live bytes first. Those with the same
    /// name, type, file and line share a row.
    pub variable_sites: Vec<VariableSiteDiff>,
    /// The call stacks whose estimates changed by more than they may be wrong, largest growth of
    /// live bytes first. Empty if call stacks are not sampled in both.
    #[serde(default)]
    pub stacks: Vec<StackDiff>,
    /// Rows left out because there was no memory for them; the totals are complete.
    #[serde(default)]
    pub rows_left_out: u64,
}

/// The change of the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessDiff {
    /// The change of the live bytes of all tasks.
    pub tracked_bytes: i64,
    /// The change of the live bytes outside every task.
    pub untracked_bytes: i64,
    /// The change of all live bytes.
    pub whole_bytes: i64,
    /// The change of the bytes of all allocations of tasks.
    pub tracked_allocated_bytes: i64,
    /// The change of the bytes of all allocations outside every task.
    pub untracked_allocated_bytes: i64,
    /// The change of the number of tasks created.
    pub spawned: i64,
    /// The change of the number of tasks that ended.
    pub ended: i64,
    /// The change of the number of living tasks.
    pub active: i64,
}

/// The change of one site of tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteDiff {
    /// The name of its tasks.
    pub name: String,
    /// What they mostly do, as declared.
    pub task_type: TaskType,
    /// The file of the annotation or of the call that makes them.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// Which snapshots have the row.
    pub presence: Presence,
    /// The change of its live bytes.
    pub live_bytes: i64,
    /// The change of the part of these bytes that ended tasks left behind.
    pub retained_bytes: i64,
    /// The change of the bytes of all allocations.
    pub allocated_bytes: i64,
    /// The change of the number of tasks created.
    pub spawned: i64,
    /// The change of the number of tasks that ended.
    pub ended: i64,
    /// The change of the number of living tasks.
    pub active: i64,
}

/// The change of one `track_var!` and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariableSiteDiff {
    /// The variable as it is written in `track_var!`.
    pub name: String,
    /// The variables' type.
    pub type_name: Cow<'static, str>,
    /// The file of the `track_var!`.
    pub file: Cow<'static, str>,
    /// The line there.
    pub line: u32,
    /// Which snapshots have the row.
    pub presence: Presence,
    /// The change of the heap bytes of the live variables.
    pub live_bytes: i64,
    /// The change of the number of live variables.
    pub live: i64,
    /// The change of how often the `track_var!` ran.
    pub registered: i64,
    /// The change of the number of variables that ended.
    pub ended: i64,
}

impl MemorySnapshot {
    /// Returns what changed since an earlier snapshot, of this process or read from a file.
    ///
    /// ```
    /// use memscope_runtime::async_memory::{get_memory_snapshot, track};
    ///
    /// # #[global_allocator]
    /// # static A: memscope_runtime::TrackingAllocator =
    /// #     memscope_runtime::TrackingAllocator::new(std::alloc::System);
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let before = get_memory_snapshot();
    /// let bytes = track(async { vec![0u8; 1000] }).named("thousand").await;
    /// let diff = get_memory_snapshot().diff(&before);
    ///
    /// assert_eq!(diff.process.tracked_bytes, 1000);
    /// assert_eq!((diff.sites[0].name.as_str(), diff.sites[0].live_bytes), ("thousand", 1000));
    /// println!("{diff}");
    /// # drop(bytes);
    /// # });
    /// ```
    #[must_use]
    #[inline]
    pub fn diff(&self, earlier: &Self) -> SnapshotDiff {
        let work = own_work::work();
        let same_process = self.origin() == earlier.origin();
        let measured = self.measured().is_yes() && earlier.measured().is_yes();
        let (now, then) = (self.process(), earlier.process());
        let size = |now: u64, then: u64| if measured { change(now, then) } else { 0 };
        let active = |snapshot: &Self| snapshot.active_task_count() as u64;
        let ended =
            |snapshot: &Self| snapshot.spawned_task_count().saturating_sub(active(snapshot));
        SnapshotDiff {
            same_process,
            measured,
            is_still: self.is_still() && earlier.is_still(),
            elapsed_ns: same_process.then(|| change(self.observed_ns(), earlier.observed_ns())),
            process: ProcessDiff {
                tracked_bytes: size(now.tracked_bytes, then.tracked_bytes),
                untracked_bytes: size(now.untracked_bytes, then.untracked_bytes),
                whole_bytes: size(now.whole_bytes, then.whole_bytes),
                tracked_allocated_bytes: size(
                    now.tracked_allocated_bytes,
                    then.tracked_allocated_bytes,
                ),
                untracked_allocated_bytes: size(
                    now.untracked_allocated_bytes,
                    then.untracked_allocated_bytes,
                ),
                spawned: change(self.spawned_task_count(), earlier.spawned_task_count()),
                ended: change(ended(self), ended(earlier)),
                active: change(active(self), active(earlier)),
            },
            sites: site_diffs(self.sites(), earlier.sites(), measured),
            variable_sites: variable_diffs(
                self.variable_sites(),
                earlier.variable_sites(),
                measured,
            ),
            stacks: if measured { stack_diffs(self, earlier) } else { Vec::new() },
            rows_left_out: work.left_out(),
        }
    }
}

#[inline]
fn site_diffs(now: &[SiteProfile], then: &[SiteProfile], measured: bool) -> Vec<SiteDiff> {
    let row = |site| site_row(site, measured);
    let changes = Changes::of(now.iter().map(row), then.iter().map(row));
    let mut diffs: Vec<SiteDiff> =
        reserve::rows(changes, |((name, task_type, file, line), presence, columns)| {
            let [
                live_bytes,
                retained_bytes,
                allocated_bytes,
                spawned,
                completed,
                cancelled,
                panicked,
                active,
            ] = columns;
            reserve::spend(name.len() + file.len());
            Some(SiteDiff {
                name: name.to_owned(),
                task_type,
                file: file.to_owned().into(),
                line,
                presence,
                live_bytes,
                retained_bytes,
                allocated_bytes,
                spawned,
                ended: completed.saturating_add(cancelled).saturating_add(panicked),
                active,
            })
        });
    // The sort is stable: rows that did not grow stay in the order of the later snapshot.
    order::by_key(&mut diffs, |row| {
        std::cmp::Reverse((row.live_bytes, row.allocated_bytes, row.spawned))
    });
    diffs
}

type SiteKey<'a> = (&'a str, TaskType, &'a str, u32);

#[inline]
fn site_row(site: &SiteProfile, measured: bool) -> (SiteKey<'_>, [u64; 8]) {
    let bytes = |bytes| if measured { bytes } else { 0 };
    let columns = [
        bytes(site.live_bytes),
        bytes(site.retained_bytes),
        bytes(site.allocated_bytes),
        site.spawned,
        // Only the sum of all ends is shown.
        site.completed.saturating_add(site.ended_unknown),
        site.cancelled,
        site.panicked,
        site.active,
    ];
    ((&site.name, site.task_type, &site.file, site.line), columns)
}

#[inline]
fn variable_diffs(
    now: &[VariableSiteProfile],
    then: &[VariableSiteProfile],
    measured: bool,
) -> Vec<VariableSiteDiff> {
    let row = |site| variable_row(site, measured);
    let changes = Changes::of(now.iter().map(row), then.iter().map(row));
    let mut diffs: Vec<VariableSiteDiff> = reserve::rows(
        changes,
        |((name, type_name, file, line), presence, [live_bytes, live, registered, ended])| {
            reserve::spend(name.len() + type_name.len() + file.len());
            Some(VariableSiteDiff {
                name: name.to_owned(),
                type_name: type_name.to_owned().into(),
                file: file.to_owned().into(),
                line,
                presence,
                live_bytes,
                live,
                registered,
                ended,
            })
        },
    );
    order::by_key(&mut diffs, |row| std::cmp::Reverse((row.live_bytes, row.live, row.registered)));
    diffs
}

type VariableKey<'a> = (&'a str, &'a str, &'a str, u32);

#[inline]
fn variable_row(site: &VariableSiteProfile, measured: bool) -> (VariableKey<'_>, [u64; 4]) {
    let live_bytes = if measured { site.live_bytes } else { 0 };
    let columns = [live_bytes, site.live, site.registered, site.ended];
    ((&site.name, &site.type_name, &site.file, site.line), columns)
}
