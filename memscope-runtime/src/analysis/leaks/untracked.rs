//! Growth outside of tasks, by the stacks that allocated it, and of the process as a whole.

use super::{
    cause::LeakCause,
    certainty::KnownBy,
    evidence::Evidence,
    finding::Leak,
    growing::{Grown, blank, complete},
    growth::{Growth, Suspect},
    hidden,
    keeper::Keeper,
    options::LeakOptions,
    pile::LEAST_PILED,
    strands::Strands,
    unjoined,
    wording::several,
};
use crate::{
    accounting::UNNAMED,
    model::{
        Place, SiteProfile, TrendPoint,
        human::{cell, count},
    },
    snapshot::MemorySnapshot,
};

/// The name that stands for what no task allocated.
pub(super) const OUTSIDE: &str = "(outside every task)";

/// Finds growth of the bytes that no task allocated: of their sum, or of code that the sum hides.
pub(super) fn find(
    snapshot: &MemorySnapshot,
    options: &LeakOptions,
    has_unjoined: bool,
    shared: &[Grown],
) -> Vec<Grown> {
    let (points, of_shared) = without(snapshot, shared);
    if let Some(growth) = Growth::of(&points, options) {
        let found = of_sum(snapshot, &growth, of_shared, has_unjoined, shared);
        return found.map(|leak| (leak, growth)).into_iter().collect();
    }
    // A stack does not tell of which owner its bytes are.
    if shared.is_empty() { hidden::find(snapshot, options, &points) } else { Vec::new() }
}

/// Finds growth of the bytes that no task allocated. `has_unjoined`: another finding reports tasks
/// that ended and whose cells are kept. `shared`: the shared owners that grow, without which this
/// is.
fn of_sum(
    snapshot: &MemorySnapshot,
    growth: &Growth,
    of_shared: u64,
    has_unjoined: bool,
    shared: &[Grown],
) -> Option<Leak> {
    let evidence = Evidence::of(snapshot);
    let stacks = || snapshot.stacks().iter().filter(|stack| stack.is_untracked);
    let bytes = snapshot.process().untracked_bytes.saturating_sub(of_shared);
    let of = Suspect::grown(bytes, growth);
    let mut clue = evidence.clue_of_stacks(stacks(), of.since_ns, || bytes).unwrap_or_default();
    let interval = snapshot.stack_interval_bytes();
    // A stack does not tell of which owner its bytes are.
    let strands = match shared {
        [] => Strands::of(stacks(), growth, interval, &mut clue),
        _ => Strands::default(),
    };
    let is_of_cells = clue.is_of_cells();
    if is_of_cells && has_unjoined {
        return None;
    }
    let keeper = Keeper {
        has_ended: clue.cause != LeakCause::Buffer,
        is_outside: true,
        held: evidence.held(None, &of),
        clue,
        ..Keeper::default()
    };
    let place = Place { name: OUTSIDE.to_owned(), file: "".into(), line: 0 };
    let mut leak = keeper.tell(blank(&place, growth), || {
        "bound what is added to there, or take out what is done with".to_owned()
    });
    let is_known = leak.cause != LeakCause::Unknown || leak.known_by == KnownBy::HeapGraph;
    if is_of_cells && !leak.cause.is_unreachable() {
        of_cells(&mut leak, snapshot);
    } else if !is_known && let Some(site) = living(snapshot) {
        let (tasks, hold) = if site.name == UNNAMED {
            ("tasks without a name".to_owned(), "tasks without a name hold".to_owned())
        } else {
            let name = cell(&site.name, 48);
            (format!("tasks of `{name}`"), format!("`{name}` holds"))
        };
        let (alive, ended) = (count(site.active), count(site.ended()));
        leak.evidence = format!("{} {alive} {tasks} are alive, {ended} have ended.", leak.evidence);
        leak.fix = format!(
            "if {hold} it: end each of these tasks when what it serves is over, by a timeout, a cancellation token or a channel that closes; else bound what is added to there",
        );
    }
    if !is_of_cells && !leak.cause.is_unreachable() {
        strands.add_to(&mut leak.fix);
    }
    // Clients that come and stay bring memory that no task allocates.
    let may_be_load = growth.may_be_load() || living(snapshot).is_some() && !growth.is_of_a_day();
    Some(complete(leak, bytes, growth, &evidence, may_be_load))
}

/// The timeline of the bytes outside of tasks without those of these shared owners, and how many
/// bytes these hold.
fn without(snapshot: &MemorySnapshot, shared: &[Grown]) -> (Vec<TrendPoint>, u64) {
    let mut points = unjoined::untracked(snapshot);
    let mut bytes = 0_u64;
    for (leak, _) in shared {
        bytes = bytes.saturating_add(leak.bytes);
        let mut trends = snapshot.timeline().shared.iter();
        let Some(trend) = trends.find(|trend| trend.place == leak.place) else { continue };
        let mut of_owner = trend.points.iter().peekable();
        for point in &mut points {
            while of_owner.next_if(|it| it.at_ns < point.at_ns).is_some() {}
            if let Some(it) = of_owner.peek().filter(|it| it.at_ns == point.at_ns) {
                point.live_bytes = point.live_bytes.saturating_sub(it.live_bytes);
                // How much was allocated is known of the last point alone.
                point.allocated_bytes = point.allocated_bytes.saturating_sub(it.allocated_bytes);
            }
        }
    }
    (points, bytes)
}

