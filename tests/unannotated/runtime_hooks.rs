//! A runtime with `tokio_hooks`: the exact end, the polls and the place of unannotated tasks are
//! known. `ci/tokio_unstable.sh` runs it.
#![cfg(tokio_unstable)]

use std::{
    panic::Location,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Wake},
    thread,
    time::Duration,
};

use memscope_rs::{
    async_memory::{
        MemorySnapshot, SiteProfile, TaskMemoryProfile, TaskState, spawn_blocking_tracked,
        spawn_tracked, track,
    },
    tokio_hooks,
};
use memscope_tests::{
    Columns, WANTED, alone, conserved, conserved_when, keep_wanted_panics_quiet, names_found,
    record_bytes, settled_record_bytes, wait_once,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::JoinHandle,
};

use crate::ALLOCATOR;

/// One thread, with hooks.
fn one_thread() -> Runtime {
    tokio_hooks(Builder::new_current_thread().enable_all()).build().expect("a runtime")
}

/// Some workers, with hooks.
fn workers(count: usize) -> Runtime {
    let mut builder = Builder::new_multi_thread();
    tokio_hooks(builder.worker_threads(count).enable_all()).build().expect("a runtime")
}

/// Spawns at the caller's line, which is returned.
#[track_caller]
fn spawn<F>(runtime: &Runtime, future: F) -> (JoinHandle<F::Output>, u32)
where
    F: Future<Output: Send> + Send + 'static,
{
    (runtime.spawn(future), Location::caller().line())
}

/// The rows of the tasks that were spawned at a line of this file.
fn rows(snapshot: &MemorySnapshot, line: u32) -> Vec<&TaskMemoryProfile> {
    let is_here = |task: &&TaskMemoryProfile| {
        (&*task.file, task.line, task.is_annotated) == (file!(), line, false)
    };
    snapshot.tasks().iter().filter(is_here).collect()
}

#[track_caller]
fn one_row(snapshot: &MemorySnapshot, line: u32) -> &TaskMemoryProfile {
    let rows = rows(snapshot, line);
    assert_eq!(rows.len(), 1, "line {line}\n{snapshot:#}");
    rows[0]
}

fn find_site(snapshot: &MemorySnapshot, line: u32) -> Option<&SiteProfile> {
    let is_here =
        |site: &&SiteProfile| (&*site.file, site.line, site.is_annotated) == (file!(), line, false);
    snapshot.sites().iter().find(is_here)
}

#[track_caller]
fn site(snapshot: &MemorySnapshot, line: u32) -> &SiteProfile {
    find_site(snapshot, line).unwrap_or_else(|| panic!("no site for line {line}\n{snapshot:#}"))
}

/// Spawned, alive, ended in an unknown way, dropped by a shutdown.
fn lives(site: &SiteProfile) -> [u64; 4] {
    [site.spawned, site.active, site.ended_unknown, site.cancelled]
}

async fn waits(times: usize) {
    for _ in 0..times {
        wait_once().await;
    }
}

#[test]
fn polls_are_counted_and_the_end_is_exact() {
    let _alone = alone();
    let runtime = one_thread();
    let (stop, stopped) = oneshot::channel::<()>();
    let (task, line) = spawn(&runtime, async move {
        waits(6).await;
        let held = vec![1u8; 10_000];
        stopped.await.ok();
        drop(held);
        vec![2u8; 5_000]
    });
    runtime.block_on(waits(50));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(
        Columns::of(one_row(&snapshot, line)),
        Columns::one_block(TaskState::Idle, 7, 10_000)
    );
    assert_eq!(lives(site(&snapshot, line)), [1, 1, 0, 0]);

    stop.send(()).expect("it waits");
    let output = runtime.block_on(task).expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    let ended = Columns {
        state: TaskState::Ended,
        poll_count: 8,
        live_bytes: 5_000,
        live_blocks: 1,
        peak_bytes: 10_000,
        allocated_bytes: 15_000,
        allocation_count: 2,
        freed_bytes: 10_000,
        freed_elsewhere_bytes: 0,
    };
    assert_eq!(Columns::of(one_row(&snapshot, line)), ended);
    let place = site(&snapshot, line);
    assert_eq!((lives(place), place.retained_bytes, place.given_up), ([1, 0, 1, 0], 5_000, 0));

    drop(output);
    let snapshot = conserved(&ALLOCATOR);
    let freed = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 15_000,
        freed_elsewhere_bytes: 5_000,
        ..ended
    };
    assert_eq!(Columns::of(one_row(&snapshot, line)), freed);
    assert_eq!(site(&snapshot, line).retained_bytes, 0);
}

