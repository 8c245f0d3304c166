//! Reports that no program wrote. Whatever figures, names and rows a readable file has, no method
//! of the snapshot panics, and nothing that is shown moves a terminal's cursor.
//!
//! The report is a real one, with something of everything. It is changed as JSON, leaf by leaf, so
//! a new field is changed as well.

use std::{collections::BTreeMap, fmt::Write as _, mem::replace, sync::LazyLock, time::Duration};

use futures::{StreamExt, stream};
use memscope_macros::track_var;
use memscope_rs::{
    Stacks,
    analysis::{AsyncAnalyzer, LeakOptions, Leaks},
    async_memory::{
        AwaitBranch, AwaitFrame, AwaitPoint, AwaitPoints, HumanBytes, LocalProfile, MemorySnapshot,
        ResourceAnalysis, SnapshotDiff, StateMachine, TaskPerformanceMetrics, TaskType,
        TrackStream, WidestState, get_memory_snapshot, shared, spawn_tracked, track,
    },
    builder,
};
use memscope_tests::{poll, wait_once, workers};
use proptest::{prelude::*, test_runner::Config};
use serde::Deserialize;
use serde_json::{Value, json};

/// Rows of a kind that are kept of the real report.
const ROWS: usize = 3;

fn local() -> LocalProfile {
    LocalProfile {
        name: "buffer".to_owned(),
        type_name: "[u8; 8]".to_owned(),
        bytes: 8,
        file: "src/a.rs".to_owned(),
        line: 1,
    }
}

fn machine() -> StateMachine {
    let widest = WidestState {
        file: "src/a.rs".to_owned(),
        line: 2,
        size_bytes: 8,
        locals: vec![local(), LocalProfile { name: "__awaitee".to_owned(), ..local() }],
    };
    StateMachine { path: "app::f".to_owned(), size_bytes: 9, states: 4, widest: Some(widest) }
}

fn await_point() -> AwaitPoint {
    let frame = AwaitFrame {
        function: "app::f".to_owned(),
        file: "src/a.rs".to_owned(),
        line: 3,
        size_bytes: 8,
        locals: vec![local()],
    };
    AwaitPoint {
        frames: vec![frame.clone(), AwaitFrame { file: String::new(), ..frame.clone() }],
        stops: "waits for Sleep".to_owned(),
        branches: vec![AwaitBranch {
            frames: vec![frame],
            stops: "waits for Sleep".to_owned(),
            branches: Vec::new(),
            futures: 2,
        }],
        tasks: 2,
        measured: true,
        live_bytes: 3,
        future_size_bytes: 4,
        timed: 1,
        waited_sum_ns: 5,
        waited_p50_ns: Some(5),
        waited_p99_ns: Some(5),
    }
}

/// A real report with rows of every kind.
static REPORT: LazyLock<Value> = LazyLock::new(|| {
    builder().stacks(Stacks::EveryBytes(1 << 14)).init().expect("in range");
    let runtime = workers(1);
    let cache = shared("cache", || vec![0_u8; 500]);
    let kept = runtime.block_on(async {
        let mut kept = Vec::new();
        for _ in 0..40 {
            kept.push(spawn_tracked(async { vec![0_u8; 2_000] }).await.expect("no panic"));
        }
        kept
    });
    let mut held = Box::pin(track(async {
        let page = vec![0_u8; 3_000];
        track_var!(page);
        track(async { wait_once().await }).named("inner").await;
        wait_once().await;
        drop(page);
    }));
    assert!(poll(&mut held).is_pending());
    let mut lines = stream::iter([1, 2]).map(|size| vec![0_u8; size]).tracked();
    drop(runtime.block_on(lines.next()));
    let mut living = Vec::new();
    for round in 0..8 {
        let task = track(async move {
            let bytes = vec![0_u8; 100_000 * (round + 1)];
            wait_once().await;
            drop(bytes);
        });
        let mut task = Box::pin(task.budget(50_000));
        assert!(poll(&mut task).is_pending());
        living.push(task);
        drop(get_memory_snapshot());
    }
    // Freed by another task than the one that allocated.
    drop(track(async {}).named("freer"));
    let mut freer = Box::pin(track(async move { drop(kept) }).named("freer"));
    assert!(poll(&mut freer).is_ready());
    let mut report = serde_json::to_value(get_memory_snapshot()).expect("plain data");
    report["await_points"] = json!([await_point(), await_point()]);
    report["await_points_measured"] = json!(AwaitPoints::On);
    shorten(&mut report);
    for at in 0..2 {
        report["tasks"][at]["await_point"] = json!(at);
        report["tasks"][at]["parent"] = json!(at + 1);
        report["sites"][at]["state_machine"] = json!(machine());
        report["sites"][at]["state_machine_unknown"] = json!("not known");
        report["sites"][at]["future_vtable"] = json!(4_096);
    }
    drop((cache, held, lines, living));
    for (field, rows) in report.as_object().expect("fields") {
        let is_empty = rows.as_array().is_some_and(Vec::is_empty);
        assert!(!is_empty, "there is a row of {field}");
    }
    read(&report).expect("a report");
    report
});

