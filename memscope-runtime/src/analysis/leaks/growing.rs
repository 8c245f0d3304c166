//! Live bytes that rise: of living tasks, of sites whose tasks do not end, and of ended tasks.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use super::{
    cells,
    evidence::{Evidence, place_of, place_of_task},
    finding::{Leak, LeakKind, Severity},
    growth::{Growth, Suspect},
    keeper::Keeper,
    moved,
    options::LeakOptions,
    pile::{LEAST_PILED, Pile, Watched},
    retained::retained_bytes,
    spread::Shape,
    staying,
    wording::several,
};
use crate::{
    model::{HumanBytes, Place, SiteProfile, TaskId, TaskMemoryProfile, Trend, TrendPoint},
    snapshot::{MemorySnapshot, float, sum},
};

/// A task that holds less than this share of its peak has freed something before: it fills and
/// empties.
const LEAST_OF_PEAK: f64 = 0.9;
/// The old and the new room of a map are there at once while it moves: this many times what is
/// left.
const LEAST_OF_PEAK_OF_MOVED: f64 = 0.55;
/// How many tasks of a site must have left bytes behind one after another. Fewer are a start, or
/// one batch.
const LEAST_WAVES: u64 = 4;

/// What the other findings report.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Sites whose ended tasks hold bytes.
    pub(super) sites: HashSet<Place>,
    /// Tasks that are stuck.
    pub(super) tasks: HashSet<TaskId>,
    /// Sites that have stuck tasks.
    pub(super) piles: HashSet<Place>,
    /// The bytes outside of tasks are those of tasks that another finding reports.
    pub(super) has_untracked: bool,
}

/// Something that grows, and how.
pub(super) type Grown = (Leak, Growth);

/// Finds living tasks and sites whose live bytes rise, without those that another finding reports.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions, known: &Known) -> Vec<Grown> {
    let grown = |trend: &Trend, points: &[TrendPoint]| {
        Growth::of(points, options).map(|growth| (trend.place.clone(), trend.task, growth))
    };
    let evidence = Evidence::of(snapshot);
    let grown: Vec<(Place, Option<TaskId>, Growth)> = snapshot
        .trends()
        .iter()
        .filter_map(|trend| match trend.task {
            Some(_) => grown(trend, &trend.points),
            None => grown(trend, evidence.points_of(&trend.place)),
        })
        .collect();
    if grown.is_empty() {
        return Vec::new();
    }
    let tasks: HashMap<TaskId, &TaskMemoryProfile> =
        snapshot.tasks().iter().map(|task| (task.id, task)).collect();
    let sites: HashMap<Place, &SiteProfile> =
        snapshot.sites().iter().map(|site| (place_of(site), site)).collect();
    let mut filling: BTreeMap<Place, Filling<'_>> = BTreeMap::new();
    for (place, task, growth) in &grown {
        let task = task.and_then(|task| tasks.get(&task));
        let Some(task) = task.filter(|task| !known.tasks.contains(&task.id)) else { continue };
        let is_as_others = sites.get(place).is_some_and(|site| is_as_others(task, site));
        if is_filling(task, growth) && !is_as_others {
            // A task may have got its name since its first sample.
            filling.entry(place_of_task(task)).or_default().add(task, growth);
        }
    }
    let mut watched: HashMap<Place, Watched> = HashMap::new();
    for trend in snapshot.trends() {
        let task = trend.task.and_then(|task| tasks.get(&task));
        if let (Some(task), Some(first)) = (task, trend.points.first()) {
            watched.entry(place_of_task(task)).or_default().add(first.at_ns);
        }
    }
    let nothing = Watched::default();
    let mut leaks: Vec<Grown> = Vec::new();
    let of_sites = grown.iter().filter(|(_, task, _)| task.is_none());
    leaks.extend(of_sites.filter_map(|(place, _, growth)| {
        let site = sites.get(place).filter(|_| !known.sites.contains(place))?;
        if is_left_behind(site, growth, options) {
            return Some((of_site(place, growth, site, &evidence), *growth));
        }
        // No byte is in two findings.
        let watched = watched.get(place).unwrap_or(&nothing);
        let explained = filling.get(place).is_some_and(|filling| filling.explains(growth, watched));
        if known.piles.contains(place) || explained {
            return None;
        }
        let living = snapshot.tasks().iter().filter(|task| !task.state.is_ended());
        let living: Vec<_> = living.filter(|task| place_of_task(task) == *place).collect();
        if growth.doubling.is_some() {
            let leak = moved::find(place, growth, site, &living, &evidence)?;
            filling.remove(place);
            return Some((leak, *growth));
        }
        let pile = Pile::of(site, growth, watched)?;
        filling.remove(place);
        if let Some(leak) = staying::find(place, growth, site, &living, &evidence, options) {
            return Some((leak, *growth));
        }
        Some((pile.finding(place, growth, site, &living, &evidence), *growth))
    }));
    leaks.extend(filling.into_iter().filter_map(|(place, filling)| {
        let growth = filling.growth?;
        let mut leak = of_tasks(&place, &growth, &filling.tasks, &evidence)?;
        let is_one = filling.tasks.len() == 1;
        let may_be_cells = filling.tasks.iter().any(|task| may_be_cells(task, snapshot));
        if is_one && may_be_cells && !growth.is_of_a_day() {
            (leak.severity, leak.may_be_load) = (Severity::Low, true);
        }
        Some((leak, growth))
    }));
    leaks
}

