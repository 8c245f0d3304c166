//! Ended tasks that were never joined, or whose cells are kept, and that become more.
//!
//! Two different things: a `JoinHandle` that is held keeps the output until it is awaited; a waker
//! or an `AbortHandle` keeps the cell alone. Tokio's state word tells them apart, and memscope reads
//! it where a task is not annotated.

use std::collections::HashMap;

use super::{
    cause::LeakCause,
    evidence::{Evidence, place_of, place_of_task},
    finding::{Leak, LeakKind},
    growing::{Grown, blank, complete},
    growth::Growth,
    options::LeakOptions,
    wording::several,
};
use crate::{
    model::{HumanBytes, Place, SiteProfile, TaskId, TrendPoint, human::cell},
    snapshot::MemorySnapshot,
};

/// Fewer of these tasks are a batch that is not joined yet.
const LEAST_TASKS: u64 = 16;

/// The spawner of such a task holds its cell, and in a set one more block for it.
const BLOCKS_OF_TASK: u64 = 3;

/// What was found, and which other bytes it explains.
#[derive(Debug, Default)]
pub(super) struct Unjoined {
    pub(super) grown: Vec<Grown>,
    /// Tasks in whose bytes the cells of these tasks are, because they spawned them.
    pub(super) spawners: Vec<(TaskId, Place)>,
    /// Whether such cells are outside of tasks.
    pub(super) is_spawned_outside: bool,
}

/// The ended tasks of a site that still have their cells.
struct Kept {
    /// How many there are; `None` if it is not known.
    tasks: Option<u64>,
    /// What they hold, without the cells of unannotated ones, which count where they were spawned.
    bytes: u64,
    cell_bytes: u64,
    cause: LeakCause,
}

pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions) -> Unjoined {
    let mut found = Unjoined::default();
    let sites = snapshot.sites().iter().filter(|site| site.measured);
    let kept: Vec<(&SiteProfile, Kept)> =
        sites.filter_map(|site| Some((site, kept(snapshot, site, options)?))).collect();
    if kept.is_empty() {
        return found;
    }
    let evidence = Evidence::of(snapshot);
    let untracked = untracked(snapshot);
    for (site, kept) in kept {
        let place = place_of(site);
        let spawner = spawner(snapshot, &place);
        // The site's own bytes have the outputs, those of the spawner the cells.
        let series = [
            evidence.points_of(&place),
            spawner.as_ref().map_or(&[][..], |(_, place)| evidence.points_of(place)),
            if spawner.is_none() { &untracked } else { &[] },
        ];
        let least = kept.bytes.saturating_add(kept.cell_bytes) / 4;
        let grows = |points: &&[TrendPoint]| {
            Growth::of(points, options).filter(|growth| growth.course.rise() >= least)
        };
        let Some(growth) = series.iter().find_map(grows) else { continue };
        if kept.cell_bytes != 0 {
            found.is_spawned_outside |= spawner.is_none();
        }
        let leak = leak(site, &kept, spawner.as_ref(), &growth, &evidence);
        let has_little_else = |(task, _): &(TaskId, Place)| {
            let blocks = snapshot.task(*task).map_or(0, |task| task.live_blocks);
            let count = if leak.count == 0 { site.ended() } else { leak.count };
            blocks <= count.saturating_mul(BLOCKS_OF_TASK).saturating_add(LEAST_TASKS)
        };
        found.spawners.extend(spawner.filter(has_little_else));
        found.grown.push((leak, growth));
    }
    found
}

/// Whether the ended tasks of a site hold bytes because cells of finished tasks are kept, and by
/// what: annotated futures in cells that are not their own, as in `tokio::spawn(track(work))`.
///
/// Cells and rows are counted apart. If there are as many cells as tasks that hold bytes, these are
/// the tasks.
pub(super) fn holds_cells(snapshot: &MemorySnapshot, site: &SiteProfile) -> Option<LeakCause> {
    let runtime = snapshot.runtime();
    let (unjoined, kept) = (runtime.unjoined_cells, runtime.kept_cells);
    let cells = unjoined.saturating_add(kept);
    let tasks = site.retained_tasks;
    let is_same = cells >= tasks / 10 * 9 && tasks >= cells / 2;
    (site.is_annotated && tasks >= LEAST_TASKS && is_same).then_some(if unjoined >= kept {
        LeakCause::Unjoined
    } else {
        LeakCause::Wakers
    })
}

