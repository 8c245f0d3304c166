//! Snapshots for tests, built from JSON as any program could have stored it.

use serde_json::{Value, json};

use crate::snapshot::MemorySnapshot;

/// Returns `value` with the fields of `changes` in place of its own.
fn with(mut value: Value, changes: &Value) -> Value {
    for (field, change) in changes.as_object().into_iter().flatten() {
        value[field] = change.clone();
    }
    value
}

pub(crate) fn place(name: &str) -> Value {
    json!({ "name": name, "file": format!("src/{name}.rs"), "line": 7 })
}

/// A site of 100 completed tasks that left nothing behind.
pub(crate) fn site(name: &str, changes: &Value) -> Value {
    let site = json!({
        "task_type": "network_intensive", "measured": true, "spawned": 100, "active": 0, "completed": 100,
        "cancelled": 0, "panicked": 0, "given_up": 0, "is_annotated": true, "live_bytes": 0, "live_blocks": 0, "peak_bytes": 4096, "peak_sum_bytes": 4096,
        "allocated_bytes": 409_600, "allocation_count": 400, "ended_allocated_bytes": 409_600, "retained_bytes": 0,
        "unjoined_bytes": 0, "retained_tasks": 0, "oldest_retained_ns": null, "retained_waves": 0,
        "retained_by_eighth": [0, 0, 0, 0, 0, 0, 0, 0], "future_size_bytes": 64, "argument_bytes": null, "boxed_by_tokio": 0,
        "longest_wait_ns": 0, "wait_sum_ns": 0, "waits_timed": 100, "peak_histogram": [], "poll_histogram": [],
        "idle_histogram": [], "lifetime_histogram": [],
    });
    with(with(site, &place(name)), changes)
}

/// An idle task that holds 4 KiB.
pub(crate) fn task(id: u64, name: &str, changes: &Value) -> Value {
    let task = json!({
        "id": id, "parent": null, "task_type": "network_intensive", "state": "idle", "measured": true,
        "live_bytes": 4096, "peak_bytes": 4096, "allocated_bytes": 8192, "allocation_count": 2, "freed_bytes": 4096,
        "freed_elsewhere_bytes": 0, "live_blocks": 1, "future_size_bytes": 64,
        "future_type": format!("app::{name}::{{{{closure}}}}"), "poll_count": 2, "busy_ns": 5, "wait_ns": 5,
        "timing_is_estimate": false, "idle_ns": 0, "scheduled_ns": null, "cell_bytes": 0, "is_annotated": true,
    });
    with(with(task, &place(name)), changes)
}

/// A live `Vec<u8>` of 4 KiB that belongs to a task.
pub(crate) fn variable(name: &str, task: u64, changes: &Value) -> Value {
    let variable = json!({
        "name": name, "type_name": "alloc::vec::Vec<u8>", "file": "src/vars.rs", "line": 3, "task": task, "freed_by": null,
        "stack_bytes": 24, "heap_bytes": 4096, "extent": "whole", "live": true, "lifetime_ns": 5,
    });
    with(variable, changes)
}

/// A trend with one sample a minute: live bytes, and bytes allocated until then.
pub(crate) fn trend(task: Option<u64>, name: &str, points: &[(u64, u64)]) -> Value {
    let points: Vec<Value> = (1_u64..)
        .zip(points)
        .map(|(minute, (live, allocated))| {
            json!({ "at_ns": minute * 60_000_000_000, "live_bytes": live, "allocated_bytes": allocated })
        })
        .collect();
    json!({ "task": task, "place": place(name), "points": points })
}

pub(crate) fn hand_over(from: Option<&str>, to: Option<&str>, blocks: u64, bytes: u64) -> Value {
    json!({ "from": from.map(place), "to": to.map(place), "blocks": blocks, "bytes": bytes })
}

/// A process of 100 MiB, observed for ten minutes; `parts` are the fields that differ.
pub(crate) fn snapshot(parts: &Value) -> MemorySnapshot {
    serde_json::from_value(snapshot_json(parts)).expect("a snapshot")
}

pub(crate) fn snapshot_json(parts: &Value) -> Value {
    let whole = 100 << 20;
    let snapshot = json!({
        "measured": "yes", "is_still": true, "timing_is_off": false, "observed_ns": 600_000_000_000_u64,
        "spawned_tasks": 100, "active_tasks": 0, "peak_concurrent_tasks": 4,
        "process": {
            "measured": true, "tracked_bytes": whole, "untracked_bytes": 0, "whole_bytes": whole, "tracked_blocks": 8,
            "untracked_blocks": 1, "whole_blocks": 9, "tracked_allocated_bytes": whole, "untracked_allocated_bytes": 0,
        },
        "tool": {
            "own_bytes": 2048, "events_dropped": 0, "ended_tasks_forgotten": 0, "tasks_without_record": 0,
            "tasks_in_other": 0, "hand_overs_lost": 0, "tasks_split": 0, "ring_events": 0, "ring_events_dropped": 0, "heap_bytes": 0,
            "heap_blocks": 0, "collector_is_running": false,
        },
        "tasks": [], "sites": [], "variables": [], "variable_sites": [], "hand_overs": [], "trends": [],
        "timeline": { "process": [], "sites": [] }, "events": [],
        "runtime": {
            "measured": true, "worker_threads": 2, "worker_bytes": 0, "cells": 0, "cell_overhead_bytes": 0,
        },
    });
    with(snapshot, parts)
}

/// The functions of code that fills a map, and of code that makes buffers.
pub(crate) const MAP: [&str; 2] = ["hashbrown::map::HashMap<K,V>::insert", "app::remember"];
pub(crate) const PAGES: [&str; 2] = ["alloc::vec::from_elem", "app::page"];

/// A stack outside of tasks with this many MiB after each of ten spans of time, and a sample for
/// each two.
pub(crate) fn stack_outside(functions: [&str; 2], span_ns: u64, mib: impl Fn(u64) -> u64) -> Value {
    let frames = functions.map(|function| json!({ "function": function }));
    let points: Vec<Value> = (0..=10)
        .map(|span| json!({ "at_ns": span * span_ns, "live_bytes": mib(span) << 20, "allocated_bytes": 0 }))
        .collect();
    json!({
        "frames": frames, "is_untracked": true, "live_bytes": mib(10) << 20,
        "live_samples": mib(10) / 2, "samples": mib(10) / 2, "points": points,
    })
}

/// A snapshot in which the bytes outside of tasks are those of such stacks.
pub(crate) fn outside_of_tasks(stacks: &[Value]) -> MemorySnapshot {
    let sum = |at: usize| -> u64 {
        let of = |stack: &Value| stack["points"][at]["live_bytes"].as_u64().expect("bytes");
        stacks.iter().map(of).sum()
    };
    let process: Vec<Value> = (0..=10)
        .map(|at| {
            let bytes = sum(at);
            let at_ns = &stacks[0]["points"][at]["at_ns"];
            json!({ "at_ns": at_ns, "tracked_bytes": 0, "untracked_bytes": bytes, "whole_bytes": bytes })
        })
        .collect();
    let mut json = snapshot_json(&json!({
        "stacks": stacks, "stack_interval_bytes": 2 << 20,
        "timeline": { "process": process, "sites": [] },
    }));
    json["process"]["untracked_bytes"] = json!(sum(10));
    json["process"]["untracked_allocated_bytes"] = json!(sum(10));
    serde_json::from_value(json).expect("a snapshot")
}
