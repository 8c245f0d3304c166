//! Live bytes that rise from snapshot to snapshot.

use std::collections::{HashMap, HashSet};

use super::{
    evidence::{Evidence, place_of},
    finding::{Leak, LeakKind, Severity, per_day},
    options::LeakOptions,
    retained::retained_bytes,
    shape::Shape,
    trend::Course,
    words::several,
};
use crate::{
    profile::{Place, SiteProfile, TaskMemoryProfile, Trend},
    snapshot::{MemorySnapshot, float},
    table::HumanBytes,
    task::TaskId,
};

/// A task that has held a tenth more than it holds now has given something away before: it fills and empties.
const LEAST_OF_PEAK: f64 = 0.9;
/// A site's bytes must have risen with this many tasks one after another: below that it is a start, or one batch.
const LEAST_WAVES: u64 = 4;

/// Living tasks and sites whose live bytes rise, without the sites and tasks that another finding speaks of.
pub(super) fn find(
    snapshot: &MemorySnapshot,
    options: &LeakOptions,
    known_sites: &HashSet<Place>,
    known_tasks: &HashSet<TaskId>,
) -> Vec<Leak> {
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
    let finding = |(trend, course): &(&Trend, Course)| {
        if let Some(id) = trend.task {
            let task = tasks.get(&id).filter(|_| !known_tasks.contains(&id))?;
            return is_filling(task).then(|| of_task(trend, course, task, &evidence));
        }
        let site = sites.get(&trend.place).filter(|_| !known_sites.contains(&trend.place))?;
        is_left_behind(site, course).then(|| of_site(trend, course, site, &evidence))
    };
    grown.iter().filter_map(finding).collect()
}

fn has_grown(trend: &Trend, course: &Course, options: &LeakOptions) -> bool {
    let Some(first) = trend.points.first() else { return false };
    trend.points.len() >= options.least_samples
        && course.rise() >= options.least_growth.max(first.live_bytes / 2)
        && course.rises(trend)
}

fn is_filling(task: &TaskMemoryProfile) -> bool {
    task.measured
        && !task.state.is_ended()
        && float(task.live_bytes) >= LEAST_OF_PEAK * float(task.peak_bytes)
}

/// The growth lies in ended tasks: the living ones have trends of their own, and more of them is load.
fn is_left_behind(site: &SiteProfile, course: &Course) -> bool {
    site.measured
        && site.retained_waves >= LEAST_WAVES
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
        variables: Vec::new(),
        evidence: format!(
            "From {from} to {to} in {}, never less than before.",
            several(trend.points.len() as u64, "snapshot", "snapshots"),
        ),
        fix: "bound what these tasks add to, or take out what is done with at the rate at which they add".to_owned(),
    }
}

fn complete(leak: Leak, bytes: u64, course: &Course, evidence: &Evidence<'_>) -> Leak {
    let bytes_per_day = per_day(course.rise(), course.span_ns());
    let severity = Severity::of(bytes, evidence.whole_bytes, bytes_per_day);
    Leak { severity, bytes, bytes_per_day, ..leak }
}
