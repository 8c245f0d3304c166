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
        (Shape::Even, _) if levels_off(site, points, options) => Verdict::AtRest,
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
    let mut text = format!(
        "{} still hold bytes, {} of them one after another, {why}.",
        several_ended(site.retained_tasks, site.ended()),
        count(site.retained_waves),
    );
    // A cache that is full does not look lost, and has nothing to do with what becomes more.
    let late = come_late(all, points, options);
    let (bytes, age_ns, suspect) = match late {
        Some(late) => {
            let (bytes, span) = (late.rise(), late.span_ns());
            let (all, bytes_text) = (HumanBytes(all), HumanBytes(bytes));
            text.push_str(&format!(" Of {all}, {bytes_text} came in the last {}.", age(span)));
            (bytes, Some(span), Suspect::part(all.0, bytes, late.first().at_ns))
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
        "if a shared collection keeps them, remove there what a task has put in when it ends, or bound it (a cache needs a capacity or an age); if they wait in a channel, bound it or make its consumer faster; if `Arc`s hold each other, make one a `Weak`"
    }
}

fn several_ended(part: u64, ended: u64) -> String {
    format!("{} ended {}", out_of(part, ended), if ended == 1 { "task" } else { "tasks" })
}
