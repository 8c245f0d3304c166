//! Budgets of tasks: what happens above them, and that nothing happens below.

use std::{
    future::{pending, poll_fn},
    hint::black_box,
    mem::replace,
    pin::{Pin, pin},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    thread,
};

use memscope_macros::track_var;
use memscope_rs::{
    __private::{Callsite, TaskType, look_up_names, track as track_callsite},
    Stacks, Timing,
    async_memory::{
        EventKind, MemorySnapshot, OverBudget, StacksState, TaskId, TaskState, Tracked,
        current_task_live_bytes, get_memory_snapshot, track, transfer, within_budget,
    },
    builder,
};
use memscope_tests::{alone, block_on, poll};

const KIB: u64 = 1 << 10;

static TOLD: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());

fn tell(over: &OverBudget) {
    TOLD.lock().expect("the list").push((over.task.as_u64(), over.to_string()));
}

/// What the callback was told of this task.
fn told_of(task: u64) -> Vec<String> {
    let told = TOLD.lock().expect("the list");
    told.iter().filter(|(id, _)| *id == task).map(|(_, text)| text.clone()).collect()
}

/// Settings are those of the process, so one test at a time has them.
fn listen() -> MutexGuard<'static, ()> {
    let alone = alone();
    builder().on_over_budget(tell).task_budget("by name", 8 * KIB).init().expect("settings");
    alone
}

/// Waits once, without a block of its own.
async fn pause() {
    let mut has_waited = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Holds a block of this size across an await.
async fn hold(bytes: u64) -> u64 {
    let held = black_box(vec![1_u8; usize::try_from(bytes).expect("small")]);
    pause().await;
    held.len() as u64
}

#[test]
fn a_task_above_its_budget_is_told_of_once_with_its_variables() {
    let _alone = listen();
    let task = track(async {
        let mut rows = Vec::new();
        for _ in 0..20 {
            rows.push(vec![1_u8; 1024]);
            if rows.len() == 1 {
                track_var!(rows);
            }
            pause().await;
        }
        rows.len()
    });
    let task = task.named("rows").budget(10 * KIB);
    let id = task.id().expect("tracked").as_u64();
    assert_eq!(block_on(task), 20, "it goes on");
    let told = told_of(id);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(&format!("task rows (#{id}) holds ")), "{told:?}");
    assert!(told[0].contains("more than its budget of 10.0 KiB: `rows` ("), "{told:?}");
    let snapshot = get_memory_snapshot();
    let rows: Vec<_> =
        snapshot.over_budget().iter().filter(|row| row.task.as_u64() == id).collect();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].live_bytes > 10 * KIB && rows[0].live_bytes < 13 * KIB, "{rows:?}");
    assert_eq!(rows[0].budget_bytes, 10 * KIB);
    let events = snapshot.events().iter().filter(|event| event.kind == EventKind::OverBudget);
    assert_eq!(events.filter(|event| event.task.as_u64() == id).count(), 1);
    let leaks = snapshot.leaks().to_string();
    assert!(leaks.contains("budget    rows ("), "{leaks}");
}

#[test]
fn a_row_says_what_its_task_may_hold() {
    let _alone = listen();
    let none = track(hold(KIB));
    let tasks = [
        track(hold(KIB)).named("by name"),
        track(hold(KIB)).named("by name").budget(2 * KIB),
        track(hold(KIB)).budget(u64::MAX - 1),
    ];
    let ids = tasks.each_ref().map(Tracked::id);
    let budgets = |snapshot: &MemorySnapshot, ids: &[Option<TaskId>]| -> Vec<Option<u64>> {
        let row = |id| snapshot.tasks().iter().find(|row| Some(row.id) == id).expect("a row");
        ids.iter().map(|id| row(*id).budget_bytes).collect()
    };
    let snapshot = get_memory_snapshot();
    let expected = [Some(8 * KIB), Some(2 * KIB), Some(u64::MAX - 1)];
    assert_eq!(budgets(&snapshot, &ids), expected);
    assert_eq!(budgets(&snapshot, &[none.id()]), [None]);
    let json = serde_json::to_string(&snapshot).expect("JSON");
    assert_eq!(json.matches("\"budget_bytes\":8192").count(), 1, "{json}");
    let read: MemorySnapshot = serde_json::from_str(&json).expect("a snapshot");
    assert_eq!(budgets(&read, &ids), expected);
    let _ended = tasks.map(block_on);
    assert_eq!(budgets(&get_memory_snapshot(), &ids), [None; 3], "they have ended");
}