#[test]
fn each_line_that_spawns_is_a_site_named_after_it() {
    let _alone = alone();
    let runtime = one_thread();
    let mut tasks = Vec::new();
    let mut first = 0;
    for _ in 0..5 {
        let (task, line) = spawn(&runtime, async { drop(Box::new([1u8; 300])) });
        tasks.push(task);
        first = line;
    }
    let (task, second) = spawn(&runtime, waits(2));
    tasks.push(task);
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    let snapshot = conserved(&ALLOCATOR);
    let place = site(&snapshot, first);
    assert_eq!((lives(place), place.allocated_bytes), ([5, 0, 5, 0], 1_500));
    assert_eq!(place.name, format!("(spawned at runtime_hooks.rs:{first})"));
    // A task that does not allocate has a row too.
    assert_eq!(lives(site(&snapshot, second)), [1, 0, 1, 0]);
    let row = one_row(&snapshot, second);
    assert_eq!(Columns::of(row), Columns::nothing(TaskState::Ended, 3));
    assert!(row.name.ends_with(&format!(":{second})")), "{row:?}");
}

#[test]
fn a_task_that_only_waits_has_a_row_while_it_lives() {
    let _alone = alone();
    let runtime = one_thread();
    let (task, line) = spawn(&runtime, std::future::pending::<()>());
    runtime.block_on(waits(3));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(Columns::of(one_row(&snapshot, line)), Columns::nothing(TaskState::Idle, 1));
    // What Tokio drops at its shutdown was not polled again.
    drop((task, runtime));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(Columns::of(one_row(&snapshot, line)), Columns::nothing(TaskState::Cancelled, 1));
    assert_eq!(lives(site(&snapshot, line)), [1, 0, 0, 1]);
}

#[test]
fn what_a_dropped_future_frees_is_its_own() {
    let _alone = alone();
    let runtime = one_thread();
    let forever = |bytes: usize| async move {
        let held = vec![1u8; bytes];
        std::future::pending::<()>().await;
        drop(held);
    };
    let (aborted, by_abort) = spawn(&runtime, forever(7_001));
    let (left, by_shutdown) = spawn(&runtime, forever(7_002));
    let (panicked, by_panic) = spawn(&runtime, async {
        let held = vec![1u8; 7_003];
        wait_once().await;
        drop(held);
        wait_once().await;
        panic!("{WANTED} in a task");
    });
    keep_wanted_panics_quiet();
    assert!(runtime.block_on(panicked).expect_err("it panicked").is_panic());
    aborted.abort();
    assert!(runtime.block_on(aborted).expect_err("aborted").is_cancelled());
    drop((runtime, left));
    let snapshot = conserved(&ALLOCATOR);
    for (line, state, polls, bytes) in [
        // Tokio runs an aborted task once more, to drop it.
        (by_abort, TaskState::Ended, 2, 7_001),
        (by_shutdown, TaskState::Cancelled, 1, 7_002),
    ] {
        let expected = Columns {
            poll_count: polls,
            peak_bytes: bytes,
            allocated_bytes: bytes,
            allocation_count: 1,
            freed_bytes: bytes,
            ..Columns::nothing(state, polls)
        };
        assert_eq!(Columns::of(one_row(&snapshot, line)), expected);
    }
    let row = one_row(&snapshot, by_panic);
    assert_eq!((row.state, row.poll_count), (TaskState::Ended, 3));
    assert!(row.allocated_bytes > 7_003, "and the panic's own: {row:?}");
}

