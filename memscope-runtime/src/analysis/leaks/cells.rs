//! Cells of tasks that live: they grow where they were spawned, and with the tasks.

use std::{cmp::max, fmt::Write};

use super::{
    cause::LeakCause,
    evidence::{Evidence, place_of},
    finding::{Leak, LeakKind},
    growing::Grown,
    growth::Growth,
    pile::LEAST_PILED,
    untracked::OUTSIDE,
};
use crate::{
    model::{HumanBytes, SiteProfile, human::cell},
    snapshot::{MemorySnapshot, sum},
};

/// The cure for a task that holds cells of others. `which`: it, or several of a site.
pub(super) fn of_spawner(which: &str) -> String {
    format!(
        "these are cells of tasks that {which} has spawned: end each of those when what it serves is over, and drop the wakers and handles of ended ones"
    )
}

/// Makes one finding of tasks that become more, and of their cells where these were spawned: in a
/// task, or outside of tasks.
///
/// A cell's type is not in its stack. So the cells are taken for those of a site only if no other
/// site's tasks become more, if few ended tasks keep theirs, and if its futures are large enough or
/// hardly any other task lives: Tokio puts a large future into a box of its own.
pub(super) fn join(snapshot: &MemorySnapshot, grown: &mut Vec<Grown>) {
    let runtime = snapshot.runtime();
    let ended = runtime.unjoined_cells.saturating_add(runtime.kept_cells);
    let is_pile = |(leak, _): &Grown| {
        leak.kind == LeakKind::Growing
            && leak.cause == LeakCause::Endless
            && leak.count >= LEAST_PILED
    };
    let mut piles = (0..).zip(&*grown).filter(|(_, it)| is_pile(it)).map(|it| it.0);
    let (Some(pile), None, true) = (piles.next(), piles.next(), ended < LEAST_PILED) else {
        return;
    };
    let evidence = Evidence::of(snapshot);
    let Some((of_tasks, _)) = grown.get(pile) else { return };
    let is_of_tasks = |site: &&SiteProfile| place_of(site) == of_tasks.place;
    let site = snapshot.sites().iter().find(is_of_tasks);
    let others = snapshot.sites().iter().filter(|site| !is_of_tasks(site));
    let are_alone = sum(others.map(|site| site.active)) < LEAST_PILED;
    let cell_bytes = site.map_or(0, |it| it.future_size_bytes.saturating_mul(of_tasks.count));
    let mut cells = (0..).zip(&*grown).filter(|(at, (leak, growth))| {
        *at != pile
            && (are_alone || leak.bytes / 2 <= cell_bytes)
            && is_of_cells(leak, growth, &evidence, snapshot)
    });
    let (Some(cells), None) = (cells.next().map(|it| it.0), cells.next()) else { return };
    let (cells, _): Grown = grown.remove(cells);
    let Some((of_tasks, _)) = grown.iter_mut().find(|it| is_pile(it)) else { return };
    let bytes = HumanBytes(cells.bytes);
    let place = match cells.task {
        Some(task) => {
            format!("in task #{task} (`{}`), which spawns them", cell(&cells.place.name, 36))
        }
        None => "outside of tasks".to_owned(),
    };
    // Writing to a `String` does not fail.
    let _ = write!(of_tasks.evidence, " {bytes} of it are their cells, {place}.");
    of_tasks.bytes = of_tasks.bytes.saturating_add(cells.bytes);
    of_tasks.severity = max(of_tasks.severity, cells.severity);
    of_tasks.bytes_per_day = match (of_tasks.bytes_per_day, cells.bytes_per_day) {
        (Some(own), Some(of_cells)) => Some(own.saturating_add(of_cells)),
        (own, of_cells) => own.or(of_cells),
    };
}

/// Whether most of what has come is cells of tasks.
fn is_of_cells(
    leak: &Leak,
    growth: &Growth,
    evidence: &Evidence<'_>,
    snapshot: &MemorySnapshot,
) -> bool {
    if leak.kind != LeakKind::Growing || leak.count > 1 {
        return false;
    }
    let since_ns = Some(growth.course.first().at_ns);
    let untracked = snapshot.stacks().iter().filter(|stack| stack.is_untracked);
    let clue = match leak.task {
        Some(_) => evidence.clue_of(&leak.place, since_ns),
        None if leak.place.name == OUTSIDE => {
            evidence.clue_of_stacks(untracked, since_ns, || leak.bytes)
        }
        None => None,
    };
    clue.is_some_and(|clue| clue.is_of_cells())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{
        fixture::{self, site, task, trend},
        leaks::Leaks,
    };

    const MINUTE_NS: u64 = 60_000_000_000;
    const CELLS: [&str; 2] = ["tokio::task::spawn::spawn", "app::accept"];

    /// The findings where 100 tasks with 500 KiB have come in ten minutes, and 5 MiB outside of
    /// tasks by this stack. `future_kib`: the size of a task's future. `others`: other tasks.
    fn leaks(functions: [&str; 2], future_kib: u64, others: u64) -> Leaks {
        let rising: Vec<(u64, u64)> =
            (0..=10).map(|it| (it * (50 << 10), it * (50 << 10))).collect();
        let process: Vec<Value> = (0..=10_u64)
            .map(|minute| {
                let (own, cells) = (minute * (50 << 10), minute << 19);
                json!({ "at_ns": minute * MINUTE_NS, "tracked_bytes": own, "untracked_bytes": cells, "whole_bytes": own + cells })
            })
            .collect();
        let frames = functions.map(|function| json!({ "function": function }));
        let stack = json!({
            "frames": frames, "is_untracked": true, "live_bytes": 5 << 20, "live_samples": 9,
            "samples": 9, "allocated_bytes": 5 << 20,
        });
        let row = json!({
            "spawned": 100, "active": 100, "completed": 0, "live_bytes": 500 << 10,
            "future_size_bytes": future_kib << 10, "waits_timed": 0,
        });
        let tasks: Vec<Value> = (1..=20).map(|id| task(id, "client", &json!({}))).collect();
        let mut json = fixture::snapshot_json(&json!({
            "sites": [site("client", &row), site("tick", &json!({ "active": others }))], "tasks": tasks, "stacks": [stack],
            "trends": [trend(None, "client", &rising)], "stack_interval_bytes": 2 << 10,
            "timeline": { "process": process, "sites": [] },
        }));
        json["process"]["untracked_bytes"] = json!(5 << 20);
        json["process"]["untracked_allocated_bytes"] = json!(5 << 20);
        let snapshot: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        snapshot.leaks()
    }

    #[test]
    fn tasks_that_become_more_and_their_cells_are_one_finding() {
        for (future_kib, others) in [(48, 400), (1, 15)] {
            let found = leaks(CELLS, future_kib, others);
            let [leak] = found.findings() else { panic!("{found}") };
            let what = (&*leak.place.name, leak.cause, leak.count);
            assert_eq!(what, ("client", LeakCause::Endless, 100));
            assert_eq!(leak.bytes, (500 << 10) + (5 << 20), "{leak}");
            let cells = "5.0 MiB of it are their cells, outside of tasks.";
            assert!(leak.evidence.ends_with(cells), "{leak}");
        }
    }

    #[test]
    fn bytes_that_are_no_cells_or_may_be_others_are_a_finding_of_their_own() {
        for found in [leaks(["app::page", "app::accept"], 48, 0), leaks(CELLS, 1, 16)] {
            let places: Vec<&str> = found.iter().map(|leak| &*leak.place.name).collect();
            assert!(found.len() == 2 && places.contains(&OUTSIDE), "{found}");
        }
    }
}
