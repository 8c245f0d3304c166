//! Blocks that outlived their tasks, again and again.

use super::{
    evidence::{Evidence, place_of},
    finding::{Leak, LeakKind, Severity, per_day},
    options::LeakOptions,
    shape::Shape,
    trend::Course,
    words::out_of,
};
use crate::{
    profile::{SiteProfile, Trend},
    snapshot::{MemorySnapshot, float},
    table::count,
};

/// Of what the site kept per allocated byte on the whole, its live bytes must still have kept this share lately: where samples say less,
/// they are right and the spread over tasks is not.
const LEAST_KEPT_LATELY: f64 = 0.25;
/// Where the spread is unclear, samples must say this much. A cache filled by random requests for K keys keeps 0.62 after 2 K requests.
const KEPT_WHEN_UNCLEAR: f64 = 0.85;

/// Sites whose ended tasks hold bytes that nobody seems to take away.
///
/// A site is left out when fewer than [`LeakOptions::least_waves`] of these tasks came one after another: a batch whose results are
/// kept, a pool. Then the [`Shape`] decides, and the samples of earlier snapshots where there are any.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions) -> Vec<Leak> {
    let evidence = Evidence::of(snapshot);
    let sites = snapshot.sites().iter().filter(|site| site.measured);
    sites
        .filter(|site| is_leak(site, &evidence, options))
        .map(|site| leak(site, &evidence))
        .collect()
}

/// Bytes of ended tasks, without those whose output waits for a `JoinHandle`.
pub(super) fn retained_bytes(site: &SiteProfile) -> u64 {
    site.retained_bytes.saturating_sub(site.unjoined_bytes)
}

fn is_leak(site: &SiteProfile, evidence: &Evidence<'_>, options: &LeakOptions) -> bool {
    let bytes = retained_bytes(site);
    if bytes == 0
        || bytes < options.least_retained
        || site.retained_tasks.min(site.retained_waves) < options.least_waves
    {
        return false;
    }
    let trend = evidence.trend_of(site);
    match Shape::of(site) {
        Shape::Even => !trend.is_some_and(|trend| has_stopped(site, trend)),
        Shape::Ceased => false,
        Shape::Unclear => trend.is_some_and(|trend| goes_on(site, trend, options)),
    }
}

/// What the ended tasks kept of what they allocated.
fn kept(site: &SiteProfile) -> f64 {
    float(retained_bytes(site)) / float(site.ended_allocated_bytes).max(1.0)
}

/// While tasks went on allocating, live bytes did not rise.
///
/// Where little was allocated lately nothing can be said: what is expected must be more than what the living tasks hold.
fn has_stopped(site: &SiteProfile, trend: &Trend) -> bool {
    Course::of(trend).is_some_and(|course| {
        let expected = kept(site) * float(course.allocated_late());
        let living = site.live_bytes.saturating_sub(site.retained_bytes);
        expected > float(living.max(4096)) && !course.kept_late(LEAST_KEPT_LATELY * kept(site))
    })
}

fn goes_on(site: &SiteProfile, trend: &Trend, options: &LeakOptions) -> bool {
    trend.points.len() >= options.least_samples
        && Course::of(trend).is_some_and(|course| {
            let share = KEPT_WHEN_UNCLEAR * kept(site);
            course.rise() >= options.least_retained
                && course.kept_late(share)
                && course.kept_last(share)
        })
}

fn leak(site: &SiteProfile, evidence: &Evidence<'_>) -> Leak {
    let place = place_of(site);
    let bytes = retained_bytes(site);
    let bytes_per_day = site.oldest_retained_ns.and_then(|ns| per_day(bytes, ns));
    let ended = site.spawned.saturating_sub(site.active);
    let mut text = format!(
        "{} still hold bytes, {} of them one after another, and none of it was taken away as time went by.",
        several_ended(site.retained_tasks, ended),
        count(site.retained_waves),
    );
    let freed = evidence.freed_by(&place);
    if let Some(freed) = &freed {
        text.push(' ');
        text.push_str(&freed.sentence());
    }
    let variables = evidence.variables_of_ended(&place);
    let fix = match (freed.and_then(|freed| freed.who), variables.first()) {
        (Some(who), _) => format!("make sure that `{}` also frees what is left: on every path, and at shutdown", who.name),
        (None, Some(name)) => format!("remove from `{name}` what a task has put there when it ends, or bound it"),
        (None, None) if site.cancelled.saturating_mul(2) >= ended.max(1) => {
            "most of these tasks were cancelled: free in a destructor what must not outlive them, not after an await".to_owned()
        }
        (None, None) if site.panicked.saturating_mul(2) >= ended.max(1) => {
            "most of these tasks panicked: free in a destructor what must not outlive them, not at their end".to_owned()
        }
        (None, None) => {
            "remove from the shared collection what a task has put there when it ends, or bound it (a cache needs a capacity or an age)"
                .to_owned()
        }
    };
    Leak {
        kind: LeakKind::Retained,
        severity: Severity::of(bytes, evidence.whole_bytes, bytes_per_day),
        place,
        task: None,
        bytes,
        count: site.retained_tasks,
        oldest_ns: site.oldest_retained_ns,
        bytes_per_day,
        variables,
        evidence: text,
        fix,
    }
}

fn several_ended(part: u64, ended: u64) -> String {
    format!("{} ended {}", out_of(part, ended), if ended == 1 { "task" } else { "tasks" })
}
