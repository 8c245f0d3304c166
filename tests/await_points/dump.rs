//! The dump of all tasks: each is where this file says, in the state that it is in, and holds what
//! its row says.

use std::{
    collections::HashMap,
    future::{Future, pending},
    hint::black_box,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use memscope_rs::async_memory::{
    AwaitPoints, DumpedTask, TaskDump, TaskState, get_memory_snapshot, spawn_tracked, task_dump,
    track,
};
use memscope_tests::{alone, workers};
use tokio::{
    runtime::{Builder, Handle},
    sync::Notify,
    task::{Id, JoinHandle, JoinSet, LocalSet, yield_now},
};

use super::{LEAF, MIDDLE, OUTER, leaf, middle, outer};

fn dump() -> TaskDump {
    let dump = task_dump().expect("a dump");
    assert_eq!(dump.await_points, AwaitPoints::On, "this test needs debug information: debug = 2");
    assert_eq!(dump.missing, None);
    dump
}

fn number(id: Id) -> u64 {
    id.to_string().parse().expect("a number")
}

pub(super) fn task(dump: &TaskDump, id: Id) -> &DumpedTask {
    let mut found = dump.tasks.iter().filter(|task| task.tokio_id == Some(number(id)));
    let task = found.next().unwrap_or_else(|| panic!("no task {id}: {dump:#}"));
    assert!(found.next().is_none(), "two tasks {id}: {dump:#}");
    task
}

/// The lines of the places where a task waits, the outermost first.
fn lines(task: &DumpedTask) -> Vec<u32> {
    let point = task.await_point.as_ref().unwrap_or_else(|| panic!("no place: {task:#?}"));
    assert!(
        point.frames.iter().all(|frame| frame.file.contains("tests/await_points")),
        "{task:#?}"
    );
    point.frames.iter().map(|frame| frame.line).collect()
}

/// Waits until a task of a runtime with several workers is parked: it is idle in two dumps.
pub(super) fn parked(ids: &[Id]) -> TaskDump {
    for _ in 0..2_000 {
        let dump = dump();
        let is_parked = |id: &Id| {
            let task = task(&dump, *id);
            task.state == TaskState::Idle && task.await_point.is_some()
        };
        if ids.iter().all(is_parked) {
            return dump;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("they were never parked: {:#}", dump())
}

#[repr(align(64))]
struct Aligned([u8; 64]);

async fn aligned() -> u128 {
    let kept = Aligned([3; 64]);
    pending::<()>().await;
    black_box(kept.0);
    7
}
const ALIGNED: u32 = line!() - 4;

#[expect(clippy::large_stack_arrays, reason = "a future of that size is what is tested")]
async fn large() {
    let kept = [1_u8; 30_000];
    pending::<()>().await;
    black_box(&kept);
}
const LARGE: u32 = line!() - 3;

#[test]
fn each_kind_of_task_is_where_it_waits_however_it_was_spawned() {
    let runtime = workers(2);
    let mut set = JoinSet::new();
    let in_set = set.spawn_on(middle(), runtime.handle());
    let boxed: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(outer());
    let line = line!() + 1;
    let tracked = track(async { outer().await }).named("tracked in a plain spawn");
    let enter = runtime.enter();
    let cases: Vec<(&str, Id, Vec<u32>)> = vec![
        ("plain", runtime.spawn(outer()).id(), vec![OUTER, MIDDLE, LEAF]),
        ("of a set", in_set.id(), vec![MIDDLE, LEAF]),
        ("boxed by the program", runtime.spawn(boxed).id(), vec![OUTER, MIDDLE, LEAF]),
        ("aligned", runtime.spawn(aligned()).id(), vec![ALIGNED]),
        ("boxed by Tokio", runtime.spawn(large()).id(), vec![LARGE]),
        ("spawned as tracked", spawn_tracked(outer()).id(), vec![OUTER, MIDDLE, LEAF]),
        ("large and tracked", spawn_tracked(large()).id(), vec![LARGE]),
        ("tracked", runtime.spawn(tracked).id(), vec![line, OUTER, MIDDLE, LEAF]),
        ("large, tracked", runtime.spawn(track(large())).id(), vec![LARGE]),
        ("no function", runtime.spawn(pending::<()>()).id(), vec![]),
    ];
    drop(enter);
    let ids: Vec<Id> = cases.iter().map(|case| case.1).collect();
    let dump = parked(&ids);
    for (name, id, expected) in &cases {
        let found = task(&dump, *id);
        assert_eq!(lines(found), *expected, "{name}: {found:#?}");
        assert_eq!((found.state, found.running), (TaskState::Idle, false), "{name}");
        let point = found.await_point.as_ref().expect("seen");
        assert!(point.stops.starts_with("waits for core::future::pending::Pending"), "{found:#?}");
        assert_eq!(found.unknown, None);
        assert!(found.measured, "{name}: {found:#?}");
    }
    let of = |at: usize| task(&dump, cases[at].1);
    assert_eq!(of(0).name, "await_points::outer");
    assert_eq!(of(0).future_size_bytes, size_of_val(&outer()) as u64);
    assert_eq!(of(3).future_size_bytes, size_of_val(&aligned()) as u64);
    assert_eq!(of(5).future_size_bytes, size_of_val(&outer()) as u64);
    assert_eq!(of(7).name, "tracked in a plain spawn");
    // One task, one row: with the id that other reports have.
    let snapshot = get_memory_snapshot();
    for at in [5, 6, 7, 8] {
        let found = of(at);
        let id = found.id.unwrap_or_else(|| panic!("{}: {found:#?}", cases[at].0));
        assert_eq!(dump.tasks.iter().filter(|task| task.id == Some(id)).count(), 1);
        assert_eq!(snapshot.task(id).expect("a row").live_bytes, found.live_bytes);
    }
    // Its Tokio cell, and the box.
    assert!(of(6).live_bytes > 30_000, "{:#?}", of(6));
}

#[test]
fn a_task_of_a_local_set_is_where_it_waits() {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let set = LocalSet::new();
    let handle = set.spawn_local(outer());
    let dump = set.block_on(&runtime, async {
        for _ in 0..4 {
            yield_now().await;
        }
        dump()
    });
    let found = task(&dump, handle.id());
    assert_eq!(lines(found), [OUTER, MIDDLE, LEAF], "{found:#?}");
}

#[test]
fn a_task_says_whether_it_runs_has_ended_was_aborted_or_never_polled() {
    let runtime = workers(2);
    let (runs, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let busy = runtime.spawn({
        let (runs, stop) = (Arc::clone(&runs), Arc::clone(&stop));
        async move {
            leaf_once().await;
            runs.store(true, Ordering::SeqCst);
            while !stop.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        }
    });
    let tracked_busy = {
        let _inside = runtime.enter();
        let (runs, stop) = (Arc::clone(&runs), Arc::clone(&stop));
        track(async move {
            while !runs.load(Ordering::SeqCst) {
                yield_now().await;
            }
            runs.store(false, Ordering::SeqCst);
            while !stop.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
        })
        .spawn()
    };
    // Both loops are in their polls.
    while runs.load(Ordering::SeqCst) || tracked_busy.is_finished() {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(50));
    let over = Builder::new_current_thread().build().expect("a runtime");
    let idle = over.spawn(outer());
    let done = over.spawn(async { vec![1_u8; 100] });
    let tracked_done = {
        let _inside = over.enter();
        spawn_tracked(async { vec![1_u8; 3_000] })
    };
    let aborted = over.spawn(outer());
    let dropped = over.spawn(async {});
    let dropped_id = dropped.id();
    over.block_on(async {
        aborted.abort();
        drop(dropped);
        for _ in 0..4 {
            yield_now().await;
        }
    });
    let unpolled = over.spawn(outer());
    let dump = dump();
    for handle in [&busy, &tracked_busy] {
        let found = task(&dump, handle.id());
        assert_eq!((found.state, found.running), (TaskState::Running, true), "{found:#?}");
        assert_eq!(found.await_point, None);
        assert_eq!(found.unknown.as_deref(), Some("it was being polled"));
    }
    let found = task(&dump, idle.id());
    assert_eq!((found.state, lines(found)), (TaskState::Idle, vec![OUTER, MIDDLE, LEAF]));
    let found = task(&dump, done.id());
    assert_eq!((found.state, found.running), (TaskState::Ended, false), "{found:#?}");
    assert_eq!((found.await_point.as_ref(), found.has_handle), (None, Some(true)));
    let found = task(&dump, aborted.id());
    assert_eq!((found.state, found.has_handle), (TaskState::Cancelled, Some(true)), "{found:#?}");
    assert!(!dump.tasks.iter().any(|task| task.tokio_id == Some(number(dropped_id))), "it is gone");
    let found = task(&dump, unpolled.id());
    assert_eq!(found.state, TaskState::Idle);
    assert_eq!(found.await_point, None, "{found:#?}");
    assert_eq!(found.unknown.as_deref(), Some("it was not polled yet"));
    // A tracked one that is over has its row by its account.
    let snapshot = get_memory_snapshot();
    let is_it = |task: &&DumpedTask| task.live_bytes > 3_000 && task.state == TaskState::Completed;
    let found = dump.tasks.iter().find(is_it).unwrap_or_else(|| panic!("{dump:#}"));
    let row = snapshot.task(found.id.expect("an id")).expect("a row");
    assert_eq!((row.live_bytes, row.state), (found.live_bytes, TaskState::Completed));
    stop.store(true, Ordering::SeqCst);
    drop(tracked_done);
}

async fn leaf_once() {
    yield_now().await;
}

/// A task that allocates, and has spawned these.
async fn spawner(kept: usize, gate: Arc<Notify>) -> Vec<JoinHandle<()>> {
    let kept = vec![9_u8; kept];
    let plain = tokio::spawn(leaf());
    let tracked = spawn_tracked(middle());
    gate.notify_one();
    pending::<()>().await;
    drop(kept);
    vec![plain, tracked]
}

#[test]
fn a_task_has_its_spawner_as_its_parent_and_its_bytes_to_the_byte() {
    let runtime = workers(2);
    let gate = Arc::new(Notify::new());
    let plain = runtime.spawn(spawner(12_345, Arc::clone(&gate)));
    runtime.block_on(gate.notified());
    let tracked = runtime.spawn(track(spawner(54_321, Arc::clone(&gate))));
    runtime.block_on(gate.notified());
    let dump = parked(&[plain.id(), tracked.id()]);
    for (handle, kept) in [(&plain, 12_345), (&tracked, 54_321)] {
        let found = task(&dump, handle.id());
        let id = found.id.expect("it has allocated");
        let row = get_memory_snapshot().task(id).expect("a row").clone();
        assert!(found.measured && found.live_bytes >= kept, "{found:#?}");
        assert_eq!((found.live_bytes, &found.name), (row.live_bytes, &row.name), "{found:#?}");
        let children: Vec<&DumpedTask> =
            dump.tasks.iter().filter(|task| task.parent == Some(id)).collect();
        let mut names: Vec<&str> = children.iter().map(|task| &*task.name).collect();
        names.sort_unstable();
        assert_eq!(names.len(), 2, "{children:#?}");
        assert!(names.contains(&"await_points::leaf"), "{names:?}");
        // The plain one has allocated nothing, and so has no row elsewhere.
        let plain = children.iter().find(|task| task.name == "await_points::leaf").expect("seen");
        assert_eq!((plain.id, plain.measured, plain.live_bytes), (None, true, 0), "{plain:#?}");
        let tracked = children.iter().find(|task| task.id.is_some()).expect("it has a row");
        assert_eq!(lines(tracked), [MIDDLE, LEAF]);
    }
}

#[test]
fn a_tracked_part_of_a_task_waits_where_the_task_waits() {
    let runtime = workers(1);
    let line = line!() + 2;
    let handle = runtime.spawn(async {
        track(outer()).named("a part of the whole").await;
    });
    let dump = parked(&[handle.id()]);
    let whole = task(&dump, handle.id());
    assert_eq!(lines(whole), [line, OUTER, MIDDLE, LEAF], "{whole:#?}");
    let part = dump.tasks.iter().find(|task| task.name == "a part of the whole");
    let part = part.unwrap_or_else(|| panic!("{dump:#}"));
    assert_eq!((part.tokio_id, lines(part)), (None, vec![OUTER, MIDDLE, LEAF]), "{part:#?}");
    assert!(part.id.is_some() && part.id != whole.id);
}

#[test]
fn what_may_wait_for_several_futures_says_so() {
    let runtime = workers(1);
    let line = line!() + 2;
    let handle = runtime.spawn(async {
        tokio::select! {
            () = leaf() => {}
            () = middle() => {}
        }
    });
    let dump = parked(&[handle.id()]);
    let found = task(&dump, handle.id());
    let point = found.await_point.as_ref().expect("a place");
    let lines: Vec<u32> = point.frames.iter().map(|frame| frame.line).collect();
    assert_eq!(lines, [line], "{found:#?}");
    assert!(point.stops.contains("2 futures side by side"), "{found:#?}");
}

/// Parked at one of four lines, by its number.
async fn crowd(place: usize, gate: Arc<Notify>) {
    match place {
        0 => gate.notified().await,
        1 => leaf().await,
        2 => Box::pin(middle()).await,
        _ => outer().await,
    }
}
const CROWD: u32 = line!() - 6;

#[test]
fn ten_thousand_parked_tasks_are_each_where_they_wait() {
    const TASKS: usize = 10_000;
    let _alone = alone();
    let runtime = workers(4);
    let gate = Arc::new(Notify::new());
    let spawn = |place: usize| {
        let gate = Arc::clone(&gate);
        if place.is_multiple_of(2) {
            runtime.spawn(crowd(place % 4, gate))
        } else {
            let _inside = runtime.enter();
            track(crowd(place % 4, gate)).named("crowd").spawn()
        }
    };
    let handles: Vec<JoinHandle<()>> = (0..TASKS).map(spawn).collect();
    let ids: HashMap<u64, usize> =
        handles.iter().enumerate().map(|(place, it)| (number(it.id()), place % 4)).collect();
    let in_crowd = |dump: &TaskDump| {
        let is_in = |task: &DumpedTask| task.tokio_id.is_some_and(|id| ids.contains_key(&id));
        dump.tasks.iter().filter(|task| is_in(task)).cloned().collect::<Vec<_>>()
    };
    let begun = std::time::Instant::now();
    let (dump, tasks) = loop {
        let dump = dump();
        let tasks = in_crowd(&dump);
        if tasks.iter().all(|task| task.await_point.is_some()) {
            break (dump, tasks);
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{dump:#}");
    };
    assert_eq!(tasks.len(), TASKS);
    for task in &tasks {
        let place = ids[&task.tokio_id.expect("seen")];
        let expected = match place {
            0 => vec![CROWD],
            1 => vec![CROWD + 1, LEAF],
            2 => vec![CROWD + 2, MIDDLE, LEAF],
            _ => vec![CROWD + 3, OUTER, MIDDLE, LEAF],
        };
        assert_eq!(lines(task), expected, "{task:#?}");
    }
    let text = format!("{dump:#}");
    let line = |place: &str| text.lines().find(|line| line.contains(place)).unwrap_or_default();
    let at = |line: u32| format!("dump.rs:{line})");
    assert!(line(&at(CROWD)).trim_start().starts_with("2,500 "), "{text}");
    let json = serde_json::to_string(&dump).expect("JSON");
    assert_eq!(serde_json::from_str::<TaskDump>(&json).expect("a dump"), dump);
}

#[test]
fn many_callers_share_their_dumps_and_a_dump_in_a_task_says_that_it_runs() {
    let runtime = workers(2);
    let inside = runtime.spawn(async { (tokio::task::id(), task_dump().expect("a dump")) });
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(dump);
        }
    });
    let (id, dump) = runtime.block_on(inside).expect("no panic");
    assert!(task(&dump, id).running);
    assert!(Handle::try_current().is_err());
}