#[test]
fn what_is_freed_before_the_end_of_the_poll_is_within_the_budget() {
    let _alone = listen();
    let task = track(async {
        drop(black_box(vec![1_u8; 64 << 10]));
        pause().await;
        hold(4 * KIB).await
    });
    let task = task.budget(16 * KIB);
    let id = task.id().expect("tracked").as_u64();
    assert_eq!(block_on(task), 4 * KIB);
    assert!(told_of(id).is_empty());
    assert!(get_memory_snapshot().over_budget().iter().all(|row| row.task.as_u64() != id));
}

#[test]
fn a_second_rise_below_the_peak_is_seen() {
    let over = within_budget(
        async {
            drop(black_box(vec![1_u8; 64 << 10]));
            pause().await;
            hold(32 * KIB).await
        },
        16 * KIB,
    );
    let error = block_on(over).expect_err("above");
    assert_eq!((error.live_bytes, error.budget_bytes), (32 * KIB, 16 * KIB));
}

#[test]
fn each_rise_above_the_budget_is_seen_however_often_it_was_only_within_a_poll() {
    let _alone = listen();
    let task = track(async {
        for _ in 0..5 {
            drop(black_box(vec![1_u8; 64 << 10]));
            pause().await;
            pause().await;
        }
        let small = black_box(vec![1_u8; 15 << 10]);
        pause().await;
        let more = black_box(vec![1_u8; 2 << 10]);
        pause().await;
        small.len() + more.len()
    });
    let task = task.budget(16 * KIB);
    let id = task.id().expect("tracked").as_u64();
    assert_eq!(block_on(task), 17 << 10);
    let told = told_of(id);
    assert!(told.len() == 1 && told[0].contains("holds 17.0 KiB"), "{told:?}");
}

#[test]
fn a_task_above_its_budget_is_told_of_though_it_never_allocates_itself() {
    let _alone = listen();
    for pause_first in [false, true] {
        let made = vec![1_u8; 20 << 10];
        let mut task = pin!(track(pending::<()>()).budget(16 * KIB));
        let to = task.id().expect("tracked");
        if pause_first {
            assert!(poll(&mut task).is_pending());
        }
        thread::scope(|scope| {
            let moved = scope.spawn(|| transfer(&made, to).expect("it lives").bytes);
            assert_eq!(moved.join().expect("no panic"), 20 << 10);
        });
        assert!(told_of(to.as_u64()).is_empty(), "only a poll tells");
        assert!(poll(&mut task).is_pending());
        assert_eq!(told_of(to.as_u64()).len(), 1);
    }
}

/// A task with a budget that it has passed, but only within its first poll. Then it holds `own`
/// bytes.
fn after_a_rise(own: u64) -> (Pin<Box<Tracked<impl Future<Output = u64>>>>, TaskId) {
    let task = track(async move {
        drop(black_box(vec![1_u8; 64 << 10]));
        pause().await;
        let held = hold(own).await;
        pause().await;
        held
    });
    let mut task = Box::pin(task.budget(16 * KIB));
    assert!(poll(&mut task).is_pending());
    let id = task.id().expect("tracked");
    (task, id)
}

#[test]
fn after_a_rise_within_a_poll_what_a_task_takes_over_counts() {
    let _alone = listen();
    let made = vec![1_u8; 10 << 10];
    let (mut task, id) = after_a_rise(8 * KIB);
    transfer(&made, id).expect("it lives");
    assert!(told_of(id.as_u64()).is_empty());
    assert!(poll(&mut task).is_pending());
    assert_eq!(told_of(id.as_u64()).len(), 1, "its own 8 KiB are too many");

    let made = vec![1_u8; 10 << 10];
    let (mut task, id) = after_a_rise(8 * KIB);
    assert!(poll(&mut task).is_pending());
    transfer(&made, id).expect("it lives");
    let more = vec![1_u8; 16 << 10];
    transfer(&more, id).expect("it lives");
    assert!(poll(&mut task).is_pending());
    assert_eq!(told_of(id.as_u64()).len(), 1, "what it took over is too much");
}

