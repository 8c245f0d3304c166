//! Any snapshot, even of a damaged or hostile file, is written with exact sums and parses back.

use std::collections::{HashMap, HashSet};

use memscope_export::{PprofKind, folded_of, metrics, open_metrics, speedscope};
use memscope_runtime::{__terminal::visible, async_memory::MemorySnapshot};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{Read, await_point, site, snapshot, stack, task};

const MOST: u128 = i64::MAX as u128;

fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..5_000_u64, any::<u64>(), Just(u64::MAX), Just(1 << 63)]
}

fn name() -> impl Strategy<Value = String> {
    const GIVEN: [&str; 13] = [
        "a",
        "a;b 12",
        "new\nline",
        "{\"site\"=\\}",
        "",
        "\u{1b}[31m",
        "🦀\u{202e}\0",
        "(no stack)",
        "__rust_alloc",
        "site x",
        "(other)",
        "# EOF",
        "99",
    ];
    prop_oneof![proptest::sample::select(&GIVEN[..]).prop_map(str::to_owned), ".{0,12}"]
}

fn any_site() -> impl Strategy<Value = Value> {
    (name(), 0..3_u32, figure(), figure(), figure(), figure(), any::<bool>()).prop_map(
        |(name, line, live, blocks, allocated, transferred, is_annotated)| {
            let fields = json!({
                "live_blocks": blocks, "allocated_bytes": allocated, "retained_bytes": live / 2,
                "transferred_bytes": transferred.min(allocated), "is_annotated": is_annotated,
                "poll_histogram": [{ "up_to": live, "count": blocks }],
            });
            site(&name, line, live, &fields)
        },
    )
}

fn any_stack() -> impl Strategy<Value = Value> {
    let functions = prop::collection::vec(name(), 0..5);
    let site = prop::option::of(0..9_usize);
    let task = prop::option::of(1..9_u64);
    (functions, figure(), figure(), site, task, any::<bool>(), figure()).prop_map(
        |(functions, live, allocated, site, task, is_untracked, address)| {
            let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
            let fields = json!({
                "allocated_bytes": allocated, "site": site, "task": task, "live_samples": live,
                "is_untracked": is_untracked && site.is_none(), "is_cut": is_untracked,
            });
            let mut stack = stack(&functions, live, &fields);
            if let Some(frame) = stack["frames"].get_mut(0) {
                frame["address"] = json!(address);
                frame["offset"] = json!(allocated);
                if is_untracked {
                    frame["library"] = json!(format!("lib{}.so", live % 3));
                }
            }
            stack
        },
    )
}

prop_compose! {
    fn any_snapshot()(
        sites in prop::collection::vec(any_site(), 0..8),
        stacks in prop::collection::vec(any_stack(), 0..12),
        tasks in prop::collection::vec((0..8_usize, figure(), 0..4_u32), 0..12),
        untracked in (figure(), figure(), figure()),
        more_tracked in prop_oneof![Just(0), figure()],
        is_measured in prop::bool::weighted(0.9),
    ) -> MemorySnapshot {
        let tasks = (1_u64..).zip(&tasks).filter_map(|(id, (place, live, at))| {
            let of = sites.get(*place)?;
            let line = u32::try_from(of["line"].as_u64()?).ok()?;
            let fields = json!({ "await_point": at, "is_annotated": of["is_annotated"] });
            Some(task(id, of["name"].as_str()?, line, *live, &fields))
        });
        let fields = json!({
            "tasks": tasks.collect::<Vec<_>>(), "stacks": stacks,
            "await_points": [await_point(&[1]), await_point(&[]), await_point(&[2, 3])],
            "measured": if is_measured { "yes" } else { "disabled" },
        });
        let mut json = serde_json::to_value(snapshot(&sites, &fields)).expect("json");
        let process = &mut json["process"];
        let tracked = process["tracked_bytes"].as_u64().expect("bytes");
        process["tracked_bytes"] = json!(tracked.saturating_add(more_tracked));
        process["untracked_bytes"] = json!(untracked.0);
        process["untracked_blocks"] = json!(untracked.1);
        process["untracked_allocated_bytes"] = json!(untracked.2);
        serde_json::from_value(json).expect("a snapshot")
    }
}

