//! Ended tasks that were never joined, or whose cells are kept, and that become more.
//!
//! Two different things: a `JoinHandle` that is held keeps the output until it is awaited; a waker
//! or an `AbortHandle` keeps the cell alone. Tokio's state word tells them apart, and memscope
//! reads it where a task is not annotated.

use std::collections::HashMap;

use super::{
    cause::LeakCause,
    certainty::KnownBy,
    evidence::{Evidence, place_of, place_of_task},
    finding::{Leak, LeakKind},
    growing::{Grown, blank, complete},
    growth::{Growth, Suspect},
    holder::Held,
    options::LeakOptions,
    wording::{age, several},
};
use crate::{
    model::{HumanBytes, Place, SiteProfile, TaskId, TrendPoint, human::cell},
    snapshot::MemorySnapshot,
};

/// Fewer of these tasks are a batch that is not joined yet.
const LEAST_TASKS: u64 = 16;

/// The spawner of such a task holds its cell, and in a set one more block for it.
const BLOCKS_OF_TASK: u64 = 3;

/// The cure for tasks whose handles are held.
pub(super) const JOIN: &str = "join them as they end (`JoinSet::join_next`, `FuturesUnordered::next`, `.await`), or drop their handles, which detaches them, or abort them";
/// The cure for tasks whose cells are kept by something else.
pub(super) const DROP_WAKERS: &str = "drop what keeps them: a waker in a list, a map or a timer, or an `AbortHandle`, keeps the whole cell of its task";

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
        let spawner = Spawner::of(snapshot, &place);
        // The site's own bytes have the outputs, those of the spawner the cells.
        let series = [
            evidence.points_of(&place),
            spawner.task().map_or(&[][..], |(_, place)| evidence.points_of(place)),
            if spawner.task().is_none() { &untracked } else { &[] },
        ];
        let least = kept.bytes.saturating_add(kept.cell_bytes) / 4;
        let grows = |points: &&[TrendPoint]| {
            Growth::of(points, options).filter(|growth| growth.course.rise() >= least)
        };
        let risen = series.iter().enumerate().find_map(|(at, points)| Some((at, grows(points)?)));
        let Some((at, growth)) = risen else { continue };
        if kept.cell_bytes != 0 {
            found.is_spawned_outside |= matches!(spawner, Spawner::Outside);
        }
        // Where the outputs are less than the cells, what has risen elsewhere is the cells.
        let is_of_cells = at != 0 && kept.bytes < kept.cell_bytes;
        let leak = leak(site, &kept, is_of_cells, &spawner, &growth, &evidence);
        let has_little_else = |(task, _): &(TaskId, Place)| {
            let blocks = snapshot.task(*task).map_or(0, |task| task.live_blocks);
            let count = if leak.count == 0 { site.ended() } else { leak.count };
            blocks <= count.saturating_mul(BLOCKS_OF_TASK).saturating_add(LEAST_TASKS)
        };
        found.spawners.extend(spawner.task().filter(|it| has_little_else(it)).cloned());
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

/// What has spawned most of a site's ended tasks.
enum Spawner {
    /// A task, and its site.
    Task((TaskId, Place)),
    Outside,
    /// The snapshot has no rows of them, or none of that task.
    NotKnown,
}

impl Spawner {
    fn of(snapshot: &MemorySnapshot, place: &Place) -> Self {
        let mut counts: HashMap<Option<TaskId>, u64> = HashMap::new();
        let tasks = snapshot.tasks().iter().filter(|task| task.state.is_ended());
        for task in tasks.filter(|task| place_of_task(task) == *place) {
            *counts.entry(task.parent).or_default() += 1;
        }
        match counts.into_iter().max_by_key(|&(parent, count)| (count, parent)) {
            Some((None, _)) => Self::Outside,
            Some((Some(parent), _)) => match snapshot.task(parent) {
                Some(task) => Self::Task((parent, place_of_task(task))),
                None => Self::NotKnown,
            },
            None => Self::NotKnown,
        }
    }

