//! A dump of a program without debug information is decoded with that of the same build: each task
//! is where the program itself finds it if it has its debug information.

use std::{
    collections::BTreeMap,
    env, fs,
    future::{Future, pending},
    hint::black_box,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Command, Stdio},
    sync::LazyLock,
};

use memscope_rs::{
    __decode::decode,
    async_memory::{
        AwaitFrame, AwaitPoints, DumpedTask, MemoryPiece, TaskDump, spawn_tracked, task_dump, track,
    },
};
use memscope_tests::programs::started;
use proptest::prelude::*;
use tokio::{
    runtime::{Builder, Runtime},
    task::{Id, JoinSet, yield_now},
};

use super::{LEAF, MIDDLE, OUTER, leaf, middle, outer};

/// Names the file that a child of a test writes its dump to.
const CHILD: &str = "OFFLINE_TEST_DUMP";

/// What a task has in a variable: nothing else has these bytes.
const SECRET: [u8; 16] = *b"a secret of ours";

async fn knows() {
    let kept = black_box(SECRET);
    pending::<()>().await;
    black_box(&kept);
}

async fn dynamic() {
    let inner: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(outer());
    inner.await;
}
const DYNAMIC: u32 = line!() - 2;

async fn boxed() {
    Box::pin(middle()).await;
}
const BOXED: u32 = line!() - 2;

async fn borrowed() {
    let mut inner = Box::pin(outer());
    let inner = &mut inner;
    inner.await;
}
const BORROWED: u32 = line!() - 2;

async fn races() {
    tokio::select! {
        () = leaf() => {}
        () = middle() => {}
    }
}

async fn large() {
    let kept = [1_u8; 16_000];
    middle().await;
    black_box(&kept);
}

/// A tree of boxes.
fn deep(levels: u32) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if levels == 0 {
            leaf().await;
        } else {
            deep(levels - 1).await;
        }
    })
}

/// Tasks that wait, by a name for each.
fn park() -> (Runtime, JoinSet<()>, BTreeMap<String, u64>) {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let mut set = JoinSet::new();
    let in_set = set.spawn_on(outer(), runtime.handle()).id();
    let enter = runtime.enter();
    let tasks: Vec<(&str, Id)> = vec![
        ("nested", runtime.spawn(outer()).id()),
        ("boxed", runtime.spawn(boxed()).id()),
        ("dynamic", runtime.spawn(dynamic()).id()),
        ("spawned in a box", runtime.spawn(deep(0)).id()),
        ("borrowed", runtime.spawn(borrowed()).id()),
        ("deep", runtime.spawn(deep(10)).id()),
        ("select", runtime.spawn(races()).id()),
        ("boxed by Tokio", runtime.spawn(large()).id()),
        ("spawned as tracked", spawn_tracked(dynamic()).id()),
        ("tracked", runtime.spawn(track(outer())).id()),
        ("of a set", in_set),
        ("with a secret", runtime.spawn(knows()).id()),
    ];
    drop(enter);
    runtime.block_on(async {
        for _ in 0..4 {
            yield_now().await;
        }
    });
    let unpolled = ("not polled", runtime.spawn(outer()).id());
    let tasks = tasks.into_iter().chain([unpolled]);
    let number = |id: Id| id.to_string().parse().expect("a number");
    (runtime, set, tasks.map(|(name, id)| (name.to_owned(), number(id))).collect())
}

/// Where tasks wait, by their names.
type Places = BTreeMap<String, Result<(Vec<AwaitFrame>, String), String>>;

fn places(dump: &TaskDump, names: &BTreeMap<String, u64>) -> Places {
    let place = |(name, id): (&String, &u64)| {
        let task = dump.tasks.iter().find(|task| task.tokio_id == Some(*id)).expect("a row");
        let place = match (&task.await_point, &task.unknown) {
            (Some(point), None) => Ok((point.frames.clone(), point.stops.clone())),
            (None, Some(why)) => Err(why.clone()),
            _ => panic!("{task:#?}"),
        };
        (name.clone(), place)
    };
    names.iter().map(place).collect()
}

