//! Unannotated Tokio tasks: each is a row with exactly its bytes, wherever it runs and however many
//! there are.

use std::{
    collections::HashMap,
    future::Future,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self as std_mpsc, SyncSender},
    },
    thread,
};

use memscope_rs::async_memory::{MemorySnapshot, TaskMemoryProfile, TaskState, track};
use memscope_tests::{
    alone_without_names, block_on, conserved, conserved_when, record_bytes, workers,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Barrier, mpsc, oneshot},
    task::LocalSet,
};

use crate::ALLOCATOR;

fn plain(snapshot: &MemorySnapshot) -> Vec<&TaskMemoryProfile> {
    snapshot.tasks().iter().filter(|task| !task.is_annotated).collect()
}

/// The live bytes of rows that hold at least this.
fn sizes(snapshot: &MemorySnapshot, least: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> = plain(snapshot)
        .iter()
        .map(|task| task.live_bytes)
        .filter(|bytes| *bytes >= least)
        .collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn each_task_is_a_row_with_what_it_holds() {
    let _alone = alone_without_names();
    let runtime = workers(4);
    let all_hold = Arc::new(Barrier::new(101));
    let (stop, _) = tokio::sync::broadcast::channel::<()>(1);
    let tasks: Vec<_> = (0..100_usize)
        .map(|number| {
            let (all_hold, mut stopped) = (Arc::clone(&all_hold), stop.subscribe());
            runtime.spawn(async move {
                let held = vec![1u8; 100_000 + number];
                for _ in 0..number % 7 {
                    drop(vec![0u8; 5_000]);
                    tokio::task::yield_now().await;
                }
                all_hold.wait().await;
                stopped.recv().await.ok();
                drop(held);
            })
        })
        .collect();
    runtime.block_on(all_hold.wait());
    let snapshot = conserved(&ALLOCATOR);
    let holding: Vec<_> =
        plain(&snapshot).into_iter().filter(|task| task.live_bytes >= 100_000).collect();
    assert_eq!(holding.len(), 100);
    // Some also grow a list of Tokio's: the sum is at least what they hold themselves.
    let exact = |number: &u64| holding.iter().any(|task| task.live_bytes == 100_000 + number);
    assert!((0..100).filter(exact).count() >= 90, "{snapshot:#}");
    for task in holding {
        // A worker may have found it ready while the others waited to be stopped.
        assert!(matches!(task.state, TaskState::Idle | TaskState::Running), "{task:?}");
        assert_eq!(task.name, "(unannotated)");
        assert!(
            task.freed_bytes <= 6 * 5_000 + 2_000 && task.freed_elsewhere_bytes < 2_000,
            "{task:?}"
        );
    }
    stop.send(()).expect("received");
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    assert!(sizes(&conserved(&ALLOCATOR), 100_000).is_empty());
}

#[test]
fn what_a_task_hands_on_stays_its_own_until_it_is_freed() {
    let _alone = alone_without_names();
    let runtime = workers(2);
    let (sender, mut queue) = mpsc::channel(1);
    let (done, freed) = oneshot::channel::<()>();
    let maker =
        runtime.spawn(async move { sender.send(vec![7u8; 70_001]).await.expect("received") });
    runtime.block_on(maker).expect("no panic");
    assert_eq!(sizes(&conserved(&ALLOCATOR), 70_000), [70_001]);
    let user = runtime.spawn(async move {
        let received = queue.recv().await.expect("sent");
        let grown: Vec<u8> = received.into_iter().chain(0..=u8::MAX).collect();
        freed.await.ok();
        grown.len()
    });
    // The first block is freed, by the user.
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        let sizes = sizes(snapshot, 70_000);
        sizes.len() == 1 && sizes[0] > 70_001
    });
    let hand_overs = snapshot.hand_overs().iter().filter(|row| {
        let is_plain = |place: &Option<memscope_rs::async_memory::Place>| {
            place.as_ref().is_some_and(|place| place.name == "(unannotated)")
        };
        is_plain(&row.from) && is_plain(&row.to) && row.bytes >= 70_001
    });
    assert_eq!(hand_overs.count(), 1, "{:?}", snapshot.hand_overs());
    done.send(()).expect("received");
    assert_eq!(runtime.block_on(user).expect("no panic"), 70_001 + 256);
}