    fn task(&self) -> Option<&(TaskId, Place)> {
        match self {
            Self::Task(task) => Some(task),
            Self::Outside | Self::NotKnown => None,
        }
    }
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
    is_of_cells: bool,
    spawner: &Spawner,
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
    let first = site.oldest_retained_ns.map_or_else(String::new, |ns| {
        format!(" The first of those that hold bytes ended {} ago.", age(ns))
    });
    let spawned_at = |place: Option<&Place>| {
        evidence.spawned_at(place).map_or_else(String::new, |code| format!(" at {code}"))
    };
    let bytes = if is_of_cells { growth.course.rise().max(kept.bytes) } else { kept.bytes };
    let cells = if is_of_cells {
        " Most of that is their cells, which".to_owned()
    } else {
        format!(" Their cells, ≈ {} more,", HumanBytes(kept.cell_bytes))
    };
    let cells = match spawner {
        _ if kept.cell_bytes == 0 => String::new(),
        Spawner::Task((task, place)) => format!(
            "{cells} are in the bytes of `{}` (#{task}), which spawned them{}.",
            cell(&place.name, 36),
            spawned_at(Some(place))
        ),
        Spawner::Outside => {
            format!("{cells} are outside of tasks, where they were spawned{}.", spawned_at(None))
        }
        Spawner::NotKnown => format!("{cells} are in the bytes of what spawned them."),
    };
    let course = blank(&place, growth);
    // Cells are blocks of what spawned them.
    let (holder_of, of) = match spawner {
        _ if !is_of_cells => (Some(&*place.name), Suspect::grown(kept.bytes, growth)),
        Spawner::Task((_, place)) => (Some(&*place.name), Suspect::grown(bytes, growth)),
        _ => (None, Suspect::grown(bytes, growth)),
    };
    let held = evidence.held(holder_of, &of);
    let held_by = held.as_ref().map_or_else(String::new, |held| format!(" {}", held.sentence()));
    let fix = match (kept.cause, tasks) {
        (LeakCause::Wakers, _) => DROP_WAKERS,
        (_, Some(_)) => JOIN,
        (_, None) => {
            "join them as they end (`JoinSet::join_next`, `.await`), drop the `JoinHandle`s that are held, which detaches them, or abort them; if none is held, a waker or an `AbortHandle` keeps the cells"
        }
    };
    let leak = Leak {
        kind: LeakKind::Unjoined,
        count: tasks.unwrap_or(0),
        cause: kept.cause,
        known_by: if tasks.is_some() { KnownBy::Counts } else { KnownBy::Nothing },
        held_by: held.as_ref().map(Held::words),
        evidence: format!("{which}.{first}{cells} {}{held_by}", course.evidence),
        fix: fix.to_owned(),
        ..course
    };
    complete(leak, bytes, growth, evidence, false)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{
        fixture::{site, snapshot, task, trend},
        leaks::Leaks,
    };

    /// Ended tasks of `query`, whose bytes rose for this many minutes.
    fn leaks(minutes: u64, changes: &Value) -> Leaks {
        rising(minutes, (0, 2 << 20), 600 << 10, changes).leaks()
    }

    /// The same: the bytes of `query` rose from the first number to the second, those of its
    /// spawner to the third.
    fn rising(minutes: u64, bytes: (u64, u64), of_spawner: u64, changes: &Value) -> MemorySnapshot {
        snapshot(&parts(minutes, bytes, of_spawner, changes))
    }

    fn parts(minutes: u64, (from, to): (u64, u64), of_spawner: u64, changes: &Value) -> Value {
        let mut row = json!({
            "is_annotated": false, "spawned": 2000, "completed": 2000, "live_bytes": 2 << 20,
            "retained_bytes": 2 << 20, "unjoined_tasks": 2000, "future_size_bytes": 100,
        });
        let tasks = [
            task(
                1,
                "connection",
                &json!({ "live_blocks": 4000, "live_bytes": 600 << 10, "peak_bytes": 600 << 10 }),
            ),
            task(2, "query", &json!({ "state": "ended", "is_annotated": false, "parent": 1 })),
        ];
        for (field, change) in changes.as_object().into_iter().flatten() {
            row[field] = change.clone();
        }
        let rise = |from: u64, to: u64| -> Vec<(u64, u64)> {
            let live = |step: u64| from + (to - from) * step / minutes;
            (0..=minutes).map(live).map(|live| (live, live)).collect()
        };
        let trends = [
            trend(None, "query", &rise(from, to)),
            trend(Some(1), "connection", &rise(0, of_spawner)),
            trend(None, "connection", &rise(0, of_spawner)),
        ];
        let sites = [site("query", &row), site("connection", &json!({}))];
        json!({ "sites": sites, "tasks": tasks, "trends": trends })
    }

    #[test]
    fn tasks_that_were_not_joined_need_more_time_than_other_growth() {
        use std::time::Duration;
        let snapshot = rising(10, (0, 2 << 20), 600 << 10, &json!({}));
        let found = |minutes| {
            let options = LeakOptions::new().patience(Duration::from_mins(minutes));
            snapshot.leaks_with(&options).iter().any(|leak| leak.kind == LeakKind::Unjoined)
        };
        assert!(found(2) && !found(3), "ten minutes are five times two, and not five times three");
    }

    #[test]
    fn what_rises_by_less_than_a_quarter_is_not_of_these_tasks() {
        let found = |of_spawner: u64| {
            let snapshot = rising(8, (2 << 20, 2 << 20), of_spawner, &json!({}));
            snapshot.leaks().iter().any(|leak| leak.kind == LeakKind::Unjoined)
        };
        assert!(found(700 << 10) && !found(400 << 10));
    }

