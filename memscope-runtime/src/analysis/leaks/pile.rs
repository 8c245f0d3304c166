//! Sites of which more and more tasks live: hardly any ends, or some never do.

use super::{
    cause::LeakCause,
    certainty::KnownBy,
    evidence::Evidence,
    finding::Leak,
    growing::{blank, complete},
    growth::Growth,
    options::LeakOptions,
    waits,
    wording::{age, allocated_at, places, several},
};
use crate::model::{Place, SiteProfile, TaskId, TaskMemoryProfile, TrendPoint, human::count};

/// How many tasks of a site must be alive before their number can be said to only rise.
pub(super) const LEAST_PILED: u64 = 16;
/// … and of all that were ever made there, at most one in this many has ended …
const FEW_ENDED: u64 = 16;
/// … or one in this many of the largest is older than half of the growth.
const LEAST_OLD: u64 = 4;

/// The tasks of a site that have samples: the largest.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The time of the first sample of each.
    since_ns: Vec<u64>,
}

/// Tasks that live for longer than those around them.
#[derive(Clone, Copy, Debug)]
struct Old {
    tasks: u64,
    watched: u64,
    /// They are at least so old.
    age_ns: u64,
}

impl Watched {
    /// Adds a task whose first sample was taken at this time.
    pub(super) fn add(&mut self, since_ns: u64) {
        self.since_ns.push(since_ns);
    }

    pub(super) fn len(&self) -> usize {
        self.since_ns.len()
    }

    /// Those that are older than half of the growth, if they are many and a fair share: some tasks
    /// of the site end soon, and these stay.
    fn old(&self, growth: &Growth) -> Option<Old> {
        let age_ns = growth.course.span_ns() / 2;
        let until = growth.course.last().at_ns.saturating_sub(age_ns);
        let tasks = self.since_ns.iter().filter(|since| **since <= until).count() as u64;
        let watched = self.since_ns.len() as u64;
        (tasks >= LEAST_PILED && tasks >= watched / LEAST_OLD).then_some(Old {
            tasks,
            watched,
            age_ns,
        })
    }
}

/// More and more living tasks of a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pile {
    /// `None`: hardly any of its tasks has ended.
    old: Option<Old>,
}

impl Pile {
    /// Returns `None` if the growth of this site is not that of more and more living tasks, or if
    /// load is all that is known.
    pub(super) fn of(site: &SiteProfile, growth: &Growth, watched: &Watched) -> Option<Self> {
        if has_piled_up(site, growth) {
            return Some(Self { old: None });
        }
        let old = watched.old(growth).filter(|_| lies_in_living(site, growth))?;
        Some(Self { old: Some(old) })
    }

    /// The finding. `living`: those that live and have a row.
    pub(super) fn finding<'a>(
        self,
        place: &Place,
        growth: &Growth,
        site: &SiteProfile,
        living: &[&'a TaskMemoryProfile],
        evidence: &Evidence<'a>,
    ) -> Leak {
        let since_ns = Some(growth.course.first().at_ns);
        let tasks: Vec<TaskId> = living.iter().map(|task| task.id).collect();
        let await_point = evidence.await_point_of(living.iter().copied());
        let usual = "end each of these tasks when what it serves is over: a timeout, a cancellation token, a channel that closes, an `AbortHandle` that is kept; if they wait for a permit, a lock or a reply, look for what does not give it";
        let mut leak = Leak {
            task: tasks.iter().min().copied(),
            count: site.active,
            variables: evidence.variables_of(&tasks).into_iter().map(|(name, _)| name).collect(),
            cause: LeakCause::Endless,
            known_by: KnownBy::Course,
            allocated_at: evidence.clue_of(place, since_ns).as_ref().and_then(allocated_at),
            fix: waits::cure(await_point, tasks.len() as u64).unwrap_or(usual).to_owned(),
            ..blank(place, growth)
        };
        let ended = site.ended();
        let which = match self.old {
            None => "they only become more".to_owned(),
            Some(Old { tasks, watched, age_ns }) => format!(
                "of the {} largest that live, {} are older than {}",
                count(watched),
                count(tasks),
                age(age_ns)
            ),
        };
        leak.evidence = format!(
            "{} {} and {} ended: {which}. Clients that come and stay look the same.",
            leak.evidence,
            several(site.spawned, "task was made", "tasks were made"),
            count(ended),
        );
        if let Some((point, count)) = await_point.filter(|it| it.1 > tasks.len() as u64 / 2) {
            leak.waits_at = Some(point.to_string());
            let wait = several(count, "of them waits", "of them wait");
            leak.evidence = format!("{} {wait} at {}.", leak.evidence, places(point));
        }
        // Clients that stay leave within a day, or the service has a limit for them.
        let may_be_load = !growth.is_of_a_day();
        let bytes = site.live_bytes.saturating_sub(site.retained_bytes);
        complete(leak, bytes, growth, evidence, may_be_load)
    }
}

