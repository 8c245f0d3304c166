//! The tasks of a real process, this one, are found where they wait without its help: from the
//! memory in its dump, and debug information that it does not read itself.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::{
    collections::BTreeMap,
    env, fs,
    future::{Future, pending},
    hint::black_box,
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
    sync::LazyLock,
    thread,
};

use memscope_runtime::{
    TrackingAllocator,
    async_memory::{
        AwaitPoints, DumpedTask, TaskDump, TaskId, Tracked, spawn_tracked, task_dump, track,
    },
    builder,
};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    task::{Id, JoinSet, yield_now},
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

async fn leaf() {
    pending::<()>().await;
}
const LEAF: u32 = line!() - 2;

async fn middle() {
    let kept = [1_u8; 300];
    leaf().await;
    black_box(&kept);
}
const MIDDLE: u32 = line!() - 3;

async fn outer() {
    let kept = [2_u8; 900];
    Box::pin(middle()).await;
    black_box(&kept);
}
const OUTER: u32 = line!() - 3;

async fn dynamic() {
    let inner: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(outer());
    inner.await;
}
const DYNAMIC: u32 = line!() - 2;

/// Its `.await` is in the macro.
async fn races() {
    tokio::select! {
        () = leaf() => {}
        () = middle() => {}
    }
}
const RACES: u32 = line!() - 5;

/// Tokio puts it into a box.
async fn large() {
    let kept = [3_u8; 16_000];
    leaf().await;
    black_box(&kept);
}
const LARGE: u32 = line!() - 3;

/// A dump of tasks that wait, where each of them waits, and the runtime that has them.
struct Parked {
    dump: TaskDump,
    lines: BTreeMap<u64, Vec<u32>>,
    /// The tracked tasks that Tokio was given as any other: their ids, and Tokio's.
    tracked: Vec<(TaskId, u64)>,
    _runtime: Runtime,
    _set: JoinSet<()>,
}

impl Parked {
    fn row(&self, tokio_id: u64) -> &DumpedTask {
        let row = self.dump.tasks.iter().find(|task| task.tokio_id == Some(tokio_id));
        row.expect("a row")
    }
}

/// Spawns a tracked future as Tokio does, and notes its ids.
fn spawned<F: Future<Output = ()> + Send + 'static>(
    future: Tracked<F>,
    into: &mut Vec<(TaskId, u64)>,
) -> Id {
    let id = future.id().expect("an id");
    let tokio_id = tokio::spawn(future).id();
    into.push((id, number(tokio_id)));
    tokio_id
}

fn number(id: Id) -> u64 {
    id.to_string().parse().expect("a number")
}

static PARKED: LazyLock<Parked> = LazyLock::new(|| {
    builder().dump_memory(true).init().expect("good settings");
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut set = JoinSet::new();
    let in_set = set.spawn_on(middle(), runtime.handle()).id();
    let boxed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(middle());
    let enter = runtime.enter();
    let mut tracked = Vec::new();
    let lines = [
        (runtime.spawn(outer()).id(), vec![OUTER, MIDDLE, LEAF]),
        (runtime.spawn(dynamic()).id(), vec![DYNAMIC, OUTER, MIDDLE, LEAF]),
        (runtime.spawn(boxed).id(), vec![MIDDLE, LEAF]),
        (runtime.spawn(large()).id(), vec![LARGE, LEAF]),
        (spawn_tracked(outer()).id(), vec![OUTER, MIDDLE, LEAF]),
        (spawned(track(middle()), &mut tracked), vec![MIDDLE, LEAF]),
        (spawned(track(middle()), &mut tracked), vec![MIDDLE, LEAF]),
        // Tokio puts these into boxes.
        (spawned(track(large()), &mut tracked), vec![LARGE, LEAF]),
        (spawned(track(large()), &mut tracked), vec![LARGE, LEAF]),
        (spawned(track(outer()), &mut tracked), vec![OUTER, MIDDLE, LEAF]),
        (in_set, vec![MIDDLE, LEAF]),
        (runtime.spawn(races()).id(), vec![RACES]),
    ];
    drop(enter);
    let lines: BTreeMap<_, _> = lines.into_iter().map(|(id, lines)| (number(id), lines)).collect();
    runtime.block_on(async {
        // Each task is polled once in a turn.
        for _ in 0..4 {
            yield_now().await;
        }
    });
    let dump = task_dump().expect("a dump");
    Parked { dump, lines, tracked, _runtime: runtime, _set: set }
});

