//! The difference of two snapshots, to the byte.

use memscope_macros::track_var;
use memscope_rs::async_memory::{
    MemorySnapshot, Presence, SnapshotDiff, TaskType, get_memory_snapshot, track,
};
use memscope_tests::{alone, block_on, conserved, poll};
use serde_json::{Value, json};

use crate::ALLOCATOR;

fn site(name: &str, line: u32, bytes: u64, spawned: u64) -> Value {
    json!({
        "name": name, "task_type": "io_intensive", "file": "src/a.rs", "line": line,
        "measured": true,
        "spawned": spawned, "active": spawned / 2, "completed": spawned - spawned / 2,
        "cancelled": 0,
        "panicked": 0, "given_up": 0, "is_annotated": true, "live_bytes": bytes, "live_blocks": 8,
        "peak_bytes": 4096, "peak_sum_bytes": 4096,
        "allocated_bytes": 2 * bytes, "allocation_count": 24, "ended_allocated_bytes": 1000,
        "retained_bytes": bytes / 2, "unjoined_bytes": 0, "retained_tasks": 1,
        "oldest_retained_ns": null,
        "retained_waves": 1, "retained_by_eighth": [1, 0, 0, 0, 0, 0, 0, 0], "argument_bytes": null,
        "boxed_by_tokio": 0, "longest_wait_ns": 0, "future_size_bytes": 64, "wait_sum_ns": 0,
        "waits_timed": 0,
        "peak_histogram": [], "poll_histogram": [], "lifetime_histogram": [], "idle_histogram": [],
    })
}

fn variable(name: &str, live: u64) -> Value {
    json!({
        "name": name, "type_name": "Vec<u8>", "file": "src/a.rs", "line": 3, "stack_bytes": 24,
        "registered": 2 * live, "live": live, "ended": live, "repeated": 0, "unfollowed": 0,
        "live_bytes": 1024 * live,
        "largest_bytes": 1, "lifetime_sum_ns": 1, "longest_lifetime_ns": 1,
    })
}

fn snapshot(pid: u32, seconds: u64, sites: &[Value], variables: &[Value]) -> MemorySnapshot {
    let sum = |field: &str| sites.iter().filter_map(|site| site[field].as_u64()).sum::<u64>();
    let json = json!({
        "origin": { "pid": pid, "started_unix_ns": 5 },
        "measured": "yes", "is_still": true, "timing_is_off": false,
        "observed_ns": seconds * 1_000_000_000,
        "spawned_tasks": sum("spawned"), "active_tasks": sum("active"), "peak_concurrent_tasks": 4,
        "process": {
            "measured": true, "tracked_bytes": sum("live_bytes"), "untracked_bytes": 1024,
            "whole_bytes": sum("live_bytes") + 1024, "tracked_blocks": 8, "untracked_blocks": 1,
            "whole_blocks": 9,
            "tracked_allocated_bytes": sum("allocated_bytes"), "untracked_allocated_bytes": 2048,
        },
        "tool": {
            "own_bytes": 2048, "events_dropped": 0, "ended_tasks_forgotten": 0,
            "tasks_without_record": 0,
            "tasks_in_other": 0, "hand_overs_lost": 0, "tasks_split": 0, "ring_events": 0,
            "ring_events_dropped": 0,
            "heap_bytes": 0, "heap_blocks": 0, "collector_is_running": false,
        },
        "tasks": [], "sites": sites, "variables": [], "variable_sites": variables,
        "hand_overs": [], "trends": [],
        "timeline": { "process": [], "sites": [] }, "events": [],
        "runtime": {
            "measured": true, "worker_threads": 0, "worker_bytes": 0, "cells": 0,
            "cell_overhead_bytes": 0,
        },
    });
    serde_json::from_value(json).expect("a snapshot")
}