/// Whether a site has more and more living tasks that hardly ever end, and with them bytes, for
/// long enough.
pub(super) fn piles_up(site: &SiteProfile, points: &[TrendPoint], options: &LeakOptions) -> bool {
    Growth::of(points, options)
        .filter(|growth| growth.doubling.is_none())
        .is_some_and(|growth| growth.is_long(options) && has_piled_up(site, &growth))
}

/// Whether the growth lies in living tasks, which hardly ever end. If they do end, more of them is
/// load.
fn has_piled_up(site: &SiteProfile, growth: &Growth) -> bool {
    lies_in_living(site, growth) && site.ended() <= site.spawned / FEW_ENDED
}

/// Whether most of the growth lies in living tasks, of which there are many.
fn lies_in_living(site: &SiteProfile, growth: &Growth) -> bool {
    let of_living = site.live_bytes.saturating_sub(site.retained_bytes);
    site.measured
        && !site.ends_unknown
        && site.active >= LEAST_PILED
        && of_living >= growth.course.rise() / 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::{
        Severity,
        fixture::{site, snapshot, task, trend},
    };

    #[test]
    fn tasks_of_which_some_never_end_are_found_by_the_age_of_those_that_live() {
        let rising = [0, 100, 200, 300, 400, 500].map(|kib| (kib << 10, kib << 11));
        // `old`: how many of the 40 largest were there at the second of six samples.
        let found = |old: u64| {
            let (mut rows, mut trends) = (Vec::new(), vec![trend(None, "s", &rising)]);
            for id in 1..=40 {
                rows.push(task(id, "s", &json!({ "live_bytes": 9 << 10, "peak_bytes": 9 << 10 })));
                let since = if id <= old { 1 } else { 5 };
                let mut trend = trend(Some(id), "s", &[(9 << 10, 9 << 10); 6]);
                let points = trend["points"].as_array().map(|points| points[since..].to_vec());
                trend["points"] = json!(points);
                trends.push(trend);
            }
            let row = json!({
                "spawned": 400, "active": 133, "completed": 267, "live_bytes": 500 << 10,
                "is_annotated": false,
            });
            let parts = json!({ "sites": [site("s", &row)], "tasks": rows, "trends": trends });
            snapshot(&parts).leaks()
        };
        let leaks = found(20);
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.count, leak.cause), (133, LeakCause::Endless), "{leak}");
        assert!(leak.may_be_load && leak.severity == Severity::Low, "{leak}");
        let text = leak.to_string();
        assert!(text.contains("400 tasks were made and 267 ended: of the 40 largest"), "{text}");
        assert!(found(9).is_empty(), "less than a quarter of them, and less than 16");
        assert!(found(0).is_empty(), "load");
    }

    #[test]
    fn tasks_that_become_more_at_a_semaphore_are_not_told_to_end_but_of_its_permits() {
        let rising = [0, 100, 200, 300, 400, 500].map(|kib| (kib << 10, kib << 11));
        let found = |waiting: u64| {
            let task = |id: u64| {
                let point = (id <= waiting).then_some(0);
                task(
                    id,
                    "s",
                    &json!({ "live_bytes": 9 << 10, "peak_bytes": 9 << 10, "await_point": point }),
                )
            };
            let frame = |file: &str, line: u32| json!({ "function": "f", "file": file, "line": line, "size_bytes": 8, "locals": [] });
            let permits = "/home/me/.cargo/registry/src/x/tokio-1.52.0/src/sync/semaphore.rs";
            let point = json!({
                "frames": [frame("src/app.rs", 12), frame(permits, 600)],
                "stops": "waits for tokio::sync::batch_semaphore::Acquire", "tasks": waiting,
                "measured": true, "live_bytes": 1, "future_size_bytes": 8, "timed": 0,
                "waited_sum_ns": 0, "waited_p50_ns": null, "waited_p99_ns": null,
            });
            let row = json!({
                "spawned": 50, "active": 50, "completed": 0, "live_bytes": 500 << 10,
                "waits_timed": 0,
            });
            let parts = json!({
                "sites": [site("s", &row)], "tasks": (1..=20).map(task).collect::<Vec<_>>(),
                "trends": [trend(None, "s", &rising)], "await_points": [point],
            });
            let leaks = snapshot(&parts).leaks();
            let [leak] = leaks.findings() else { panic!("{leaks}") };
            leak.clone()
        };
        let most = found(15);
        assert!(most.fix.starts_with("they wait for permits of a semaphore: "), "{most}");
        assert!(most.evidence.ends_with("15 of them wait at src/app.rs:12."), "{most}");
        assert_eq!(most.waits_at.as_deref(), Some("src/app.rs:12"));
        let few = found(10);
        assert!(few.fix.starts_with("end each of these tasks"), "{few}");
        assert_eq!(few.waits_at, None);
    }
}
