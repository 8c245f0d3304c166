//! Snapshots as a program may have stored them, and profiles read back.
#![allow(dead_code, reason = "each test uses a part")]

#[path = "../../src/pprof/proto.rs"]
pub(crate) mod proto;

use std::{collections::BTreeMap, io::Read as _};

use flate2::read::GzDecoder;
use memscope_export::{PprofKind, pprof};
use memscope_runtime::async_memory::MemorySnapshot;
use prost::Message;
use proto::{Profile, Sample};
use serde_json::{Value, json};

/// Replaces fields of an object.
fn with(mut value: Value, changes: &Value) -> Value {
    for (field, change) in changes.as_object().into_iter().flatten() {
        value[field] = change.clone();
    }
    value
}

/// A site that has allocated twice of what it holds, at a place of its own.
pub(crate) fn site(name: &str, line: u32, live_bytes: u64, changes: &Value) -> Value {
    let site = json!({
        "name": name, "file": "src/app.rs", "line": line, "task_type": "network_intensive",
        "measured": true, "spawned": 9, "active": 4, "completed": 3, "cancelled": 2, "panicked": 0,
        "given_up": 0, "is_annotated": true, "live_bytes": live_bytes, "live_blocks": 3,
        "peak_bytes": 4096, "peak_sum_bytes": 4096, "allocated_bytes": live_bytes.saturating_mul(2),
        "allocation_count": 7, "ended_allocated_bytes": 0, "retained_bytes": 0, "unjoined_bytes": 0,
        "retained_tasks": 0, "oldest_retained_ns": null, "retained_waves": 0,
        "retained_by_eighth": [0, 0, 0, 0, 0, 0, 0, 0], "future_size_bytes": 64,
        "argument_bytes": null, "boxed_by_tokio": 0, "longest_wait_ns": 0, "wait_sum_ns": 0,
        "waits_timed": 0, "peak_histogram": [], "poll_histogram": [],
    });
    with(site, changes)
}

/// A task of the site with this name and line.
pub(crate) fn task(id: u64, name: &str, line: u32, live_bytes: u64, changes: &Value) -> Value {
    let task = json!({
        "id": id, "parent": null, "name": name, "file": "src/app.rs", "line": line,
        "task_type": "network_intensive", "state": "idle", "measured": true,
        "live_bytes": live_bytes, "peak_bytes": live_bytes, "allocated_bytes": live_bytes,
        "allocation_count": 1, "freed_bytes": 0, "freed_elsewhere_bytes": 0, "live_blocks": 1,
        "future_size_bytes": 64, "future_type": "", "poll_count": 2, "busy_ns": 5, "wait_ns": 5,
        "timing_is_estimate": false, "idle_ns": 0, "cell_bytes": 0, "is_annotated": true,
    });
    with(task, changes)
}

/// A stack of these functions, the innermost first, at addresses of a program that was loaded at
/// `0x5000_0000`.
pub(crate) fn stack(functions: &[&str], live_bytes: u64, changes: &Value) -> Value {
    let frames = (1..).zip(functions).map(|(number, function): (u64, &&str)| {
        let offset = 0x100 * number;
        json!({ "function": function, "address": 0x5000_0000 + offset, "offset": offset })
    });
    let stack = json!({
        "frames": frames.collect::<Vec<_>>(), "live_bytes": live_bytes, "live_samples": 5,
        "allocated_bytes": live_bytes, "samples": 6,
    });
    with(stack, changes)
}

/// A chain of `.await`s at these lines, the outermost first.
pub(crate) fn await_point(lines: &[u32]) -> Value {
    let frames = lines.iter().map(|line| {
        json!({
            "function": format!("app::at_{line}"), "file": "src/app.rs", "line": line,
            "size_bytes": 8, "locals": [],
        })
    });
    json!({
        "frames": frames.collect::<Vec<_>>(), "stops": "", "tasks": 1, "measured": true,
        "live_bytes": 1, "future_size_bytes": 8, "timed": 0, "waited_sum_ns": 0,
        "waited_p50_ns": null, "waited_p99_ns": null,
    })
}