/// The bytes are cells of tasks: those of ended tasks that are kept, if Tokio says so, else those
/// of living ones.
fn of_cells(leak: &mut Leak, snapshot: &MemorySnapshot) {
    let runtime = snapshot.runtime();
    let (unjoined, kept) = (runtime.unjoined_cells, runtime.kept_cells);
    let cells = unjoined.saturating_add(kept);
    if cells < LEAST_PILED {
        (leak.cause, leak.known_by) = (LeakCause::Endless, KnownBy::Course);
        "they are cells of tasks: end each task when what it serves is over, and drop the wakers and handles of ended ones".clone_into(&mut leak.fix);
        return;
    }
    leak.known_by = KnownBy::Counts;
    let cells = several(cells, "ended task is kept", "ended tasks are kept");
    let (by, fix) = if unjoined >= kept {
        leak.cause = LeakCause::Unjoined;
        ("their `JoinHandle`s are held", unjoined::JOIN)
    } else {
        leak.cause = LeakCause::Wakers;
        ("no `JoinHandle` of them is held", unjoined::DROP_WAKERS)
    };
    leak.evidence = format!("{} They are cells: those of {cells}, and {by}.", leak.evidence);
    fix.clone_into(&mut leak.fix);
}

/// The site with the most living tasks, if these are many and their number is known. What was
/// allocated before a task was spawned is often held by it.
fn living(snapshot: &MemorySnapshot) -> Option<&SiteProfile> {
    let sites = snapshot.sites().iter().filter(|site| !site.ends_unknown);
    sites.filter(|site| site.active >= LEAST_PILED).max_by_key(|site| site.active)
}

/// The growth of the process.
pub(super) fn of_process(snapshot: &MemorySnapshot, options: &LeakOptions) -> Option<Growth> {
    let points: Vec<_> = snapshot
        .timeline()
        .process
        .iter()
        .map(|point| TrendPoint {
            at_ns: point.at_ns,
            live_bytes: point.whole_bytes,
            allocated_bytes: 0,
        })
        .collect();
    Growth::of(&points, options)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{fixture, leaks::Leaks};

    /// The findings where the bytes outside of tasks rose to 4 MiB in ten minutes, by this stack.
    fn leaks(functions: &[&str], samples: u64, sites: &Value) -> Leaks {
        leaks_of(functions, samples, &json!({ "sites": sites }))
    }

    /// The same, with these parts of the snapshot.
    fn leaks_of(functions: &[&str], samples: u64, parts: &Value) -> Leaks {
        let points: Vec<Value> = (0..=10_u64)
            .map(|minute| {
                let bytes = (minute << 20) * 4 / 10;
                json!({ "at_ns": minute * 60_000_000_000, "tracked_bytes": 0, "untracked_bytes": bytes, "whole_bytes": bytes })
            })
            .collect();
        let frames: Vec<Value> =
            functions.iter().map(|function| json!({ "function": function })).collect();
        let stack = json!({
            "frames": frames, "is_untracked": true, "live_bytes": 4 << 20, "live_samples": samples,
            "samples": samples, "allocated_bytes": 4 << 20,
        });
        let mut json = fixture::snapshot_json(&json!({
            "stacks": [stack], "stack_interval_bytes": 2 << 20,
            "timeline": { "process": points, "sites": [] },
        }));
        for (field, part) in parts.as_object().into_iter().flatten() {
            json[field] = part.clone();
        }
        json["process"]["untracked_bytes"] = json!(4 << 20);
        json["process"]["untracked_allocated_bytes"] = json!(5 << 20);
        let snapshot: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        snapshot.leaks()
    }

    const MAP: [&str; 2] = ["hashbrown::raw::RawTable<T>::reserve_rehash", "app::cache::put"];

    #[test]
    fn growth_outside_of_tasks_is_found_and_its_stack_tells_the_cure() {
        let leaks = leaks(&MAP, 9, &json!([]));
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.cause, leak.bytes, &*leak.place.name), (LeakCause::Map, 4 << 20, OUTSIDE));
        assert_eq!(leak.allocated_at.as_deref(), Some("`app::cache::put`, ≈ 100 % by 9 samples"));
        assert!(leak.fix.contains("a capacity or an age"), "{leaks}");
    }

    #[test]
    fn cells_of_tasks_outside_of_tasks_are_said_to_be_cells() {
        let leaks =
            leaks(&["tokio::runtime::task::core::Cell<T,S>::new", "app::main"], 9, &json!([]));
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!(leak.cause, LeakCause::Endless);
    }

    #[test]
    fn cells_of_ended_tasks_outside_of_tasks_are_kept_by_wakers_or_handles() {
        let cells = ["tokio::runtime::task::core::Cell<T,S>::new", "app::main"];
        for (unjoined, kept, cause, cure) in [
            (0, 200, LeakCause::Wakers, "a waker in a list"),
            (200, 3, LeakCause::Unjoined, "join_next"),
            (15, 0, LeakCause::Endless, "end each task"),
        ] {
            let runtime = json!({
                "measured": true, "worker_threads": 2, "worker_bytes": 0, "cells": 0,
                "cell_overhead_bytes": 0, "unjoined_cells": unjoined, "kept_cells": kept,
            });
            let leaks = leaks_of(&cells, 9, &json!({ "runtime": runtime }));
            let [leak] = leaks.findings() else { panic!("{leaks}") };
            assert_eq!(leak.cause, cause, "{leaks}");
            assert!(leak.fix.contains(cure), "{leaks}");
        }
    }

    #[test]
    fn many_living_tasks_may_hold_it_and_then_it_is_low_for_a_day() {
        let sites = json!([fixture::site(
            "socket",
            &json!({ "spawned": 400, "active": 300, "completed": 100 })
        )]);
        let leaks = leaks(&["app::accept"], 9, &sites);
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!(leak.severity, crate::analysis::Severity::Low);
        assert!(leak.fix.contains("if `socket` holds it"), "{leaks}");
    }
}