/// The tasks of a site whose own bytes rise.
#[derive(Default)]
struct Filling<'a> {
    tasks: Vec<&'a TaskMemoryProfile>,
    /// What they do together.
    growth: Option<Growth>,
}

impl<'a> Filling<'a> {
    fn add(&mut self, task: &'a TaskMemoryProfile, growth: &Growth) {
        self.tasks.push(task);
        self.growth = Some(self.growth.map_or(*growth, |sum| sum.together(growth)));
    }

    /// Whether the growth of their site is theirs, and not that of more and more tasks: they have
    /// most of it, or most of the tasks that are watched rise.
    fn explains(&self, of_site: &Growth, watched: &Watched) -> bool {
        let rise = self.growth.map_or(0, |growth| growth.course.rise());
        rise >= of_site.course.rise() / 2 || 2 * self.tasks.len() > watched.len()
    }
}

/// Whether other tasks of the site have held as much and ended: then this one is like an upload
/// that is not finished yet.
pub(super) fn is_as_others(task: &TaskMemoryProfile, site: &SiteProfile) -> bool {
    // Of a peak only its power of two is kept; the peak was more than half of that.
    let largest = site.peak_histogram.iter().filter(|bucket| bucket.count != 0);
    largest.map(|bucket| bucket.up_to).max().is_some_and(|up_to| task.live_bytes <= up_to / 2)
}

/// Whether the task may hold no more than the cells of tasks that it has spawned and that live:
/// clients that come and stay.
fn may_be_cells(task: &TaskMemoryProfile, snapshot: &MemorySnapshot) -> bool {
    const BLOCKS_OF_TASK: u64 = 3;
    let active = snapshot.sites().iter().map(|site| site.active).max().unwrap_or(0);
    active >= LEAST_PILED && task.live_blocks <= active.saturating_mul(BLOCKS_OF_TASK)
}

fn is_filling(task: &TaskMemoryProfile, growth: &Growth) -> bool {
    let doubles = growth.doubling.is_some();
    let least = if doubles { LEAST_OF_PEAK_OF_MOVED } else { LEAST_OF_PEAK };
    task.measured
        && !task.state.is_ended()
        && float(task.live_bytes) >= least * float(task.peak_bytes)
}

/// Whether the growth lies in ended tasks. The living tasks have trends of their own.
fn is_left_behind(site: &SiteProfile, growth: &Growth, options: &LeakOptions) -> bool {
    site.measured
        && (LEAST_WAVES..options.least_waves).contains(&site.retained_waves)
        && retained_bytes(site) >= growth.course.rise() / 2
        && Shape::of(site) != Shape::Ceased
}

/// The finding about one task, or about several of a site that do the same.
fn of_tasks(
    place: &Place,
    growth: &Growth,
    tasks: &[&TaskMemoryProfile],
    evidence: &Evidence<'_>,
) -> Option<Leak> {
    let largest = tasks.iter().max_by_key(|task| (task.live_bytes, Reverse(task.id)))?;
    let bytes = sum(tasks.iter().map(|task| task.live_bytes));
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let count = tasks.len() as u64;
    let mut leak = Leak { task: Some(largest.id), count, ..blank(place, growth) };
    if count > 1 {
        leak.evidence = format!(
            "Each of these tasks rises by itself; the largest is #{}. Together: {}",
            largest.id, leak.evidence
        );
    }
    let keeper = Keeper::of_tasks(evidence, place, &ids, &Suspect::grown(bytes, growth));
    let is_of_cells = keeper.clue.is_of_cells();
    let leak = keeper.tell(leak, || {
        let which = if count == 1 { "this task" } else { "each of these tasks" };
        if is_of_cells {
            return cells::of_spawner(which);
        }
        format!("bound the channel, buffer or map that {which} fills, or empty it as it goes")
    });
    Some(complete(leak, bytes, growth, evidence, growth.may_be_load()))
}