#[test]
fn what_others_free_makes_room_in_the_budget() {
    let _alone = listen();
    let given = Mutex::new(None);
    let mut task = pin!(
        track(async {
            drop(black_box(vec![1_u8; 64 << 10]));
            *given.lock().expect("the block") = Some(vec![1_u8; 12 << 10]);
            pause().await;
            let own = vec![1_u8; 12 << 10];
            pause().await;
            let more = vec![1_u8; 5 << 10];
            pause().await;
            own.len() + more.len()
        })
        .budget(16 * KIB)
    );
    let id = task.id().expect("tracked").as_u64();
    assert!(poll(&mut task).is_pending());
    let block = given.lock().expect("the block").take();
    thread::scope(|scope| scope.spawn(|| drop(block)).join()).expect("no panic");
    assert!(poll(&mut task).is_pending());
    assert!(told_of(id).is_empty(), "it holds 12 KiB");
    assert!(poll(&mut task).is_pending());
    assert_eq!(told_of(id).len(), 1, "it holds 17 KiB");
}

#[test]
fn what_a_task_allocates_before_it_polls_another_counts() {
    let _alone = listen();
    let inner = track(async {
        pause().await;
        hold(KIB).await
    });
    let inner = inner.budget(16 * KIB);
    let within = inner.id().expect("tracked").as_u64();
    let outer = track(async {
        let held = black_box(vec![1_u8; 20 << 10]);
        inner.await + held.len() as u64
    });
    let outer = outer.budget(16 * KIB);
    let above = outer.id().expect("tracked").as_u64();
    assert_eq!(block_on(outer), 21 * KIB);
    assert_eq!((told_of(above).len(), told_of(within).len()), (1, 0));
}

#[test]
fn a_budget_that_comes_late_counts_from_then_on() {
    let _alone = listen();
    let mut task = track(Box::pin(async {
        drop(black_box(vec![1_u8; 64 << 10]));
        pause().await;
        hold(12 * KIB).await;
        hold(32 * KIB).await
    }));
    let id = task.id().expect("tracked").as_u64();
    assert!(poll(&mut Pin::new(&mut task)).is_pending());
    let mut task = task.budget(16 * KIB);
    assert!(poll(&mut Pin::new(&mut task)).is_pending());
    assert!(told_of(id).is_empty(), "it holds 12 KiB");
    assert!(poll(&mut Pin::new(&mut task)).is_pending());
    assert_eq!(told_of(id).len(), 1);
    assert_eq!(block_on(task), 32 * KIB);

    let named = track(hold(20 * KIB)).named("named before");
    let before = named.id().expect("tracked").as_u64();
    let late = builder().on_over_budget(tell).task_budget("named before", 16 * KIB);
    late.init().expect("settings");
    let later = track(hold(20 * KIB)).named("named before");
    let after = later.id().expect("tracked").as_u64();
    block_on(async { (named.await, later.await) });
    assert_eq!((told_of(before).len(), told_of(after).len()), (0, 1), "tasks made from then on");
}

#[test]
fn names_annotations_and_tasks_have_budgets_and_the_nearest_counts() {
    static ANNOTATED: Callsite =
        Callsite::new("annotated", TaskType::Unspecified, "f.rs", 1).budget(4 * KIB);
    static NAMED: Callsite =
        Callsite::new("by name", TaskType::Unspecified, "f.rs", 2).budget(4 * KIB);
    let _alone = listen();
    let run = |task: Tracked<_>| {
        let id = task.id().expect("tracked").as_u64();
        block_on(task);
        told_of(id).len()
    };
    assert_eq!(run(track(hold(9 * KIB)).named("by name")), 1);
    assert_eq!(run(track(hold(8 * KIB)).named("by name")), 0, "just within");
    assert_eq!(run(track(hold(9 * KIB)).named("by name").budget(16 * KIB)), 0, "its own");
    assert_eq!(run(track(hold(9 * KIB)).budget(16 * KIB).named("by name")), 0, "in any order");
    assert_eq!(run(track(hold(9 * KIB)).named("another name")), 0);
    assert_eq!(run(track_callsite(&ANNOTATED, None, hold(5 * KIB))), 1);
    assert_eq!(run(track_callsite(&ANNOTATED, None, hold(4 * KIB))), 0);
    assert_eq!(run(track_callsite(&NAMED, None, hold(8 * KIB))), 0, "settings win");
}

