//! Blocks that outlived their tasks, again and again.

use super::{
    evidence::{Evidence, place_of},
    finding::{Leak, LeakKind, Severity, per_day},
    growth::Suspect,
    keeper::Keeper,
    options::LeakOptions,
    spread::Shape,
    trend::Course,
    unjoined::holds_cells,
    wording::{age, out_of, several},
};
use crate::{
    model::{HumanBytes, Place, SiteProfile, Trend, TrendPoint, human::count},
    snapshot::{MemorySnapshot, float},
};

/// The share of what the site kept per allocated byte in total that its live bytes must have kept
/// lately. If the samples say less, they are right and the spread over tasks is not.
const LEAST_KEPT_LATELY: f64 = 0.25;
/// The samples must say this much where the spread is unclear. A cache filled by random requests
/// for K keys keeps 0.62 after 2 K requests.
const KEPT_WHEN_UNCLEAR: f64 = 0.85;

/// What was found, and what could not be decided.
#[derive(Debug, Default)]
pub(super) struct Retained {
    pub(super) leaks: Vec<Leak>,
    /// Sites that only more snapshots can decide.
    pub(super) unclear: Vec<Place>,
    /// Sites at rest: what they left behind is still there, but their tasks did nothing for long.
    pub(super) at_rest: Vec<Place>,
    /// Unannotated sites of which ever less is left behind.
    pub(super) levelling_off: Vec<Place>,
    /// How many sites there are for which it is not known which tasks hold the bytes.
    pub(super) unknown: u64,
}

/// Finds sites whose ended tasks hold bytes that no code seems to free.
///
/// A site is left out if fewer than [`LeakOptions::least_waves`] of these tasks came one after
/// another: a batch whose results are kept, a pool. Otherwise the [`Shape`] decides, and the
/// samples of earlier snapshots if there are any.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions) -> Retained {
    let evidence = Evidence::of(snapshot);
    let mut found = Retained::default();
    let sites = snapshot.sites().iter().filter(|site| site.measured);
    // Outputs that wait for their `JoinHandle` are judged by `unjoined`.
    for site in sites.filter(|site| holds_cells(snapshot, site).is_none()) {
        let points = evidence.points_of(&place_of(site));
        match judge(site, evidence.trend_of(site), points, options) {
            Verdict::Fine => {}
            Verdict::Leak(why) => found.leaks.push(leak(site, &why, points, &evidence, options)),
            Verdict::NeedsSamples => found.unclear.push(place_of(site)),
            Verdict::AtRest => found.at_rest.push(place_of(site)),
            Verdict::LevelsOff => found.levelling_off.push(place_of(site)),
            Verdict::Unknown => found.unknown += 1,
        }
    }
    found
}

/// Bytes of ended tasks, without those whose output waits for a `JoinHandle`.
pub(super) fn retained_bytes(site: &SiteProfile) -> u64 {
    site.retained_bytes.saturating_sub(site.unjoined_bytes)
}

enum Verdict {
    Fine,
    /// With the reason for it.
    Leak(String),
    NeedsSamples,
    AtRest,
    LevelsOff,
    Unknown,
}

fn judge(
    site: &SiteProfile,
    trend: Option<&Trend>,
    points: &[TrendPoint],
    options: &LeakOptions,
) -> Verdict {
    let bytes = retained_bytes(site);
    // If no end is known, what was given up may still belong to a living task.
    if bytes == 0 || bytes < options.least_retained || site.ends_unknown && site.ended() == 0 {
        return Verdict::Fine;
    }
    if site.retained_tasks == 0 {
        // Otherwise they are those of the tasks that still have their cells.
        if site.unjoined_tasks.saturating_add(site.kept_tasks) != 0 {
            return Verdict::Fine;
        }
        return Verdict::Unknown;
    }
    if site.retained_tasks.min(site.retained_waves) < options.least_waves {
        return Verdict::Fine;
    }
    match (Shape::of(site), trend) {
        (Shape::Ceased, _) => Verdict::Fine,
        (Shape::Even, Some(trend)) if has_stopped(site, trend) => Verdict::Fine,
        (Shape::Even, Some(trend)) if is_at_rest(trend, options) => Verdict::AtRest,
        (Shape::Even, _) if levels_off(site, points, options) => Verdict::LevelsOff,
        (Shape::Even, _) => Verdict::Leak("as many of the first as of the last".to_owned()),
        (Shape::Unclear, Some(trend)) if trend.points.len() >= options.least_samples => {
            if goes_on(site, trend, options) && !comes_back(site, points) {
                let samples = several(trend.points.len() as u64, "snapshot", "snapshots");
                Verdict::Leak(format!("more and more of them in the last half of {samples}"))
            } else {
                Verdict::Fine
            }
        }
        (Shape::Unclear, _) => Verdict::NeedsSamples,
    }
}

/// The share that ended tasks kept of what they allocated.
fn kept(site: &SiteProfile) -> f64 {
    float(retained_bytes(site)) / float(site.ended_allocated_bytes).max(1.0)
}