#[test]
fn a_tracked_task_has_no_second_row() {
    let _alone = alone();
    let runtime = workers(2);
    let work = || async {
        let held = vec![1u8; 2_000];
        waits(3).await;
        drop(held);
    };
    let first = line!();
    runtime.block_on(async {
        spawn_tracked(work()).await.expect("no panic");
        track(work()).spawn().await.expect("no panic");
        tokio::spawn(track(work())).await.expect("no panic");
        tokio::spawn(track(std::future::ready(()))).await.expect("no panic");
        spawn_blocking_tracked(|| drop(vec![1u8; 2_000])).await.expect("no panic");
        for tracked in [
            spawn_tracked(std::future::pending::<()>()),
            tokio::spawn(track(std::future::pending::<()>())),
        ] {
            tokio::task::yield_now().await;
            tracked.abort();
            assert!(tracked.await.expect_err("aborted").is_cancelled());
        }
        let aborted = spawn_tracked(work());
        aborted.abort();
        aborted.await.ok();
        // It has been polled when the shutdown drops it.
        let (polled, is_polled) = oneshot::channel();
        drop(spawn_tracked(async {
            polled.send(()).ok();
            std::future::pending::<()>().await;
        }));
        is_polled.await.expect("polled");
    });
    let last = line!();
    drop(runtime);
    let snapshot = conserved(&ALLOCATOR);
    for line in first..last {
        assert!(find_site(&snapshot, line).is_none(), "line {line}\n{snapshot:#}");
        assert!(rows(&snapshot, line).is_empty(), "line {line}\n{snapshot:#}");
    }
}

#[test]
fn the_polls_before_a_tasks_first_own_byte_count() {
    let _alone = alone();
    let runtime = one_thread();
    let (stop, stopped) = oneshot::channel::<()>();
    let (task, line) = spawn(&runtime, async move {
        // Polls 1 to 4 are only the tracked future's.
        track(waits(3)).named("first part").await;
        wait_once().await;
        let held = vec![1u8; 1_234];
        track(async { drop(stopped.await) }).named("second part").await;
        drop(held);
    });
    runtime.block_on(waits(30));
    let snapshot = conserved(&ALLOCATOR);
    let row = one_row(&snapshot, line);
    assert_eq!(Columns::of(row), Columns::one_block(TaskState::Idle, 5, 1_234));
    let inner = snapshot.tasks().iter().find(|task| task.name == "second part").expect("a row");
    assert_eq!(inner.parent, Some(row.id));
    drop(stop);
    runtime.block_on(task).expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    let row = one_row(&snapshot, line);
    assert_eq!((row.state, row.poll_count, row.live_bytes), (TaskState::Ended, 6, 0));
}

#[test]
fn a_blocking_task_ends_exactly_and_is_named_by_its_place_then() {
    let _alone = alone();
    let runtime = workers(1);
    let (work, line) = (runtime.spawn_blocking(|| vec![1u8; 3_003]), line!());
    let output = runtime.block_on(work).expect("no panic");
    let ended = |snapshot: &MemorySnapshot| {
        find_site(snapshot, line).is_some_and(|site| lives(site) == [1, 0, 1, 0])
    };
    let snapshot = conserved_when(&ALLOCATOR, ended);
    let row = one_row(&snapshot, line);
    assert_eq!(Columns::of(row), Columns::one_block(TaskState::Ended, 0, 3_003));
    assert_eq!(lives(site(&snapshot, line)), [1, 0, 1, 0]);
    drop(output);
}

#[test]
fn a_runtime_without_hooks_is_as_it_was() {
    let _alone = alone();
    let (hooked, other) = (workers(1), memscope_tests::workers(1));
    let (stop, _) = tokio::sync::broadcast::channel::<()>(1);
    let hold = |bytes: usize| {
        let mut stopped = stop.subscribe();
        async move {
            let held = vec![1u8; bytes];
            stopped.recv().await.ok();
            drop(held);
        }
    };
    let (told, line) = spawn(&hooked, hold(50_001));
    let (untold, other_line) = spawn(&other, hold(50_002));
    let holds = |snapshot: &MemorySnapshot, bytes| {
        let rows = snapshot.tasks().iter().filter(|task| task.live_bytes == bytes).cloned();
        rows.collect::<Vec<_>>()
    };
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        holds(snapshot, 50_001).len() == 1 && holds(snapshot, 50_002).len() == 1
    });
    let [of_hooked, of_other] = [50_001, 50_002].map(|bytes| holds(&snapshot, bytes).remove(0));
    assert_eq!((of_hooked.line, of_hooked.poll_count), (line, 1));
    assert_eq!((of_other.state, of_other.poll_count), (TaskState::Idle, 0));
    assert_ne!(of_other.line, other_line, "no hook says it");
    drop(stop);
    for task in [told, untold] {
        hooked.block_on(task).expect("no panic");
    }
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| site(snapshot, line).active == 0);
    assert!(find_site(&snapshot, other_line).is_none(), "{snapshot:#}");
}

