//! One block that the tasks of a site share and that grows: the last task that moved it to more
//! room has it.

use super::{
    evidence::Evidence,
    finding::Leak,
    growing::{blank, complete, is_as_others, of_site},
    growth::{Growth, Suspect},
    keeper::Keeper,
    retained::{living_bytes, retained_bytes},
};
use crate::model::{Place, SiteProfile, TaskId, TaskMemoryProfile};

/// The finding of a site that grows by doubling, and of which no living task grows by itself.
/// `living`: its tasks that live and have a row.
///
/// Returns `None` if neither ended nor living tasks have half of it, or if the living one that has
/// it holds no more than others of the site held until their end.
pub(super) fn find(
    place: &Place,
    growth: &Growth,
    site: &SiteProfile,
    living: &[&TaskMemoryProfile],
    evidence: &Evidence<'_>,
) -> Option<Leak> {
    growth.doubling.filter(|_| site.measured)?;
    let half = growth.course.rise() / 2;
    if retained_bytes(site) >= half {
        return Some(of_site(place, growth, site, evidence));
    }
    let bytes = living_bytes(site);
    let holder = living.iter().find(|task| task.live_bytes >= half);
    if bytes < half || holder.is_some_and(|task| is_as_others(task, site)) {
        return None;
    }
    let ids: Vec<TaskId> = living.iter().map(|task| task.id).collect();
    let largest = living.iter().max_by_key(|task| task.live_bytes);
    let task = largest.map(|task| task.id);
    let leak = Leak { task, count: site.active, ..blank(place, growth) };
    let usual = leak.fix.clone();
    let keeper = Keeper::of_tasks(evidence, place, &ids, &Suspect::grown(bytes, growth));
    let leak = keeper.tell(leak, || usual);
    Some(complete(leak, bytes, growth, evidence, growth.may_be_load()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::analysis::{
        LeakKind, Leaks,
        fixture::{site, snapshot, task, trend},
    };

    /// Live KiB of a block that moved to twice its room, one sample a minute.
    const DOUBLING: [u64; 14] =
        [128, 256, 512, 512, 1024, 1024, 1024, 1024, 2048, 2048, 2048, 2048, 2048, 2048];

    fn points(kib: &[u64]) -> Vec<(u64, u64)> {
        kib.iter().map(|kib| (kib << 10, kib << 11)).collect()
    }

    /// The findings of a site with this course, and with these tasks of these courses.
    fn leaks(kib: &[u64], of_site: &Value, tasks: &[&[u64]]) -> Leaks {
        let live = kib.last().map_or(0, |kib| kib << 10);
        let mut row = site("s", &json!({ "live_bytes": live }));
        for (field, change) in of_site.as_object().into_iter().flatten() {
            row[field] = change.clone();
        }
        let mut trends = vec![trend(None, "s", &points(kib))];
        let mut rows = Vec::new();
        for (id, kib) in (1..).zip(tasks) {
            let live = kib.last().map_or(0, |kib| kib << 10);
            // The old and the new room were there at once.
            let peak = live + live / 2;
            rows.push(task(id, "s", &json!({ "live_bytes": live, "peak_bytes": peak })));
            trends.push(trend(Some(id), "s", &points(kib)));
        }
        snapshot(&json!({ "sites": [row], "tasks": rows, "trends": trends })).leaks()
    }

    #[test]
    fn a_block_that_ended_tasks_share_and_that_doubles_is_found() {
        let left = json!({
            "retained_bytes": 2048 << 10, "retained_tasks": 1, "retained_waves": 1,
            "retained_by_eighth": [0, 0, 0, 0, 1, 0, 0, 0],
        });
        let found = leaks(&DOUBLING, &left, &[]);
        let [leak] = found.findings() else { panic!("{found}") };
        assert_eq!((leak.kind, leak.bytes, leak.count), (LeakKind::Growing, 2048 << 10, 1));
        let by = "by doubling: 4 steps, the last 5 min ago, each about twice the one before; \
                  the next is due in 3 min";
        assert!(leak.evidence.contains(by), "{leak}");
        let two_steps = [&[512; 6][..], &[1024; 3], &[2048; 5]].concat();
        assert!(leaks(&two_steps, &left, &[]).is_empty());
        let over = [&DOUBLING[..], &[2048; 8]].concat();
        assert!(leaks(&over, &left, &[]).is_empty());
    }

    #[test]
    fn a_block_that_living_tasks_share_is_found_where_none_of_them_grows() {
        let living = json!({ "active": 4, "spawned": 4, "completed": 0, "waits_timed": 0 });
        let had = [&[0; 4][..], &[1024; 4], &[0; 6]].concat();
        let has = [&[0; 8][..], &[2048; 6]].concat();
        let found = leaks(&DOUBLING, &living, &[&had, &has]);
        let [leak] = found.findings() else { panic!("{found}") };
        assert_eq!((leak.kind, leak.count), (LeakKind::Growing, 4), "{found}");
        assert!(leak.to_string().contains("in 4 living tasks, rising"), "{found}");
    }

    #[test]
    fn a_map_that_a_task_fills_is_found_though_its_peak_was_higher() {
        let living = json!({ "active": 1, "spawned": 1, "completed": 0, "waits_timed": 0 });
        let found = leaks(&DOUBLING, &living, &[&DOUBLING]);
        let [leak] = found.findings() else { panic!("{found}") };
        assert!(leak.task.is_some() && leak.evidence.contains("by doubling"), "{found}");
    }

    #[test]
    fn a_buffer_that_others_of_its_site_filled_and_freed_is_no_leak() {
        let uploads = json!({
            "active": 1, "spawned": 9, "completed": 8,
            "peak_histogram": [{ "up_to": 8 << 20, "count": 8 }],
        });
        assert!(leaks(&DOUBLING, &uploads, &[&DOUBLING]).is_empty());
    }
}
