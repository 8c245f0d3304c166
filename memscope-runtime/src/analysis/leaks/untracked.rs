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
        leak.fix = "they are cells of tasks: end each task when what it serves is over, and drop the wakers and handles of ended ones".to_owned();
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