/// A snapshot whose process has the sums of its sites, and 1,000 bytes outside of tasks.
pub(crate) fn snapshot(sites: &[Value], changes: &Value) -> MemorySnapshot {
    let sum = |field: &str| {
        let figures = sites.iter().filter_map(|site| site[field].as_u64());
        figures.fold(0, u64::saturating_add)
    };
    let live = sum("live_bytes");
    let json = json!({
        "origin": { "pid": 7, "started_unix_ns": 1_700_000_000_000_000_000_u64 },
        "measured": "yes", "is_still": true, "timing_is_off": false,
        "observed_ns": 60_000_000_000_u64, "spawned_tasks": sum("spawned"),
        "active_tasks": sum("active"), "peak_concurrent_tasks": 4,
        "process": {
            "measured": true, "tracked_bytes": live, "untracked_bytes": 1_000,
            "whole_bytes": live.saturating_add(1_000), "tracked_blocks": sum("live_blocks"),
            "untracked_blocks": 5, "whole_blocks": sum("live_blocks").saturating_add(5),
            "tracked_allocated_bytes": sum("allocated_bytes"), "untracked_allocated_bytes": 3_000,
            "untracked_allocation_count": 11,
        },
        "tool": {
            "own_bytes": 2048, "events_dropped": 2, "ended_tasks_forgotten": 0,
            "tasks_without_record": 0, "tasks_in_other": 0, "hand_overs_lost": 0, "tasks_split": 0,
            "ring_events_dropped": 3, "looks": 3, "longest_look_ns": 1_250_000,
        },
        "tasks": [], "sites": sites, "variables": [], "variable_sites": [], "hand_overs": [],
        "trends": [],
        "runtime": {
            "measured": true, "worker_threads": 2, "worker_bytes": 0, "cells": 0,
            "cell_overhead_bytes": 0,
        },
        "program": { "path": "/app/bin/shop", "build_id": "c0ffee" },
        "stacks_measured": "on", "stack_interval_bytes": 2 << 20,
    });
    serde_json::from_value(with(json, changes)).expect("a snapshot")
}

/// A profile that was read back, with texts in place of their indices.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) profile: Profile,
}

/// A sample with its functions, the innermost first, and its labels.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadSample {
    pub(crate) functions: Vec<String>,
    pub(crate) values: (u64, u64),
    pub(crate) labels: BTreeMap<String, String>,
}

impl Read {
    pub(crate) fn of(snapshot: &MemorySnapshot, kind: PprofKind) -> Self {
        let mut bytes = Vec::new();
        let gzip = pprof(snapshot, kind);
        GzDecoder::new(&gzip[..]).read_to_end(&mut bytes).expect("gzip");
        Self { profile: Profile::decode(&bytes[..]).expect("a profile") }
    }

    pub(crate) fn text(&self, index: i64) -> &str {
        &self.profile.string_table[usize::try_from(index).expect("an index")]
    }

    pub(crate) fn comments(&self) -> Vec<&str> {
        self.profile.comment.iter().map(|comment| self.text(*comment)).collect()
    }

    pub(crate) fn samples(&self) -> Vec<ReadSample> {
        self.profile.sample.iter().map(|sample| self.sample(sample)).collect()
    }

    fn sample(&self, sample: &Sample) -> ReadSample {
        let functions = sample.location_id.iter().map(|id| self.function(*id));
        let labels = sample.label.iter().map(|label| {
            let value = if label.str == 0 {
                label.num.to_string()
            } else {
                self.text(label.str).to_owned()
            };
            (self.text(label.key).to_owned(), value)
        });
        let values = sample.value.iter().map(|value| u64::try_from(*value).expect("not below 0"));
        let &[bytes, blocks] = &values.collect::<Vec<_>>()[..] else { panic!("two values") };
        ReadSample {
            functions: functions.map(str::to_owned).collect(),
            values: (bytes, blocks),
            labels: labels.collect(),
        }
    }

    fn function(&self, location: u64) -> &str {
        let location = self.profile.location.iter().find(|it| it.id == location).expect("it");
        let [line] = &location.line[..] else { panic!("one line: {location:?}") };
        let function = self.profile.function.iter().find(|it| it.id == line.function_id);
        self.text(function.expect("it").name)
    }

    /// The sums of both values.
    pub(crate) fn sums(&self) -> (u64, u64) {
        let samples = self.samples();
        let sum = |value: fn(&ReadSample) -> u64| samples.iter().map(value).sum();
        (sum(|it| it.values.0), sum(|it| it.values.1))
    }

    /// The sums of both values of the samples with this label. An empty value means samples without
    /// the label.
    pub(crate) fn sums_of(&self, label: &str, value: &str) -> (u64, u64) {
        let samples = self.samples();
        let has = |it: &&ReadSample| it.labels.get(label).map_or("", String::as_str) == value;
        let sum = |field: fn(&ReadSample) -> u64| samples.iter().filter(has).map(field).sum();
        (sum(|it| it.values.0), sum(|it| it.values.1))
    }
}
