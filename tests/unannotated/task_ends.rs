//! Unannotated Tokio tasks begin and end exactly, on stable Rust: as Tokio's own metrics and a
//! model say.

use std::{
    future::{pending, poll_fn},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    thread,
};

use memscope_rs::async_memory::{MemorySnapshot, SiteProfile, TaskMemoryProfile, TaskState, track};
use memscope_tests::{alone, cells_learned, conserved, conserved_when, workers};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Notify, oneshot},
    task::{AbortHandle, JoinSet, LocalSet, yield_now},
};

use crate::ALLOCATOR;

/// What the unannotated tasks of the process came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    spawned: u64,
    active: u64,
    cancelled: u64,
    ended: u64,
}

impl Counts {
    fn of(snapshot: &MemorySnapshot) -> Self {
        let mut counts = Self::default();
        for site in snapshot.sites().iter().filter(|site| !site.is_annotated) {
            assert!(!site.ends_unknown, "{site:?}");
            assert_eq!(parts(site), site.spawned, "{site:?}");
            assert_eq!((site.unknown, site.given_up, site.completed, site.panicked), (0, 0, 0, 0));
            counts.spawned += site.spawned;
            counts.active += site.active;
            counts.cancelled += site.cancelled;
            counts.ended += site.ended_unknown;
        }
        counts
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            spawned: self.spawned - earlier.spawned,
            active: self.active - earlier.active,
            cancelled: self.cancelled - earlier.cancelled,
            ended: self.ended - earlier.ended,
        }
    }
}

fn parts(site: &SiteProfile) -> u64 {
    site.active + site.cancelled + site.ended_unknown + site.unknown + site.given_up
}

/// The counts now, once the layout is learned.
fn now() -> Counts {
    Counts::of(&conserved(&ALLOCATOR))
}

fn plain(snapshot: &MemorySnapshot) -> impl Iterator<Item = &TaskMemoryProfile> {
    snapshot.tasks().iter().filter(|task| !task.is_annotated)
}

async fn allocates(bytes: usize) {
    drop(vec![1_u8; bytes]);
    yield_now().await;
}

async fn waits(bytes: usize) {
    let held = vec![1_u8; bytes];
    pending::<()>().await;
    drop(held);
}

/// Lets every task be polled.
fn run(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..4 {
            yield_now().await;
        }
    });
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime")
}

#[test]
fn a_task_ends_as_it_ends_for_tokio() {
    let _alone = alone();
    cells_learned();
    let before = now();
    let since = || now().since(before);
    // One thread, so that each task is where it is when the runtime stands still.
    let runtime = current_thread();
    for _ in 0..7 {
        runtime.block_on(runtime.spawn(allocates(100))).expect("no panic");
    }
    let aborted: Vec<_> = (0..5).map(|_| runtime.spawn(waits(2_000))).collect();
    run(&runtime);
    let snapshot = conserved(&ALLOCATOR);
    let waiting: Vec<_> = plain(&snapshot).filter(|task| task.live_bytes == 2_000).collect();
    assert!(waiting.len() == 5 && waiting.iter().all(|task| task.state == TaskState::Idle));
    assert_eq!(since(), Counts { spawned: 12, active: 5, cancelled: 0, ended: 7 });
    assert_eq!(runtime.metrics().num_alive_tasks(), 5);
    for task in aborted {
        task.abort();
        assert!(runtime.block_on(task).expect_err("it waited").is_cancelled());
    }
    assert_eq!(since(), Counts { spawned: 12, active: 0, cancelled: 5, ended: 7 });

    let panics = runtime.spawn(async {
        drop(vec![1_u8; 10]);
        std::panic::resume_unwind(Box::new(1));
    });
    assert!(runtime.block_on(panics).expect_err("it panics").is_panic());
    assert_eq!(since(), Counts { spawned: 13, active: 0, cancelled: 5, ended: 8 });

    // A shutdown with living tasks.
    for _ in 0..3 {
        drop(runtime.spawn(waits(3_000)));
    }
    run(&runtime);
    assert_eq!(since(), Counts { spawned: 16, active: 3, cancelled: 5, ended: 8 });
    assert_eq!(runtime.metrics().num_alive_tasks(), 3);
    drop(runtime);
    assert_eq!(since(), Counts { spawned: 16, active: 0, cancelled: 8, ended: 8 });
}