/// An output that allocates when it is dropped.
struct Loud(#[expect(dead_code, reason = "held for its bytes")] Vec<u8>);

impl Drop for Loud {
    fn drop(&mut self) {
        drop(vec![3u8; 333]);
    }
}

#[test]
fn an_output_that_no_task_took_is_freed_later_and_makes_no_new_row() {
    let _alone = alone();
    let runtime = workers(1);
    let (task, line) = spawn(&runtime, async { Loud(vec![1u8; 4_004]) });
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        find_site(snapshot, line).is_some_and(|site| site.active == 0)
    });
    assert_eq!(one_row(&snapshot, line).live_bytes, 4_004);
    // Under the id of the task that is over.
    drop(task);
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| one_row(snapshot, line).live_bytes == 0);
    let row = one_row(&snapshot, line);
    assert_eq!((row.allocated_bytes, row.freed_elsewhere_bytes), (4_004, 4_004));
    assert_eq!(lives(site(&snapshot, line)), [1, 0, 1, 0]);
    let none_more = snapshot.tasks().iter().all(|task| task.allocated_bytes != 333);
    assert!(none_more, "{snapshot:#}");
    drop(runtime);
}

/// Woken by the end of a task, it holds the worker up before the hook of the end.
struct HoldUp {
    reached: mpsc::SyncSender<()>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl Wake for HoldUp {
    fn wake(self: Arc<Self>) {
        self.reached.send(()).ok();
        self.go_on.lock().expect("no panic").recv().ok();
    }
}

/// An output that is dropped here while its task ends there, and allocates before and after.
struct Slow {
    go_on: mpsc::SyncSender<()>,
    keep: mpsc::SyncSender<Vec<u8>>,
    has_ended: fn() -> bool,
}

impl Drop for Slow {
    fn drop(&mut self) {
        let before = vec![1u8; 555];
        self.go_on.send(()).ok();
        while !(self.has_ended)() {
            thread::yield_now();
        }
        self.keep.send(vec![2u8; 777]).ok();
        drop(before);
    }
}

#[test]
fn a_thread_that_drops_an_output_amid_the_end_charges_the_right_task() {
    static LINE: AtomicU32 = AtomicU32::new(0);
    fn has_ended() -> bool {
        let line = LINE.load(Ordering::Relaxed);
        find_site(&conserved(&ALLOCATOR), line).is_some_and(|site| site.active == 0)
    }
    let _alone = alone();
    let runtime = workers(1);
    let ((reached, is_reached), (go_on, goes_on)) = (mpsc::sync_channel(1), mpsc::sync_channel(1));
    let (keep, kept) = mpsc::sync_channel(1);
    let (stop, stopped) = oneshot::channel::<()>();
    let output = Slow { go_on, keep, has_ended };
    let (mut task, line) = spawn(&runtime, async move {
        stopped.await.ok();
        output
    });
    LINE.store(line, Ordering::Relaxed);
    let waker = Arc::new(HoldUp { reached, go_on: Mutex::new(goes_on) }).into();
    assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
    stop.send(()).expect("it waits");
    is_reached.recv().expect("it ends");
    drop(task);
    // Others that come now must not be taken for it.
    let (others, _) = spawn(&runtime, async { drop(vec![1u8; 10]) });
    runtime.block_on(others).expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    let row = one_row(&snapshot, line);
    assert_eq!(
        (row.state, row.live_bytes, row.live_blocks),
        (TaskState::Ended, 777, 1),
        "{row:#?}"
    );
    assert_eq!((row.allocated_bytes, row.freed_bytes), (1_332, 555), "{row:#?}");
    assert_eq!(lives(site(&snapshot, line)), [1, 0, 1, 0]);
    drop(kept);
    assert_eq!(one_row(&conserved(&ALLOCATOR), line).live_bytes, 0);
}

/// Handles are dropped while their tasks end on other threads: whichever thread is first, no byte
/// is lost and every task ends.
#[test]
fn handles_may_be_dropped_while_tasks_end() {
    const TASKS: u64 = 4_000;
    let _alone = alone();
    let runtime = workers(4);
    let mut line = 0;
    for number in 0..TASKS {
        let (task, here) = spawn(&runtime, async move {
            let held = Loud(vec![1u8; 100]);
            waits(usize::try_from(number % 3).expect("small")).await;
            held
        });
        line = here;
        for _ in 0..number % 7 * 100 {
            std::hint::spin_loop();
        }
        drop(task);
        if number % 500 == 0 {
            conserved(&ALLOCATOR);
        }
    }
    let all_ended = |snapshot: &MemorySnapshot| lives(site(snapshot, line)) == [TASKS, 0, TASKS, 0];
    let snapshot = conserved_when(&ALLOCATOR, all_ended);
    assert_eq!(site(&snapshot, line).live_bytes, 0);
}

/// Four workers, and tasks that allocate, wait, hand over, panic and are aborted at random: the law
/// holds at every moment, and in the end each has ended exactly once.
#[test]
fn among_aborts_panics_and_migration_every_task_ends_once() {
    const TASKS: u64 = 3_000;
    let _alone = alone();
    let split = conserved(&ALLOCATOR).tool().tasks_split;
    keep_wanted_panics_quiet();
    let runtime = workers(4);
    let done = Arc::new(AtomicBool::new(false));
    let checker = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            while !done.load(Ordering::Relaxed) {
                conserved(&ALLOCATOR);
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    let mut line = 0;
    let mut tasks = Vec::new();
    let begun = Arc::new(AtomicUsize::new(0));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..TASKS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (seed, sender, begun) = (random, sender.clone(), Arc::clone(&begun));
        let (task, here) = spawn(&runtime, async move {
            begun.fetch_add(1, Ordering::Relaxed);
            let mut held = Vec::new();
            for step in 0..seed % 9 {
                held.push(vec![1u8; usize::try_from(seed >> (8 + step) & 0xfff).expect("small")]);
                tokio::task::yield_now().await;
                if (seed >> (20 + step)).is_multiple_of(4) {
                    sender.send(held.pop().unwrap_or_default()).ok();
                }
            }
            assert!(!(seed >> 40).is_multiple_of(5), "{WANTED} a panic");
            if (seed >> 43).is_multiple_of(3) {
                std::future::pending::<()>().await;
            }
        });
        line = here;
        if (random >> 50).is_multiple_of(4) {
            task.abort();
        }
        tasks.push(task);
        if random.is_multiple_of(16) {
            // The workers come to run them.
            thread::sleep(Duration::from_micros(500));
        }
        if tasks.len() > 200 {
            let task = tasks.swap_remove(usize::try_from(random % 200).expect("small"));
            task.abort();
            drop(receiver.try_iter().take(50).collect::<Vec<_>>());
        }
    }
    thread::sleep(Duration::from_millis(50));
    // Some still wait, and end with the runtime.
    drop(tasks.split_off(tasks.len() / 2));
    drop(runtime);
    done.store(true, Ordering::Relaxed);
    checker.join().expect("the law held");
    drop((sender, tasks));
    drop(receiver);
    let snapshot = conserved(&ALLOCATOR);
    let site = site(&snapshot, line);
    let [spawned, active, ended, cancelled] = lives(site);
    assert_eq!((active, ended + cancelled), (0, spawned));
    // Those that were aborted before their first poll were run to be dropped; others the shutdown
    // may have dropped before.
    let begun = begun.load(Ordering::Relaxed) as u64;
    assert!(begun > TASKS / 10, "{begun}");
    assert!((begun..=TASKS).contains(&spawned), "{begun} {site:#?}");
    assert_eq!(
        (site.given_up, site.live_bytes, snapshot.tool().tasks_split),
        (0, 0, split),
        "{site:#?}"
    );
}

/// Runtimes that shut down amid the work of their tasks leave none behind that seems to live.
#[test]
fn after_a_shutdown_no_task_is_alive() {
    let _alone = alone();
    let mut line = 0;
    let begun = Arc::new(AtomicUsize::new(0));
    for round in 0..50 {
        let runtime = workers(3);
        for _ in 0..40 {
            let begun = Arc::clone(&begun);
            let (_, here) = spawn(&runtime, async move {
                begun.fetch_add(1, Ordering::Relaxed);
                loop {
                    drop(vec![1u8; 100]);
                    tokio::task::yield_now().await;
                }
            });
            line = here;
        }
        thread::sleep(Duration::from_micros(100 * round));
        drop(runtime);
        let snapshot = conserved(&ALLOCATOR);
        let Some(site) = find_site(&snapshot, line) else { continue };
        let [spawned, active, ended, cancelled] = lives(site);
        assert_eq!((active, ended + cancelled), (0, spawned), "{snapshot:#}");
        // Tokio may have run others only to drop them.
        let begun = begun.load(Ordering::Relaxed) as u64;
        assert!((begun..=40 * (round + 1)).contains(&spawned), "{begun}\n{snapshot:#}");
    }
}

/// The stacks of large tasks are taken, and name their futures.
#[test]
fn all_tasks_of_a_spawn_place_are_in_its_row_though_stacks_name_some() {
    const TASKS: usize = 20;
    let _alone = alone();
    let runtime = one_thread();
    let mut line = 0;
    for number in 0..TASKS {
        let bytes = if number % 4 == 0 { 2 << 20 } else { 100 };
        (_, line) = spawn(&runtime, async move {
            let held = vec![1u8; bytes];
            std::future::pending::<()>().await;
            drop(held);
        });
    }
    runtime.block_on(waits(100));
    names_found();
    let snapshot = conserved(&ALLOCATOR);
    let place = site(&snapshot, line);
    assert!(place.name.starts_with("(spawned at "), "{place:#?}");
    assert_eq!((place.active, rows(&snapshot, line).len()), (TASKS as u64, TASKS), "{snapshot:#}");
    assert_eq!(place.live_bytes, 5 * (2 << 20) + 15 * 100);
}

/// A runtime inside a blocking task of another one: polls nest.
#[test]
fn nested_runtimes_are_told_apart() {
    let _alone = alone();
    let outer = workers(1);
    let (task, outer_line) = spawn(&outer, async {
        let held = vec![1u8; 6_006];
        let inner_line = tokio::task::block_in_place(|| {
            let inner = one_thread();
            let (task, line) = spawn(&inner, async {
                let held = vec![1u8; 6_007];
                waits(4).await;
                drop(held);
            });
            inner.block_on(task).expect("no panic");
            line
        });
        wait_once().await;
        drop(held);
        inner_line
    });
    let inner_line = outer.block_on(task).expect("no panic");
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| site(snapshot, outer_line).active == 0);
    let inner = one_row(&snapshot, inner_line);
    let of_inner = (inner.state, inner.poll_count, inner.live_bytes, inner.peak_bytes);
    assert_eq!(of_inner, (TaskState::Ended, 5, 0, 6_007));
    let outer = one_row(&snapshot, outer_line);
    assert_eq!((outer.state, outer.poll_count), (TaskState::Ended, 2));
    // A thread of Tokio's is left, which took the other tasks meanwhile.
    assert!(outer.live_bytes < 2_000 && outer.peak_bytes >= 6_006, "{outer:#?}");
}