/// The first rows of each list, so that a report is quickly read.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(rows) => {
            // What may say how a list of a fixed length reads.
            if rows.len() != 8 {
                rows.truncate(ROWS);
            }
            rows.iter_mut().for_each(shorten);
        }
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        _ => {}
    }
}

fn read(report: &Value) -> Option<MemorySnapshot> {
    MemorySnapshot::deserialize(report).ok()
}

fn nasty_texts() -> Vec<Value> {
    let texts = [
        "",
        "\u{1b}[2J\u{1b}]0;title\u{7}\r\n\t",
        "\u{202e}\u{2066}x\u{200b}\u{feff}\u{2028}\u{61c}\u{e0041}\u{ad}\u{3164}",
        "\0\u{7f}\u{85}\u{9b}31m",
        "/é/è\\🦀/",
        "::{{closure}}",
        "<\u{301}{#}, ",
    ];
    let long = ["x".repeat(5_000), "\u{301}".repeat(3_000), "/🦀\u{1b}".repeat(300)];
    texts.iter().map(|text| json!(text)).chain(long.iter().map(|text| json!(text))).collect()
}

fn nasty_numbers() -> Vec<Value> {
    let whole = [0, 1, 2, 3, 1_000, u64::from(u32::MAX), 1 << 53, 1 << 63, u64::MAX - 1, u64::MAX];
    let signed = [-1, i64::MIN, i64::MAX];
    let floats = [-1e308, 1e308, 5e-324, -0.0];
    whole
        .map(|it| json!(it))
        .into_iter()
        .chain(signed.map(|it| json!(it)))
        .chain(floats.map(|it| json!(it)))
        .chain([Value::Null])
        .collect()
}

/// Calls `leaf` for every value that has no others in it, with its place: the names of fields,
/// without the numbers of rows.
fn leaves(value: &mut Value, place: &str, leaf: &mut impl FnMut(&str, &mut Value)) {
    match value {
        Value::Array(rows) => {
            for row in rows {
                leaves(row, &format!("{place}[]"), leaf);
            }
        }
        Value::Object(fields) => {
            fields
                .iter_mut()
                .for_each(|(name, field)| leaves(field, &format!("{place}.{name}"), leaf));
        }
        value => leaf(place, value),
    }
}

/// By its place, a value and where all of that place are.
fn places(report: &Value) -> BTreeMap<String, (Value, Vec<String>)> {
    fn walk(
        value: &Value,
        place: &str,
        pointer: &str,
        places: &mut BTreeMap<String, (Value, Vec<String>)>,
    ) {
        match value {
            Value::Array(rows) => {
                for (at, row) in rows.iter().enumerate() {
                    walk(row, &format!("{place}[]"), &format!("{pointer}/{at}"), places);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let pointer = format!("{pointer}/{name}");
                    walk(field, &format!("{place}.{name}"), &pointer, places);
                }
            }
            value => {
                let (known, pointers) = places.entry(place.to_owned()).or_default();
                if known.is_null() {
                    known.clone_from(value);
                }
                pointers.push(pointer.to_owned());
            }
        }
    }
    let mut places = BTreeMap::new();
    walk(report, "", "", &mut places);
    places
}