#[test]
fn what_a_spawn_takes_besides_the_cell_is_the_unannotated_spawners() {
    const TASKS: u64 = 10_000;
    let _alone = alone_without_names();
    // One thread, so that all of them wait in one queue, which grows as they are spawned.
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let earlier = conserved(&ALLOCATOR);
    let (stop, stopped) = oneshot::channel::<()>();
    let spawner = runtime.spawn(async move {
        for _ in 0..TASKS {
            drop(track(async {}).named("spawned").spawn());
        }
        stopped.await.ok();
    });
    runtime.block_on(async { tokio::task::yield_now().await });
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites().iter().find(|site| site.name == "spawned").expect("a row");
    assert_eq!((site.spawned, site.allocation_count), (TASKS, TASKS), "a cell each");
    let queue_bytes = TASKS * size_of::<usize>() as u64;
    let is_its = |task: &&TaskMemoryProfile| {
        task.allocated_bytes >= queue_bytes && earlier.task(task.id).is_none()
    };
    assert_eq!(plain(&snapshot).into_iter().filter(is_its).count(), 1, "{snapshot:#}");
    stop.send(()).expect("received");
    runtime.block_on(spawner).expect("no panic");
}

#[test]
fn a_tracked_future_inside_is_a_child_and_its_bytes_are_its_own() {
    // No channel: waking a thread may take a lock, and the first contended lock of a thread may
    // make room in a table of the lock's library, which is this task's memory then.
    static IS_HELD: AtomicBool = AtomicBool::new(false);
    let _alone = alone_without_names();
    let runtime = workers(2);
    let (stop, stopped) = oneshot::channel::<()>();
    let task = runtime.spawn(async move {
        let outer = vec![0u8; 41_000];
        let inner = track(async {
            let inner = vec![0u8; 42_000];
            IS_HELD.store(true, Ordering::Release);
            stopped.await.ok();
            inner.len()
        })
        .named("inner");
        inner.await + outer.len()
    });
    while !IS_HELD.load(Ordering::Acquire) {
        thread::yield_now();
    }
    let snapshot = conserved(&ALLOCATOR);
    let inner = snapshot.tasks().iter().find(|task| task.name == "inner").expect("a row");
    assert_eq!(inner.live_bytes, 42_000);
    let outer = snapshot.task(inner.parent.expect("a parent")).expect("its row");
    assert!(!outer.is_annotated && outer.live_bytes >= 41_000 && outer.live_bytes < 42_000);
    stop.send(()).expect("received");
    assert_eq!(runtime.block_on(task).expect("no panic"), 83_000);
}

#[test]
fn blocking_tasks_have_rows_too() {
    let _alone = alone_without_names();
    let runtime = workers(1);
    let (sender, receiver) = std::sync::mpsc::channel();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let task = runtime.spawn_blocking(move || {
        let held = vec![0u8; 91_234];
        sender.send(()).expect("received");
        stopped.recv().ok();
        held.len()
    });
    receiver.recv().expect("sent");
    let snapshot = conserved(&ALLOCATOR);
    assert!(sizes(&snapshot, 91_234).iter().any(|bytes| *bytes < 92_000), "{snapshot}");
    drop(stop);
    assert_eq!(runtime.block_on(task).expect("no panic"), 91_234);
}

