//! Callers at one time share a snapshot without getting old figures, and a task that takes
//! snapshots does not grow in them.

use std::{pin::Pin, sync::Barrier, thread};

use memscope_rs::async_memory::{MemorySnapshot, TaskId, get_memory_snapshot, track};
use memscope_tests::{Meter, alone, block_on, conserved, poll, row};

use crate::ALLOCATOR;

#[test]
fn callers_at_one_time_do_not_each_take_the_memory_of_a_reading() {
    const CALLERS: usize = 16;
    let _alone = alone();
    let tasks: Vec<Pin<Box<_>>> = (0..20_000)
        .map(|_| {
            let mut task = Box::pin(track(std::future::pending::<()>()).named("waits"));
            assert!(poll(&mut task).is_pending());
            task
        })
        .collect();
    drop(get_memory_snapshot());
    let (of_one, snapshot) = Meter::of(get_memory_snapshot);
    assert!(of_one.allocated_bytes > 20_000 * 100, "{of_one:?}");
    drop(snapshot);
    let start = Barrier::new(CALLERS);
    let caller = || {
        start.wait();
        let (meter, snapshot) = Meter::of(get_memory_snapshot);
        assert_eq!(snapshot.sites_named("waits").next().expect("it").active, 20_000);
        // All are held at one time.
        start.wait();
        meter.allocated_bytes
    };
    let all: u64 = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(caller)).collect();
        callers.into_iter().map(|caller| caller.join().expect("it ends")).sum()
    });
    // Mostly there are two readings: the first caller's, and one for all others.
    let readings = all / of_one.allocated_bytes;
    assert!(readings <= 12, "{readings} readings");
    drop(tasks);
    assert_eq!(get_memory_snapshot().active_task_count(), 0);
}

#[test]
fn a_snapshot_is_never_older_than_the_call_that_returns_it() {
    let _alone = alone();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = Vec::new();
                let mut task = Box::pin(track(async move {
                    for block in 1..=200_u64 {
                        held.reserve_exact(200);
                        held.push(vec![0_u8; 1_000]);
                        let snapshot = get_memory_snapshot();
                        let blocks = row(&snapshot, current()).live_blocks;
                        assert_eq!(blocks, block + 1, "the list and {block} blocks");
                    }
                }));
                block_on(&mut task);
            });
        }
    });
    conserved(&ALLOCATOR);
}

fn current() -> TaskId {
    memscope_rs::async_memory::current_task_id().expect("it runs in a task")
}

/// Takes reports, and keeps the last ten snapshots and the last text, as a monitor of a program
/// does. Yields after each.
async fn monitor(rounds: usize) {
    let mut snapshots: Vec<MemorySnapshot> = Vec::with_capacity(11);
    let mut text = String::with_capacity(64 << 10);
    for _ in 0..rounds {
        let snapshot = get_memory_snapshot();
        text.clear();
        std::fmt::write(&mut text, format_args!("{snapshot}")).expect("it is a String");
        snapshots.push(snapshot);
        if snapshots.len() > 10 {
            snapshots.remove(0);
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_task_that_takes_snapshots_does_not_grow_in_them() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        // One task with an annotation, and one without.
        let tracked = track(monitor(200)).named("monitor");
        let id = tracked.id().expect("an id");
        let tracked = tokio::spawn(tracked);
        let other = tokio::spawn(monitor(200));
        let mut levels = Vec::new();
        for _ in 0..8 {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let snapshot = conserved(&ALLOCATOR);
            let others = snapshot.sites().iter().filter(|site| !site.is_annotated);
            let others: u64 = others.map(|site| site.live_bytes).sum();
            levels.push((row(&snapshot, id).live_bytes, others));
        }
        assert!(levels.windows(2).all(|pair| pair[0] == pair[1]), "{levels:?}");
        assert!(levels[0].0 >= 64 << 10, "the text belongs to the task: {levels:?}");
        let leaks = get_memory_snapshot().leaks();
        assert!(leaks.findings().is_empty(), "{leaks}");
        tracked.await.expect("it ends");
        other.await.expect("it ends");
    });
}