/// What the command says of the dump, as JSON.
fn decode(dump: &TaskDump, arguments: &[&str]) -> Result<Value, String> {
    let output = run(dump, &[&["--json"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).expect("JSON")),
        Some(2) => Err(text(&output.stderr)),
        code => panic!("{code:?}: {}", text(&output.stderr)),
    }
}

fn run(dump: &TaskDump, arguments: &[&str]) -> std::process::Output {
    let path = temporary(&format!("tasks-{:?}.json", thread::current().id()));
    fs::write(&path, serde_json::to_vec(dump).expect("JSON")).expect("written");
    let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
    let output = tool.args(["memscope", "tasks"]).arg(&path).args(arguments).output();
    fs::remove_file(path).expect("its own file");
    output.expect("it starts")
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn own() -> String {
    env::current_exe().expect("a path").to_str().expect("text").to_owned()
}

/// This dump, as that of a program that was moved.
fn moved() -> TaskDump {
    let mut dump = PARKED.dump.clone();
    if let Some(memory) = &mut dump.memory {
        memory.program = Some("/nowhere/app".to_owned());
    }
    dump
}

fn has_all_lines(decoded: &Value) {
    for (id, expected) in &PARKED.lines {
        let tasks = decoded["tasks"].as_array().expect("tasks");
        let task = tasks.iter().find(|task| task["tokio_id"] == *id).expect("a row");
        let frames = task["await_point"]["frames"].as_array();
        let frames = frames.unwrap_or_else(|| panic!("no place: {task:#}"));
        let lines: Vec<_> = frames.iter().filter_map(|frame| frame["line"].as_u64()).collect();
        let expected: Vec<u64> = expected.iter().map(|line| u64::from(*line)).collect();
        assert_eq!(lines, expected, "{task:#}");
        let is_own = |frame: &Value| {
            frame["file"].as_str().is_some_and(|file| file.ends_with("tests/own_tasks.rs"))
        };
        assert!(frames.iter().all(is_own), "{task:#}");
        assert_eq!(task["unknown"], Value::Null);
    }
    let mut tasks = decoded["tasks"].as_array().expect("tasks").iter();
    let point =
        &tasks.find(|task| task["name"] == "own_tasks::races").expect("a row")["await_point"];
    assert_eq!(point["frames"][0]["function"], "own_tasks::races", "{point:#}");
    assert!(point["stops"].as_str().expect("text").contains("2 futures side by side"), "{point:#}");
    assert!(decoded.get("memory").is_none(), "the memory is removed");
    assert!(decoded["tasks"].as_array().expect("tasks").iter().all(|it| it.get("cell").is_none()));
}

#[test]
fn a_program_that_reads_no_debug_information_is_decoded_with_it_to_the_line() {
    let dump = &PARKED.dump;
    let of_these =
        |task: &&DumpedTask| task.tokio_id.is_some_and(|id| PARKED.lines.contains_key(&id));
    assert!(matches!(dump.await_points, AwaitPoints::Unavailable(_)), "the feature is off");
    for task in dump.tasks.iter().filter(of_these) {
        assert!(task.await_point.is_none() && task.cell.is_some(), "{task:#?}");
    }
    // The program is where it was.
    has_all_lines(&decode(dump, &[]).expect("decoded"));
    // It was moved.
    let dump = moved();
    has_all_lines(&decode(&dump, &["--debug-file", &own()]).expect("decoded"));
    has_all_lines(&decode(&dump, &["--program", &own()]).expect("decoded"));
    let text = String::from_utf8(run(&dump, &["--debug-file", &own()]).stdout).expect("text");
    let is_leaf = |line: &str| {
        line.contains("own_tasks::leaf (") && line.contains(&format!("own_tasks.rs:{LEAF})"))
    };
    assert!(text.lines().any(is_leaf), "{text}");
    assert!(!text.contains("MEMSCOPE_DUMP_MEMORY") && !text.contains("is not known"), "{text}");
}

#[test]
fn a_tracked_future_is_its_tasks_row_without_debug_information_too() {
    let apart: Vec<_> = PARKED.dump.tasks.iter().filter(|task| task.tokio_id.is_none()).collect();
    assert!(apart.is_empty(), "{apart:#?}");
    assert_eq!(PARKED.tracked.len(), 5);
    for (id, tokio_id) in &PARKED.tracked {
        assert_eq!(PARKED.row(*tokio_id).id, Some(*id));
    }
}

#[test]
fn a_folder_with_files_by_build_id_is_enough() {
    let dump = moved();
    let id = dump.memory.as_ref().and_then(|it| it.build_id.clone()).expect("a build id");
    let folder = temporary("own-tasks-debug");
    let inner = folder.join(".build-id").join(&id[..2]);
    fs::create_dir_all(&inner).expect("a folder");
    let file = inner.join(format!("{}.debug", &id[2..]));
    fs::copy(own(), &file).expect("copied");
    has_all_lines(&decode(&dump, &["--debug-dir", folder.to_str().expect("text")]).expect("found"));
    fs::remove_file(&file).expect("its own file");
    let error = decode(&dump, &["--debug-file", folder.to_str().expect("text")]).expect_err("gone");
    assert!(error.contains(&format!("expected `.build-id/{}/{}.debug`", &id[..2], &id[2..])));
}

#[test]
fn debug_information_of_another_build_is_refused_and_both_ids_are_named() {
    let tool = env!("CARGO_BIN_EXE_cargo-memscope");
    let dump = moved();
    let id = dump.memory.as_ref().and_then(|it| it.build_id.clone()).expect("a build id");
    for option in ["--debug-file", "--program"] {
        let error = decode(&dump, &[option, tool]).expect_err("another build");
        let (_, its) = error.split_once("its build id is ").expect("an id");
        assert!(its.contains(&format!("the dump's {id}")) && !its.starts_with(&id), "{error}");
    }
}

#[test]
fn what_is_missing_is_said_with_what_to_do() {
    // No debug information is found: all else is printed, and nothing is lost.
    let dump = moved();
    let output = run(&dump, &["--json"]);
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && note.contains("`--debug-file PATH` names"), "{note}");
    let same: TaskDump = serde_json::from_slice(&output.stdout).expect("a dump");
    assert_eq!(same, dump, "it can be decoded elsewhere");
    // The dump has no memory.
    let without = TaskDump { memory: None, ..dump.clone() };
    let text = String::from_utf8(run(&without, &[]).stdout).expect("text");
    assert!(text.contains("with MEMSCOPE_DUMP_MEMORY=on the program saves"), "{text}");
    let error = decode(&without, &["--debug-file", &own()]).expect_err("nothing to read");
    assert!(error.contains("MEMSCOPE_DUMP_MEMORY=on"), "{error}");
    // A program without a build id.
    let mut unnamed = dump;
    unnamed.memory.as_mut().expect("memory").build_id = None;
    let error = decode(&unnamed, &["--debug-file", &own()]).expect_err("no build id");
    assert!(error.contains("`--build-id`"), "{error}");
}

