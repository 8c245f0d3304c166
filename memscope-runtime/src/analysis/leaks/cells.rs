//! What comes with tasks that live and become more, where they are spawned: their cells, and what
//! the code that spawns them makes for each.

use std::{cmp::max, fmt::Write};

use super::{
    cause::{FIRM_SAMPLES, LeakCause, Part},
    certainty::KnownBy,
    code::Code,
    evidence::{Evidence, place_of},
    finding::{Leak, LeakKind},
    growing::Grown,
    growth::Growth,
    pile::LEAST_PILED,
    untracked::OUTSIDE,
};
use crate::{
    model::{HumanBytes, SiteProfile, StackProfile, human::cell},
    snapshot::{MemorySnapshot, sum},
};

/// The cure for a task that holds cells of others. `which`: it, or several of a site.
pub(super) fn of_spawner(which: &str) -> String {
    format!(
        "these are cells of tasks that {which} has spawned: end each of those when what it serves is over, and drop the wakers and handles of ended ones"
    )
}

/// Makes one finding of tasks that become more, and of what comes with them where they are spawned:
/// in a task, or outside of tasks. These are their cells, and what the code that spawns them makes
/// for each.
///
/// A cell's type is not in its stack. So the cells are taken for those of a site only if no other
/// site's tasks become more, if few ended tasks keep theirs, and if its futures are large enough or
/// hardly any other task lives: Tokio puts a large future into a box of its own.
pub(super) fn join(snapshot: &MemorySnapshot, grown: &mut Vec<Grown>, stuck: &mut [Leak]) {
    let runtime = snapshot.runtime();
    let ended = runtime.unjoined_cells.saturating_add(runtime.kept_cells);
    let is_pile = |leak: &Leak| {
        matches!(leak.kind, LeakKind::Growing | LeakKind::Stuck)
            && leak.cause == LeakCause::Endless
            && leak.count >= LEAST_PILED
    };
    let mut piles = grown.iter().map(|it| &it.0).chain(&*stuck).filter(|leak| is_pile(leak));
    let (Some(pile), None) = (piles.next(), piles.next()) else { return };
    if ended >= LEAST_PILED {
        return;
    }
    let (place, count) = (pile.place.clone(), pile.count);
    let evidence = Evidence::of(snapshot);
    let is_of_tasks = |site: &&SiteProfile| place_of(site) == place;
    let site = snapshot.sites().iter().find(is_of_tasks);
    let others = snapshot.sites().iter().filter(|site| !is_of_tasks(site));
    let are_alone = sum(others.map(|site| site.active)) < LEAST_PILED;
    let cell_bytes = site.map_or(0, |it| it.future_size_bytes.saturating_mul(count));
    let are_theirs = |(leak, growth): &Grown| {
        let are_cells = (are_alone || leak.bytes / 2 <= cell_bytes)
            && is_of_cells(leak, growth, &evidence, snapshot);
        are_cells || is_made_by_spawner(leak, growth, snapshot)
    };
    let mut theirs = (0..).zip(&*grown).filter(|(_, it)| it.0.place != place && are_theirs(it));
    let (Some(theirs), None) = (theirs.next().map(|it| it.0), theirs.next()) else { return };
    let (theirs, growth): Grown = grown.remove(theirs);
    let are_cells = is_of_cells(&theirs, &growth, &evidence, snapshot);
    let mut piles = grown.iter_mut().map(|it| &mut it.0).chain(stuck);
    let Some(of_tasks) = piles.find(|leak| is_pile(leak)) else { return };
    let bytes = HumanBytes(theirs.bytes);
    let place = match theirs.task {
        Some(task) => {
            format!("in task #{task} (`{}`), which spawns them", cell(&theirs.place.name, 36))
        }
        None => "outside of tasks".to_owned(),
    };
    // Writing to a `String` does not fail.
    let _ = match (&theirs.allocated_at, are_cells) {
        (Some(code), false) => write!(
            of_tasks.evidence,
            " {bytes} of it are {place}, most of it by the code that spawns these tasks: {code}."
        ),
        _ => write!(of_tasks.evidence, " {bytes} of it are their cells, {place}."),
    };
    of_tasks.bytes = of_tasks.bytes.saturating_add(theirs.bytes);
    of_tasks.severity = max(of_tasks.severity, theirs.severity);
    of_tasks.bytes_per_day = match (of_tasks.bytes_per_day, theirs.bytes_per_day) {
        _ if of_tasks.kind == LeakKind::Stuck => None,
        (Some(own), Some(of_cells)) => Some(own.saturating_add(of_cells)),
        (own, of_cells) => own.or(of_cells),
    };
}