/// Tasks allocate, free, hand over and migrate at random: the sums are right at every moment, and
/// each holder's row in the end.
#[test]
fn tasks_that_migrate_and_trade_blocks_are_charged_to_the_byte() {
    let _alone = alone_without_names();
    let runtime = workers(4);
    let shared: Arc<Mutex<HashMap<u64, Vec<u8>>>> = Arc::default();
    let tasks: Vec<_> = (1..=64_u64)
        .map(|seed| {
            let shared = Arc::clone(&shared);
            runtime.spawn(async move {
                let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                let mut own = Vec::new();
                for _ in 0..300 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let size = usize::try_from(random % 3_000).expect("small") + 1;
                    match random >> 61 {
                        0..=2 => own.push(vec![0u8; size]),
                        3 => drop(own.pop()),
                        4 | 5 => {
                            let old =
                                shared.lock().expect("no panic").insert(random % 50, vec![0; size]);
                            drop(old);
                        }
                        6 => {
                            let taken = shared.lock().expect("no panic").remove(&(random % 50));
                            own.extend(taken);
                        }
                        _ => tokio::task::yield_now().await,
                    }
                }
            })
        })
        .collect();
    for _ in 0..20 {
        conserved(&ALLOCATOR);
        thread::yield_now();
    }
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    drop(runtime);
    let snapshot = conserved(&ALLOCATOR);
    let left: u64 = shared.lock().expect("no panic").values().map(|held| held.len() as u64).sum();
    let rows: u64 = plain(&snapshot).iter().map(|task| task.live_bytes).sum();
    assert!(rows >= left, "the map itself has an owner too: {rows} {left}");
    drop(shared);
    conserved(&ALLOCATOR);
}

