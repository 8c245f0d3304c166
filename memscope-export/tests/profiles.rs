//! What a profile says of a snapshot: exact sums, estimates, labels and places.

use std::collections::BTreeMap;

use memscope_export::{PprofKind, folded, folded_of, speedscope};
use memscope_runtime::async_memory::MemorySnapshot;
use serde_json::{Value, json};

use crate::support::{Read, ReadSample, await_point, site, snapshot, stack, task};

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

fn sample(functions: &[&str], values: (u64, u64), of: &[(&str, &str)]) -> ReadSample {
    let functions = functions.iter().map(|it| (*it).to_owned()).collect();
    ReadSample { functions, values, labels: labels(of) }
}

/// Two sites. The stacks of the first have less than the site, and the stack of the second has
/// more.
fn shop() -> MemorySnapshot {
    let stacks = [
        stack(&["alloc::raw_vec::finish_grow", "shop::fill", "main"], 600, &json!({ "site": 0 })),
        stack(&["shop::log", "main"], 300, &json!({ "site": 0, "is_cut": true })),
        stack(&["shop::page"], 900, &json!({ "site": 1 })),
        stack(&["", "main"], 400, &json!({ "is_untracked": true })),
    ];
    snapshot(
        &[site("GET /orders", 3, 1_000, &json!({})), site("page", 9, 500, &json!({}))],
        &json!({ "stacks": stacks }),
    )
}

#[test]
fn what_has_no_stack_is_below_a_root_of_its_own_and_all_sums_are_exact() {
    let of_orders = [("site", "GET /orders"), ("task_type", "network")];
    let of_page = [("site", "page"), ("task_type", "network")];
    let estimate = [("figure", "estimate"), ("samples", "5")];
    let rest = [("figure", "exact less estimates")];
    let profile = Read::of(&shop(), PprofKind::Live);
    assert_eq!(
        profile.samples(),
        [
            sample(
                &["alloc::raw_vec::finish_grow", "shop::fill", "main"],
                (600, 0),
                &[of_orders, estimate].concat()
            ),
            sample(
                &["shop::log", "main", "(calls further out)"],
                (300, 0),
                &[of_orders, estimate].concat()
            ),
            sample(
                &["site GET /orders", "(no stack)"],
                (100, 3),
                &[&of_orders[..], &rest].concat()
            ),
            sample(&["shop::page"], (500, 0), &[of_page, estimate].concat()),
            sample(&["site page", "(no stack)"], (0, 3), &[&of_page[..], &rest].concat()),
            sample(&["program+0x100", "main"], (400, 0), &estimate),
            sample(&["(no task)", "(no stack)"], (600, 5), &rest),
        ]
    );
    assert_eq!(profile.sums(), (2_500, 11));
    let allocated = Read::of(&shop(), PprofKind::Allocated);
    assert_eq!(allocated.sums(), (2_000 + 1_000 + 3_000, 7 + 7 + 11));
    assert_eq!(allocated.sums_of("site", "page"), (1_000, 7));
    assert_eq!(allocated.sums_of("site", ""), (3_000, 11));
}