/// The program that is started below.
#[test]
fn a_child_parks_tasks_and_writes_its_dump() {
    let Some(file) = env::var_os(CHILD) else { return };
    let (_runtime, _set, names) = park();
    let dump = task_dump().expect("a dump");
    assert!(matches!(dump.await_points, AwaitPoints::Unavailable(_)), "it has debug information");
    let json = serde_json::json!({"names": names, "dump": dump});
    fs::write(file, json.to_string()).expect("written");
}

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// The JSON that a copy of this program without debug information writes.
fn of_stripped(memory: &str) -> String {
    let program = env::current_exe().expect("a path");
    let (copy, file) = (temporary("offline"), temporary("offline.json"));
    fs::copy(&program, &copy).expect("copied");
    let bytes = stripped(fs::read(&program).expect("read"));
    fs::write(&copy, bytes).expect("written");
    let mut command = Command::new(&copy);
    command
        .args(["--exact", "offline::a_child_parks_tasks_and_writes_its_dump"])
        .env(CHILD, &file)
        .env("MEMSCOPE_DUMP_MEMORY", memory);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = started(&mut command).wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let json = fs::read_to_string(&file).expect("a dump");
    fs::remove_file(copy).expect("its own file");
    fs::remove_file(file).expect("its own file");
    json
}

/// The program as a reader of debug information sees a stripped one: the sections have other names.
fn stripped(mut program: Vec<u8>) -> Vec<u8> {
    let number = |at: usize, bytes: usize| {
        program[at..at + bytes].iter().rev().fold(0, |sum, byte| (sum << 8) | usize::from(*byte))
    };
    let header = number(40, 8) + number(58, 2) * number(62, 2);
    let (start, size) = (number(header + 24, 8), number(header + 32, 8));
    for at in start..start + size {
        if program[at..].starts_with(b".debug_") {
            program[at + 1] = b'x';
        }
    }
    program
}

/// The dump of a stripped copy of this program, with its memory, and the names of its tasks.
static DUMP: LazyLock<(TaskDump, BTreeMap<String, u64>, String)> = LazyLock::new(|| {
    // The layouts are those that this program has read of itself.
    assert_eq!(task_dump().expect("a dump").await_points, AwaitPoints::On);
    let json = of_stripped("on");
    let mut value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let names = serde_json::from_value(value["names"].take()).expect("names");
    let dump: TaskDump = serde_json::from_value(value["dump"].take()).expect("a dump");
    (dump, names, json)
});

/// Where the tasks wait that the stripped program has parked.
static DECODED: LazyLock<Places> = LazyLock::new(|| {
    let (dump, names, _) = &*DUMP;
    places(&decode(dump.clone()).expect("the same build"), names)
});

#[expect(clippy::format_collect, reason = "a few bytes")]
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_stripped_program_is_decoded_to_what_it_says_itself_with_its_debug_information() {
    let (_runtime, _set, names) = park();
    let own = places(&task_dump().expect("a dump"), &names);
    for (name, place) in &own {
        assert_eq!(DECODED.get(name), Some(place), "{name}");
    }
    let lines = |name: &str| {
        let (frames, _) = DECODED[name].as_ref().expect("a place");
        frames.iter().map(|frame| frame.line).collect::<Vec<_>>()
    };
    assert_eq!(lines("nested"), [OUTER, MIDDLE, LEAF]);
    assert_eq!(lines("boxed"), [BOXED, MIDDLE, LEAF]);
    assert_eq!(lines("dynamic"), [DYNAMIC, OUTER, MIDDLE, LEAF]);
    assert_eq!(lines("borrowed"), [BORROWED, OUTER, MIDDLE, LEAF]);
    assert_eq!(lines("of a set"), [OUTER, MIDDLE, LEAF]);
    assert_eq!(lines("deep").len(), 12);
    assert_eq!(DECODED["not polled"], Err("it was not polled yet".to_owned()));
    let (dump, names, _) = &*DUMP;
    let decoded = decode(dump.clone()).expect("the same build");
    assert_eq!((decoded.memory, decoded.without_types), (None, 0));
    let of = |name: &str| {
        let is_it = |task: &&DumpedTask| task.tokio_id == Some(names[name]);
        decoded.tasks.iter().find(is_it).expect("a row")
    };
    assert_eq!(of("nested").future_size_bytes, size_of_val(&outer()) as u64);
    assert!(decoded.tasks.iter().all(|task| task.cell.is_none()));
}