/// By its place, the values that may stand there instead, so that the report can still be read.
static OTHERS: LazyLock<BTreeMap<String, Vec<Value>>> = LazyLock::new(|| {
    let mut report = REPORT.clone();
    let (texts, numbers) = (nasty_texts(), nasty_numbers());
    // The report is changed and changed back: a copy for each value takes longer than its reading.
    let mut reads = |pointers: &[String], other: &Value| {
        let mut set = |pointer: &String, value: &Value| {
            replace(report.pointer_mut(pointer).expect("it is there"), value.clone())
        };
        let before: Vec<Value> = pointers.iter().map(|pointer| set(pointer, other)).collect();
        let is_read = MemorySnapshot::deserialize(&report).is_ok();
        let mut set = |pointer: &String, value: Value| {
            *report.pointer_mut(pointer).expect("it is there") = value;
        };
        pointers.iter().zip(before).for_each(|(pointer, value)| set(pointer, value));
        is_read
    };
    let flags = [json!(true), json!(false)];
    let others = |value: &Value| match value {
        Value::String(_) => texts.clone(),
        Value::Bool(_) => flags.to_vec(),
        // It may be a number or a text.
        Value::Null => texts.iter().chain(&numbers).cloned().collect(),
        _ => numbers.clone(),
    };
    places(&REPORT)
        .into_iter()
        .map(|(place, (value, pointers))| {
            let others: Vec<Value> =
                others(&value).into_iter().filter(|other| reads(&pointers, other)).collect();
            (place, others)
        })
        .collect()
});

/// What is done to a report: a number for each leaf, and one for each list.
#[derive(Clone, Debug)]
struct Changes {
    leaves: Vec<u16>,
    lists: Vec<u8>,
}

fn changes() -> impl Strategy<Value = Changes> {
    let leaf = prop_oneof![2 => Just(0), 1 => any::<u16>()];
    let list = prop_oneof![6 => Just(0), 1 => any::<u8>()];
    (prop::collection::vec(leaf, 1..600), prop::collection::vec(list, 1..40))
        .prop_map(|(leaves, lists)| Changes { leaves, lists })
}

impl Changes {
    fn apply(&self) -> Value {
        let mut report = REPORT.clone();
        self.lists_of(&mut report, &mut 0);
        let mut at = 0;
        leaves(&mut report, "", &mut |place, value| {
            let choice = usize::from(self.leaves[at % self.leaves.len()]);
            at += 1;
            if let Some(others) = OTHERS.get(place).filter(|it| choice != 0 && !it.is_empty()) {
                value.clone_from(&others[choice % others.len()]);
            }
        });
        report
    }

    /// Lists are empty, the wrong way round, or have the same rows again and again.
    fn lists_of(&self, value: &mut Value, at: &mut usize) {
        match value {
            Value::Array(rows) => {
                let choice = self.lists[*at % self.lists.len()];
                *at += 1;
                // Of a list with a fixed length there is no other length.
                if rows.len() != 8 {
                    match choice {
                        0 => {}
                        1..20 => rows.clear(),
                        20..60 => rows.reverse(),
                        60..250 => {
                            let again = rows.clone();
                            (0..choice / 40).for_each(|_| rows.extend(again.clone()));
                        }
                        250.. => {
                            let again = rows.clone();
                            (0..400).for_each(|_| rows.extend(again.clone()));
                        }
                    }
                }
                // Rows that are there more often are the same ones.
                rows.iter_mut().take(2 * ROWS).for_each(|row| self.lists_of(row, at));
            }
            Value::Object(fields) => {
                fields.values_mut().for_each(|field| self.lists_of(field, at));
            }
            _ => {}
        }
    }
}

/// Whether nothing in a text moves the cursor of a terminal, turns the order of letters, or is not
/// seen.
fn is_harmless(text: &str) -> bool {
    text.chars().all(|shown| {
        let is_hidden = matches!(u32::from(shown),
            0x7f..=0x9f | 0xad | 0x61c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e
            | 0x2060..=0x206f | 0x3164 | 0xfeff | 0xfff9..=0xfffb | 0xe0000..=0xe007f);
        !is_hidden && (shown == '\n' || !shown.is_control())
    })
}