fn kept(snapshot: &MemorySnapshot, site: &SiteProfile, options: &LeakOptions) -> Option<Kept> {
    let tasks = site.unjoined_tasks.saturating_add(site.kept_tasks);
    let kept = match (site.is_annotated, holds_cells(snapshot, site)) {
        (true, Some(cause)) => {
            let tasks = Some(site.retained_tasks);
            Kept { tasks, bytes: site.retained_bytes, cell_bytes: 0, cause }
        }
        (true, None) => {
            let cause = LeakCause::Unjoined;
            Kept { tasks: None, bytes: site.unjoined_bytes, cell_bytes: 0, cause }
        }
        (false, _) => {
            let has_handles = site.unjoined_tasks >= site.kept_tasks;
            Kept {
                tasks: Some(tasks),
                bytes: site.retained_bytes,
                cell_bytes: tasks.saturating_mul(site.future_size_bytes),
                cause: if has_handles { LeakCause::Unjoined } else { LeakCause::Wakers },
            }
        }
    };
    let is_many = kept.tasks.is_none_or(|tasks| tasks >= LEAST_TASKS);
    let is_much = kept.bytes.saturating_add(kept.cell_bytes) >= options.least_growth;
    (is_many && is_much && site.ended() >= LEAST_TASKS).then_some(kept)
}

/// The task that has spawned most of a site's ended tasks, and its site. `None`: none has, or they
/// were spawned outside of tasks.
fn spawner(snapshot: &MemorySnapshot, place: &Place) -> Option<(TaskId, Place)> {
    let mut counts: HashMap<Option<TaskId>, u64> = HashMap::new();
    let tasks = snapshot.tasks().iter().filter(|task| task.state.is_ended());
    for task in tasks.filter(|task| place_of_task(task) == *place) {
        *counts.entry(task.parent).or_default() += 1;
    }
    let parent = counts.into_iter().max_by_key(|&(parent, count)| (count, parent))?.0?;
    Some((parent, place_of_task(snapshot.task(parent)?)))
}

/// The timeline of the bytes outside of tasks. How much was allocated there is known for now alone.
pub(super) fn untracked(snapshot: &MemorySnapshot) -> Vec<TrendPoint> {
    let points = &snapshot.timeline().process;
    let allocated = snapshot.process().untracked_allocated_bytes;
    let mut points: Vec<TrendPoint> = points
        .iter()
        .map(|point| TrendPoint {
            at_ns: point.at_ns,
            live_bytes: point.untracked_bytes,
            allocated_bytes: 0,
        })
        .collect();
    if let Some(last) = points.last_mut() {
        last.allocated_bytes = allocated;
    }
    points
}

fn leak(
    site: &SiteProfile,
    kept: &Kept,
    spawner: Option<&(TaskId, Place)>,
    growth: &Growth,
    evidence: &Evidence<'_>,
) -> Leak {
    let place = place_of(site);
    let (tasks, ended) = (kept.tasks, site.ended());
    let which = match (tasks, kept.cause) {
        (Some(tasks), LeakCause::Wakers) => {
            format!(
                "{} ended, and no `JoinHandle` of them is held",
                several(tasks, "task", "tasks")
            )
        }
        (Some(tasks), _) => {
            let tasks = several(tasks, "task", "tasks");
            format!("{tasks} ended, and their `JoinHandle`s are held and not awaited")
        }
        (None, _) => {
            let ended = several(ended, "task", "tasks");
            format!("{ended} ended, and Tokio keeps cells of them")
        }
    };
    let cells = match (kept.cell_bytes, spawner) {
        (0, _) => String::new(),
        (bytes, Some((task, place))) => format!(
            " Their cells, ≈ {} more, are in the bytes of `{}` (#{task}), which spawned them.",
            HumanBytes(bytes),
            cell(&place.name, 36)
        ),
        (bytes, None) => format!(
            " Their cells, ≈ {} more, are outside of tasks, where they were spawned.",
            HumanBytes(bytes)
        ),
    };
    let course = blank(&place, growth);
    let fix = match (kept.cause, tasks) {
        (LeakCause::Wakers, _) => {
            "drop what keeps them: a waker in a list, a map or a timer, or an `AbortHandle`, keeps the whole cell of its task"
        }
        (_, Some(_)) => {
            "join them as they end (`JoinSet::join_next`, `FuturesUnordered::next`, `.await`), or drop their handles, which detaches them, or abort them"
        }
        (_, None) => {
            "join them as they end (`JoinSet::join_next`, `.await`), drop the `JoinHandle`s that are held, which detaches them, or abort them; if none is held, a waker or an `AbortHandle` keeps the cells"
        }
    };
    let leak = Leak {
        kind: LeakKind::Unjoined,
        count: tasks.unwrap_or(0),
        cause: kept.cause,
        evidence: format!("{which}.{cells} {}", course.evidence),
        fix: fix.to_owned(),
        ..course
    };
    complete(leak, kept.bytes, growth, evidence, false)
}