/// Whether live bytes did not rise while tasks went on allocating.
///
/// Nothing can be said if little was allocated lately: what is expected must be more than what the
/// living tasks hold.
fn has_stopped(site: &SiteProfile, trend: &Trend) -> bool {
    Course::of(&trend.points).is_some_and(|course| {
        let expected = kept(site) * float(course.allocated_late());
        expected > float(living_bytes(site).max(4096))
            && !course.kept_late(LEAST_KEPT_LATELY * kept(site))
    })
}

/// Whether, in the second half of enough samples, no task of the site allocated anything, and it
/// holds no more than before.
///
/// A batch of short tasks, each over before the next one is made, leaves its results evenly behind
/// as a leak does. But the batch is over, and a leak goes on as long as there is anything to do.
fn is_at_rest(trend: &Trend, options: &LeakOptions) -> bool {
    trend.points.len() >= options.least_samples
        && Course::of(&trend.points)
            .is_some_and(|course| course.allocated_late() == 0 && !course.has_risen_late())
}

/// Whether it becomes less and less by the clock what the tasks of an unannotated site leave.
///
/// Those of them that allocate nothing, as where a cache has what they ask for, are not among the
/// eighths. So these are even in a cache that is full, too.
fn levels_off(site: &SiteProfile, points: &[TrendPoint], options: &LeakOptions) -> bool {
    !site.is_annotated
        && site.retained_tasks < site.ended()
        && points.len() >= options.least_samples
        && Course::of(points).is_some_and(|course| course.levels_off())
}

/// Whether the site held as much before, or has given back much of what came in the last half.
fn comes_back(site: &SiteProfile, points: &[TrendPoint]) -> bool {
    let (before, late) = points.split_at(points.len() / 2);
    let (Some(first), Some(last)) = (late.first(), late.last()) else { return false };
    let half = last.live_bytes.saturating_sub(first.live_bytes) / 2;
    let highest = before.iter().map(|point| point.live_bytes).max().unwrap_or(0);
    let falls = late.iter().zip(late.iter().skip(1));
    let fall = falls.map(|(one, next)| one.live_bytes.saturating_sub(next.live_bytes)).max();
    // What living tasks hold comes and goes.
    let living = living_bytes(site);
    highest > last.live_bytes.saturating_add(living).saturating_sub(half)
        || fall.unwrap_or(0) > half.saturating_add(living)
}

/// What has come in the last half of the samples, where that is little beside what was there.
fn come_late(bytes: u64, points: &[TrendPoint], options: &LeakOptions) -> Option<Course> {
    let late = points.get(points.len() / 2..).filter(|late| late.len() >= options.least_samples)?;
    let course = Course::of(late)?;
    let (rise, before) = (course.rise(), course.first().live_bytes);
    (rise >= options.least_growth && before / 2 > rise && rise < bytes).then_some(course)
}

fn goes_on(site: &SiteProfile, trend: &Trend, options: &LeakOptions) -> bool {
    Course::of(&trend.points).is_some_and(|course| {
        // All that the living tasks hold may have come since the sample before.
        let share = KEPT_WHEN_UNCLEAR * kept(site);
        course.rise() >= options.least_retained && course.kept_to_the_end(share, living_bytes(site))
    })
}

/// Bytes of tasks that live.
pub(super) fn living_bytes(site: &SiteProfile) -> u64 {
    site.live_bytes.saturating_sub(site.retained_bytes)
}

fn leak(
    site: &SiteProfile,
    why: &str,
    points: &[TrendPoint],
    evidence: &Evidence<'_>,
    options: &LeakOptions,
) -> Leak {
    let place = place_of(site);
    let all = retained_bytes(site);
    // A cache that is full does not look lost, and has nothing to do with what becomes more.
    let late = come_late(all, points, options);
    let came = late.map_or_else(String::new, |late| {
        let (all, came) = (HumanBytes(all), HumanBytes(late.rise()));
        format!(" Of {all}, {came} came in the last {}.", age(late.span_ns()))
    });
    let text = format!(
        "{} still hold bytes, {} of them one after another, {why}.{came}",
        several_ended(site.retained_tasks, site.ended()),
        count(site.retained_waves),
    );
    let (bytes, age_ns, suspect) = match late {
        Some(late) => {
            let bytes = late.rise();
            (bytes, Some(late.span_ns()), Suspect::part(all, bytes, late.first().at_ns))
        }
        None => (all, site.oldest_retained_ns, Suspect::all(all)),
    };
    let bytes_per_day = age_ns.and_then(|ns| per_day(bytes, ns));
    let leak = Leak {
        severity: Severity::of(bytes, evidence.whole_bytes, bytes_per_day),
        bytes,
        count: site.retained_tasks,
        oldest_ns: age_ns,
        bytes_per_day,
        evidence: text,
        ..Leak::at(LeakKind::Retained, place.clone())
    };
    Keeper::of_ended(evidence, &place, &suspect, site.retained_tasks)
        .tell(leak, || usual(site).to_owned())
}

