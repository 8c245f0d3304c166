//! Living tasks that hold bytes and are not polled any more.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    cause::LeakCause,
    certainty::KnownBy,
    evidence::{Evidence, place_of, place_of_task},
    finding::{Leak, LeakKind, Severity},
    options::LeakOptions,
    pile::piles_up,
    waits,
    wording::{age, places, several},
};
use crate::{
    model::{Place, SiteProfile, TaskId, TaskMemoryProfile, TaskState},
    primitives::order,
    snapshot::MemorySnapshot,
};

/// How many times longer than the longest wait of a task that did end.
///
/// Suppose one wait in ten is ten times longer than another, and four waits were seen: then one in
/// 40 is longer than this. With most other distributions none is.
const TIMES_LONGER: u64 = 10;
/// If nothing can be compared because tasks only become more, the late tasks must hold at least one
/// part in this many of the bytes of the living ones. The others are younger than the patience, and
/// there are always some that cannot be late.
const LEAST_OF_PILE: u64 = 4;
/// How many tasks of a site must have been seen to end before one can be late.
const LEAST_ENDED: u64 = 4;
const SHOWN_IDS: usize = 3;

/// What was found, and what could not be decided.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    pub(super) leaks: Vec<Leak>,
    /// Every task in the findings.
    pub(super) tasks: Vec<TaskId>,
    /// Idle tasks with bytes for which it is not known how long they have been idle.
    pub(super) untimed: u64,
    /// Tasks that are idle for longer than the patience, but of whose site too few tasks have
    /// ended.
    pub(super) without_compare: u64,
}

/// Finds idle tasks that hold bytes for longer than they should; one finding a site.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions) -> Stuck {
    let sites = sites_by_place(snapshot);
    let mut stuck = Stuck::default();
    let mut found: BTreeMap<Place, Vec<(u64, &TaskMemoryProfile)>> = BTreeMap::new();
    let mut late: BTreeMap<Place, Vec<(u64, &TaskMemoryProfile)>> = BTreeMap::new();
    // The waits of unannotated tasks are not timed.
    let holding = |task: &&TaskMemoryProfile| {
        task.state == TaskState::Idle && task.is_annotated && task.measured && task.live_bytes != 0
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
            Verdict::NothingToCompare => late.entry(place).or_default().push((idle_ns, task)),
            Verdict::Fine => {}
        }
    }
    if !found.is_empty() || !late.is_empty() {
        let evidence = Evidence::of(snapshot);
        let mut piles: Vec<Place> = Vec::new();
        for (place, tasks) in late {
            if is_of_a_pile(&place, &tasks, sites.get(&place), options, &evidence) {
                stuck.tasks.extend(tasks.iter().map(|(_, task)| task.id));
                piles.push(place.clone());
                found.insert(place, tasks);
            } else {
                stuck.without_compare += tasks.len() as u64;
            }
        }
        stuck.leaks = found
            .into_iter()
            .filter_map(|(place, tasks)| {
                let site = sites.get(&place);
                let is_pile = piles.contains(&place);
                let leak = leak(place, tasks, site, options, &evidence)?;
                // Clients that come and stay look the same.
                Some(if is_pile {
                    Leak { severity: Severity::Low, may_be_load: true, ..leak }
                } else {
                    leak
                })
            })
            .collect();
    }
    stuck
}

/// Whether these are tasks of a site whose tasks only become more, and many of them.
///
/// If no task ever ends there is nothing to compare with, and a waiting task may be a daemon. But
/// the number of daemons is fixed. A site that creates one task after another, from snapshot to
/// snapshot, and of which none ends, has lost them.
fn is_of_a_pile(
    place: &Place,
    late: &[(u64, &TaskMemoryProfile)],
    waits: Option<&Waits<'_>>,
    options: &LeakOptions,
    evidence: &Evidence<'_>,
) -> bool {
    let bytes = late.iter().fold(0_u64, |sum, (_, task)| sum.saturating_add(task.live_bytes));
    // If two rows share one place (two kinds of task), neither has a trend of its own.
    let Some(Waits { rows: 1, site: Some(site), .. }) = waits else { return false };
    let of_living = site.live_bytes.saturating_sub(site.retained_bytes);
    bytes >= of_living / LEAST_OF_PILE && piles_up(site, evidence.points_of(place), options)
}

enum Verdict {
    Stuck,
    Fine,
    NothingToCompare,
}

