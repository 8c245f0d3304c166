//! What could not be judged, and why. Without it, an empty list would look like a program without
//! leaks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    evidence::{Evidence, place_of},
    finding::LeakKind,
    growing::Grown,
    growth::Growth,
    options::LeakOptions,
    retained::retained_bytes,
    trend::Course,
    untracked,
    wording::{age, at, rate, several},
};
use crate::{
    model::{
        Place,
        human::{cell, count},
    },
    primitives::order,
    snapshot::MemorySnapshot,
};

/// Something that could not be judged, or not everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotJudged {
    /// The kind of leak; `None`: it concerns every kind.
    pub kind: Option<LeakKind>,
    /// What was missing.
    pub why: String,
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = cell(&self.why, 700);
        match self.kind {
            Some(kind) => write!(f, "{kind:8}  {why}"),
            None => write!(f, "any       {why}"),
        }
    }
}

/// What the other files of this folder found and could not decide.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// What grows, and was not seen for long enough.
    pub(super) early: &'a [Grown],
    /// Bytes that the findings explain.
    pub(super) explained: u64,
    pub(super) unclear: &'a [Place],
    pub(super) at_rest: &'a [Place],
    pub(super) levelling_off: &'a [Place],
    pub(super) unknown: u64,
    pub(super) untimed: u64,
    pub(super) without_compare: u64,
}

/// What is said of all that rises.
pub(super) const RISES: &str = ": growing by ";

/// How many things that grow have a line of their own.
const MOST_EARLY: usize = 4;

pub(super) fn find(
    snapshot: &MemorySnapshot,
    found: &Found<'_>,
    options: &LeakOptions,
) -> Vec<NotJudged> {
    let mut notes = growth(snapshot, found, options);
    let least = options.least_samples;
    let mut note = |kind, why| notes.push(NotJudged { kind, why });
    if let Some(first) = found.unclear.first() {
        let more = more(found.unclear);
        let why = format!(
            "{}{more}: a leak that began late, or a cache that drops its oldest; {least} snapshots will tell",
            at(first),
        );
        note(Some(LeakKind::Retained), why);
    }
    if let Some(first) = found.at_rest.first() {
        let more = more(found.at_rest);
        let why = format!(
            "{}{more}: results of a batch that are kept, or a leak at rest; none of its tasks did anything in the last half of the snapshots",
            at(first),
        );
        note(Some(LeakKind::Retained), why);
    }
    if let Some(first) = found.levelling_off.first() {
        let more = more(found.levelling_off);
        let why = format!(
            "{}{more}: what its tasks leave behind becomes ever less: a cache that is nearly full, or a leak of which little came lately",
            at(first),
        );
        note(Some(LeakKind::Retained), why);
    }
    if found.unknown != 0 {
        let sites = several(found.unknown, "site", "sites");
        let why = format!("{sites}: it is not known which of the ended tasks hold the bytes");
        note(Some(LeakKind::Retained), why);
    }
    if found.untimed != 0 {
        let tasks = several(found.untimed, "idle task", "idle tasks");
        let is_timed = snapshot.tasks().iter().any(|task| task.busy_ns.is_some())
            || snapshot.sites().iter().any(|site| site.waits_timed != 0);
        let why = if is_timed { "a second snapshot will tell" } else { "timing is off" };
        let why = format!("{tasks} with bytes: not known since when; {why}");
        note(Some(LeakKind::Stuck), why);
    }
    if found.without_compare != 0 {
        let tasks = several(found.without_compare, "task", "tasks");
        let why = format!(
            "{tasks} idle for long, of sites too few of whose tasks ended to say what is long; `stuck_after` sets a limit"
        );
        note(Some(LeakKind::Stuck), why);
    }
    let other = snapshot.tool().tasks_in_other;
    if other != 0 {
        let tasks = several(other, "task", "tasks");
        note(None, format!("{tasks} of sites past the limit are judged together as `(other)`"));
    }
    notes
}

fn more(places: &[Place]) -> String {
    match places.len() {
        1 => String::new(),
        sites => format!(" and {} more", count(sites as u64 - 1)),
    }
}

/// What grows and was not seen for long enough, and what would help if it goes on.
fn growth(snapshot: &MemorySnapshot, found: &Found<'_>, options: &LeakOptions) -> Vec<NotJudged> {
    let least = options.least_samples;
    let mut early: Vec<&Grown> = found.early.iter().collect();
    order::by_key(&mut early, |(leak, growth)| {
        (std::cmp::Reverse(growth.course.rise()), leak.place.clone())
    });
    let mut notes: Vec<NotJudged> = early
        .iter()
        .take(MOST_EARLY)
        .map(|(leak, growth)| {
            let is_unjoined = leak.kind == LeakKind::Unjoined;
            let (samples, needs) = growth.needs(options);
            let needs = if is_unjoined { needs.max(options.unjoined_ns()) } else { needs };
            let needs = if growth.samples < samples {
                let so_far = growth.samples;
                format!("{} and {samples} samples, of which there are {so_far}", age(needs))
            } else {
                age(needs)
            };
            let at_code = leak
                .allocated_at
                .as_ref()
                .map_or_else(String::new, |code| format!(" It is allocated at {code}."));
            let why = format!(
                "{}{RISES}{}; a verdict needs {needs}. {}{at_code} If it goes on: {}",
                at(&leak.place),
                rate(growth),
                leak.evidence,
                leak.fix,
            );
            NotJudged { kind: Some(leak.kind), why }
        })
        .collect();
    let process = untracked::of_process(snapshot, options);
    let explained = found
        .early
        .iter()
        .fold(found.explained, |sum, (_, growth)| sum.saturating_add(growth.course.rise()));
    if let Some(growth) = process.filter(|growth| growth.course.rise() / 2 > explained) {
        let half = growth.course.rise() / 2;
        let most = match largest_rise(snapshot).filter(|(rise, _)| *rise > half) {
            Some((_, site)) => {
                let missing = missing(snapshot, site, options);
                format!("most of it is in {}, {missing}", at(site))
            }
            None if snapshot.tool().rows_left_out != 0 => {
                "no task, site or code that this report has room for explains half of it".to_owned()
            }
            None => "no task, site or code explains half of it".to_owned(),
        };
        let why = format!("the process{RISES}{}; {most}", rate(&growth));
        notes.push(NotJudged { kind: Some(LeakKind::Growing), why });
    }
    let (samples, span_ns) = watched(snapshot);
    if notes.is_empty() && (samples < least || span_ns < options.growth_ns()) {
        let so_far = match samples {
            0 | 1 => "this is the first".to_owned(),
            // It is not known how far apart the others are.
            samples if span_ns == 0 => {
                format!("the figures of {} are not in this one", count(samples as u64))
            }
            samples => format!("there are {} in {}", count(samples as u64), age(span_ns)),
        };
        let needs = age(options.growth_ns());
        let why = format!("needs {least} samples in {needs}; {so_far}");
        notes.push(NotJudged { kind: Some(LeakKind::Growing), why });
    }
    notes
}