#[test]
fn a_diff_reads_like_this() {
    let earlier = snapshot(
        7,
        1,
        &[site("same", 1, 500, 4), site("grows", 2, 1024, 2), site("shrinks", 3, 4096, 6)],
        &[variable("cache", 1)],
    );
    let later = snapshot(
        7,
        11,
        &[
            site("same", 1, 500, 4),
            site("grows", 2, 5 * 1024, 12),
            site("shrinks", 3, 1024, 6),
            site("comes", 4, 2048, 1000),
        ],
        &[variable("cache", 3)],
    );
    let shown = later.diff(&earlier).to_string();
    let expected = "\
live memory: +3.0 KiB in tasks, · untracked, +3.0 KiB in all, 10.0 s later
tasks: +1,010 created, +505 ended, +505 alive

SITE     TYPE  AT      ROW      LIVE  OF ENDED  ALLOCATED  ALIVE  CREATED  ENDED
grows    io    a.rs:2       +4.0 KiB  +2.0 KiB   +8.0 KiB     +5      +10     +5
comes    io    a.rs:4  new  +2.0 KiB  +1.0 KiB   +4.0 KiB   +500   +1,000   +500
shrinks  io    a.rs:3       -3.0 KiB  -1.5 KiB   -6.0 KiB      ·        ·      ·

VARIABLE  TYPE     AT      ROW  HEAP LIVE  LIVE  REGISTERED  ENDED
cache     Vec<u8>  a.rs:3        +2.0 KiB    +2          +4     +2
";
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn snapshots_of_two_processes_are_compared_by_names_and_the_diff_says_so() {
    let earlier = snapshot(7, 100, &[site("a", 1, 10, 2), site("gone", 2, 30, 2)], &[]);
    let later = snapshot(8, 1, &[site("a", 1, 15, 2)], &[]);
    let diff = later.diff(&earlier);
    assert!(!diff.same_process);
    assert_eq!(diff.elapsed_ns, None);
    let rows: Vec<_> =
        diff.sites.iter().map(|row| (row.name.as_str(), row.presence, row.live_bytes)).collect();
    assert_eq!(rows, [("a", Presence::Both, 5), ("gone", Presence::Gone, -30)]);
    assert_eq!(diff.process.tracked_bytes, -25);
    let shown = diff.to_string();
    assert!(shown.starts_with("these are snapshots of two processes"), "{shown}");
    assert!(shown.contains("gone  -30 B") && !shown.contains("later"), "{shown}");
}

#[test]
fn a_snapshot_without_a_process_is_read_as_one_of_an_unknown_process() {
    let mut json = serde_json::to_value(snapshot(7, 1, &[], &[])).expect("plain data");
    json.as_object_mut().expect("fields").remove("origin");
    let old: MemorySnapshot = serde_json::from_value(json).expect("the rest is there");
    assert_eq!(old.origin().pid, 0);
    assert!(!get_memory_snapshot().diff(&old).same_process);
}

#[test]
fn rows_of_one_key_are_added_up_so_that_sums_stay_whole() {
    let earlier = snapshot(7, 1, &[site("a", 1, 10, 2), site("a", 1, 20, 2)], &[]);
    let later =
        snapshot(7, 2, &[site("a", 1, 100, 2), site("a", 1, 25, 2), site("a", 1, 1, 1)], &[]);
    let diff = later.diff(&earlier);
    assert!(matches!(&*diff.sites, [one] if one.live_bytes == 96 && one.spawned == 1), "{diff}");
    assert_eq!(diff.process.tracked_bytes, 96);
}

#[test]
fn numbers_beyond_all_memory_do_not_overflow() {
    let least = snapshot(7, 1, &[site("a", 1, 0, 0)], &[]);
    let mut json = serde_json::to_value(&least).expect("plain data");
    json["sites"][0]["live_bytes"] = json!(u64::MAX);
    json["process"]["whole_bytes"] = json!(u64::MAX);
    let most: MemorySnapshot = serde_json::from_value(json).expect("numbers");
    assert_eq!(most.diff(&least).sites[0].live_bytes, i64::MAX);
    assert_eq!(least.diff(&most).process.whole_bytes, i64::MIN);
    assert!(format!("{}{:#}", most.diff(&least), least.diff(&most)).contains("8.0 EiB"));
}

#[test]
fn a_long_diff_is_cut_and_says_so() {
    let sites: Vec<Value> = (1..=30).map(|line| site("many", line, u64::from(line), 1)).collect();
    let diff = snapshot(7, 2, &sites, &[]).diff(&snapshot(7, 1, &[], &[]));
    assert!(diff.to_string().contains("… and 10 more sites"), "{diff}");
    assert!(!format!("{diff:#}").contains('…'), "{diff:#}");
}

/// The sums of the rows are the changes of the totals, to the byte.
#[track_caller]
fn check(diff: &SnapshotDiff) {
    let sum = |field: fn(&memscope_rs::async_memory::SiteDiff) -> i64| {
        diff.sites.iter().map(field).sum::<i64>()
    };
    assert!(diff.is_still && diff.measured && diff.same_process);
    assert_eq!(sum(|site| site.live_bytes), diff.process.tracked_bytes, "{diff:#}");
    assert_eq!(sum(|site| site.allocated_bytes), diff.process.tracked_allocated_bytes, "{diff:#}");
    assert_eq!(sum(|site| site.spawned), diff.process.spawned, "{diff:#}");
    assert_eq!(sum(|site| site.ended), diff.process.ended, "{diff:#}");
    assert_eq!(sum(|site| site.active), diff.process.active, "{diff:#}");
    assert_eq!(diff.process.tracked_bytes + diff.process.untracked_bytes, diff.process.whole_bytes);
}

#[test]
fn what_tasks_and_variables_did_in_between_is_in_the_diff_and_nothing_else() {
    let _alone = alone();
    let mut before_and_after = Box::pin(
        track(async {
            let held = vec![0u8; 1_000];
            memscope_tests::wait_once().await;
            drop(held);
        })
        .named("frees"),
    );
    assert!(poll(&mut before_and_after).is_pending());
    let before = conserved(&ALLOCATOR);
    check(&before.diff(&before));
    assert!(before.diff(&before).sites.is_empty(), "nothing changed");

    assert!(poll(&mut before_and_after).is_ready());
    drop(before_and_after);
    let mut kept = Vec::new();
    for name in ["keeps", "keeps", "keeps more"] {
        let bytes = if name == "keeps" { 500 } else { 7_000 };
        kept.push(block_on(
            track(async move {
                let variable = vec![0u8; bytes];
                track_var!(variable);
                variable
            })
            .named(name)
            .task_type(TaskType::MemoryIntensive),
        ));
    }
    let after = conserved(&ALLOCATOR);
    let diff = after.diff(&before);
    check(&diff);
    let rows: Vec<_> = diff
        .sites
        .iter()
        .map(|row| {
            (
                row.name.as_str(),
                row.presence,
                row.live_bytes,
                row.retained_bytes,
                row.spawned,
                row.ended,
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("keeps more", Presence::New, 7_000, 7_000, 1, 1),
            ("keeps", Presence::New, 1_000, 1_000, 2, 2),
            ("frees", Presence::Both, -1_000, 0, 0, 1),
        ]
    );
    assert!(
        matches!(
            &*diff.variable_sites,
            [row] if (row.live_bytes, row.live, row.registered) == (8_000, 3, 3)
        ),
        "{diff}"
    );
    drop(kept);
    let diff = conserved(&ALLOCATOR).diff(&after);
    check(&diff);
    assert_eq!(diff.process.tracked_bytes, -8_000);
    assert_eq!((diff.variable_sites[0].live_bytes, diff.variable_sites[0].ended), (-8_000, 3));
    let json = serde_json::to_string(&diff).expect("plain data");
    assert_eq!(serde_json::from_str::<SnapshotDiff>(&json).expect("the same"), diff);
}