#[test]
fn a_task_has_ended_while_its_handle_is_held() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let before = now();
    let task = runtime.spawn(async { vec![1_u8; 7_777] });
    run(&runtime);
    assert!(task.is_finished());
    let snapshot = conserved(&ALLOCATOR);
    let row = plain(&snapshot).find(|task| task.live_bytes == 7_777).expect("a row");
    assert_eq!(row.state, TaskState::Ended);
    assert_eq!(
        Counts::of(&snapshot).since(before),
        Counts { spawned: 1, active: 0, cancelled: 0, ended: 1 }
    );
    let output = runtime.block_on(task).expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(
        Counts::of(&snapshot).since(before),
        Counts { spawned: 1, active: 0, cancelled: 0, ended: 1 }
    );
    let row = plain(&snapshot).find(|task| task.live_bytes == 7_777).expect("what it left");
    assert_eq!(row.state, TaskState::Ended);
    drop(output);
    assert!(!plain(&conserved(&ALLOCATOR)).any(|task| task.live_bytes == 7_777));
}

#[test]
fn every_way_to_spawn_is_counted() {
    let _alone = alone();
    cells_learned();
    let runtime = workers(2);
    let before = now();
    // The cell of a task goes a moment after its handle is ready. For Tokio a worker is a blocking
    // task, which is alive.
    let expect = |ended| {
        let snapshot = conserved_when(&ALLOCATOR, |it| Counts::of(it).since(before).ended == ended);
        let counts = Counts::of(&snapshot).since(before);
        assert_eq!((counts.spawned - counts.active, counts.cancelled), (ended, 0));
        assert!(counts.active <= 2, "{counts:?}");
    };
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for _ in 0..11 {
            set.spawn(allocates(50));
        }
        while set.join_next().await.is_some() {}
    });
    expect(11);
    for _ in 0..4 {
        runtime.block_on(runtime.spawn_blocking(|| drop(vec![1_u8; 60]))).expect("no panic");
    }
    expect(15);
    current_thread().block_on(LocalSet::new().run_until(async {
        for _ in 0..6 {
            tokio::task::spawn_local(allocates(70)).await.expect("no panic");
        }
    }));
    expect(21);
    // With an alignment, and larger than a page.
    runtime.block_on(async {
        #[repr(align(256))]
        struct Aligned([u8; 256]);
        let (wide, large) = (Aligned([1; 256]), [1_u8; 9_000]);
        tokio::spawn(async move {
            allocates(usize::from(wide.0[0])).await;
            std::hint::black_box(wide);
        })
        .await
        .expect("no panic");
        tokio::spawn(async move {
            allocates(usize::from(large[0])).await;
            assert_eq!(large[8_999], 1);
        })
        .await
        .expect("no panic");
    });
    expect(23);
}

#[test]
fn the_parent_of_a_task_is_the_task_that_spawned_it() {
    let _alone = alone();
    cells_learned();
    let runtime = workers(2);
    let (stop, stopped) = oneshot::channel::<()>();
    let outer = runtime.spawn(async {
        let inner = tokio::spawn(waits(61_003));
        let held = vec![1_u8; 61_001];
        stopped.await.ok();
        drop(held);
        inner.abort();
        inner.await.expect_err("it waited");
    });
    let tracked = runtime.spawn(
        track(async {
            let inner = tokio::spawn(waits(61_005));
            pending::<()>().await;
            drop(inner);
        })
        .named("outer"),
    );
    let with = |snapshot: &MemorySnapshot, bytes: u64| -> Option<TaskMemoryProfile> {
        plain(snapshot).find(|task| (bytes..bytes + 1_500).contains(&task.live_bytes)).cloned()
    };
    let snapshot = conserved_when(&ALLOCATOR, |it| {
        [61_003, 61_005].iter().all(|bytes| plain(it).any(|task| task.live_bytes == *bytes))
            && plain(it).any(|task| task.live_bytes > 61_005)
    });
    let exact = |bytes: u64| plain(&snapshot).find(|task| task.live_bytes == bytes).expect("a row");
    let outer_row = plain(&snapshot).find(|task| task.live_bytes > 61_005).expect("a row");
    assert_eq!(exact(61_003).parent, Some(outer_row.id));
    assert_eq!(outer_row.parent, None, "no task spawned it");
    let of_tracked = exact(61_005).parent.and_then(|id| snapshot.task(id)).expect("a parent");
    assert_eq!(of_tracked.name, "outer");
    assert!(with(&snapshot, 61_003).is_some());
    stop.send(()).expect("received");
    runtime.block_on(outer).expect("no panic");
    tracked.abort();
}

