//! Reports for tests: a small shop, and random ones.

use memscope_export::page_json;
use memscope_runtime::async_memory::get_memory_snapshot;
use serde_json::{Value, json};

use super::report::Report;

const MIB: u64 = 1 << 20;

/// A snapshot of this process as JSON, without any rows.
pub(super) fn empty() -> Value {
    let mut json: Value = serde_json::from_str(&page_json(&get_memory_snapshot())).unwrap();
    for list in ["sites", "tasks", "variables", "variable_sites", "hand_overs", "trends", "stacks"]
    {
        json[list] = json!([]);
    }
    json["timeline"] = json!({ "process": [], "sites": [] });
    json["measured"] = json!("yes");
    json["resident"] = json!({});
    json["process"] = json!({
        "measured": true, "tracked_bytes": 0, "untracked_bytes": 0, "whole_bytes": 0,
        "tracked_blocks": 0, "untracked_blocks": 0, "whole_blocks": 0,
        "tracked_allocated_bytes": 0, "untracked_allocated_bytes": 0,
    });
    json["leaks"] = json!({
        "measured": true, "findings": [], "not_judged": [], "hand_overs": [],
    });
    json["program"] = json!({ "path": "/srv/shop", "build_id": null });
    json["origin"] = json!({ "pid": 4242, "started_unix_ns": 1_000 });
    json["observed_ns"] = json!(192_000_000_000_u64);
    json["await_points_measured"] = json!("on");
    json["stacks_measured"] = json!("off");
    json["is_still"] = json!(true);
    json["tool"]["own_bytes"] = json!(3 * MIB);
    json
}

pub(super) fn site(name: &str, line: u32, bytes: u64, left: u64) -> Value {
    json!({
        "name": name, "task_type": "network_intensive", "file": "src/shop.rs", "line": line,
        "measured": true, "spawned": 1_600, "active": 8, "completed": 1_590, "cancelled": 2,
        "panicked": 0, "given_up": 0, "is_annotated": true, "live_bytes": bytes, "live_blocks": 4,
        "peak_bytes": bytes / 2, "peak_sum_bytes": bytes,
        "allocated_bytes": bytes.saturating_mul(3),
        "allocation_count": 77, "ended_allocated_bytes": 0, "retained_bytes": left,
        "unjoined_bytes": 0, "retained_tasks": 9, "retained_waves": 1,
        "retained_by_eighth": [0, 0, 0, 0, 0, 0, 0, 0], "future_size_bytes": 1_232,
        "boxed_by_tokio": 0, "longest_wait_ns": 0, "wait_sum_ns": 0, "waits_timed": 0,
        "peak_histogram": [{ "up_to": 1024, "count": 1_592 }], "poll_histogram": [],
    })
}

pub(super) fn task(id: u64, name: &str, live: u64) -> Value {
    json!({
        "id": id, "parent": null, "name": name, "task_type": "mixed", "state": "idle",
        "file": "src/shop.rs", "line": 84, "measured": true, "live_bytes": live,
        "peak_bytes": live, "allocated_bytes": live, "allocation_count": 3, "freed_bytes": 0,
        "freed_elsewhere_bytes": 0, "live_blocks": 3, "future_size_bytes": 512,
        "future_type": "shop::login::{async_fn}", "poll_count": 12, "busy_ns": 12_000_000,
        "wait_ns": 9_000_000_000_u64, "timing_is_estimate": true, "idle_ns": 3_200_000_000_u64,
        "await_point": 0, "cell_bytes": 0, "is_annotated": true,
    })
}

fn await_point() -> Value {
    let frame = |function: &str, line: u32| {
        json!({
            "function": function, "file": "/home/a/shop/src/db.rs", "line": line, "size_bytes": 512,
            "locals": [{ "name": "page", "type_name": "[u8; 4096]", "bytes": 4_096,
                         "file": "src/db.rs", "line": 12 }],
        })
    };
    json!({
        "frames": [frame("shop::login::{async_fn}", 84), frame("shop::db::query", 88)],
        "stops": "waits for tokio::sync::Notified", "tasks": 8, "measured": true,
        "live_bytes": 40 * MIB, "future_size_bytes": 512, "timed": 8,
        "waited_sum_ns": 25_600_000_000_u64, "waited_p50_ns": 3_000_000_000_u64,
        "waited_p99_ns": 4_000_000_000_u64,
    })
}

