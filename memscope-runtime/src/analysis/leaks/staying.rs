//! Tasks that stay, and of which one after another holds more than before: each keeps the room that
//! its largest message has needed, or fills something of its own.

use std::cmp::Reverse;

use super::{
    cause::LeakCause,
    evidence::Evidence,
    finding::Leak,
    growing::{blank, complete, is_as_others},
    growth::{Growth, Suspect},
    keeper::Keeper,
    options::LeakOptions,
    wording::out_of,
};
use crate::{
    model::{Place, SiteProfile, TaskId, TaskMemoryProfile},
    snapshot::sum,
};

/// A task was there before the growth if its first sample is in this part of the time. A trend
/// shows some of its samples.
const BEGIN: u64 = 8;
/// One task is no pattern.
const LEAST_RISEN: usize = 4;
/// Where tasks are said to rise on and on, they have all but one part in this many of what has
/// come.
const LEAST_OF_FILLING: u64 = 4;

/// What a collection keeps is not seen in its block.
const OR_SHRINK: &str = "; if it is emptied, it keeps the room of its largest content: `shrink_to` \
                         it then, or make a new one";

/// A task that was there before the growth, and what it holds more since.
struct Risen<'a> {
    task: &'a TaskMemoryProfile,
    bytes: u64,
    /// Whether its bytes rise to the end, in the samples since then.
    rises_on: bool,
}

/// The finding of a site that grows because tasks which were there before hold more, and none of
/// them rises on and on. `living`: its tasks that live and have a row.
///
/// Returns `None` if these have less than half of what has come.
pub(super) fn find(
    place: &Place,
    growth: &Growth,
    site: &SiteProfile,
    living: &[&TaskMemoryProfile],
    evidence: &Evidence<'_>,
    options: &LeakOptions,
) -> Option<Leak> {
    // Of a little, a course is a course as well: that it is much is known of the sum.
    let options = options.clone().least_growth(1);
    let there: Vec<Risen<'_>> =
        living.iter().filter_map(|task| Risen::of(task, growth, evidence, &options)).collect();
    let risen = there.iter().filter(|it| it.bytes != 0 && !is_as_others(it.task, site));
    let risen: Vec<&Risen<'_>> = risen.collect();
    let more = sum(risen.iter().map(|it| it.bytes));
    if !site.measured || risen.len() < LEAST_RISEN || more < growth.course.rise() / 2 {
        return None;
    }
    let largest =
        risen.iter().map(|it| it.task).max_by_key(|it| (it.live_bytes, Reverse(it.id)))?;
    let bytes = sum(risen.iter().map(|it| it.task.live_bytes));
    let ids: Vec<TaskId> = risen.iter().map(|it| it.task.id).collect();
    let count = risen.len() as u64;
    let mut leak = Leak { task: Some(largest.id), count, ..blank(place, growth) };
    // What each fills on and on is not emptied, and keeps no room of another content.
    let filling = sum(risen.iter().filter(|it| it.rises_on).map(|it| it.bytes));
    let rises_on = filling >= more / LEAST_OF_FILLING * (LEAST_OF_FILLING - 1);
    let how = if rises_on {
        "most of that in tasks which rise on and on, each by little"
    } else {
        "and have risen once or now and then"
    };
    leak.evidence = format!(
        "{} The tasks were there before: {} of them hold more than then, {how}; the largest is #{}.",
        leak.evidence,
        out_of(count, there.len() as u64),
        largest.id,
    );
    let keeper = Keeper::of_tasks(evidence, place, &ids, &Suspect::grown(bytes, growth));
    let mut leak = keeper.tell(leak, || {
        "bound the buffer or map that each of these tasks fills, or empty it as it goes".to_owned()
    });
    let may_be_room = matches!(leak.cause, LeakCause::Unknown | LeakCause::List | LeakCause::Map);
    if may_be_room && !rises_on {
        leak.fix.push_str(OR_SHRINK);
    }
    // Once each has met its largest message, it is over.
    Some(complete(leak, bytes, growth, evidence, true))
}