/// Whether most of what has come, of which nothing is known, is made by the code that spawns tasks:
/// what it makes for each of them, as a channel.
fn is_made_by_spawner(leak: &Leak, growth: &Growth, snapshot: &MemorySnapshot) -> bool {
    let is_unknown = leak.cause == LeakCause::Unknown && leak.known_by == KnownBy::Nothing;
    if leak.kind != LeakKind::Growing || leak.count > 1 || !is_unknown {
        return false;
    }
    let is_there = |stack: &&StackProfile| match leak.task {
        Some(_) => {
            let site = stack.site.and_then(|site| snapshot.sites().get(site));
            site.is_some_and(|site| place_of(site) == leak.place)
        }
        None => leak.place.name == OUTSIDE && stack.is_untracked,
    };
    let stacks = || snapshot.stacks().iter().filter(is_there);
    let spawns: Vec<Code> = stacks().filter_map(Code::spawning).collect();
    let (mut all, mut theirs, mut samples) = (0_u64, 0_u64, 0_u64);
    for stack in stacks() {
        let part = Part::since(stack, Some(growth.course.first().at_ns));
        all = all.saturating_add(part.live_bytes);
        let own = Code::innermost_own(&stack.frames);
        let is_of_spawner = own.is_some_and(|own| {
            spawns.iter().any(|code| own.own_name().is_some_and(|own| code.has_name(own)))
        });
        if is_of_spawner || Code::spawning(stack).is_some() {
            theirs = theirs.saturating_add(part.live_bytes);
            samples += part.live_samples;
        }
    }
    samples >= FIRM_SAMPLES && theirs >= all / 2
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
        leaks_of(&[(functions, 9)], future_kib, others)
    }

    /// The same by several stacks, each with this many samples.
    fn leaks_of(stacks: &[([&str; 2], u64)], future_kib: u64, others: u64) -> Leaks {
        let rising: Vec<(u64, u64)> =
            (0..=10).map(|it| (it * (50 << 10), it * (50 << 10))).collect();
        let process: Vec<Value> = (0..=10_u64)
            .map(|minute| {
                let (own, cells) = (minute * (50 << 10), minute << 19);
                json!({ "at_ns": minute * MINUTE_NS, "tracked_bytes": own, "untracked_bytes": cells, "whole_bytes": own + cells })
            })
            .collect();
        let stack = |(functions, samples): &([&str; 2], u64)| {
            let frames = functions.map(|function| json!({ "function": function }));
            json!({
                "frames": frames, "is_untracked": true, "live_bytes": samples << 19,
                "live_samples": samples, "samples": samples, "allocated_bytes": samples << 19,
            })
        };
        let stacks: Vec<Value> = stacks.iter().map(stack).collect();
        let row = json!({
            "spawned": 100, "active": 100, "completed": 0, "live_bytes": 500 << 10,
            "future_size_bytes": future_kib << 10, "waits_timed": 0,
        });
        let tasks: Vec<Value> = (1..=20).map(|id| task(id, "client", &json!({}))).collect();
        let mut json = fixture::snapshot_json(&json!({
            "sites": [site("client", &row), site("tick", &json!({ "active": others }))], "tasks": tasks, "stacks": stacks,
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
    fn what_the_code_that_spawns_tasks_makes_for_each_comes_with_them() {
        let made = |by: &'static str| (["tokio::sync::mpsc::block::Block::new", by], 7);
        let found = leaks_of(&[(CELLS, 2), made("app::accept")], 1, 400);
        let [leak] = found.findings() else { panic!("{found}") };
        assert_eq!((&*leak.place.name, leak.cause), ("client", LeakCause::Endless), "{leak}");
        let with = "5.0 MiB of it are outside of tasks, most of it by the code that spawns these";
        assert!(leak.evidence.contains(with), "{leak}");
        assert_eq!(leaks_of(&[(CELLS, 2), made("app::log")], 1, 400).len(), 2);
    }

    #[test]
    fn bytes_that_are_no_cells_or_may_be_others_are_a_finding_of_their_own() {
        for found in [leaks(["app::page", "app::accept"], 48, 0), leaks(CELLS, 1, 16)] {
            let places: Vec<&str> = found.iter().map(|leak| &*leak.place.name).collect();
            assert!(found.len() == 2 && places.contains(&OUTSIDE), "{found}");
        }
    }
}
