//! The loops under memscope: its allocator over System, inside a tracked task, tracked spawns.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    alloc::System,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use memscope_benches::{
    ALLOCATIONS, Blocks, FREES, PAIRS, POLLS, POLLS_BY_HAND, SPAWNS, TASKS, allocates, in_task,
    is_wanted, median, pair_of_64, pending, per_allocation, per_allocation_below_the_peak,
    per_call, per_free, per_free_for_another, per_poll, per_poll_by_hand, per_registration,
    per_spawn, polls, show,
};
use memscope_macros::track_var;
use memscope_rs::{
    Timing, TrackingAllocator,
    async_memory::{TaskCells, current_task_id, get_memory_snapshot, spawn_tracked, track},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(track(async {
        for (name, count, work) in ALLOCATIONS {
            show(name, count, work);
        }
        show("current_task_id", 20_000_000, current_task);
        show("allocation of a block, each a new peak", FREES, per_allocation);
        show("allocation of a block, below the peak", FREES, per_allocation_below_the_peak);
        show("free of a block", FREES, |count| per_free(count, |_| ()));
        show("free of another task's block", FREES, |count| {
            per_free_for_another(count, in_another)
        });
        show("track_var!", FREES, |count| per_registration(count, register));
        show("free of a variable's block", FREES, |count| per_free(count, register));
    }));
    show("64 B, in an unannotated task", PAIRS, |count| {
        learn_cells();
        in_task(count, pair_of_64)
    });
    show("64 B, in an unannotated task, one thread", PAIRS, |count| in_task(count, pair_of_64));
    show("poll, by hand", POLLS_BY_HAND, |count| per_poll_by_hand(count, track(pending())));
    show("poll, by hand, with a budget", POLLS_BY_HAND, |count| {
        per_poll_by_hand(count, track(pending()).budget(1 << 40))
    });
    show("call, one poll", POLLS_BY_HAND, |count| per_call(count, call));
    show("poll, by Tokio", POLLS, by_tokio);
    show("spawn and join", SPAWNS, spawned);
    show("spawn and join, unannotated", SPAWNS, |count| {
        learn_cells();
        per_spawn(count, || tokio::spawn(async { 1 }))
    });
    show("spawn and join, unannotated with a block", SPAWNS, |count| {
        learn_cells();
        per_spawn(count, || tokio::spawn(allocates()))
    });
    for (name, timing) in
        [("off", Timing::Off), ("one in 64", Timing::OneIn(64)), ("all", Timing::All)]
    {
        // Without the collector's thread, which `init` would start.
        let chosen = builder().timing(timing).sample_every(Duration::ZERO).init();
        chosen.expect("a valid setting");
        show(&format!("poll, by hand, timing {name}"), POLLS_BY_HAND, |count| {
            per_poll_by_hand(count, track(pending()))
        });
        show(&format!("poll, by Tokio, timing {name}"), POLLS, by_tokio);
        show(&format!("spawn and join, timing {name}"), SPAWNS, spawned);
    }
    snapshots();
    builder().init().expect("the defaults");
    show("spawn and join, with the collector", SPAWNS, spawned);
}

/// Has memscope learn what is in Tokio's cells, as it does where a program has a second thread.
fn learn_cells() {
    drop(get_memory_snapshot());
    per_spawn(1, || tokio::spawn(async { 1 }));
    assert_eq!(get_memory_snapshot().tool().task_cells, TaskCells::Learned);
}

/// In one poll of a task of its own.
fn in_another(make: fn() -> Blocks) -> Blocks {
    let task = std::pin::pin!(track(async move { make() }));
    match task.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(blocks) => blocks,
        Poll::Pending => unreachable!("it does not wait"),
    }
}

fn by_tokio(count: u32) -> f64 {
    per_poll(count, |polled| spawn_tracked(polls(polled)))
}

#[memscope_macros::tracked]
async fn call() -> u32 {
    1
}

fn spawned(count: u32) -> f64 {
    per_spawn(count, || spawn_tracked(async { 1 }))
}

/// A snapshot while 100,000 tasks live, in milliseconds, and its rows; and the slowest poll of
/// another task on its own thread while snapshots are taken, and while that thread is as busy
/// without.
fn snapshots() {
    const SNAPSHOT: &str = "snapshot of 100,000 live tasks, ms";
    if !is_wanted(SNAPSHOT) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let tasks: Vec<_> = (0..TASKS).map(|_| runtime.spawn(track(pending()))).collect();
    runtime.block_on(tokio::task::yield_now());
    let until = Arc::new(AtomicBool::new(false));
    let slowest_ms = |work: &mut dyn FnMut()| {
        until.store(false, Ordering::Relaxed);
        let over = Arc::clone(&until);
        let poller = std::thread::spawn(move || slowest_poll_ns(&over));
        work();
        until.store(true, Ordering::Relaxed);
        poller.join().expect("it polls") / 1e6
    };
    let [mut taken_ms, mut dropped_ms, mut rows_ms, mut dropped_with_rows_ms] =
        [const { Vec::new() }; 4];
    let timed = |times_ms: &mut Vec<f64>, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        times_ms.push(start.elapsed().as_secs_f64() * 1e3);
    };
    let during = slowest_ms(&mut || {
        for has_rows in [false, true].into_iter().cycle().take(22) {
            let mut snapshot = None;
            timed(&mut taken_ms, &mut || snapshot = black_box(Some(get_memory_snapshot())));
            if has_rows {
                let snapshot = snapshot.as_ref();
                timed(&mut rows_ms, &mut || {
                    black_box(snapshot.map(|snapshot| snapshot.tasks().len()));
                });
            }
            let dropped_ms = if has_rows { &mut dropped_with_rows_ms } else { &mut dropped_ms };
            timed(dropped_ms, &mut || snapshot = None);
        }
    });
    let all_ms = [&taken_ms, &dropped_ms, &rows_ms, &dropped_with_rows_ms];
    let took_ms = all_ms.into_iter().flatten().sum::<f64>();
    // As busy a thread, without snapshots.
    let without = slowest_ms(&mut || {
        let start = Instant::now();
        while start.elapsed().as_secs_f64() * 1e3 < took_ms {
            std::hint::spin_loop();
        }
    });
    println!("{SNAPSHOT}\t{}", median(&taken_ms));
    println!("the same snapshot dropped, ms\t{}", median(&dropped_ms));
    println!("rows of the same snapshot, ms\t{}", median(&rows_ms));
    println!("the same snapshot dropped with its rows, ms\t{}", median(&dropped_with_rows_ms));
    println!("slowest poll during snapshots, ms\t{during}");
    println!("slowest poll without snapshots, ms\t{without}");
    drop(tasks);
}

/// Polls a task that allocates and frees, until told.
fn slowest_poll_ns(over: &AtomicBool) -> f64 {
    let mut task = Box::pin(track(async {
        loop {
            black_box(Vec::<u8>::with_capacity(black_box(64)));
            tokio::task::yield_now().await;
        }
    }));
    let mut context = Context::from_waker(Waker::noop());
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let _: Poll<()> = task.as_mut().poll(&mut context);
        slowest = slowest.max(start.elapsed());
    }
    slowest.as_secs_f64() * 1e9
}

fn register(blocks: &Blocks) {
    for block in blocks {
        track_var!(*block);
    }
}

fn current_task(count: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(current_task_id());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}