/// Far more tasks than places, alive at one time and each with a block: some are split, and that is
/// said; no byte is lost.
#[test]
fn more_tasks_than_places_lose_rows_but_no_byte() {
    const TASKS: usize = 70_000;
    let _alone = alone_without_names();
    block_on(async {
        let (stop, _) = tokio::sync::broadcast::channel::<()>(1);
        let mut tasks = Vec::with_capacity(TASKS);
        for _ in 0..TASKS {
            let mut stopped = stop.subscribe();
            tasks.push(tokio::spawn(async move {
                let held = Box::new([1u8; 24]);
                stopped.recv().await.ok();
                drop(held);
            }));
        }
        // A runtime looks at its main future once in a while, between the tasks.
        for _ in 0..TASKS / 20 {
            tokio::task::yield_now().await;
        }
        let snapshot = conserved(&ALLOCATOR);
        assert!(snapshot.tool().tasks_split > 0, "{snapshot}");
        let site = snapshot.sites().iter().find(|site| !site.is_annotated).expect("a row");
        assert!(site.live_bytes >= 24 * TASKS as u64, "{site:?}");
        stop.send(()).expect("received");
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites().iter().find(|site| !site.is_annotated).expect("a row");
    assert!(site.live_bytes < 100_000, "{site:?}");
}

#[test]
fn short_tasks_leave_memscopes_memory_where_it_was() {
    let _alone = alone_without_names();
    let run = |times: usize| {
        block_on(async move {
            for _ in 0..times {
                tokio::spawn(async { drop(Box::new([0u8; 100])) }).await.expect("no panic");
            }
        });
    };
    run(20_000);
    let before = record_bytes(&conserved(&ALLOCATOR));
    run(100_000);
    assert_eq!(record_bytes(&conserved(&ALLOCATOR)), before);
}

/// What both programs say is what the destructors of thread-locals find of Tokio, on threads with
/// and without it.
#[test]
fn thread_local_destructors_run_in_the_same_order_with_and_without_memscope() {
    let said = |program: &str| {
        let mut command = Command::new(program);
        command.env_remove("MEMSCOPE_UNANNOTATED");
        let output = command.output().expect("it starts");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program}: {error}");
        (String::from_utf8_lossy(&output.stdout).into_owned(), error)
    };
    let with = said(env!("CARGO_BIN_EXE_with_memscope"));
    let without = said(env!("CARGO_BIN_EXE_without_memscope"));
    assert_eq!(with, without);
    assert!(with.0.lines().count() > 20, "{}", with.0);
}

/// Holds as many bytes, in one block, from its first poll until it is told to go.
async fn holds(bytes: usize, held: SyncSender<()>, stop: oneshot::Receiver<()>) {
    let block = vec![1_u8; bytes].into_boxed_slice();
    held.send(()).expect("received");
    stop.await.ok();
    drop(block);
}

/// The sender that stops it, a channel that says when it holds, and the task.
fn held(bytes: usize) -> (oneshot::Sender<()>, std_mpsc::Receiver<()>, impl Future<Output = ()>) {
    let ((stop, stopped), (held, holds_it)) = (oneshot::channel(), std_mpsc::sync_channel(1));
    (stop, holds_it, holds(bytes, held, stopped))
}

/// Exactly one task holds exactly this block.
#[track_caller]
fn is_held(bytes: usize) {
    let snapshot = conserved(&ALLOCATOR);
    let exact = plain(&snapshot).into_iter().filter(|task| task.live_bytes == bytes as u64);
    assert_eq!(exact.count(), 1, "{snapshot:#}");
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

#[test]
fn the_first_block_of_a_worker_is_its_tasks_whatever_the_worker_is_called() {
    let _alone = alone_without_names();
    for (name, bytes) in [(None, 50_001), (Some("mine"), 50_003), (Some("1"), 50_005)] {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1);
        if let Some(name) = name {
            builder.thread_name(name);
        }
        let runtime = builder.build().expect("a runtime");
        let (stop, holds, task) = held(bytes);
        let task = runtime.spawn(task);
        holds.recv().expect("sent");
        is_held(bytes);
        stop.send(()).expect("received");
        runtime.block_on(task).expect("no panic");
    }
}

#[test]
fn the_first_block_of_a_thread_that_runs_what_others_spawned_is_the_tasks() {
    let _alone = alone_without_names();
    let runtime = current_thread();
    let (stop, holds, task) = held(51_001);
    let task = runtime.spawn(task);
    let runner = thread::spawn(move || runtime.block_on(task).expect("no panic"));
    holds.recv().expect("sent");
    is_held(51_001);
    stop.send(()).expect("received");
    runner.join().expect("no panic");
}

#[test]
fn tasks_of_a_local_set_have_their_bytes_on_tokio_and_elsewhere() {
    let _alone = alone_without_names();
    let on_tokio = |set: LocalSet| current_thread().block_on(set);
    let by_hand = |set: LocalSet| futures::executor::block_on(set);
    for (run, bytes) in [(on_tokio as fn(LocalSet), 52_001), (by_hand, 52_003)] {
        let (stop, holds, task) = held(bytes);
        let runner = thread::spawn(move || {
            let set = LocalSet::new();
            set.spawn_local(task);
            run(set);
        });
        holds.recv().expect("sent");
        is_held(bytes);
        stop.send(()).expect("received");
        runner.join().expect("no panic");
    }
}

#[test]
fn runtimes_in_runtimes_charge_the_innermost_task() {
    let _alone = alone_without_names();
    let outer = workers(1);
    let (stop, holds, task) = held(53_001);
    let task = outer.spawn_blocking(move || {
        let outer_block = vec![1_u8; 53_003].into_boxed_slice();
        current_thread().block_on(async { tokio::spawn(task).await.expect("no panic") });
        drop(outer_block);
    });
    holds.recv().expect("sent");
    is_held(53_001);
    // The blocking task's runtime and its main future are its own too.
    let snapshot = conserved(&ALLOCATOR);
    let outer_task = sizes(&snapshot, 53_003);
    assert!(outer_task.iter().any(|bytes| (53_003..80_000).contains(bytes)), "{snapshot:#}");
    stop.send(()).expect("received");
    outer.block_on(task).expect("no panic");
}

#[test]
fn what_a_thread_allocates_before_and_after_tokio_runs_on_it_is_the_threads() {
    let _alone = alone_without_names();
    let (held_by_thread, at_first) = std_mpsc::sync_channel(0);
    let (go_on, waits) = std_mpsc::sync_channel::<()>(0);
    let (stop, holds, task) = held(54_001);
    let runner = thread::spawn(move || {
        let before = vec![1_u8; 54_003].into_boxed_slice();
        held_by_thread.send(()).expect("received");
        waits.recv().expect("sent");
        current_thread().block_on(async { tokio::spawn(task).await.expect("no panic") });
        let after = vec![1_u8; 54_005].into_boxed_slice();
        held_by_thread.send(()).expect("received");
        waits.recv().expect("sent");
        drop((before, after));
    });
    let none_holds = || {
        let snapshot = conserved(&ALLOCATOR);
        assert!(!plain(&snapshot).iter().any(|task| (54_003..54_100).contains(&task.live_bytes)));
    };
    at_first.recv().expect("sent");
    none_holds();
    go_on.send(()).expect("received");
    holds.recv().expect("sent");
    is_held(54_001);
    stop.send(()).expect("received");
    at_first.recv().expect("sent");
    none_holds();
    go_on.send(()).expect("received");
    runner.join().expect("no panic");
}

/// What each of two tasks, and the thread between their polls, makes, grows and frees: also blocks
/// that another one of them has made.
#[test]
fn owners_that_take_turns_on_a_thread_each_have_exactly_what_they_hold() {
    let _alone = alone_without_names();
    // A second thread lets memscope learn where Tokio keeps the id of its current task.
    let (end, ends) = std_mpsc::channel::<()>();
    let sleeper = thread::spawn(move || ends.recv().is_err());
    let runtime = current_thread();
    let handed_over: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let takes_turns = |mine: usize, stays: bool| {
        let (handed_over, stop) = (Arc::clone(&handed_over), Arc::clone(&stop));
        async move {
            let mut held = Vec::with_capacity(100);
            let mut turn = 0;
            while turn < 100 || (stays && !stop.load(Ordering::Relaxed)) {
                if turn < 100 {
                    let mut block = Vec::<u8>::with_capacity(mine);
                    block.reserve_exact(mine + 8);
                    drop(std::mem::replace(&mut block, Vec::with_capacity(mine + 24)));
                    held.push(block);
                    if turn % 3 == 0 {
                        handed_over.lock().expect("no panic").push(Vec::with_capacity(mine));
                        // The one that another owner has made, as the list is a queue.
                        let other = handed_over.lock().expect("no panic").remove(0);
                        drop(other);
                    }
                }
                turn += 1;
                tokio::task::yield_now().await;
            }
            held
        }
    };
    handed_over.lock().expect("no panic").reserve(1_000);
    handed_over.lock().expect("no panic").extend((0..3).map(|_| Vec::with_capacity(500)));
    runtime.block_on(async {
        let tasks = [tokio::spawn(takes_turns(104, true)), tokio::spawn(takes_turns(200, true))];
        let own = takes_turns(312, false).await;
        let snapshot = conserved(&ALLOCATOR);
        let cell = |bytes: u64| 100 * (bytes + 24) + 100 * size_of::<Vec<u8>>() as u64;
        for (bytes, task) in [104, 200].into_iter().zip(plain_alive(&snapshot)) {
            // What others have not freed of what it handed over lives as well: at most the queue.
            let extra = task.live_bytes - cell(bytes);
            assert_eq!(extra % bytes, 0, "{bytes}: {extra}");
            assert!(extra <= 3 * bytes, "{bytes}: {extra}");
            // 100 blocks, reserved once more, and replaced; 34 handed over, the list and the cell.
            assert_eq!(task.allocation_count, 3 * 100 + 34 + 1, "{bytes}");
        }
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            drop(task.await.expect("no panic"));
        }
        drop(own);
    });
    drop(end);
    assert!(sleeper.join().expect("no panic"));
}

/// The rows of tasks that live and hold kibibytes, in the order of what they hold.
fn plain_alive(snapshot: &MemorySnapshot) -> Vec<&TaskMemoryProfile> {
    let mut tasks = plain(snapshot);
    tasks.retain(|task| task.live_bytes > 4_000);
    tasks.sort_unstable_by_key(|task| task.live_bytes);
    tasks
}
