//! The update of a large service is bounded, and counts what it leaves out.

use memscope_export::{page_json, page_update};
use memscope_runtime::async_memory::{MemorySnapshot, get_memory_snapshot};
use serde_json::{Value, json};

use crate::support::{await_point, site, stack, task};

const MOST: usize = 200_000;

/// 5,000 sites with long names, 30,000 tasks, 100 deep stacks and 120 series of 64 points.
fn large() -> MemorySnapshot {
    let mut all: Value = serde_json::from_str(&page_json(&get_memory_snapshot())).expect("JSON");
    let name = |number: u32| format!("{}{number}", "service::".repeat(20));
    let sites = 0..5_000_u32;
    all["sites"] = sites
        .map(|number| site(&name(number), number, 1_000_000 - u64::from(number), &json!({})))
        .collect();
    all["tasks"] = (1..=30_000_u64)
        .map(|id| {
            let waits_at = if id == 30_000 { json!(1_999) } else { Value::Null };
            task(id, &name(0), 0, id * 10, &json!({ "await_point": waits_at }))
        })
        .collect();
    let functions = vec!["service::a_function_with_a_name_of_some_length"; 40];
    all["stacks"] = (0..100_u64)
        .map(|at| stack(&functions, 1_000_000 - at, &json!({ "site": 4_999 - at })))
        .collect();
    all["await_points"] = (0..2_000).map(|line| await_point(&[line])).collect();
    all["timeline"]["sites"] = (0..120_u32)
        .map(|number| {
            let point = |at: u64| json!({ "at_ns": at, "live_bytes": 1, "allocated_bytes": 1 });
            json!({
                "task": null, "place": { "name": name(number), "file": "src/a.rs", "line": number },
                "points": (0..64).map(point).collect::<Vec<_>>(),
            })
        })
        .collect();
    MemorySnapshot::from_json(&all.to_string()).expect("a report")
}

#[test]
fn an_update_of_a_large_service_is_bounded_and_has_the_largest_rows() {
    let snapshot = large();
    let whole = page_json(&snapshot);
    assert!(whole.len() > 20 * MOST, "{} bytes", whole.len());
    let text = page_update(&snapshot, MOST);
    assert!((MOST / 3..=MOST).contains(&text.len()), "{} bytes", text.len());
    let update: Value = serde_json::from_str(&text).expect("JSON");
    let rows = |list: &str| update[list].as_array().expect("a list").len();
    let left_out = |list: &str| update["left_out"][list].as_u64().expect("a count");
    for (list, all) in
        [("sites", 5_000), ("tasks", 30_000), ("stacks", 100), ("await_points", 2_000)]
    {
        assert!(rows(list) > 0, "{list}");
        assert_eq!(rows(list) as u64 + left_out(list), all, "{list}");
    }
    assert_eq!(update["sites"][0]["live_bytes"], 1_000_000);
    assert_eq!(update["tasks"][0]["id"], 30_000, "the largest");
    assert!(!update["timeline"]["sites"].as_array().expect("a list").is_empty());
    let read = MemorySnapshot::from_json(&text).expect("a report");
    assert_eq!(read.process(), snapshot.process(), "sums are whole");
}

#[test]
fn what_rows_refer_to_is_there_and_is_the_same() {
    let snapshot = large();
    let update = MemorySnapshot::from_json(&page_update(&snapshot, MOST)).expect("a report");
    for (stack, whole) in update.stacks().iter().zip(snapshot.stacks()) {
        let name = |snapshot: &MemorySnapshot, site: Option<usize>| {
            snapshot.sites()[site.expect("a site")].name.clone()
        };
        assert_eq!(name(&update, stack.site), name(&snapshot, whole.site));
    }
    let task = &update.tasks()[0];
    let point = update.await_point_of(task).expect("a point");
    assert_eq!(point.frames[0].line, 1_999);
}

#[test]
fn of_a_small_program_nothing_is_left_out() {
    let sites = [site("a", 1, 10, &json!({})), site("b", 2, 20, &json!({}))];
    let lists = json!({
        "tasks": [task(2, "b", 2, 20, &json!({})), task(1, "a", 1, 10, &json!({}))],
        "stacks": [stack(&["f", "g"], 10, &json!({ "site": 1 }))],
        "await_points": [await_point(&[3, 4])],
    });
    let snapshot = crate::support::snapshot(&sites, &lists);
    let mut whole: Value = serde_json::from_str(&page_json(&snapshot)).expect("JSON");
    whole["left_out"] = json!({});
    let update: Value = serde_json::from_str(&page_update(&snapshot, MOST)).expect("JSON");
    assert_eq!(update, whole);
}
