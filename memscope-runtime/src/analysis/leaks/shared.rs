//! Growth of shared owners: memory that has a name and belongs to no task.

use super::{
    certainty::KnownBy,
    evidence::Evidence,
    finding::Leak,
    growing::{Grown, blank, complete},
    growth::{Growth, Suspect},
    keeper::Keeper,
    options::LeakOptions,
};
use crate::{
    model::{SharedProfile, StackProfile, human::cell},
    snapshot::MemorySnapshot,
};

/// The untracked stacks tell of a shared owner if it has this many quarters of untracked memory.
const LEAST_QUARTERS: u64 = 3;

/// Finds shared owners whose live bytes rise.
pub(super) fn find(snapshot: &MemorySnapshot, options: &LeakOptions) -> Vec<Grown> {
    let trends = snapshot.timeline().shared.iter();
    let grown: Vec<_> = trends
        .filter_map(|trend| {
            let row = snapshot.shared().iter().find(|row| row.name == trend.place.name)?;
            Some((trend, row, Growth::of(&trend.points, options)?))
        })
        .collect();
    if grown.is_empty() {
        return Vec::new();
    }
    let evidence = Evidence::of(snapshot);
    let finding = |row: &SharedProfile, growth: &Growth, leak: Leak| {
        let name = cell(&row.name, 48);
        let usual = || {
            format!(
                "bound what `{name}` keeps: a cache needs a capacity or an age, other collections must lose an entry when what it is for ends"
            )
        };
        let is_most = row.live_bytes / LEAST_QUARTERS
            >= snapshot.process().untracked_bytes.saturating_sub(row.live_bytes);
        let stacks = snapshot.stacks().iter().filter(|stack: &&StackProfile| stack.is_untracked);
        let of = Suspect::grown(row.live_bytes, growth);
        let clue = || evidence.clue_of_stacks(stacks, of.since_ns, || row.live_bytes);
        let clue = if is_most { clue() } else { None };
        let keeper = Keeper {
            clue: clue.unwrap_or_default(),
            has_ended: true,
            is_outside: true,
            held: evidence.held(None, &of),
            ..Keeper::default()
        };
        let mut leak = keeper.tell(leak, usual);
        if leak.known_by == KnownBy::Nothing {
            leak.known_by = KnownBy::Shared;
        }
        let text = format!("All of it is allocated in `shared(\"{name}\", …)`. {}", leak.evidence);
        let leak = Leak { evidence: text, ..leak };
        complete(leak, row.live_bytes, growth, &evidence, growth.may_be_load())
    };
    grown
        .iter()
        .map(|(trend, row, growth)| (finding(row, growth, blank(&trend.place, growth)), *growth))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analysis::{LeakKind, fixture, leaks::Leaks};

    const MINUTE_NS: u64 = 60_000_000_000;

    /// The findings where the shared owner `cache` had this many KiB, one sample a minute, and
    /// other untracked memory as many. Most of the untracked memory is in a map, by its stacks.
    fn leaks(kib: &[u64], others: &[u64]) -> Leaks {
        let mut shared = fixture::trend(
            None,
            "cache",
            &kib.iter().map(|kib| (kib << 10, kib << 10)).collect::<Vec<_>>(),
        );
        shared["place"] = json!({ "name": "cache", "file": "", "line": 0 });
        let process: Vec<Value> = (1_u64..)
            .zip(kib.iter().zip(others))
            .map(|(minute, (kib, others))| {
                let bytes = (kib + others) << 10;
                json!({ "at_ns": minute * MINUTE_NS, "tracked_bytes": 0, "untracked_bytes": bytes, "whole_bytes": bytes })
            })
            .collect();
        let live = kib.last().map_or(0, |kib| kib << 10);
        let row = json!({
            "name": "cache", "measured": true, "live_bytes": live, "live_blocks": 9, "peak_bytes": live,
            "allocated_bytes": live, "allocation_count": 9, "freed_bytes": 0,
        });
        let frames = ["hashbrown::map::HashMap<K,V>::insert", "app::put"];
        let frames = frames.map(|function| json!({ "function": function }));
        let stack = json!({
            "frames": frames, "is_untracked": true, "live_bytes": live, "live_samples": 9,
        });
        let mut json = fixture::snapshot_json(&json!({
            "shared": [row], "stacks": [stack], "stack_interval_bytes": 2 << 10,
            "timeline": { "process": process, "sites": [], "shared": [shared] },
        }));
        let all = live + others.last().map_or(0, |kib| kib << 10);
        json["process"]["untracked_bytes"] = json!(all);
        json["process"]["untracked_allocated_bytes"] = json!(2 * all);
        let snapshot: MemorySnapshot = serde_json::from_value(json).expect("a snapshot");
        snapshot.leaks()
    }

    const RISING: [u64; 8] = [100, 200, 300, 400, 500, 600, 700, 800];

    #[test]
    fn a_shared_owner_that_rises_is_found_by_its_name_and_once() {
        let leaks = leaks(&RISING, &[50; 8]);
        let [leak] = leaks.findings() else { panic!("{leaks}") };
        assert_eq!(
            (leak.kind, &*leak.place.name, leak.bytes),
            (LeakKind::Growing, "cache", 800 << 10)
        );
        assert_eq!(
            leak.known_by,
            KnownBy::Stacks(9),
            "nearly all untracked memory is its: {leaks}"
        );
        assert!(leak.evidence.contains("allocated in `shared(\"cache\", …)`"), "{leaks}");
    }

    #[test]
    fn a_shared_owner_that_is_full_is_not_found_and_what_rises_beside_it_is() {
        assert!(leaks(&[800; 8], &[50; 8]).is_empty());
        let both = leaks(&RISING, &RISING);
        let names: Vec<&str> = both.iter().map(|leak| &*leak.place.name).collect();
        assert_eq!(names, ["(outside every task)", "cache"], "{both}");
        let cache = &both.findings()[1];
        assert_eq!(cache.known_by, KnownBy::Shared, "the stacks may be of the rest: {both}");
        assert!(cache.fix.contains("bound what `cache` keeps"), "{both}");
        assert_eq!(both.bytes(), 1600 << 10, "no byte is in both: {both}");
    }

    #[test]
    fn what_doubles_is_found_in_a_shared_owner_and_outside_of_tasks() {
        let doubling = [128, 256, 512, 512, 1024, 1024, 1024, 1024, 2048, 2048, 2048, 2048];
        for (leaks, name) in [
            (leaks(&doubling, &[50; 12]), "cache"),
            (leaks(&[50; 12], &doubling), "(outside every task)"),
        ] {
            let [leak] = leaks.findings() else { panic!("{leaks}") };
            assert_eq!((leak.kind, &*leak.place.name), (LeakKind::Growing, name), "{leaks}");
            assert!(leak.evidence.contains("by doubling: 4 steps"), "{leaks}");
        }
    }
}