/// What usually helps if nothing is known of what keeps the bytes.
fn usual(site: &SiteProfile) -> &'static str {
    let is_most = |tasks: u64| tasks.saturating_mul(2) >= site.ended().max(1);
    if is_most(site.cancelled) {
        "most of these tasks were cancelled: free in a destructor what must not outlive them, not after an await"
    } else if is_most(site.panicked) {
        "most of these tasks panicked: free in a destructor what must not outlive them, not at their end"
    } else {
        "if a shared collection keeps them, remove there what a task has put in when it ends, or bound it (a cache needs a capacity or an age); if they wait in a channel, bound it or make its consumer faster; if `Arc`s hold each other, make one a `Weak`; if nothing leads to them, which a graph of the heap tells, look for `mem::forget`, `Box::leak` and `into_raw`"
    }
}

fn several_ended(part: u64, ended: u64) -> String {
    format!("{} ended {}", out_of(part, ended), if ended == 1 { "task" } else { "tasks" })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::analysis::{
        fixture::{site, snapshot, trend},
        leaks::{LeakKind, Leaks},
    };

    /// The findings of a site with this course in KiB, one sample a minute. `left`: tasks
    /// that left something, in each eighth of those that are counted there.
    fn leaks(kib: &[u64], left: [u64; 8], changes: &Value) -> Leaks {
        let live = kib.last().map_or(0, |kib| kib << 10);
        let tasks: u64 = left.iter().sum();
        let mut row = site(
            "get",
            &json!({
                "spawned": 1_920, "completed": 1_920, "live_bytes": live, "retained_bytes": live,
                "ended_allocated_bytes": live, "retained_tasks": tasks, "retained_waves": tasks,
                "retained_by_eighth": left, "oldest_retained_ns": 540_000_000_000_u64,
            }),
        );
        for (field, change) in changes.as_object().into_iter().flatten() {
            row[field] = change.clone();
        }
        let points: Vec<(u64, u64)> = kib.iter().map(|kib| (kib << 10, kib << 10)).collect();
        let trends = [trend(None, "get", &points)];
        snapshot(&json!({ "sites": [row], "trends": trends })).leaks()
    }

    fn is_found(leaks: &Leaks) -> bool {
        leaks.iter().any(|leak| leak.kind == LeakKind::Retained)
    }

    #[test]
    fn a_cache_of_unannotated_tasks_that_is_nearly_full_is_none() {
        let filling = [100, 400, 700, 900, 1_000, 1_060, 1_100, 1_130, 1_150, 1_160, 1_165, 1_166];
        let even = [240; 8];
        let plain = |tasks: u64| json!({ "is_annotated": false, "retained_tasks": tasks });
        let found = leaks(&filling, even, &plain(300));
        assert!(!is_found(&found) && found.to_string().contains("ever less: a cache"), "{found}");
        assert!(is_found(&leaks(&filling, even, &json!({}))), "all of its tasks are counted");
        assert!(is_found(&leaks(&filling, even, &plain(1_920))), "all of them left something");
        let rising: Vec<u64> = (1..=12).map(|step| 100 * step).collect();
        assert!(is_found(&leaks(&rising, even, &plain(300))));
    }

    #[test]
    fn what_was_held_before_and_given_back_comes_again() {
        let late = [0, 0, 0, 0, 40, 60, 80, 90];
        let results = [60, 120, 180, 240, 300, 60, 120, 180, 240, 300, 300];
        assert!(
            !is_found(&leaks(&results, late, &json!({}))),
            "collected, and dropped now and then"
        );
        let nights = [300, 150, 0, 100, 200, 300, 150, 0, 100, 200, 300, 310];
        assert!(!is_found(&leaks(&nights, late, &json!({}))), "sessions of the day");
        let rising = [60, 60, 60, 60, 60, 90, 150, 210, 270, 330, 390, 450];
        assert!(is_found(&leaks(&rising, late, &json!({}))), "a leak that has begun late");
    }

    #[test]
    fn beside_what_was_there_early_the_leak_has_its_own_bytes_and_rate() {
        let course: Vec<u64> = (0..16).map(|step| 3_600 + 60 * step).collect();
        let found = leaks(&course, [240; 8], &json!({}));
        let leak = found.iter().find(|leak| leak.kind == LeakKind::Retained);
        let leak = leak.unwrap_or_else(|| panic!("{found}"));
        assert_eq!(leak.bytes, 420 << 10, "{leak}");
        assert!(leak.evidence.contains("Of 4.4 MiB, 420.0 KiB came in the last "), "{leak}");
        let steady: Vec<u64> = (1..=16).map(|step| 280 * step).collect();
        let found = leaks(&steady, [240; 8], &json!({}));
        assert!(found.iter().any(|leak| leak.bytes == 4_480 << 10), "{found}");
    }
}