/// The exact bytes of the process, and of each site name as it is shown.
fn exact(snapshot: &MemorySnapshot, kind: PprofKind) -> (u128, HashMap<String, u128>) {
    let process = snapshot.process();
    let (tracked, untracked) = match kind {
        PprofKind::Live => (process.tracked_bytes, process.untracked_bytes),
        PprofKind::Allocated => {
            (process.tracked_allocated_bytes, process.untracked_allocated_bytes)
        }
    };
    let mut of_sites: HashMap<String, u128> = HashMap::new();
    for site in snapshot.sites() {
        *of_sites.entry(visible(&site.name).to_string()).or_default() += u128::from(match kind {
            PprofKind::Live => site.live_bytes,
            PprofKind::Allocated => site.allocated_bytes - site.transferred_bytes,
        });
    }
    let listed: u128 = of_sites.values().sum();
    (listed.max(u128::from(tracked)) + u128::from(untracked), of_sites)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_of_a_profile_are_exact_and_each_index_is_one(snapshot in any_snapshot()) {
        for kind in [PprofKind::Live, PprofKind::Allocated] {
            let read = Read::of(&snapshot, kind);
            let (all, of_sites) = exact(&snapshot, kind);
            if !snapshot.measured().is_yes() {
                prop_assert!(read.samples().is_empty());
                continue;
            }
            prop_assert_eq!(u128::from(read.sums().0), all.min(MOST));
            let is_cut = read.comments().iter().any(|it| it.contains("are cut"));
            prop_assert!(is_cut || all <= MOST);
            if !is_cut {
                for (name, bytes) in of_sites.iter().filter(|it| !it.0.is_empty()) {
                    prop_assert_eq!(u128::from(read.sums_of("site", name).0), *bytes, "{:?}", name);
                }
            }
            for task in snapshot.tasks() {
                prop_assert!(read.sums_of("task", &task.id.to_string()).0 <= task.live_bytes);
            }
            let profile = &read.profile;
            prop_assert_eq!(read.text(0), "");
            let in_a_file = profile.location.iter().filter(|it| it.mapping_id != 0);
            for location in in_a_file {
                let mapping = profile.mapping.iter().find(|it| it.id == location.mapping_id);
                let mapping = mapping.expect("its mapping");
                let inside = mapping.memory_start..=mapping.memory_limit;
                prop_assert!(inside.contains(&location.address), "{:?}", profile);
            }
            for sample in &profile.sample {
                prop_assert!(!sample.location_id.is_empty() && sample.value != [0, 0]);
                prop_assert!(sample.label.iter().all(|it| it.key != 0 && (it.str != 0) != (it.num_unit != 0)));
            }
        }
    }

    #[test]
    fn folded_stacks_and_speedscope_have_the_same_sums(snapshot in any_snapshot()) {
        let json: Value = serde_json::from_str(&speedscope(&snapshot)).expect("json");
        let frames = json["shared"]["frames"].as_array().expect("frames").len() as u64;
        for (at, kind) in [PprofKind::Live, PprofKind::Allocated].into_iter().enumerate() {
            let sum = if snapshot.measured().is_yes() { exact(&snapshot, kind).0.min(MOST) } else { 0 };
            let mut folded_sum = 0;
            for line in folded_of(&snapshot, kind).lines() {
                let (stack, bytes) = line.split_once(' ').expect("one space");
                prop_assert!(stack.split(';').all(|frame| !frame.is_empty()), "{:?}", line);
                folded_sum += bytes.parse::<u128>().expect("a number");
            }
            prop_assert_eq!(folded_sum, sum);
            let profile = &json["profiles"][at];
            let samples = profile["samples"].as_array().expect("samples");
            let weights = profile["weights"].as_array().expect("weights");
            prop_assert_eq!(samples.len(), weights.len());
            let weights = weights.iter().map(|it| u128::from(it.as_u64().expect("a number")));
            prop_assert_eq!(weights.sum::<u128>(), sum);
            let indices = samples.iter().flat_map(|it| it.as_array().expect("a stack"));
            prop_assert!(indices.filter_map(Value::as_u64).all(|index| index < frames));
        }
    }

    #[test]
    fn each_line_of_metrics_is_one_and_its_labels_come_back(snapshot in any_snapshot()) {
        let text = open_metrics(&snapshot);
        let series: usize = metrics(&snapshot).iter().map(|it| it.series.len()).sum();
        let mut found = HashSet::new();
        let mut names = Vec::new();
        let lines = text.strip_suffix("# EOF\n").expect("its end").split_terminator('\n');
        for line in lines {
            if line.starts_with("# ") {
                continue;
            }
            let (series, number) = line.rsplit_once(' ').expect("a number");
            let is_number = match series {
                "memscope_longest_look_seconds" => {
                    number.parse::<f64>().is_ok_and(|it| it.is_finite() && it > 0.0)
                }
                _ => number.parse::<u64>().is_ok(),
            };
            prop_assert!(is_number, "{:?}", line);
            prop_assert!(found.insert(series), "twice: {:?}", line);
            if let Some(site) = series.split_once("_bytes{site=\"").map(|it| unescaped(it.1)) {
                names.push(site);
            }
        }
        // The histogram is one series: 13 bounds, infinity, and the count.
        let lines_of_polls = 13 + 2 - 1;
        prop_assert_eq!(found.len(), series + lines_of_polls);
        for name in names {
            let is_known = snapshot.sites().iter().any(|site| site.name == name);
            prop_assert!(is_known, "{:?}", name);
        }
    }
}

/// The text up to the quote that ends it.
fn unescaped(text: &str) -> String {
    let (mut out, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next().filter(|it| *it != '"') {
        out.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some(it @ ('"' | '\\')) => it,
                it => panic!("no escape: {it:?}"),
            },
            it => it,
        });
    }
    out
}

#[test]
fn ten_thousand_stacks_keep_the_sums() {
    let stacks: Vec<Value> = (0..10_000_u64)
        .map(|number| {
            let function = format!("app::function_{number}");
            stack(&[&function, "app::main"], number, &json!({ "site": number % 3 }))
        })
        .collect();
    let sites = ["a", "b", "c"].map(|name| site(name, 1, 15_000_000, &json!({})));
    let read = Read::of(&snapshot(&sites, &json!({ "stacks": stacks })), PprofKind::Live);
    assert_eq!(read.sums(), (45_001_000, 14));
    for name in ["a", "b", "c"] {
        assert_eq!(read.sums_of("site", name), (15_000_000, 3));
    }
    // The estimates exceed what the sites have.
    assert!(read.samples().len() > 9_900);
}