#[test]
fn a_file_without_types_says_how_to_build_one() {
    let file = temporary("own-tasks-stripped");
    fs::write(&file, stripped(&fs::read(own()).expect("read"))).expect("written");
    let error = decode(&moved(), &["--debug-file", file.to_str().expect("text")]);
    let error = error.expect_err("no types");
    fs::remove_file(file).expect("its own file");
    assert!(error.contains("debug = 2"), "{error}");
}

/// The program as a reader of debug information sees a stripped one: the sections have other names.
fn stripped(program: &[u8]) -> Vec<u8> {
    let number = |at: usize, bytes: usize| {
        program[at..at + bytes].iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
    };
    let header = number(40, 8) + number(58, 2) * number(62, 2);
    let (start, size) = (number(header + 24, 8), number(header + 32, 8));
    let mut copy = program.to_vec();
    for at in start..start + size {
        if copy[at..].starts_with(b".debug_") {
            copy[at + 1] = b'x';
        }
    }
    copy
}

#[test]
fn a_dump_with_damage_is_read_or_refused_and_never_ends_the_command_otherwise() {
    let whole = serde_json::to_value(&PARKED.dump).expect("JSON");
    let pieces = || whole["memory"]["pieces"].as_array().expect("pieces").clone();
    let mut cases: Vec<(&str, Value)> = Vec::new();
    let mut with = |name, change: &dyn Fn(&mut Value)| {
        let mut dump = whole.clone();
        change(&mut dump);
        cases.push((name, dump));
    };
    with("no pieces", &|dump| dump["memory"]["pieces"] = json!([]));
    with("no bytes", &|dump| dump["memory"]["pieces"] = json!([{"address": 1, "bytes": ""}]));
    with("odd digits", &|dump| dump["memory"]["pieces"][0]["bytes"] = json!("abc"));
    with("no digits", &|dump| dump["memory"]["pieces"][0]["bytes"] = json!("xy"));
    with("the last address", &|dump| {
        dump["memory"]["pieces"] = json!([{"address": u64::MAX, "bytes": "0011"}]);
        for task in dump["tasks"].as_array_mut().expect("tasks") {
            if task.get("cell").is_some() {
                task["cell"]["address"] = json!(u64::MAX - 4);
            }
        }
    });
    with("another image", &|dump| dump["memory"]["image"] = json!(u64::MAX));
    with("no image", &|dump| dump["memory"]["image_bytes"] = json!(0));
    with("overlapping", &|dump| {
        let twice = [pieces(), pieces()].concat();
        dump["memory"]["pieces"] = json!(twice);
    });
    with("all at one place", &|dump| {
        for piece in dump["memory"]["pieces"].as_array_mut().expect("pieces") {
            piece["address"] = json!(4_096);
        }
    });
    let path = temporary("tasks-damaged.json");
    for (name, dump) in cases {
        fs::write(&path, dump.to_string()).expect("written");
        let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
        let output = tool.args(["memscope", "tasks", "--json"]).arg(&path).output();
        let output = output.expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {
                let decoded: Value = serde_json::from_slice(&output.stdout).expect("JSON");
                no_other_line(name, &decoded);
            }
            Some(2) => assert!(error.contains("hexadecimal digits"), "{name}: {error}"),
            code => panic!("{name}: {code:?}: {error}"),
        }
    }
    fs::remove_file(path).expect("its own file");
}

/// Each task is where it waits, or above, or its place is not known and it says why.
fn no_other_line(name: &str, decoded: &Value) {
    for task in decoded["tasks"].as_array().expect("tasks") {
        let Some(expected) = task["tokio_id"].as_u64().and_then(|id| PARKED.lines.get(&id)) else {
            continue;
        };
        let frames = task["await_point"]["frames"].as_array().cloned().unwrap_or_default();
        let lines = frames.iter().filter_map(|it| it["line"].as_u64());
        let is_start = lines.zip(expected).all(|(line, expected)| line == u64::from(*expected));
        assert!(is_start, "{name}: {task:#}");
        let is_told = task["await_point"].is_object() || task["unknown"].is_string();
        assert!(is_told, "{name}: {task:#}");
    }
}