#[test]
fn memory_is_in_a_dump_only_if_that_was_asked_for() {
    let (dump, _, json) = &*DUMP;
    assert!(json.contains(&hex(&SECRET)));
    assert!(dump.memory.is_some() && dump.without_types > 0, "{dump:#}");
    assert!(dump.to_string().contains("their memory is in the JSON of this dump"), "{dump}");
    assert!(!format!("{dump:?}").contains("97, 32, 115"), "no bytes in messages");
    let json = of_stripped("off");
    assert!(!json.contains(&hex(&SECRET)));
    for field in ["memory\":", "pieces", "\"cell\"", "image"] {
        assert!(!json.contains(field), "{field} in {json}");
    }
    let mut value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let dump: TaskDump = serde_json::from_value(value["dump"].take()).expect("a dump");
    assert!(dump.to_string().contains("MEMSCOPE_DUMP_MEMORY=on"), "{dump}");
    assert_eq!(decode(dump), Err("it has no memory with it"));
}

#[test]
fn a_dump_of_another_build_is_refused() {
    let mut dump = DUMP.0.clone();
    for id in [Some("00".to_owned()), None] {
        dump.memory.as_mut().expect("memory").build_id = id;
        assert_eq!(decode(dump.clone()), Err("the debug information is that of another build"));
    }
}

/// Each task is where it waits, or a part of the way there, or unknown.
fn no_other_place(dump: TaskDump) -> Result<(), TestCaseError> {
    let decoded = decode(dump).expect("the same build");
    for (name, place) in places(&decoded, &DUMP.1) {
        let Ok((frames, stops)) = place else { continue };
        let (whole, end) = DECODED[&name].as_ref().expect("it is not known more of less");
        prop_assert!(whole.starts_with(&frames), "{name}: {frames:#?}");
        prop_assert!(frames.len() < whole.len() || stops == *end || stops.starts_with("goes on"));
        prop_assert!(!frames.is_empty() || stops == *end, "{name}: {stops}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn memory_that_is_not_there_shortens_a_way_and_changes_none(
        seed: u64, kept in 0..=100_u64, cut in 0..=100_u64,
    ) {
        let mut dump = DUMP.0.clone();
        let memory = dump.memory.as_mut().expect("memory");
        let mut random = seed;
        let mut percent = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % 100
        };
        memory.pieces.retain(|_| percent() < kept);
        for piece in &mut memory.pieces {
            if percent() < cut {
                let bytes = piece.bytes.len() * usize::try_from(percent()).expect("small") / 100;
                piece.bytes.truncate(bytes);
            }
        }
        no_other_place(dump)?;
    }

    #[test]
    fn random_memory_tells_no_place(
        pieces in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..64)), 0..8),
        filler: u8,
    ) {
        let mut dump = DUMP.0.clone();
        let memory = dump.memory.as_mut().expect("memory");
        // Where the cells are, and elsewhere.
        for piece in &mut memory.pieces {
            piece.bytes.fill(filler);
        }
        let piece = |(address, bytes)| MemoryPiece { address, bytes };
        memory.pieces.extend(pieces.into_iter().map(piece));
        let decoded = decode(dump).expect("the same build");
        for (name, place) in places(&decoded, &DUMP.1) {
            prop_assert!(place.is_err(), "{name}: {place:#?}");
        }
    }

    #[test]
    fn damage_in_cells_and_values_ends_the_walk_somewhere(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..64),
    ) {
        let mut dump = DUMP.0.clone();
        let memory = dump.memory.as_mut().expect("memory");
        for (piece, at, value) in damage {
            let piece = piece.get(&memory.pieces).address;
            let piece = memory.pieces.iter_mut().find(|it| it.address == piece).expect("it");
            let at = at.index(piece.bytes.len());
            piece.bytes[at] = value;
        }
        let decoded = decode(dump).expect("the same build");
        for task in &decoded.tasks {
            prop_assert!(task.await_point.as_ref().is_none_or(|it| it.frames.len() <= 128));
        }
    }
}