/// The finding about what the ended tasks of a site have left.
pub(super) fn of_site(
    place: &Place,
    growth: &Growth,
    site: &SiteProfile,
    evidence: &Evidence<'_>,
) -> Leak {
    let bytes = retained_bytes(site);
    let leak = Leak { count: site.retained_tasks, ..blank(place, growth) };
    let usual = leak.fix.clone();
    let of = Suspect::grown(bytes, growth);
    let leak = Keeper::of_ended(evidence, place, &of, site.retained_tasks).tell(leak, || usual);
    complete(leak, bytes, growth, evidence, growth.may_be_load())
}

/// What all findings of growth have in common.
pub(super) fn blank(place: &Place, growth: &Growth) -> Leak {
    let (first, last) = (growth.course.first(), growth.course.last());
    let [from, to] = [first, last].map(|point| HumanBytes(point.live_bytes));
    let course = match growth.doubling {
        Some(doubling) => doubling.words(),
        None if growth.is_in_swings => "by its lowest values, as it comes and goes".to_owned(),
        None => "never much less than before".to_owned(),
    };
    let samples = several(growth.samples as u64, "sample", "samples");
    Leak {
        oldest_ns: Some(growth.course.span_ns()),
        evidence: format!("From {from} to {to} in {samples}, {course}."),
        fix: "bound what these tasks add to, or take out what is done with at the rate at which they add".to_owned(),
        ..Leak::at(LeakKind::Growing, place.clone())
    }
}

pub(super) fn complete(
    leak: Leak,
    bytes: u64,
    growth: &Growth,
    evidence: &Evidence<'_>,
    may_be_load: bool,
) -> Leak {
    // What was there before does not look lost.
    let bytes = if growth.is_above_base { growth.course.rise().min(bytes) } else { bytes };
    let severity = growth.severity(bytes, evidence.whole_bytes, may_be_load);
    Leak { severity, bytes, bytes_per_day: growth.bytes_per_day(), may_be_load, ..leak }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{
        fixture::{site, snapshot, task, trend},
        leaks::{LeakCause, Leaks},
    };

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

    /// A site of this many tasks, of which the first `rising` rise from 100 KiB to 600 KiB and the
    /// others hold 200 KiB; and its findings.
    fn each_of(tasks: u64, rising: u64, of_site: &[u64]) -> Leaks {
        let points = |kib: &[u64]| -> Vec<(u64, u64)> {
            kib.iter().map(|kib| (kib << 10, kib << 10)).collect()
        };
        let rises = [100, 200, 300, 400, 500, 600];
        let (mut rows, mut trends) = (Vec::new(), vec![trend(None, "s", &points(of_site))]);
        for id in 1..=tasks {
            let kib = if id <= rising { rises } else { [200; 6] };
            let live = kib[5] << 10;
            rows.push(task(id, "s", &json!({ "live_bytes": live, "peak_bytes": live })));
            trends.push(trend(Some(id), "s", &points(&kib)));
        }
        let live = of_site.last().map_or(0, |kib| kib << 10);
        let row = json!({
            "spawned": tasks, "active": tasks, "completed": 0, "live_bytes": live,
            "peak_histogram": [],
        });
        let parts = json!({ "sites": [site("s", &row)], "tasks": rows, "trends": trends });
        snapshot(&parts).leaks()
    }

    #[test]
    fn many_tasks_that_each_grow_are_one_finding_and_not_told_to_end() {
        let leaks = each_of(100, 100, &[10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.count, leak.bytes, leak.cause), (100, 60_000 << 10, LeakCause::Unknown));
        assert_eq!(leak.task, TaskId::new(1), "the largest; of equal ones the oldest");
        assert!(leak.evidence.contains("Together: From 9.8 MiB to 58.6 MiB"), "{leak}");
        assert!(leak.fix.contains("each of these tasks fills"), "{leak}");
        // A few of more than there is room for in the history rise with most that are watched.
        let leaks = each_of(40, 30, &[100_000, 200_000, 300_000, 400_000, 500_000, 600_000]);
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.count, leak.cause), (30, LeakCause::Unknown), "{leak}");
    }

    #[test]
    fn a_task_that_grows_among_more_and_more_does_not_hide_these() {
        let leaks = each_of(40, 1, &[1_600, 3_200, 4_800, 6_400, 8_000, 9_600]);
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!((leak.count, leak.cause), (40, LeakCause::Endless), "{leak}");
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
                "is_annotated": is_annotated, "ends_unknown": !is_annotated,
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
