//! Live bytes that rise from snapshot to snapshot.

use std::collections::{HashMap, HashSet};

use super::{
    evidence::{Evidence, place_of, place_of_task},
    finding::{Leak, LeakKind, Severity, per_day},
    options::LeakOptions,
    retained::retained_bytes,
    spread::Shape,
    trend::Course,
    wording::several,
};
use crate::{
    model::{HumanBytes, Place, SiteProfile, TaskId, TaskMemoryProfile, Trend, human::count},
    snapshot::{MemorySnapshot, float},
};

/// A task that holds less than this share of its peak has freed something before: it fills and
/// empties.
const LEAST_OF_PEAK: f64 = 0.9;
/// How many tasks of a site must have left bytes behind one after another. Fewer are a start, or
/// one batch.
const LEAST_WAVES: u64 = 4;

/// How many tasks of a site must be alive before their number can be said to only rise.
const LEAST_PILED: u64 = 16;
/// … and of all that were ever made there, at most one in so many has ended.
const FEW_ENDED: u64 = 16;

/// What the other findings report.
#[derive(Debug)]
pub(super) struct Known {
    /// Sites whose ended tasks hold bytes.
    pub(super) sites: HashSet<Place>,
    /// Tasks that are stuck.
    pub(super) tasks: HashSet<TaskId>,
    /// Sites that have stuck tasks.
    pub(super) piles: HashSet<Place>,
}

/// Finds living tasks and sites whose live bytes rise, without those that another finding reports.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions, known: &Known) -> Vec<Leak> {
    let grown: Vec<(&Trend, Course)> = snapshot
        .trends()
        .iter()
        .filter_map(|trend| Some((trend, Course::of(trend)?)))
        .filter(|(trend, course)| has_grown(trend, course, options))
        .collect();
    if grown.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(snapshot);
    let tasks: HashMap<TaskId, &TaskMemoryProfile> =
        snapshot.tasks().iter().map(|task| (task.id, task)).collect();
    let sites: HashMap<Place, &SiteProfile> =
        snapshot.sites().iter().map(|site| (place_of(site), site)).collect();
    let of_tasks = grown.iter().filter_map(|(trend, course)| {
        let task = tasks.get(&trend.task?).filter(|task| !known.tasks.contains(&task.id))?;
        let others = sites.get(&trend.place);
        let is_leak = is_filling(task) && !others.is_some_and(|site| is_as_others(task, site));
        is_leak.then(|| of_task(trend, course, task, &evidence))
    });
    let mut leaks: Vec<Leak> = of_tasks.collect();
    let with_tasks: HashSet<Place> = leaks.iter().map(|leak| leak.place.clone()).collect();
    let of_sites = grown.iter().filter(|(trend, _)| trend.task.is_none());
    leaks.extend(of_sites.filter_map(|(trend, course)| {
        let site = sites.get(&trend.place).filter(|_| !known.sites.contains(&trend.place))?;
        if is_left_behind(site, course, options) {
            return Some(of_site(trend, course, site, &evidence));
        }
        // No byte is in two findings.
        let is_new = !known.piles.contains(&trend.place) && !with_tasks.contains(&trend.place);
        (is_new && has_piled_up(site, course))
            .then(|| of_living(trend, course, site, &tasks, &evidence))
    }));
    leaks
}

fn has_grown(trend: &Trend, course: &Course, options: &LeakOptions) -> bool {
    let Some(first) = trend.points.first() else { return false };
    trend.points.len() >= options.least_samples
        && course.rise() >= options.least_growth.max(first.live_bytes / 2)
        && course.rises(trend)
}

/// Whether a site has more and more living tasks, and with them bytes: [`has_grown`] and
/// [`has_piled_up`].
pub(super) fn piles_up(site: &SiteProfile, trend: &Trend, options: &LeakOptions) -> bool {
    Course::of(trend)
        .is_some_and(|course| has_grown(trend, &course, options) && has_piled_up(site, &course))
}

/// Whether the growth lies in living tasks, which hardly ever end. If they do end, more of them is
/// load.
fn has_piled_up(site: &SiteProfile, course: &Course) -> bool {
    let ended = site.ended();
    let of_living = site.live_bytes.saturating_sub(site.retained_bytes);
    // The end of an unannotated task is not seen.
    site.measured
        && site.is_annotated
        && site.active >= LEAST_PILED
        && ended <= site.spawned / FEW_ENDED
        && of_living >= course.rise() / 2
}

/// Whether other tasks of the site have held as much and ended: then this one is like an upload
/// that is not finished yet.
fn is_as_others(task: &TaskMemoryProfile, site: &SiteProfile) -> bool {
    // Of a peak only its power of two is kept; the peak was more than half of that.
    let largest = site.peak_histogram.iter().filter(|bucket| bucket.count != 0);
    largest.map(|bucket| bucket.up_to).max().is_some_and(|up_to| task.live_bytes <= up_to / 2)
}