/// The site whose live bytes have risen most, and by how much.
fn largest_rise(snapshot: &MemorySnapshot) -> Option<(u64, &Place)> {
    let evidence = Evidence::of(snapshot);
    let sites = snapshot.trends().iter().filter(|trend| trend.task.is_none());
    let rise = |place| Some((Course::of(evidence.points_of(place))?.rise(), place));
    let rises = sites.filter_map(|trend| rise(&trend.place));
    rises.max_by_key(|(rise, _)| *rise)
}

/// What is missing to call what a site has grown by a leak.
fn missing(snapshot: &MemorySnapshot, place: &Place, options: &LeakOptions) -> String {
    let points = Evidence::of(snapshot).points_of(place);
    let Some(growth) = Growth::of(points, options) else {
        return "which does not grow now: a step, or a collection that has reached its size".into();
    };
    let site = snapshot.sites().iter().find(|site| place_of(site) == *place);
    let Some(site) = site.filter(|site| site.measured) else {
        return "which grows too: it is not known which of its tasks hold it".into();
    };
    if retained_bytes(site) < growth.course.rise() / 2 {
        return "which grows too: its living tasks hold it, and load looks the same".into();
    }
    let tasks = several(site.retained_tasks, "ended task holds", "ended tasks hold");
    format!("which grows too: {tasks} it, and a start or a batch that is kept looks the same")
}

/// In how many samples the process was seen, and for how long: those of the timeline, or of the
/// longest trend where there is no timeline.
fn watched(snapshot: &MemorySnapshot) -> (usize, u64) {
    let times = snapshot.timeline().process.iter().map(|point| point.at_ns);
    let process: Vec<u64> = times.collect();
    let trends = snapshot.trends().iter();
    let trends = trends.map(|trend| trend.points.iter().map(|point| point.at_ns).collect());
    let longest: Vec<u64> =
        trends.chain([process]).max_by_key(|times: &Vec<u64>| times.len()).unwrap_or_default();
    let span = longest.first().zip(longest.last()).map_or(0, |(from, to)| to.saturating_sub(*from));
    // The timeline keeps some of them.
    let looks = usize::try_from(snapshot.tool().looks).unwrap_or(usize::MAX);
    (longest.len().max(looks), span)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::fixture::{self, site, trend};

    /// What is said of a process that grows by 4 MiB in ten minutes, of which its only site has so
    /// many KiB a minute: a start that is over, so nothing is found.
    fn notes(kib: u64, rows_left_out: u64) -> String {
        let minutes = 1..=10_u64;
        let points: Vec<(u64, u64)> =
            minutes.clone().map(|minute| ((minute * kib) << 10, (minute * kib) << 11)).collect();
        let process: Vec<Value> = minutes
            .map(|minute| {
                let bytes = (minute << 20) * 4 / 10;
                json!({ "at_ns": minute * 60_000_000_000, "tracked_bytes": bytes, "untracked_bytes": 0, "whole_bytes": bytes })
            })
            .collect();
        let left = (10 * kib) << 10;
        let row = site(
            "warm",
            &json!({
                "live_bytes": left, "retained_bytes": left, "retained_tasks": 20, "retained_waves": 20,
                "retained_by_eighth": [12, 8, 0, 0, 0, 0, 0, 0],
            }),
        );
        let mut json = fixture::snapshot_json(&json!({
            "sites": [row], "trends": [trend(None, "warm", &points)],
            "timeline": { "process": process, "sites": [] },
        }));
        json["tool"]["rows_left_out"] = json!(rows_left_out);
        let snapshot: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        let leaks = snapshot.leaks();
        assert!(leaks.findings().is_empty(), "{leaks}");
        leaks.to_string()
    }

    #[test]
    fn growth_without_a_finding_is_said_to_be_where_it_is() {
        let most = "most of it is in warm (src/warm.rs:7), which grows too: 20 ended tasks hold it, \
                    and a start or a batch that is kept looks the same";
        for left_out in [0, 9] {
            assert!(notes(400, left_out).contains(most), "{}", notes(400, left_out));
        }
        assert!(notes(1, 0).contains("no task, site or code explains half of it"));
        assert!(notes(1, 9).contains("or code that this report has room for explains half of it"));
    }
}