/// Everything that can be shown of a value in these ways.
fn shown(value: &(impl std::fmt::Display + std::fmt::Debug)) -> String {
    let mut shown = String::new();
    write!(shown, "{value}{value:#}{value:>30}{value:<#7.3}").expect("text");
    assert!(is_harmless(&shown), "{shown:?}");
    let widest = shown.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest < 8_000, "{widest} columns");
    drop(format!("{value:?}"));
    shown
}

/// Calls everything that a snapshot has.
fn look_at(snapshot: &MemorySnapshot, other: &MemorySnapshot) {
    let text = shown(snapshot);
    assert!(text.contains("memscope itself"));
    for task_type in TaskType::ALL {
        let metrics = snapshot.get_task_metrics(task_type);
        assert!((0.0..=100.0).contains(&metrics.completion_rate_percent), "{metrics:?}");
        let json = serde_json::to_string(&metrics).expect("plain data");
        serde_json::from_str::<TaskPerformanceMetrics>(&json).expect("the same");
    }
    let efficiency = snapshot.memory_efficiency_percent();
    assert!(efficiency.is_nan() || (0.0..=100.0).contains(&efficiency), "{efficiency}");
    let numbers = [
        snapshot.total_memory_bytes(),
        snapshot.live_memory_bytes(),
        snapshot.total_allocations(),
        snapshot.spawned_task_count(),
        snapshot.active_task_count() as u64,
        snapshot.peak_concurrent_tasks() as u64,
    ];
    drop(numbers.map(|number| shown(&HumanBytes(number))));
    assert!(snapshot.observed_seconds() >= 0.0);
    for task in snapshot.tasks().iter().take(20) {
        assert!(snapshot.task(task.id).is_some());
        if let Some(point) = snapshot.await_point_of(task) {
            shown(point);
        }
        drop((shown(&task.id), shown(&task.state), shown(&task.task_type)));
        assert!(task.items.is_none_or(|items| items.mean_bytes() >= 0.0));
    }
    for site in snapshot.sites().iter().take(20) {
        assert!(snapshot.sites_named(&site.name).count() >= 1);
        assert!(site.items.is_none_or(|items| items.mean_bytes() >= 0.0));
    }
    assert!(snapshot.await_tree().len() >= snapshot.await_points().len());
    for point in snapshot.await_points().iter().take(20) {
        assert!(point.largest_locals().len() <= 5);
        drop((shown(point), point.own(), point.innermost()));
        point.frames.iter().for_each(|frame| drop(shown(frame)));
    }
    let _ = (snapshot.origin(), snapshot.program(), snapshot.await_points_measured());
    let _ =
        (snapshot.measured().reason(), snapshot.is_still(), snapshot.process(), snapshot.tool());
    let _ =
        (snapshot.variables(), snapshot.variable_sites(), snapshot.shared(), snapshot.runtime());
    let _ = (snapshot.hand_overs(), snapshot.trends(), snapshot.timeline());
    for event in snapshot.long_polls().chain(snapshot.events()).take(20) {
        shown(&event.kind);
    }
    let defaults = LeakOptions::new();
    let eager = LeakOptions::new().stuck_after(Duration::ZERO).patience(Duration::ZERO);
    let eager = eager.least_waves(0).least_retained(0).least_samples(0).least_growth(0);
    let lazy = LeakOptions::new().patience(Duration::MAX).stuck_after(Duration::MAX);
    let lazy = lazy.least_waves(u64::MAX).least_samples(usize::MAX).least_growth(u64::MAX);
    for options in [defaults, eager, lazy] {
        let leaks = snapshot.leaks_with(&options);
        shown(&leaks);
        leaks.findings().iter().take(20).for_each(|leak| drop(shown(leak)));
        leaks.not_judged().iter().take(20).for_each(|note| drop(shown(note)));
        let _ = (leaks.bytes(), leaks.len(), leaks.is_empty(), leaks.hand_overs());
        let json = serde_json::to_string(&leaks).expect("plain data");
        assert_eq!(serde_json::from_str::<Leaks>(&json).expect("the same"), leaks);
    }
    for diff in [snapshot.diff(other), other.diff(snapshot), snapshot.diff(snapshot)] {
        shown(&diff);
        let json = serde_json::to_string(&diff).expect("plain data");
        assert_eq!(serde_json::from_str::<SnapshotDiff>(&json).expect("the same"), diff);
    }
    let allocations = snapshot.allocations();
    let analysis = AsyncAnalyzer::new().analyze_future_states(&allocations);
    shown(&analysis);
    let json = serde_json::to_string(&(&allocations, &analysis)).expect("plain data");
    assert!(!json.is_empty());
    let json = serde_json::to_string(snapshot).expect("plain data");
    assert_eq!(&serde_json::from_str::<MemorySnapshot>(&json).expect("the same"), snapshot);
    assert_eq!(&snapshot.clone(), snapshot);
}