impl<'a> Risen<'a> {
    /// Returns `None` if the task was not there before, or is not watched.
    fn of(
        task: &'a TaskMemoryProfile,
        growth: &Growth,
        evidence: &Evidence<'_>,
        options: &LeakOptions,
    ) -> Option<Self> {
        let points = evidence.points_of_task(task.id)?;
        let since_ns = growth.course.first().at_ns;
        let first = points.first()?;
        if first.at_ns > since_ns.saturating_add(growth.course.span_ns() / BEGIN) {
            return None;
        }
        let before = points.iter().rev().find(|point| point.at_ns <= since_ns).unwrap_or(first);
        let bytes = task.live_bytes.saturating_sub(before.live_bytes);
        Some(Self { task, bytes, rises_on: Growth::of(points, options).is_some() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::{
        fixture::{self, snapshot},
        leaks::{Leaks, Severity},
    };

    const TASKS: u64 = 20;

    /// The findings of 20 connections with 8 KiB each, of which in each minute two more get this
    /// many KiB. `came_at`: the minute in which a connection begins.
    fn leaks(large: u64, came_at: impl Fn(u64) -> u64) -> Leaks {
        leaks_in(large, 1, came_at)
    }

    /// The same, where each minute is this many times as long.
    fn leaks_in(large: u64, times: u64, came_at: impl Fn(u64) -> u64) -> Leaks {
        let kib = |task: u64, minute: u64| match minute {
            _ if minute < came_at(task) => 0,
            _ if minute > task / 2 => large,
            _ => 8,
        };
        let points = |kib: &dyn Fn(u64) -> u64| -> Vec<(u64, u64)> {
            (0..=10).map(|minute| (kib(minute) << 10, kib(minute) << 11)).collect()
        };
        let of_site = points(&|minute| (0..TASKS).map(|task| kib(task, minute)).sum());
        let live = of_site.last().map_or(0, |point| point.0);
        let mut trends = vec![fixture::trend(None, "connection", &of_site)];
        let mut rows = Vec::new();
        for task in 0..TASKS {
            let live = kib(task, 10) << 10;
            let held = json!({ "live_bytes": live, "peak_bytes": live });
            rows.push(fixture::task(task + 1, "connection", &held));
            let mut trend =
                fixture::trend(Some(task + 1), "connection", &points(&|minute| kib(task, minute)));
            let from = usize::try_from(came_at(task)).expect("small");
            let kept = trend["points"].as_array().map(|points| points[from..].to_vec());
            trend["points"] = json!(kept);
            trends.push(trend);
        }
        for point in trends.iter_mut().flat_map(|it| it["points"].as_array_mut().expect("points")) {
            point["at_ns"] = json!(point["at_ns"].as_u64().expect("a time") * times);
        }
        let row = json!({
            "spawned": TASKS, "active": TASKS, "completed": 0, "live_bytes": live,
            "peak_histogram": [], "waits_timed": 0,
        });
        let sites = [fixture::site("connection", &row)];
        snapshot(&json!({ "sites": sites, "tasks": rows, "trends": trends })).leaks()
    }

    #[test]
    fn tasks_that_keep_the_room_of_their_largest_message_are_not_told_to_end_but_to_shrink_it() {
        let found = leaks(256, |_| 0);
        let [leak] = found.findings() else { panic!("{found}") };
        assert_eq!((leak.cause, leak.count), (LeakCause::Unknown, 20), "{leak}");
        assert_eq!(leak.bytes, 20 * (256 << 10), "{leak}");
        assert!(leak.fix.contains("`shrink_to` it then"), "{leak}");
        assert!(!leak.fix.contains("end each of these tasks"), "{leak}");
        let seen = "The tasks were there before: all 20 of them hold more than then";
        assert!(leak.evidence.contains(seen), "{leak}");
    }

    #[test]
    fn tasks_that_each_hold_more_than_before_are_low_at_any_length_of_observation() {
        for (times, why) in [
            (1, "load can look the same until a day is over; "),
            (10_000, "each of these tasks may have reached its size; "),
        ] {
            let found = leaks_in(4_096, times, |_| 0);
            let [leak] = found.findings() else { panic!("{found}") };
            assert_eq!(leak.severity, Severity::Low, "{leak}");
            assert!(leak.certainty_reason.starts_with(why), "{leak}");
        }
    }

    #[test]
    fn tasks_that_come_while_it_grows_are_said_to_become_more() {
        let found = leaks(256, |task| task / 2);
        let [leak] = found.findings() else { panic!("{found}") };
        assert_eq!(leak.cause, LeakCause::Endless, "{leak}");
        assert!(!leak.fix.contains("shrink_to"), "{leak}");
    }

    #[test]
    fn tasks_that_each_rise_by_little_are_not_told_to_shrink_what_they_fill() {
        // `rising`: how many of the 20 rise in each minute, by 6 KiB. The others rise once.
        let found = |rising: u64| {
            let kib = |task: u64, minute: u64| match minute {
                _ if task < rising => 8 + 6 * minute,
                _ if minute > task / 2 => 68,
                _ => 8,
            };
            let points = |kib: &dyn Fn(u64) -> u64| -> Vec<(u64, u64)> {
                (0..=10).map(|minute| (kib(minute) << 10, kib(minute) << 11)).collect()
            };
            let of_site = points(&|minute| (0..TASKS).map(|task| kib(task, minute)).sum());
            let (mut rows, mut trends) =
                (Vec::new(), vec![fixture::trend(None, "client", &of_site)]);
            for task in 0..TASKS {
                let live = kib(task, 10) << 10;
                let held = json!({ "live_bytes": live, "peak_bytes": live });
                rows.push(fixture::task(task + 1, "client", &held));
                let points = points(&|minute| kib(task, minute));
                trends.push(fixture::trend(Some(task + 1), "client", &points));
            }
            let row = json!({
                "spawned": TASKS, "active": TASKS, "completed": 0, "peak_histogram": [],
                "live_bytes": of_site.last().map_or(0, |point| point.0), "waits_timed": 0,
            });
            let sites = [fixture::site("client", &row)];
            snapshot(&json!({ "sites": sites, "tasks": rows, "trends": trends })).leaks()
        };
        let filling = found(20);
        let [leak] = filling.findings() else { panic!("{filling}") };
        assert_eq!(
            leak.fix,
            "bound the buffer or map that each of these tasks fills, or empty it as it goes"
        );
        let seen = "all 20 of them hold more than then, most of that in tasks which rise on and \
                    on, each by little; the largest is #1.";
        assert!(leak.evidence.ends_with(seen), "{leak}");
        assert_eq!((leak.count, leak.severity), (20, Severity::Low), "{leak}");
        let mixed = found(10);
        let [leak] = mixed.findings() else { panic!("{mixed}") };
        assert!(leak.fix.contains("`shrink_to` it then"), "{leak}");
    }
}