#[test]
fn what_a_task_holds_has_its_label_and_the_await_point_at_which_it_waits() {
    let tasks = [
        task(1, "conn", 3, 400, &json!({ "await_point": 0 })),
        task(2, "conn", 3, 90, &json!({ "await_point": 0 })),
        task(3, "conn", 3, 10, &json!({ "state": "running" })),
    ];
    let of_one = stack(&["shop::fill"], 300, &json!({ "site": 0, "task": 1 }));
    let parts = |stacks: Value| json!({ "tasks": tasks, "await_points": [await_point(&[5, 7])], "stacks": stacks });
    let of_site = [site("conn", 3, 1_000, &json!({ "live_blocks": 9 }))];
    let profile = Read::of(&snapshot(&of_site, &parts(json!([of_one]))), PprofKind::Live);
    let at = "src/app.rs:7 under src/app.rs:5";
    let of = |task: &str, more: &[(&str, &str)]| {
        let mut labels = vec![("site", "conn"), ("task_type", "network")];
        labels.extend([("task", task)].into_iter().filter(|it| !it.1.is_empty()));
        labels.extend(more);
        self::labels(&labels)
    };
    let waits = ["app::at_7", "app::at_5", "site conn", "(no stack)"];
    let found: Vec<_> =
        profile.samples().into_iter().filter(|it| it.labels.contains_key("site")).collect();
    let sample = |functions: &[&str], values, labels| ReadSample {
        labels,
        ..sample(functions, values, &[])
    };
    assert_eq!(
        found,
        [
            sample(
                &["shop::fill"],
                (300, 0),
                of("1", &[("await_point", at), ("figure", "estimate"), ("samples", "5")])
            ),
            sample(&["site conn", "(no stack)"], (500, 6), of("", &[("figure", "exact")])),
            sample(
                &waits,
                (100, 1),
                of("1", &[("await_point", at), ("figure", "exact less estimates")])
            ),
            sample(&waits, (90, 1), of("2", &[("await_point", at), ("figure", "exact")])),
            sample(&["site conn", "(no stack)"], (10, 1), of("3", &[("figure", "exact")])),
        ]
    );
    // This stack belongs to several tasks. So it is not known what each of them holds beside the
    // stack.
    let of_several = stack(&["shop::fill"], 300, &json!({ "site": 0 }));
    let profile = Read::of(&snapshot(&of_site, &parts(json!([of_several]))), PprofKind::Live);
    assert_eq!(profile.sums_of("site", "conn"), (1_000, 9));
    assert!(profile.samples().iter().all(|it| !it.labels.contains_key("task")));
    // The task of a stack is that of its live blocks, and need not be the task that has allocated.
    let allocated = Read::of(&snapshot(&of_site, &parts(json!([of_one]))), PprofKind::Allocated);
    assert!(allocated.samples().iter().all(|it| !it.labels.contains_key("task")));
}

#[test]
fn no_task_has_more_than_it_holds_and_small_tasks_share_a_sample() {
    let mut tasks = vec![task(1, "conn", 3, 50, &json!({}))];
    tasks.extend((2..=3_000).map(|id| task(id, "conn", 3, 1, &json!({ "await_point": id % 2 }))));
    let points = [await_point(&[5]), await_point(&[6])];
    let too_much = stack(&["shop::fill"], 90, &json!({ "site": 0, "task": 1 }));
    let parts = json!({ "tasks": tasks, "await_points": points, "stacks": [too_much] });
    let sites = [site("conn", 3, 50 + 2_999, &json!({ "live_blocks": 3_000 }))];
    let profile = Read::of(&snapshot(&sites, &parts), PprofKind::Live);
    assert_eq!(profile.sums_of("site", "conn"), (3_049, 3_000));
    assert_eq!(profile.sums_of("task", "1"), (50, 0), "its block is in a sample that is shared");
    assert_eq!(profile.sums_of("await_point", "src/app.rs:6"), (1_499, 1_499));
    assert!(profile.samples().len() < 1_010, "{}", profile.samples().len());
}

#[test]
fn a_task_whose_site_is_not_clear_is_in_no_sample_of_its_own() {
    let twins = [site("conn", 3, 100, &json!({})), site("conn", 3, 100, &json!({}))];
    let tasks = json!({ "tasks": [task(1, "conn", 3, 60, &json!({}))] });
    let profile = Read::of(&snapshot(&twins, &tasks), PprofKind::Live);
    assert_eq!(profile.sums_of("task", ""), (1_200, 11));
    // Nor is a task counted that has more than its site.
    let tasks = json!({ "tasks": [task(1, "conn", 3, 101, &json!({}))] });
    let profile = Read::of(&snapshot(&twins[..1], &tasks), PprofKind::Live);
    assert_eq!(profile.sums_of("task", ""), (1_100, 8));
}

#[test]
fn what_sites_without_a_row_hold_is_said_so() {
    let mut json = serde_json::to_value(shop()).expect("json");
    json["process"]["tracked_bytes"] = json!(1_700);
    json["process"]["tracked_blocks"] = json!(8);
    let snapshot = serde_json::from_value(json).expect("a snapshot");
    let profile = Read::of(&snapshot, PprofKind::Live);
    assert_eq!(profile.sums(), (2_700, 13));
    let found = profile.samples();
    let expected = ["(sites without a row)", "(no stack)"];
    let of_none = found.iter().find(|it| it.functions == expected).expect("it");
    assert_eq!((of_none.values, &of_none.labels), ((200, 2), &labels(&[("figure", "exact")])));
}