#[test]
fn above_its_budget_the_future_is_dropped_and_its_memory_freed() {
    static DROPPED: AtomicBool = AtomicBool::new(false);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.store(true, Ordering::Relaxed);
        }
    }
    let polls = AtomicU64::new(0);
    let greedy = async {
        let _guard = Guard;
        let _small = black_box(vec![1_u8; 1 << 10]);
        polls.fetch_add(1, Ordering::Relaxed);
        pause().await;
        polls.fetch_add(1, Ordering::Relaxed);
        let _large = black_box(vec![1_u8; 32 << 10]);
        pause().await;
        polls.fetch_add(1, Ordering::Relaxed);
    };
    let error = block_on(within_budget(greedy, 16 * KIB)).expect_err("above");
    assert_eq!(error.live_bytes, 33 * KIB);
    assert_eq!(polls.load(Ordering::Relaxed), 2, "the first poll that leaves it above");
    assert!(DROPPED.load(Ordering::Relaxed));
    let snapshot = get_memory_snapshot();
    let task = snapshot.task(error.task).expect("a row");
    assert_eq!((task.state, task.live_bytes), (TaskState::Cancelled, 0));
    let error: Box<dyn std::error::Error> = Box::new(error);
    assert!(error.to_string().contains("holds 33.0 KiB, more than its budget of 16.0 KiB"));
}

#[inline(never)]
fn page() -> Vec<u8> {
    black_box(vec![1_u8; 64 << 10])
}

#[test]
fn an_excess_names_the_code_that_allocated_what_the_task_holds() {
    let _alone = listen();
    // Each block is sampled.
    builder().stacks(Stacks::EveryBytes(1)).init().expect("settings");
    let greedy = async {
        let mut pages = vec![page()];
        pause().await;
        drop(black_box(vec![1_u8; 1 << 20]));
        pages.extend((0..8).map(|_| page()));
        pause().await;
        pages.len()
    };
    let mut task = pin!(within_budget(greedy, 256 * KIB));
    assert!(poll(&mut task).is_pending());
    while get_memory_snapshot().stack_names_pending() != 0 {
        look_up_names();
    }
    let Poll::Ready(Err(error)) = poll(&mut task) else { panic!("it is above") };
    builder().stacks(Stacks::default()).init().expect("settings");
    if get_memory_snapshot().stacks_measured() != StacksState::On {
        return;
    }
    let largest = error.allocated_at.first().expect("sampled");
    assert!(largest.function.ends_with("budgets::page"), "{error}");
    assert_eq!(largest.live_samples, 9, "what is freed does not count: {error}");
    assert!(largest.live_bytes.abs_diff(9 * (64 << 10)) < 64 << 10, "{error}");
    assert!(error.to_string().contains("; allocated at `"), "{error}");
    assert!(error.to_string().contains("budgets::page` ("), "with a line: {error}");
}

#[test]
fn a_future_that_is_ready_gives_its_output_whatever_it_holds() {
    let output = block_on(within_budget(async { vec![1_u8; 64 << 10] }, KIB));
    assert_eq!(output.map(|bytes| bytes.len()), Ok(64 << 10));
}

#[test]
fn a_budget_is_that_of_the_task_and_not_of_tasks_in_it() {
    let outer = within_budget(
        async {
            let inner = track(hold(64 * KIB));
            inner.await
        },
        16 * KIB,
    );
    assert_eq!(block_on(outer), Ok(64 * KIB));
}

#[test]
fn a_record_that_is_used_again_has_no_budget_of_its_last_task() {
    let _alone = listen();
    for _ in 0..100 {
        let task = track(hold(2 * KIB)).budget(KIB);
        block_on(task);
        let next = track(hold(64 * KIB));
        let id = next.id().expect("tracked").as_u64();
        block_on(next);
        assert!(told_of(id).is_empty());
    }
}

#[test]
fn a_budget_changes_nothing_of_which_polls_are_timed() {
    let _alone = listen();
    let timed = |budget: Option<u64>, timing| {
        builder().timing(timing).init().expect("settings");
        let task = track(async {
            for _ in 0..300 {
                pause().await;
            }
        });
        let task = task.named("timed");
        let task = if let Some(bytes) = budget { task.budget(bytes) } else { task };
        let id = task.id().expect("tracked");
        block_on(task);
        let row = get_memory_snapshot().task(id).expect("its row").clone();
        (row.poll_count, row.busy_ns.is_some(), row.timing_is_estimate)
    };
    for timing in [Timing::Off, Timing::OneIn(4), Timing::EveryTask, Timing::All] {
        assert_eq!(timed(Some(1 << 30), timing), timed(None, timing), "{timing:?}");
    }
    assert_eq!(timed(Some(1 << 30), Timing::Off), (301, false, false));
}

#[test]
fn the_current_task_knows_what_it_holds() {
    let _alone = alone();
    assert_eq!(current_task_live_bytes(), None);
    let task = track(async {
        let held = black_box(vec![1_u8; 3 << 10]);
        let seen = current_task_live_bytes();
        drop(held);
        (seen, current_task_live_bytes())
    });
    assert_eq!(block_on(task), (Some(3 * KIB), Some(0)));
}