/// Eight workers spawn and end tasks while snapshots read their cells: none is counted twice, and
/// none is lost.
#[test]
fn a_storm_is_counted_to_the_last_task() {
    const EACH: u64 = 12_500;
    let _alone = alone();
    cells_learned();
    let before = now();
    let runtime = workers(8);
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let snapshot = memscope_rs::async_memory::get_memory_snapshot();
                if snapshot.is_still() {
                    assert!(Counts::of(&snapshot).spawned >= before.spawned);
                }
            }
        })
    };
    let spawners: Vec<_> = (0..8)
        .map(|_| {
            runtime.spawn(async {
                for _ in 0..EACH / 50 {
                    let tasks: Vec<_> = (0..50).map(|_| tokio::spawn(allocates(64))).collect();
                    for task in tasks {
                        task.await.expect("no panic");
                    }
                }
            })
        })
        .collect();
    for spawner in spawners {
        runtime.block_on(spawner).expect("no panic");
    }
    is_over.store(true, Ordering::Relaxed);
    reader.join().expect("no panic");
    // The cell of a task goes a moment after its output is taken.
    let is_over = |counts: Counts| counts.spawned - counts.active == 8 * EACH + 8;
    let snapshot =
        conserved_when(&ALLOCATOR, |snapshot| is_over(Counts::of(snapshot).since(before)));
    let counts = Counts::of(&snapshot).since(before);
    // For Tokio a worker is a blocking task.
    assert!(counts.active <= 8 && counts.cancelled == 0, "{counts:?}");
}

/// The site of the tasks that the compiler names so, by the type of their futures.
fn alive(snapshot: &MemorySnapshot) -> [u64; 5] {
    let sites = || snapshot.sites().iter().filter(|site| !site.is_annotated);
    let sum = |field: fn(&SiteProfile) -> u64| sites().map(field).sum::<u64>();
    [
        sum(|site| site.active),
        sum(|site| site.cancelled),
        sum(|site| site.ended_unknown),
        sum(|site| site.unjoined_tasks),
        sum(|site| site.kept_tasks),
    ]
}

/// What became of the tasks since.
fn became(since: [u64; 5]) -> [u64; 5] {
    let now = alive(&conserved(&ALLOCATOR));
    std::array::from_fn(|field| now[field] - since[field])
}

#[test]
fn tasks_that_never_allocate_are_counted_with_what_keeps_them() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let since = alive(&conserved(&ALLOCATOR));
    let waits: Vec<_> = (0..9).map(|_| runtime.spawn(pending::<()>())).collect();
    assert_eq!(became(since), [9, 0, 0, 0, 0], "before their first polls");
    run(&runtime);
    assert_eq!(became(since), [9, 0, 0, 0, 0]);
    let unjoined: Vec<_> = (0..4).map(|_| runtime.spawn(async {})).collect();
    let kept: Vec<_> = (0..3).map(|_| runtime.spawn(async {}).abort_handle()).collect();
    (0..5).for_each(|_| drop(runtime.spawn(async {})));
    run(&runtime);
    assert_eq!(runtime.metrics().num_alive_tasks(), 9);
    assert_eq!(became(since), [9, 0, 12, 4, 3]);
    waits.iter().take(2).for_each(tokio::task::JoinHandle::abort);
    run(&runtime);
    assert_eq!(became(since), [7, 2, 12, 6, 3], "aborted, and not joined either");
    drop((unjoined, kept));
    assert_eq!(became(since), [7, 2, 12, 2, 0]);
    drop(waits);
    assert_eq!(became(since), [7, 2, 12, 0, 0]);
    drop(runtime);
    assert_eq!(became(since), [0, 9, 12, 0, 0]);
}

#[test]
fn a_task_that_is_a_tracked_future_is_counted_once() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let since = alive(&conserved(&ALLOCATOR));
    let mut tasks: Vec<_> = (0..5).map(|_| runtime.spawn(track(pending::<()>()))).collect();
    assert_eq!(became(since), [0; 5], "before their first polls");
    tasks.push(runtime.spawn(Box::pin(track(pending::<()>()))));
    tasks.push(runtime.spawn(async { track(pending::<()>()).await }));
    run(&runtime);
    assert_eq!(became(since), [0; 5]);
    drop(runtime);
    assert_eq!(became(since), [0; 5]);
    drop(tasks);
}

#[test]
fn a_row_says_whether_the_handle_of_a_finished_task_is_held() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let leaves = |bytes: usize| async move { vec![1_u8; bytes] };
    let unjoined = runtime.spawn(leaves(8_101));
    let waits = runtime.spawn(waits(8_103));
    let detached = runtime.spawn(self::waits(8_104));
    let kept = detached.abort_handle();
    drop(detached);
    run(&runtime);
    let snapshot = conserved(&ALLOCATOR);
    let row = |bytes: u64| plain(&snapshot).find(|task| task.live_bytes == bytes).expect("a row");
    let says = |bytes: u64| (row(bytes).state, row(bytes).has_handle);
    assert_eq!(says(8_101), (TaskState::Ended, Some(true)));
    assert_eq!(says(8_103), (TaskState::Idle, Some(true)));
    assert_eq!(says(8_104), (TaskState::Idle, Some(false)));
    let shown = format!("{snapshot:#}");
    assert!(shown.contains("ended, unjoined"), "{shown}");
    let json = serde_json::to_string(&snapshot).expect("it can be written");
    assert!(
        json.contains("\"unjoined_tasks\":1") && json.contains("\"has_handle\":true"),
        "{json}"
    );
    let output = runtime.block_on(unjoined).expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    let row = plain(&snapshot).find(|task| task.live_bytes == 8_101).expect("what it left");
    assert_eq!((row.state, row.has_handle), (TaskState::Ended, None), "its cell is gone");
    drop((output, waits, kept));
}

