//! Living tasks that hold bytes and are not polled any more.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    evidence::{Evidence, place_of, place_of_task},
    finding::{Leak, LeakKind, Severity},
    options::LeakOptions,
    words::{age, several},
};
use crate::{
    profile::{Place, SiteProfile, TaskMemoryProfile},
    snapshot::MemorySnapshot,
    task::{TaskId, TaskState},
};

/// How much longer than the longest wait of a task that did end. Of waits of which one in ten is ten times longer than another, four
/// that were seen make one in 40 longer than that; of most others none.
const TIMES_LONGER: u64 = 10;
/// How many tasks of a site must have been seen to end before one can be late.
const LEAST_ENDED: u64 = 4;
const SHOWN_IDS: usize = 3;

/// What was found, and what could not be told.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    pub(super) leaks: Vec<Leak>,
    /// Every task in them.
    pub(super) tasks: Vec<TaskId>,
    /// Idle tasks with bytes of which it is not known how long.
    pub(super) untimed: u64,
    /// Tasks that are idle for longer than the patience, of sites too few of whose tasks ever ended.
    pub(super) without_compare: u64,
}

/// Idle tasks that hold bytes for longer than they should, one finding a site.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions) -> Stuck {
    let sites = sites_by_place(snapshot);
    let mut stuck = Stuck::default();
    let mut found: BTreeMap<Place, Vec<(u64, &TaskMemoryProfile)>> = BTreeMap::new();
    let holding = |task: &&TaskMemoryProfile| {
        task.state == TaskState::Idle && task.measured && task.live_bytes != 0
    };
    for task in snapshot.tasks().iter().filter(holding) {
        let Some(idle_ns) = task.idle_ns else {
            stuck.untimed += 1;
            continue;
        };
        let place = place_of_task(task);
        match judge(idle_ns, sites.get(&place), options) {
            Verdict::Stuck => {
                stuck.tasks.push(task.id);
                found.entry(place).or_default().push((idle_ns, task));
            }
            Verdict::NothingToCompare => stuck.without_compare += 1,
            Verdict::Fine => {}
        }
    }
    if !found.is_empty() {
        let evidence = Evidence::of(snapshot);
        stuck.leaks = found
            .into_iter()
            .filter_map(|(place, tasks)| {
                let site = sites.get(&place);
                leak(place, tasks, site, options, &evidence)
            })
            .collect();
    }
    stuck
}

enum Verdict {
    Stuck,
    Fine,
    NothingToCompare,
}

/// What the ended tasks of a place took.
#[derive(Default)]
struct Waits {
    longest_ns: u64,
    timed: u64,
    completed: u64,
}

fn sites_by_place(snapshot: &MemorySnapshot) -> BTreeMap<Place, Waits> {
    let mut sites: BTreeMap<Place, Waits> = BTreeMap::new();
    for site in snapshot.sites() {
        let SiteProfile { longest_wait_ns, waits_timed, completed, .. } = site;
        let waits = sites.entry(place_of(site)).or_default();
        waits.longest_ns = waits.longest_ns.max(*longest_wait_ns);
        waits.timed = waits.timed.saturating_add(*waits_timed);
        waits.completed = waits.completed.saturating_add(*completed);
    }
    sites
}

fn judge(idle_ns: u64, site: Option<&Waits>, options: &LeakOptions) -> Verdict {
    let longer_than = |limit: std::time::Duration| u128::from(idle_ns) > limit.as_nanos();
    if let Some(limit) = options.stuck_after {
        return if longer_than(limit) { Verdict::Stuck } else { Verdict::Fine };
    }
    if !longer_than(options.patience) {
        return Verdict::Fine;
    }
    match site {
        Some(site) if site.timed.min(site.completed) >= LEAST_ENDED => {
            if idle_ns / TIMES_LONGER >= site.longest_ns { Verdict::Stuck } else { Verdict::Fine }
        }
        _ => Verdict::NothingToCompare,
    }
}

fn leak(
    place: Place,
    mut tasks: Vec<(u64, &TaskMemoryProfile)>,
    site: Option<&Waits>,
    options: &LeakOptions,
    evidence: &Evidence<'_>,
) -> Option<Leak> {
    tasks.sort_unstable_by_key(|(idle_ns, task)| (Reverse(*idle_ns), task.id));
    let &(oldest_ns, oldest) = tasks.first()?;
    let bytes = tasks.iter().fold(0_u64, |sum, (_, task)| sum.saturating_add(task.live_bytes));
    let ids: Vec<TaskId> = tasks.iter().map(|(_, task)| task.id).collect();
    let shown: Vec<String> = ids.iter().take(SHOWN_IDS).map(|id| format!("#{id}")).collect();
    let more = if ids.len() > SHOWN_IDS { ", …" } else { "" };
    let alive = if ids.len() == 1 { "is alive" } else { "are alive" };
    let compared = match (options.stuck_after, site) {
        (Some(limit), _) => {
            format!("longer than {}", age(u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX)))
        }
        (None, site) => {
            let (longest, timed) = site.map_or((0, 0), |site| (site.longest_ns, site.timed));
            let ended = several(timed, "ended task that was timed", "ended tasks that were timed");
            format!("the longest wait of {ended} was {}", age(longest))
        }
    };
    let never_again = tasks.iter().all(|(_, task)| task.poll_count <= 1);
    let variables = evidence.variables_of(&ids);
    let fix = if never_again {
        "put a timeout around its first await, or close the other end of what it waits for: drop the sender, release the lock, cancel the task"
    } else {
        "put a timeout around the await it hangs at, or close the other end: drop the sender, release the lock, shut the connection"
    };
    Some(Leak {
        kind: LeakKind::Stuck,
        severity: Severity::of(bytes, evidence.whole_bytes, None),
        place,
        task: Some(oldest.id),
        bytes,
        count: ids.len() as u64,
        oldest_ns: Some(oldest_ns),
        bytes_per_day: None,
        variables,
        evidence: format!(
            "{} ({}{more}) {alive} and not polled any more; {compared}.",
            several(ids.len() as u64, "task", "tasks"),
            shown.join(", "),
        ),
        fix: fix.to_owned(),
    })
}