    #[test]
    fn tasks_that_nothing_joins_are_found_once_and_the_bytes_of_their_spawner_are_theirs() {
        let leaks = leaks(8, &json!({}));
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.kind, leak.cause), (LeakKind::Unjoined, LeakCause::Unjoined));
        assert_eq!((leak.count, leak.bytes, &*leak.place.name), (2000, 2 << 20, "query"));
        assert!(leak.evidence.contains("in the bytes of `connection` (#1)"), "{leaks}");
    }

    #[test]
    fn tasks_without_outputs_leave_what_their_cells_take() {
        let changes = json!({ "live_bytes": 1_000, "retained_bytes": 1_000 });
        let found = rising(8, (0, 1_000), 600 << 10, &changes).leaks();
        let leak = found.iter().find(|leak| leak.kind == LeakKind::Unjoined);
        let leak = leak.unwrap_or_else(|| panic!("{found}"));
        assert_eq!(leak.bytes, 600 << 10, "{leak}");
        let cells = "Most of that is their cells, which are in the bytes of `connection` (#1)";
        assert!(leak.evidence.contains(cells), "{leak}");
    }

    #[test]
    fn the_code_that_spawns_is_named_if_all_samples_of_cells_are_of_it_and_the_age_is_said() {
        let evidence = |spawned_by: &[&str]| {
            let stacks: Vec<Value> = spawned_by
                .iter()
                .map(|code| {
                    let frames = ["tokio::task::spawn::spawn_inner", code]
                        .map(|it| json!({ "function": it }));
                    json!({ "frames": frames, "site": 1, "live_bytes": 2 << 20, "live_samples": 1 })
                })
                .chain([json!({
                    "frames": [{ "function": "app::page" }], "site": 1, "live_bytes": 9 << 20,
                    "live_samples": 4,
                })])
                .collect();
            let changes = json!({ "oldest_retained_ns": 480_000_000_000_u64 });
            let mut parts = parts(8, (0, 2 << 20), 600 << 10, &changes);
            parts["stacks"] = json!(stacks);
            snapshot(&parts).leaks().findings()[0].evidence.clone()
        };
        let one = evidence(&["app::serve", "app::serve"]);
        assert!(one.contains("The first of those that hold bytes ended 8 min ago."), "{one}");
        assert!(one.contains("(#1), which spawned them at `app::serve`, by 2 samples."), "{one}");
        let mut parts = parts(8, (0, 2 << 20), 600 << 10, &json!({}));
        parts["tasks"] = json!([]);
        let text = snapshot(&parts).leaks().findings()[0].evidence.clone();
        assert!(text.contains("more, are in the bytes of what spawned them."), "no rows: {text}");
        for unclear in [&["app::serve", "app::tick"][..], &[]] {
            let text = evidence(unclear);
            assert!(text.contains("(#1), which spawned them. "), "{text}");
        }
    }

    #[test]
    fn cells_without_a_handle_are_kept_by_wakers_and_need_another_cure() {
        let leaks = leaks(8, &json!({ "unjoined_tasks": 0, "kept_tasks": 2000 }));
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!(leak.cause, LeakCause::Wakers);
        assert!(leak.fix.contains("a waker in a list"), "{leaks}");
    }

    #[test]
    fn tasks_that_are_not_joined_yet_are_no_finding_but_a_line() {
        let early = leaks(4, &json!({}));
        assert!(early.is_empty(), "{early}");
        let line = early.not_judged()[0].to_string();
        assert!(line.contains("for 4 min; a verdict needs 5 min and 6 samples"), "{line}");
        assert!(line.contains("join them as they end"), "{line}");
        let few = leaks(8, &json!({ "unjoined_tasks": 15 }));
        assert!(few.iter().all(|leak| leak.kind != LeakKind::Unjoined), "a batch: {few}");
    }

    #[test]
    fn an_annotated_future_in_a_cell_of_another_is_known_by_the_number_of_cells() {
        let changes = json!({
            "is_annotated": true, "unjoined_tasks": 0, "ended_allocated_bytes": 2 << 20, "retained_tasks": 2000,
            "retained_waves": 2000, "retained_by_eighth": [250, 250, 250, 250, 250, 250, 250, 250],
        });
        let without = leaks(8, &changes);
        assert!(without.iter().any(|leak| leak.kind == LeakKind::Retained), "{without}");
        let mut row = site("query", &changes);
        row["retained_bytes"] = json!(2 << 20);
        row["completed"] = json!(2000);
        row["spawned"] = json!(2000);
        let points: Vec<(u64, u64)> = (0..9).map(|step| (step << 18, step << 18)).collect();
        let mut parts = json!({ "sites": [row], "trends": [trend(None, "query", &points)] });
        parts["runtime"] = json!({
            "measured": true, "worker_threads": 2, "worker_bytes": 0, "cells": 0,
            "cell_overhead_bytes": 0, "unjoined_cells": 2000,
        });
        let leaks = snapshot(&parts).leaks();
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.kind, leak.cause), (LeakKind::Unjoined, LeakCause::Unjoined));
    }
}