pub(super) fn finding(name: &str, bytes: u64) -> Value {
    json!({
        "kind": "retained", "severity": "high", "place": { "name": name, "file": "src/shop.rs",
        "line": 84 }, "task": null, "bytes": bytes, "count": 1_600,
        "oldest_ns": 180_000_000_000_u64, "bytes_per_day": null, "variables": ["SESSIONS"],
        "evidence": "all 1,600 ended tasks still hold bytes", "fix": "put a capacity on it",
    })
}

/// A report of a shop with tasks, as JSON.
pub(super) fn shop() -> Value {
    let mut json = empty();
    json["sites"] = json!([
        site("GET /login", 84, 64 * MIB, 60 * MIB),
        site("POST /orders", 120, 40 * MIB, 0),
        site("reaper", 7, 300, 0),
    ]);
    json["tasks"] = json!([task(7, "GET /login", 3 * MIB), task(8, "POST /orders", 20 * MIB)]);
    json["await_points"] = json!([await_point()]);
    json["leaks"]["findings"] = json!([finding("GET /login", 60 * MIB)]);
    json["process"] = json!({
        "measured": true, "tracked_bytes": 104 * MIB + 300, "untracked_bytes": 20 * MIB,
        "whole_bytes": 124 * MIB + 300, "tracked_blocks": 9, "untracked_blocks": 9,
        "whole_blocks": 18, "tracked_allocated_bytes": 512 * MIB,
        "untracked_allocated_bytes": 99 * MIB,
    });
    json["resident"] = json!({
        "resident_bytes": 205 * MIB, "limit_bytes": 256 * MIB, "limit_source": "cgroup_v2",
        "live_bytes": 124 * MIB, "memscope_bytes": 3 * MIB, "allocator_free_bytes": 40 * MIB,
        "rest_bytes": 38 * MIB,
    });
    let points = (0..64_u64).map(|at| {
        let bytes = (at + 1) * 2 * MIB;
        json!({ "at_ns": at * 3_000_000_000, "tracked_bytes": bytes, "untracked_bytes": 0,
                "whole_bytes": bytes })
    });
    json["timeline"] = json!({ "process": points.collect::<Vec<_>>(), "sites": [] });
    json["variable_sites"] = json!([{
        "name": "SESSIONS", "type_name": "HashMap<u64, Session>", "file": "src/shop.rs",
        "line": 12, "stack_bytes": 48, "registered": 1, "live": 1, "ended": 0, "repeated": 0,
        "unfollowed": 0, "live_bytes": 60 * MIB, "largest_bytes": 60 * MIB, "lifetime_sum_ns": 0,
        "longest_lifetime_ns": 0,
    }]);
    json["hand_overs"] = json!([{
        "from": { "name": "GET /login", "file": "src/shop.rs", "line": 84 },
        "to": { "name": "reaper", "file": "src/shop.rs", "line": 7 }, "blocks": 4,
        "bytes": 4_096,
    }]);
    json["stacks_measured"] = json!("on");
    json["stacks"] = json!([{
        "frames": [
            { "function": "shop::session::Store::insert", "file": "src/session.rs", "line": 41,
              "address": 4_096 },
            { "function": "shop::login", "file": "src/shop.rs", "line": 84, "address": 8_192 },
        ],
        "is_cut": false, "is_untracked": false, "site": 0, "task": null,
        "live_bytes": 48 * MIB, "allocated_bytes": 90 * MIB, "live_samples": 24, "samples": 45,
    }]);
    json
}

pub(super) fn report(json: &Value) -> Box<Report> {
    Box::new(Report::read(&json.to_string()).unwrap())
}