#[test]
fn a_hundred_thousand_tasks_leave_memscopes_memory_where_it_was() {
    let _alone = alone();
    let runtime = one_thread();
    let run = |times: usize| {
        runtime.block_on(async move {
            for _ in 0..times {
                tokio::spawn(async { drop(Box::new([0u8; 100])) }).await.expect("no panic");
            }
        });
    };
    let (waiting, line) = spawn(&runtime, std::future::pending::<()>());
    run(20_000);
    // The name of their type takes a site, and so does that of a task that a test has left.
    let settled = settled_record_bytes(|| {
        run(1_000);
        conserved(&ALLOCATOR)
    });
    let before = conserved(&ALLOCATOR);
    run(100_000);
    let after = conserved(&ALLOCATOR);
    assert_eq!(record_bytes(&after), settled);
    // One that lives keeps its row, also if it holds nothing.
    let [before, after] = [&before, &after].map(|snapshot| one_row(snapshot, line));
    assert_eq!((before.id, Columns::of(before)), (after.id, Columns::of(after)));
    assert_eq!((after.state, after.poll_count), (TaskState::Idle, 1));
    drop(waiting);
}

/// Far more tasks than places: some lose their rows, which is said, but no byte.
#[test]
fn more_tasks_than_places_lose_rows_but_no_byte() {
    const TASKS: u64 = 70_000;
    let _alone = alone();
    let runtime = one_thread();
    let (stop, _) = tokio::sync::broadcast::channel::<()>(1);
    let mut tasks = Vec::new();
    let mut line = 0;
    for _ in 0..TASKS {
        let mut stopped = stop.subscribe();
        let (task, here) = spawn(&runtime, async move {
            let held = Box::new([1u8; 24]);
            stopped.recv().await.ok();
            drop(held);
        });
        tasks.push(task);
        line = here;
    }
    // A runtime looks at its main future once in a while, between the tasks.
    runtime.block_on(async {
        for _ in 0..TASKS / 20 {
            tokio::task::yield_now().await;
        }
    });
    let snapshot = conserved(&ALLOCATOR);
    assert!(snapshot.tool().tasks_split > 0, "{snapshot}");
    assert_eq!(site(&snapshot, line).live_bytes, 24 * TASKS);
    drop(stop);
    for task in tasks {
        runtime.block_on(task).expect("no panic");
    }
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(site(&snapshot, line).live_bytes, 0);
    assert_eq!(site(&snapshot, line).active, 0);
}