fn is_filling(task: &TaskMemoryProfile) -> bool {
    task.measured
        && !task.state.is_ended()
        && float(task.live_bytes) >= LEAST_OF_PEAK * float(task.peak_bytes)
}

/// Whether the growth lies in ended tasks. The living tasks have trends of their own.
fn is_left_behind(site: &SiteProfile, course: &Course, options: &LeakOptions) -> bool {
    site.measured
        && (LEAST_WAVES..options.least_waves).contains(&site.retained_waves)
        && retained_bytes(site) >= course.rise() / 2
        && Shape::of(site) != Shape::Ceased
}

fn of_task(
    trend: &Trend,
    course: &Course,
    task: &TaskMemoryProfile,
    evidence: &Evidence<'_>,
) -> Leak {
    let variables = evidence.variables_of(&[task.id]);
    let fix = match variables.first() {
        Some(name) => {
            format!("bound `{name}`, or empty it as it goes: it lives as long as its task")
        }
        None => "bound the channel, buffer or map that this task fills, or empty it as it goes"
            .to_owned(),
    };
    let leak = Leak { task: Some(task.id), count: 1, variables, fix, ..blank(trend, course) };
    complete(leak, task.live_bytes, course, evidence)
}

fn of_site(trend: &Trend, course: &Course, site: &SiteProfile, evidence: &Evidence<'_>) -> Leak {
    let freed = evidence.freed_by(&trend.place);
    let variables = evidence.variables_of_ended(&trend.place);
    let mut leak = Leak { count: site.retained_tasks, variables, ..blank(trend, course) };
    if let Some(freed) = freed {
        leak.evidence = format!("{} {}", leak.evidence, freed.sentence());
    }
    complete(leak, retained_bytes(site), course, evidence)
}

fn of_living(
    trend: &Trend,
    course: &Course,
    site: &SiteProfile,
    tasks: &HashMap<TaskId, &TaskMemoryProfile>,
    evidence: &Evidence<'_>,
) -> Leak {
    let living: Vec<&TaskMemoryProfile> = tasks
        .values()
        .filter(|task| !task.state.is_ended() && place_of_task(task) == trend.place)
        .copied()
        .collect();
    let ids: Vec<TaskId> = living.iter().map(|task| task.id).collect();
    let mut leak = Leak {
        task: ids.iter().min().copied(),
        count: site.active,
        variables: evidence.variables_of(&ids),
        fix: "end each of these tasks when what it serves is over: a cancellation token, a channel that closes, an `AbortHandle` that is kept".to_owned(),
        ..blank(trend, course)
    };
    let ended = site.ended();
    leak.evidence = format!(
        "{} {} and {} ended: they only become more.",
        leak.evidence,
        several(site.spawned, "task was made", "tasks were made"),
        count(ended),
    );
    complete(leak, site.live_bytes.saturating_sub(site.retained_bytes), course, evidence)
}

fn blank(trend: &Trend, course: &Course) -> Leak {
    let [from, to] = [trend.points.first(), trend.points.last()]
        .map(|point| HumanBytes(point.map_or(0, |point| point.live_bytes)));
    Leak {
        kind: LeakKind::Growing,
        severity: Severity::Low,
        place: trend.place.clone(),
        task: None,
        bytes: 0,
        count: 0,
        oldest_ns: Some(course.span_ns()),
        bytes_per_day: None,
        waits_at: None,
        variables: Vec::new(),
        evidence: format!(
            "From {from} to {to} in {}, never {}less than before.",
            several(trend.points.len() as u64, "snapshot", "snapshots"),
            if trend.points.is_sorted_by_key(|point| point.live_bytes) { "" } else { "much " },
        ),
        fix: "bound what these tasks add to, or take out what is done with at the rate at which they add".to_owned(),
    }
}