/// The room in a cell is that of the future, and of the output where that is larger.
#[test]
fn the_size_of_a_future_is_the_room_in_its_cell() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let large = |id: u8| async move {
        let (held, block) = ([id; 900], vec![1_u8; 9_101]);
        pending::<()>().await;
        drop((held, block));
    };
    let size = size_of_val(&large(1)) as u64;
    let large = runtime.spawn(large(1));
    let boxed = runtime.spawn(Box::pin(waits(9_102)));
    let output = runtime.spawn(async {
        drop(vec![1_u8; 10]);
        ([1_u64; 100], vec![1_u8; 9_103])
    });
    run(&runtime);
    let snapshot = conserved(&ALLOCATOR);
    let size_of = |bytes: u64| {
        let row = plain(&snapshot).find(|task| task.live_bytes == bytes).expect("a row");
        row.future_size_bytes
    };
    assert_eq!(size_of(9_101), size.next_multiple_of(8));
    assert_eq!(size_of(9_102), 0, "a box says nothing");
    assert!((800 + 24..900).contains(&size_of(9_103)), "{}", size_of(9_103));
    let unnamed = snapshot.sites().iter().find(|site| site.name == "(unannotated)");
    assert!(unnamed.is_none_or(|site| site.future_size_bytes == 0), "it has had any futures");
    drop((large, boxed, output));
}

#[test]
fn how_long_an_unannotated_task_has_waited_is_not_known() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let wake = Arc::new(Notify::new());
    let woken = Arc::clone(&wake);
    let task = runtime.spawn(async move {
        let held = vec![1_u8; 9_201];
        loop {
            woken.notified().await;
            std::hint::black_box(&held);
        }
    });
    for _ in 0..4 {
        // It is polled between two reports, and none of them can tell.
        wake.notify_one();
        run(&runtime);
        let snapshot = conserved(&ALLOCATOR);
        let row = plain(&snapshot).find(|task| task.live_bytes == 9_201).expect("a row");
        assert_eq!((row.state, row.idle_ns), (TaskState::Idle, None), "{row:?}");
        assert_eq!((row.busy_ns, row.wait_ns), (None, None), "{row:?}");
    }
    task.abort();
    run(&runtime);
}

/// Tokio keeps no other mark of it.
#[test]
fn a_task_that_completes_in_the_poll_in_which_it_is_aborted_is_said_to_be_cancelled() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let before = now();
    let (sender, receiver) = oneshot::channel::<AbortHandle>();
    let task = runtime.spawn(async move {
        let own = receiver.await.expect("sent");
        own.abort();
        drop(vec![1_u8; 9_301]);
        7
    });
    sender.send(task.abort_handle()).expect("it waits");
    assert_eq!(runtime.block_on(task).expect("it was not cancelled"), 7);
    let ended = Counts { spawned: 1, active: 0, cancelled: 1, ended: 0 };
    assert_eq!(now().since(before), ended);
}

/// A block with the alignment of a cell, larger than that of the task below.
#[repr(align(128))]
struct Large([usize; 128]);

#[test]
fn a_block_that_begins_as_a_cell_and_is_larger_is_no_task() {
    let _alone = alone();
    cells_learned();
    let runtime = current_thread();
    let before = now();
    let header = Arc::new(Mutex::new([0; 8]));
    let words = Arc::clone(&header);
    runtime.spawn(poll_fn(move |context| {
        // SAFETY: the data of Tokio's waker is the cell of this task, which is larger.
        *words.lock().expect("no panic") =
            unsafe { context.waker().data().cast::<[usize; 8]>().read() };
        Poll::<()>::Pending
    }));
    let mut copy = Box::new(Large([0; 128]));
    run(&runtime);
    copy.0[..8].copy_from_slice(&*header.lock().expect("no panic"));
    assert_ne!(copy.0[..8], [0; 8], "it was polled");
    assert_eq!(now().since(before).active, 1, "the copy is no task");
    drop(runtime);
    drop(copy);
    let since = now().since(before);
    assert_eq!((since.spawned, since.active, since.cancelled), (1, 0, 1));
}