/// Far more tasks at one time than places, on several threads: each is one task of its site, whose
/// end is reported, however often it lost its row.
#[test]
fn a_hundred_thousand_living_tasks_all_begin_and_end_once() {
    const TASKS: u64 = 100_000;
    let _alone = alone();
    let runs = [(workers(4), true), (one_thread(), true), (workers(4), false)];
    for ((runtime, stops), earlier) in runs.into_iter().zip([0, TASKS, 2 * TASKS]) {
        let (stop, _) = tokio::sync::broadcast::channel::<()>(1);
        let began = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        let mut line = 0;
        for number in 0..TASKS {
            let (mut stopped, began) = (stop.subscribe(), Arc::clone(&began));
            let (task, here) = spawn(&runtime, async move {
                // Some hold nothing.
                let held = (number % 3 != 0).then(|| Box::new([1u8; 24]));
                began.fetch_add(1, Ordering::Relaxed);
                stopped.recv().await.ok();
                drop(held);
            });
            tasks.push(task);
            line = here;
        }
        while began.load(Ordering::Relaxed) < usize::try_from(TASKS).expect("small") {
            runtime.block_on(waits(100));
        }
        let snapshot = conserved(&ALLOCATOR);
        assert!(snapshot.tool().tasks_split > 0, "{snapshot}");
        let place = site(&snapshot, line);
        assert_eq!((place.spawned - earlier, place.active), (TASKS, TASKS), "{snapshot}");
        assert_eq!(place.live_bytes, 24 * (TASKS - TASKS.div_ceil(3)), "{snapshot}");
        if stops {
            drop(stop);
            for task in tasks {
                runtime.block_on(task).expect("no panic");
            }
        }
        drop(runtime);
        let snapshot = conserved(&ALLOCATOR);
        let place = site(&snapshot, line);
        let ended = place.ended_unknown + place.cancelled;
        assert_eq!((place.spawned - earlier, ended - earlier), (TASKS, TASKS), "{snapshot}");
        assert_eq!((place.active, place.live_bytes), (0, 0), "{snapshot}");
    }
}