fn complete(leak: Leak, bytes: u64, course: &Course, evidence: &Evidence<'_>) -> Leak {
    let bytes_per_day = per_day(course.rise(), course.span_ns());
    let severity = Severity::of(bytes, evidence.whole_bytes, bytes_per_day);
    Leak { severity, bytes, bytes_per_day, ..leak }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture::{site, snapshot, task, trend};

    /// The findings for a task with these samples of its live KiB, one a snapshot.
    fn task_of(kib: &[u64], changes: &Value) -> Vec<Leak> {
        let points: Vec<(u64, u64)> = kib.iter().map(|kib| (kib << 10, kib << 11)).collect();
        let live = points.last().map_or(0, |point| point.0);
        let mut row = task(1, "s", &json!({ "live_bytes": live, "peak_bytes": live }));
        for (field, change) in changes.as_object().into_iter().flatten() {
            row[field] = change.clone();
        }
        let parts = json!({ "tasks": [row], "trends": [trend(Some(1), "s", &points)] });
        snapshot(&parts).leaks().into_iter().collect()
    }

    #[test]
    fn a_task_that_rises_to_the_end_is_found() {
        for kib in [
            &[0, 100, 200, 300, 400, 500][..],
            &[100, 110, 120, 150, 160, 170, 200],
            &[64, 64, 128, 128, 256, 256, 512, 1024],
            &[0, 100, 200, 300, 301, 420, 410, 500],
        ] {
            let found = task_of(kib, &json!({}));
            assert_eq!(found.len(), 1, "{kib:?}");
            assert_eq!((found[0].kind, found[0].task.is_some()), (LeakKind::Growing, true));
        }
    }

    #[test]
    fn what_levels_off_falls_or_hardly_moves_is_not_found() {
        for kib in [
            &[0, 100, 200, 300, 400][..],
            &[0, 100, 200, 300, 400, 300, 500],
            &[0, 400, 600, 700, 750, 775, 780],
            &[0, 100, 200, 300, 300, 300, 300],
            &[100, 110, 120, 130, 140, 149],
            &[0, 10, 20, 30, 40, 50],
            &[500; 12],
        ] {
            assert_eq!(task_of(kib, &json!({})).len(), 0, "{kib:?}");
        }
    }

    #[test]
    fn a_task_that_fills_and_empties_is_not_growing() {
        let rising = [0, 100, 200, 300, 400, 500];
        assert_eq!(task_of(&rising, &json!({ "peak_bytes": 700 << 10 })).len(), 0);
        assert_eq!(task_of(&rising, &json!({ "state": "completed" })).len(), 0);
    }

    #[test]
    fn a_task_that_is_stuck_is_not_growing_as_well() {
        let rising = [0, 100, 200, 300, 400, 500];
        let parts = json!({
            "sites": [site("s", &json!({}))],
            "tasks": [task(1, "s", &json!({ "idle_ns": 1_000_000_000_000_u64 }))],
            "trends": [trend(Some(1), "s", &rising.map(|kib| (kib << 10, kib << 11)))],
        });
        let kinds: Vec<LeakKind> = snapshot(&parts).leaks().iter().map(|leak| leak.kind).collect();
        assert_eq!(kinds, [LeakKind::Stuck]);
    }

    fn site_of(changes: &Value) -> Vec<LeakKind> {
        let rising = [0, 100, 200, 300, 400, 500].map(|kib| (kib << 10, kib << 11));
        let parts = json!({ "sites": [site("s", changes)], "trends": [trend(None, "s", &rising)] });
        snapshot(&parts).leaks().iter().map(|leak| leak.kind).collect()
    }

    #[test]
    fn more_tasks_that_live_are_load_and_not_growth() {
        assert_eq!(site_of(&json!({ "active": 90, "live_bytes": 500 << 10 })), []);
    }

    #[test]
    fn tasks_that_never_end_and_become_more_are_found() {
        let made = |spawned: u64, active: u64, is_annotated: bool| {
            site_of(&json!({
                "spawned": spawned, "active": active, "completed": spawned - active, "live_bytes": 500 << 10,
                "is_annotated": is_annotated,
            }))
        };
        assert_eq!(made(90, 90, true), [LeakKind::Growing]);
        assert_eq!(made(96, 90, true), [LeakKind::Growing], "one in sixteen has ended");
        assert_eq!(made(97, 90, true), [], "load");
        assert_eq!(made(15, 15, true), [], "few");
        assert_eq!(made(90, 90, false), [], "their ends are not seen");
    }

    #[test]
    fn a_task_that_holds_what_others_held_and_freed_at_their_end_is_not_growing() {
        let rising = [0, 100, 200, 300, 400, 500].map(|kib| (kib << 10, kib << 11));
        let found = |peak_of_others: u64| {
            let live = json!({ "live_bytes": 500 << 10, "peak_bytes": 500 << 10 });
            let peaks = json!({ "peak_histogram": [{ "up_to": 4096, "count": 9 }, { "up_to": peak_of_others, "count": 1 }] });
            let parts = json!({
                "sites": [site("s", &peaks)], "tasks": [task(1, "s", &live)],
                "trends": [trend(Some(1), "s", &rising)],
            });
            snapshot(&parts).leaks().len()
        };
        assert_eq!(found(1 << 20), 0, "one held more than 512 KiB, and ended");
        assert_eq!(found(1 << 19), 1, "none is known to have held so much");
    }

    #[test]
    fn batches_that_leave_bytes_behind_grow() {
        let batches = |waves: u64, retained: u64| {
            json!({
                "live_bytes": retained, "retained_bytes": retained, "retained_tasks": 96, "retained_waves": waves,
                "retained_by_eighth": [12, 12, 12, 12, 12, 12, 12, 12],
            })
        };
        assert_eq!(site_of(&batches(8, 500 << 10)), [LeakKind::Growing]);
        assert_eq!(site_of(&batches(1, 500 << 10)), [], "one batch");
        assert_eq!(site_of(&batches(8, 100 << 10)), [], "what grew is not theirs");
        assert_eq!(site_of(&batches(96, 500 << 10)), [LeakKind::Retained], "and not twice");
    }
}