#[test]
fn a_profile_says_when_it_was_taken_of_which_build_and_what_it_is() {
    let read = Read::of(&shop(), PprofKind::Live);
    let profile = &read.profile;
    let types: Vec<_> =
        profile.sample_type.iter().map(|it| (read.text(it.r#type), read.text(it.unit))).collect();
    assert_eq!(types, [("live_bytes", "bytes"), ("live_blocks", "count")]);
    assert_eq!(read.text(profile.default_sample_type), "live_bytes");
    let period = profile.period_type.as_ref().expect("a period");
    assert_eq!((read.text(period.r#type), read.text(period.unit)), ("space", "bytes"));
    assert_eq!((profile.period, profile.duration_nanos), (2 << 20, 60_000_000_000));
    assert_eq!(profile.time_nanos, 1_700_000_060_000_000_000);
    let [mapping] = &profile.mapping[..] else { panic!("one mapping") };
    assert_eq!(
        (mapping.memory_start, mapping.memory_limit, read.text(mapping.filename)),
        (0x5000_0000, 0x5000_1000, "/app/bin/shop")
    );
    assert_eq!(read.text(mapping.build_id), "c0ffee");
    let in_program = profile.location.iter().filter(|it| it.address != 0);
    assert!(in_program.clone().count() > 3 && in_program.clone().all(|it| it.mapping_id == 1));
    let comments = read.comments();
    assert_eq!(comments[0], "memscope: live_bytes and live_blocks of shop, 60.0 s after the start");
    assert!(comments.iter().any(|it| it.starts_with("estimates: ")), "{comments:?}");
    let allocated = Read::of(&shop(), PprofKind::Allocated);
    let types = allocated.profile.sample_type.iter().map(|it| allocated.text(it.r#type));
    assert_eq!(types.collect::<Vec<_>>(), ["allocated_bytes", "allocations"]);
}

#[test]
fn a_call_outside_of_the_program_is_in_no_mapping() {
    let frames = json!([
        { "function": "malloc_hook", "address": 0x7f00_u64 },
        { "function": "app::a", "address": 0x5010, "offset": 0x10 },
        { "function": "damaged", "address": 0x10, "offset": 0x20 },
        { "function": "elsewhere", "address": 0x9010, "offset": 0x10 },
    ]);
    let stacks =
        [json!({ "frames": frames, "is_untracked": true, "live_bytes": 5, "live_samples": 1 })];
    let read = Read::of(&snapshot(&[], &json!({ "stacks": stacks })), PprofKind::Live);
    let places = read.profile.location.iter().map(|it| (it.address, it.mapping_id));
    let places: Vec<_> = places.filter(|it| it.0 != 0).collect();
    assert_eq!(places, [(0x7f00, 0), (0x5010, 1), (0x10, 0), (0x9010, 0)], "the innermost first");
}

#[test]
fn a_call_in_a_shared_library_is_in_the_mapping_of_its_build() {
    let library = |function: &str, path: &str, address: u64, offset: u64| json!({ "function": function, "address": address, "offset": offset, "library": path });
    let frames = json!([
        library("malloc_hook", "/lib/a.so", 0x7f00_0010, 0x10),
        library("deep", "/lib/a.so", 0x7f00_5020, 0x5020),
        library("unlisted", "/lib/b.so", 0x8f00_0010, 0x10),
        library("loaded_again", "/lib/a.so", 0x9f00_0010, 0x10),
        { "function": "app::a", "address": 0x5010, "offset": 0x10 },
        library("damaged", "/lib/a.so", 0x10, 0x20),
    ]);
    let stacks =
        [json!({ "frames": frames, "is_untracked": true, "live_bytes": 5, "live_samples": 1 })];
    let libraries = [json!({ "path": "/lib/a.so", "build_id": "abcd" })];
    let parts = json!({ "stacks": stacks, "libraries": libraries });
    let read = Read::of(&snapshot(&[], &parts), PprofKind::Live);
    let mappings = read.profile.mapping.iter().map(|it| {
        let (file, build) = (read.text(it.filename), read.text(it.build_id));
        (it.id, file, build, it.memory_start, it.memory_limit)
    });
    let expected = [
        (1, "/app/bin/shop", "c0ffee", 0x5000, 0x6000),
        (2, "/lib/a.so", "abcd", 0x7f00_0000, 0x7f00_6000),
        (3, "/lib/b.so", "", 0x8f00_0000, 0x8f00_1000),
        (4, "/lib/a.so", "abcd", 0x9f00_0000, 0x9f00_1000),
    ];
    assert_eq!(mappings.collect::<Vec<_>>(), expected);
    let places = read.profile.location.iter().map(|it| (it.address, it.mapping_id));
    let places: Vec<_> = places.filter(|it| it.0 != 0).collect();
    let expected = [
        (0x7f00_0010, 2),
        (0x7f00_5020, 2),
        (0x8f00_0010, 3),
        (0x9f00_0010, 4),
        (0x5010, 1),
        (0x10, 0),
    ];
    assert_eq!(places, expected, "the innermost first");
}

#[test]
fn what_is_not_measured_has_no_sample_and_the_reason_is_said() {
    let off = json!({ "measured": "not_installed", "stacks": [stack(&["a"], 5, &json!({}))] });
    let snapshot = snapshot(&[site("a", 1, 5, &json!({}))], &off);
    for kind in [PprofKind::Live, PprofKind::Allocated] {
        let profile = Read::of(&snapshot, kind);
        assert_eq!(profile.samples(), []);
        assert!(profile.comments()[1].starts_with("not measured: memscope's allocator is not"));
        assert_eq!(folded_of(&snapshot, kind), "");
    }
    let json: Value = serde_json::from_str(&speedscope(&snapshot)).expect("json");
    assert_eq!(json["profiles"][0]["samples"], json!([]));
    // An old file lacks the number of allocations outside of tasks.
    let mut old = serde_json::to_value(shop()).expect("json");
    old["process"]["untracked_allocation_count"] = Value::Null;
    let old: MemorySnapshot = serde_json::from_value(old).expect("a snapshot");
    let read = Read::of(&old, PprofKind::Allocated);
    let said = "allocations outside every task are not known, and 0 here";
    assert!(read.comments().contains(&said), "{:?}", read.comments());
    assert!(!Read::of(&shop(), PprofKind::Allocated).comments().contains(&said));
}

#[test]
fn folded_stacks_have_their_site_as_root_and_mark_estimates() {
    let expected = "\
site_GET_/orders;≈_sampled_stacks;main;shop::fill;alloc::raw_vec::finish_grow 600
site_GET_/orders;≈_sampled_stacks;(calls_further_out);main;shop::log 300
site_GET_/orders;(no_stack) 100
site_page;≈_sampled_stacks;shop::page 500
(no_task);≈_sampled_stacks;main;program+0x100 400
(no_task);(no_stack) 600
";
    assert_eq!(folded(&shop()), expected);
    let hostile = site("a;b 12\n34\t\u{1b}\u{a0}c", 1, 7, &json!({}));
    let line = folded(&snapshot(&[hostile], &json!({})));
    assert_eq!(line.lines().next(), Some("site_a,b_12\\n34\\t\\u{1b}\\u{a0}c;(no_stack) 7"));
}

#[test]
fn speedscope_has_a_profile_of_live_and_one_of_allocated_bytes() {
    let json: Value = serde_json::from_str(&speedscope(&shop())).expect("json");
    assert_eq!(json["name"], "shop");
    let frames = json["shared"]["frames"].as_array().expect("frames");
    let expected = json!({ "name": "site page", "file": "src/app.rs", "line": 9 });
    assert!(frames.contains(&expected), "{frames:?}");
    for (profile, (name, sum)) in json["profiles"]
        .as_array()
        .expect("profiles")
        .iter()
        .zip([("live bytes", 2_500), ("allocated bytes", 6_000)])
    {
        assert_eq!((&profile["name"], &profile["unit"]), (&json!(name), &json!("bytes")));
        let weights = profile["weights"].as_array().expect("weights");
        assert_eq!(weights.iter().filter_map(Value::as_u64).sum::<u64>(), sum);
        assert_eq!(profile["endValue"], sum);
    }
    let first = json["profiles"][0]["samples"][0].as_array().expect("a stack");
    let names: Vec<_> = first
        .iter()
        .map(|frame| &frames[usize::try_from(frame.as_u64().expect("it")).expect("it")]["name"])
        .collect();
    let outermost_first = [
        "site GET /orders",
        "≈ sampled stacks",
        "main",
        "shop::fill",
        "alloc::raw_vec::finish_grow",
    ];
    assert_eq!(names, outermost_first);
}
