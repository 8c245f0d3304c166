//! async-std: its one executor, and tasks that stay on their thread.

use std::{
    sync::mpsc,
    thread::{self, ThreadId},
    time::Duration,
};

use async_std::task;
use memscope_rs::async_memory::{TaskState, current_task_id, track};
use memscope_tests::{Columns, conserved, keep_wanted_panics_quiet, panics, row};

use super::{
    ALLOCATOR,
    common::{
        WAITING, becomes, cancelled, completed, ended, hold, hold_here, id_of, metered, open,
        panic_after, panicked, spent,
    },
};

#[test]
fn a_spawned_task_holds_what_it_holds() {
    let (gate, future) = hold();
    let task = track(future).named("async-std");
    let id = id_of(&task);
    let handle = task::spawn(task);
    let snapshot = becomes(id, WAITING);
    assert_eq!((row(&snapshot, id).name.as_str(), row(&snapshot, id).parent), ("async-std", None));
    open(gate);
    assert_eq!(task::block_on(handle), 10_000);
    becomes(id, completed());
}

#[test]
fn cancel_cancels_and_a_dropped_handle_does_not() {
    let (gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let handle = task::spawn(task);
    becomes(id, WAITING);
    assert_eq!(task::block_on(handle.cancel()), None);
    becomes(id, cancelled());
    drop(gate);

    let (gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    drop(task::spawn(task));
    becomes(id, WAITING);
    open(gate);
    becomes(id, completed());
}

#[test]
fn a_timeout_cancels_what_is_under_it() {
    let (_gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let late = task::block_on(async_std::future::timeout(Duration::from_millis(5), task));
    assert!(late.is_err());
    // Polled once more by the timer.
    becomes(id, ended(TaskState::Cancelled, 2));
}

#[test]
fn a_panic_ends_the_task_and_comes_out_of_its_handle() {
    keep_wanted_panics_quiet();
    let (gate, future) = panic_after();
    let task = track(future);
    let id = id_of(&task);
    let handle = task::spawn(task);
    becomes(id, WAITING);
    open(gate);
    assert_eq!(panics(|| task::block_on(handle)), "wanted: on an executor");
    becomes(id, panicked());
    assert_eq!(task::block_on(task::spawn(async { current_task_id() })), None);
}

#[test]
fn a_future_that_is_not_send_runs_on_its_thread() {
    let (gate, future) = hold_here();
    let task = track(future);
    let id = id_of(&task);
    let total = task::block_on(async {
        let handle = task::spawn_local(task);
        task::spawn_local(async move {
            becomes(id, WAITING);
            open(gate);
        })
        .await;
        handle.await
    });
    assert_eq!(total, 10_000);
    becomes(id, completed());
}

/// A worker that has polled the task is kept busy until another one has. The second worker frees
/// what the first allocated, as the same task.
#[test]
fn a_task_that_moves_from_thread_to_thread_is_one_task() {
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        return;
    }
    let (gate, opened) = futures::channel::oneshot::channel::<()>();
    let (sender, first) = mpsc::sync_channel(1);
    let task = track(async move {
        let held = vec![0u8; 50_000];
        let before = thread::current().id();
        sender.send(before).expect("received");
        opened.await.ok();
        drop(held);
        (before, thread::current().id(), current_task_id())
    });
    let id = id_of(&task);
    let handle = task::spawn(task);
    let before = first.recv().expect("sent");
    // Workers are stopped until the task's own one is; then the others go on.
    let mut stopped: Vec<(ThreadId, mpsc::Sender<()>)> = Vec::new();
    while stopped.last().is_none_or(|(thread, _)| *thread != before) {
        let (here, on) = mpsc::channel();
        let (release, released) = mpsc::channel();
        task::spawn(async move {
            here.send(thread::current().id()).expect("received");
            released.recv().ok();
        });
        stopped.push((on.recv().expect("sent"), release));
    }
    let blocks_it = stopped.pop();
    drop(stopped);
    open(gate);
    let (was_on, is_on, inside) = task::block_on(handle);
    drop(blocks_it);
    assert_ne!(was_on, is_on);
    assert_eq!(inside, Some(id));
    let snapshot = conserved(&ALLOCATOR);
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: 50_000,
        ..Columns::one_block(TaskState::Completed, 2, 50_000)
    };
    assert_eq!(Columns::of(row(&snapshot, id)), truth, "freed by itself");
}

#[test]
fn timers_and_yields_are_charged_to_the_task_that_waits() {
    let tasks: Vec<_> = (0..50_usize)
        .map(|seed| {
            let (truth, future) = metered(async move {
                let mut held = Vec::new();
                for step in 0..20 {
                    held.push(vec![0u8; 1 + (seed * 131 + step * 17) % 3_000]);
                    if step % 5 == 0 {
                        task::sleep(Duration::from_millis(1)).await;
                    } else {
                        task::yield_now().await;
                    }
                }
                held.len()
            });
            let task = track(future);
            (id_of(&task), truth, task::spawn(task))
        })
        .collect();
    for (id, truth, handle) in tasks {
        assert_eq!(task::block_on(handle), 20);
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(row(&snapshot, id).state, TaskState::Completed);
        assert_eq!(spent(&snapshot, id), *truth.lock().expect("no panic"));
    }
}