#[test]
fn each_field_may_be_anything_that_can_be_read() {
    let plain = read(&REPORT).expect("a report");
    look_at(&plain, &plain);
    let open = OTHERS.values().filter(|others| others.len() > 1).count();
    assert!(open > 100, "{open} of {} places take another value", OTHERS.len());
    for at in 0..nasty_numbers().len().max(nasty_texts().len()) {
        let mut report = REPORT.clone();
        leaves(&mut report, "", &mut |place, value| {
            let others = &OTHERS[place];
            if !others.is_empty() {
                value.clone_from(&others[at % others.len()]);
            }
        });
        // All at once, as long as what may not stand together does not.
        if let Some(snapshot) = read(&report) {
            look_at(&snapshot, &plain);
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 48,
        max_shrink_iters: 64,
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn no_report_that_can_be_read_makes_anything_panic(changes in changes(), other in changes()) {
        if let (Some(snapshot), Some(other)) = (read(&changes.apply()), read(&other.apply())) {
            look_at(&snapshot, &other);
        }
    }
}

#[test]
fn an_analysis_of_resources_reads_back_whatever_its_figures_are() {
    let analysis = serde_json::to_value(ResourceAnalysis::default()).expect("plain data");
    for number in nasty_numbers() {
        let mut changed = analysis.clone();
        leaves(&mut changed, "", &mut |_, value| {
            if value.is_number() {
                value.clone_from(&number);
            }
        });
        if let Ok(analysis) = serde_json::from_value::<ResourceAnalysis>(changed) {
            let json = serde_json::to_string(&analysis).expect("plain data");
            serde_json::from_str::<ResourceAnalysis>(&json).expect("the same");
        }
    }
}

#[test]
fn a_text_of_any_depth_or_kind_is_an_error_that_can_be_shown() {
    let deep = "[".repeat(200_000);
    let texts = [
        deep.clone(),
        format!("{{\"memscope_format\":{deep}"),
        format!(
            "{{\"memscope_format\":1,\"measured\":\"{}\"}}",
            "\u{1b}[2J\u{202e}".repeat(100_000)
        ),
        format!("{{\"memscope_format\":\"{}\"}}", "\u{1b}\u{2028}".repeat(1_000)),
        "{\"memscope_format\":1,\"tasks\":\"\\ud800\"}".to_owned(),
        "{\"memscope_format\":1,\"observed_ns\":1e999}".to_owned(),
    ];
    for text in texts {
        // As JSON escapes what a terminal must not see, and as it is.
        let error = MemorySnapshot::from_json(&text).expect_err("no report").to_string();
        assert!(is_harmless(&error) && error.chars().count() < 600, "{error}");
    }
}

#[test]
fn a_path_or_a_setting_of_the_environment_moves_no_cursor() {
    let nasty = "/not-there/a\u{1b}[2J\u{202e}\u{200b}b\n/x";
    for (name, value) in [
        ("MEMSCOPE_REPORT", format!("{nasty}.json")),
        ("MEMSCOPE_REPORT", nasty.to_owned()),
        ("MEMSCOPE_TIMING", nasty.to_owned()),
        ("MEMSCOPE_REPORT_EVERY", nasty.to_owned()),
        ("MEMSCOPE_\u{1b}[2J", nasty.to_owned()),
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_report_child"));
        command.arg("return").env_remove("MEMSCOPE_REPORT").env(name, value);
        let output = command.output().expect("it starts");
        let error = String::from_utf8(output.stderr).expect("text");
        assert!(is_harmless(&error), "{error:?}");
        assert!(error.contains("\\u{1b}[2J"), "it is said all the same: {error}");
        assert!(error.lines().all(|line| line.starts_with("memscope: ")), "{error}");
    }
}
