//! Growth outside of tasks, by the stacks that allocated it, and of the process as a whole.

use super::{
    cause::{Clue, LeakCause},
    cure::Case,
    evidence::Evidence,
    finding::Leak,
    growing::{Grown, LEAST_PILED, blank, complete},
    growth::Growth,
    options::LeakOptions,
    unjoined,
    wording::{allocated_at, several},
};
use crate::{
    model::{Place, SiteProfile, human::cell},
    snapshot::MemorySnapshot,
};

/// The name that stands for what no task allocated.
const OUTSIDE: &str = "(outside every task)";

/// Finds growth of the bytes that no task allocated. `has_unjoined`: another finding reports tasks
/// that ended and whose cells are kept.
pub(super) fn find(
    snapshot: &MemorySnapshot,
    options: &LeakOptions,
    has_unjoined: bool,
) -> Option<Grown> {
    let growth = Growth::of(&unjoined::untracked(snapshot), options)?;
    let evidence = Evidence::of(snapshot);
    let stacks = snapshot.stacks().iter().filter(|stack| stack.is_untracked);
    let clue = Clue::of(stacks, snapshot.stack_interval_bytes()).unwrap_or_default();
    if clue.is_of_cells() && has_unjoined {
        return None;
    }
    let has_ended = clue.cause != LeakCause::Buffer;
    let case = Case { cause: clue.cause, by: &clue.by, has_ended, ..Case::default() };
    let place = Place { name: OUTSIDE.to_owned(), file: "".into(), line: 0 };
    let mut leak = blank(&place, &growth);
    let fix = case.cure().unwrap_or_else(|| {
        "bound what is added to there, or take out what is done with".to_owned()
    });
    leak = Leak { cause: clue.cause, allocated_at: allocated_at(&clue), fix, ..leak };
    if clue.is_of_cells() {
        leak.cause = LeakCause::Endless;
        "they are cells of tasks: end each task when what it serves is over, and drop the wakers and handles of ended ones".clone_into(&mut leak.fix);
    } else if clue.cause == LeakCause::Unknown
        && let Some(site) = living(snapshot)
    {
        leak.evidence = format!(
            "{} {} of `{}` are alive, {} have ended.",
            leak.evidence,
            several(site.active, "task", "tasks"),
            cell(&site.name, 48),
            site.ended(),
        );
        leak.fix = format!(
            "if `{}` holds it: end each of its tasks when what it serves is over, by a timeout, a cancellation token or a channel that closes; else bound what is added to there",
            cell(&site.name, 48),
        );
    }
    let bytes = snapshot.process().untracked_bytes;
    // Clients that come and stay bring memory that no task allocates.
    let may_be_load = growth.may_be_load() || living(snapshot).is_some() && !growth.is_of_a_day();
    Some((complete(leak, bytes, &growth, &evidence, may_be_load), growth))
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
        .map(|point| crate::model::TrendPoint {
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
            "sites": sites, "stacks": [stack], "stack_interval_bytes": 2 << 20,
            "timeline": { "process": points, "sites": [] },
        }));
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
