//! Tokio's ways to run tasks: `LocalSet`, `JoinSet`, timeouts, and a runtime that goes away.

use std::time::Duration;

use memscope_rs::async_memory::{TaskState, current_task_id, track};
use memscope_tests::{block_on, conserved, keep_wanted_panics_quiet, row, workers};
use tokio::task::{JoinSet, LocalSet};

use super::{
    ALLOCATOR,
    common::{
        WAITING, becomes, cancelled, completed, ended, hold, hold_here, id_of, metered, open,
        panic_after, panicked, spent,
    },
};

#[test]
fn a_local_set_runs_futures_that_are_not_send() {
    let set = LocalSet::new();
    let (gate, future) = hold_here();
    let (_never, other) = hold_here();
    let (task, left) = (track(future), track(other));
    let (id, left_id) = (id_of(&task), id_of(&left));
    let total = block_on(async {
        let handle = set.spawn_local(task);
        set.spawn_local(left);
        set.run_until(async {
            tokio::task::yield_now().await;
            becomes(id, WAITING);
            open(gate);
            handle.await.expect("no panic")
        })
        .await
    });
    assert_eq!(total, 10_000);
    becomes(id, completed());
    becomes(left_id, WAITING);
    drop(set);
    becomes(left_id, cancelled());
}

#[test]
fn a_join_set_joins_aborts_and_tells_of_panics() {
    keep_wanted_panics_quiet();
    let runtime = workers(2);
    let outer = track(async {
        let mut set = JoinSet::new();
        let (gate, future) = hold();
        let (_never, other) = hold();
        let (panics, panicking) = panic_after();
        let (fine, aborted, bad) = (track(future), track(other), track(panicking));
        let ids = (id_of(&fine), id_of(&aborted), id_of(&bad));
        set.spawn(fine);
        let abort = set.spawn(aborted);
        set.spawn(bad);
        for id in [ids.0, ids.1, ids.2] {
            let snapshot = becomes(id, WAITING);
            assert_eq!(row(&snapshot, id).parent, current_task_id(), "made by the task around it");
        }
        abort.abort();
        becomes(ids.1, cancelled());
        open(panics);
        open(gate);
        let mut ends = Vec::new();
        while let Some(end) = set.join_next().await {
            ends.push(end);
        }
        assert_eq!(ends.iter().filter(|end| matches!(end, Ok(10_000))).count(), 1);
        assert_eq!(ends.iter().filter_map(|end| end.as_ref().err()).count(), 2);
        ids
    });
    let (fine, aborted, bad) = runtime.block_on(outer);
    becomes(fine, completed());
    becomes(aborted, cancelled());
    becomes(bad, panicked());
}

#[test]
fn a_join_set_that_is_dropped_cancels_its_tasks() {
    let runtime = workers(2);
    let mut set = JoinSet::new();
    let mut living = Vec::new();
    for _ in 0..10 {
        let (gate, future) = hold();
        let task = track(future);
        living.push((id_of(&task), gate));
        set.spawn_on(task, runtime.handle());
    }
    for (id, _) in &living {
        becomes(*id, WAITING);
    }
    drop(set);
    for (id, _) in living {
        becomes(id, cancelled());
    }
}

#[test]
fn a_timeout_cancels_what_is_under_it() {
    let (_gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let runtime = workers(1);
    let late =
        runtime.block_on(async { tokio::time::timeout(Duration::from_millis(5), task).await });
    assert!(late.is_err());
    // Polled once more by the timer.
    becomes(id, ended(TaskState::Cancelled, 2));
}

#[test]
fn a_runtime_that_is_dropped_cancels_what_lives_on_it() {
    let runtime = workers(2);
    let mut living = Vec::new();
    for _ in 0..10 {
        let (gate, future) = hold();
        let task = track(future);
        living.push((id_of(&task), gate));
        runtime.spawn(task);
    }
    for (id, _) in &living {
        becomes(*id, WAITING);
    }
    drop(runtime);
    for (id, _) in living {
        becomes(id, cancelled());
    }
}

#[test]
fn timers_and_yields_are_charged_to_the_task_that_waits() {
    let runtime = workers(4);
    let tasks: Vec<_> = (0..50_usize)
        .map(|seed| {
            let (truth, future) = metered(async move {
                let mut held = Vec::new();
                for step in 0..20 {
                    held.push(vec![0u8; 1 + (seed * 131 + step * 17) % 3_000]);
                    if step % 5 == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    } else {
                        tokio::task::yield_now().await;
                    }
                }
                held.len()
            });
            let task = track(future);
            (id_of(&task), truth, runtime.spawn(task))
        })
        .collect();
    for (id, truth, handle) in tasks {
        assert_eq!(runtime.block_on(handle).expect("no panic"), 20);
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(row(&snapshot, id).state, TaskState::Completed);
        assert_eq!(spent(&snapshot, id), *truth.lock().expect("no panic"));
    }
}