/// How long the ended tasks of a place waited, and how many there are.
#[derive(Default)]
struct Waits<'a> {
    site: Option<&'a SiteProfile>,
    /// How many sites share the place.
    rows: u32,
    longest_ns: u64,
    timed: u64,
    completed: u64,
}

fn sites_by_place(snapshot: &MemorySnapshot) -> BTreeMap<Place, Waits<'_>> {
    let mut sites: BTreeMap<Place, Waits<'_>> = BTreeMap::new();
    for site in snapshot.sites() {
        let SiteProfile { longest_wait_ns, waits_timed, completed, .. } = site;
        let waits = sites.entry(place_of(site)).or_default();
        waits.site = Some(site);
        waits.rows = waits.rows.saturating_add(1);
        waits.longest_ns = waits.longest_ns.max(*longest_wait_ns);
        waits.timed = waits.timed.saturating_add(*waits_timed);
        waits.completed = waits.completed.saturating_add(*completed);
    }
    sites
}

fn judge(idle_ns: u64, site: Option<&Waits<'_>>, options: &LeakOptions) -> Verdict {
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
    site: Option<&Waits<'_>>,
    options: &LeakOptions,
    evidence: &Evidence<'_>,
) -> Option<Leak> {
    order::by_key(&mut tasks, |(idle_ns, task)| (Reverse(*idle_ns), task.id));
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
        (None, Some(site)) if site.timed.min(site.completed) < LEAST_ENDED => {
            let ended = several(site.completed, "of them has completed", "of them have completed");
            format!("there are more and more of them, and {ended}")
        }
        (None, site) => {
            let (longest, timed) = site.map_or((0, 0), |site| (site.longest_ns, site.timed));
            let ended = several(timed, "ended task that was timed", "ended tasks that were timed");
            format!("the longest wait of {ended} was {}", age(longest))
        }
    };
    let never_again = tasks.iter().all(|(_, task)| task.poll_count <= 1);
    let await_point = evidence.await_point_of(tasks.iter().map(|(_, task)| *task));
    let waits_at = await_point.map(|(point, _)| point.to_string());
    let at = match await_point.map(|(point, count)| (places(point), count)) {
        Some((at, count)) if count == ids.len() as u64 => {
            format!(" {} at {at}.", if count == 1 { "It waits" } else { "All wait" })
        }
        Some((at, count)) => {
            format!(" {} at {at}.", several(count, "of them waits", "of them wait"))
        }
        None => String::new(),
    };
    let variables = evidence.variables_of(&ids).into_iter().map(|(name, _)| name).collect();
    let usual = if never_again {
        "put a timeout around its first await, or close the other end of what it waits for: drop the sender, release the lock or the permit, cancel the task"
    } else {
        "put a timeout around the await it hangs at, or close the other end: drop the sender, release the lock or the permit, shut the connection"
    };
    let fix = waits::cure(await_point, ids.len() as u64).unwrap_or(usual);
    Some(Leak {
        severity: Severity::of(bytes, evidence.whole_bytes, None),
        task: Some(oldest.id),
        bytes,
        count: ids.len() as u64,
        oldest_ns: Some(oldest_ns),
        waits_at,
        variables,
        cause: LeakCause::Endless,
        known_by: KnownBy::Course,
        evidence: format!(
            "{} ({}{more}) {alive} and not polled any more; {compared}.{at}",
            several(ids.len() as u64, "task", "tasks"),
            shown.join(", "),
        ),
        fix: fix.to_owned(),
        ..Leak::at(LeakKind::Stuck, place)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture::{site, snapshot, task, trend};

    const SECOND: u64 = 1_000_000_000;

    /// How many findings there are for one task that is idle for this many seconds, of a site with
    /// these changes.
    fn found(idle_s: u64, changes: &Value, options: &LeakOptions) -> usize {
        let tasks = [task(1, "s", &json!({ "idle_ns": idle_s * SECOND }))];
        let snapshot = snapshot(&json!({ "sites": [site("s", changes)], "tasks": tasks }));
        find(&snapshot, options).leaks.len()
    }

    #[test]
    fn late_is_ten_times_longer_than_any_that_ended_and_longer_than_the_patience() {
        let waited = |seconds: u64| json!({ "longest_wait_ns": seconds * SECOND });
        let options = LeakOptions::new();
        assert_eq!(found(59, &waited(1), &options), 0, "patience");
        assert_eq!(found(61, &waited(1), &options), 1);
        assert_eq!(found(61, &waited(7), &options), 0, "others waited long as well");
        assert_eq!(found(61, &waited(1), &options.patience(std::time::Duration::from_mins(2))), 0);
    }

    #[test]
    fn sleepers_and_daemons_are_not_stuck() {
        let options = LeakOptions::new();
        for never_ends in [
            json!({ "completed": 0, "waits_timed": 0, "active": 100 }),
            json!({ "completed": 3, "waits_timed": 3 }),
            json!({ "completed": 0, "waits_timed": 50, "cancelled": 50 }),
        ] {
            assert_eq!(found(1_000_000, &never_ends, &options), 0, "{never_ends}");
        }
        let sleeper = [task(1, "s", &json!({ "idle_ns": 1_000_000 * SECOND }))];
        let stuck = find(&snapshot(&json!({ "tasks": sleeper })), &options);
        assert_eq!((stuck.leaks.len(), stuck.without_compare), (0, 1), "and that is said");
    }

    #[test]
    fn where_none_ever_ends_those_are_stuck_that_become_more_and_more() {
        let found = |kib: [u64; 6], idle: u64| {
            let points = kib.map(|kib| (kib << 10, kib << 10));
            let sites = [site(
                "s",
                &json!({ "spawned": 40, "active": 40, "completed": 0, "waits_timed": 0, "live_bytes": 160 << 10 }),
            )];
            let tasks: Vec<Value> = (1..=40)
                .map(|id| {
                    task(id, "s", &json!({ "idle_ns": if id <= idle { 100 * SECOND } else { 0 } }))
                })
                .collect();
            let trends = [trend(None, "s", &points)];
            let stuck = find(
                &snapshot(&json!({ "sites": sites, "tasks": tasks, "trends": trends })),
                &LeakOptions::new(),
            );
            let counts: Vec<u64> = stuck.leaks.iter().map(|leak| leak.count).collect();
            (counts, stuck.without_compare)
        };
        assert_eq!(found([0, 32, 64, 96, 128, 160], 30), (vec![30], 0));
        assert_eq!(found([0, 32, 64, 96, 128, 160], 9), (vec![], 9), "most are at work");
        assert_eq!(found([160; 6], 30), (vec![], 30), "daemons: there is a number of them");
    }

    #[test]
    fn a_limit_of_ones_own_holds_for_every_task() {
        let options = LeakOptions::new().stuck_after(std::time::Duration::from_secs(5));
        let never_ends = json!({ "completed": 0, "waits_timed": 0 });
        assert_eq!(found(6, &never_ends, &options), 1);
        assert_eq!(found(5, &never_ends, &options), 0);
    }

    #[test]
    fn only_idle_tasks_that_hold_bytes_can_be_stuck() {
        let options = LeakOptions::new().stuck_after(std::time::Duration::from_secs(5));
        for changes in [
            json!({ "state": "running", "idle_ns": null }),
            json!({ "state": "completed" }),
            json!({ "live_bytes": 0 }),
            json!({ "measured": false }),
            json!({ "idle_ns": null }),
        ] {
            let mut row = task(1, "s", &json!({ "idle_ns": 1_000 * SECOND }));
            for (field, change) in changes.as_object().into_iter().flatten() {
                row[field] = change.clone();
            }
            let stuck = find(&snapshot(&json!({ "tasks": [row] })), &options);
            assert!(stuck.leaks.is_empty(), "{changes}");
        }
    }

    #[test]
    fn tasks_of_one_site_are_one_finding() {
        let tasks: Vec<Value> =
            (1..=6).map(|id| task(id, "s", &json!({ "idle_ns": (100 + id) * SECOND }))).collect();
        let snapshot = snapshot(&json!({ "sites": [site("s", &json!({}))], "tasks": tasks }));
        let stuck = find(&snapshot, &LeakOptions::new());
        let [leak] = &*stuck.leaks else { panic!("{stuck:?}") };
        assert_eq!((leak.count, leak.bytes, leak.oldest_ns), (6, 6 * 4096, Some(106 * SECOND)));
        assert_eq!(leak.task.map(TaskId::as_u64), Some(6));
        assert!(
            leak.evidence.starts_with("6 tasks (#6, #5, #4, …) are alive"),
            "{}",
            leak.evidence
        );
        assert_eq!(stuck.tasks.len(), 6);
    }
}
