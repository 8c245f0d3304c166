//! smol: its global executor, executors of one's own, and those for one thread.

use std::{
    sync::{Arc, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

use memscope_rs::async_memory::{TaskId, TaskState, current_task_id, track};
use memscope_tests::{conserved, keep_wanted_panics_quiet, panics, row};
use smol::{Executor, LocalExecutor, Timer};

use super::{
    ALLOCATOR,
    common::{
        WAITING, becomes, cancelled, completed, hold, hold_here, id_of, metered, open, panic_after,
        panicked, spent,
    },
};

#[test]
fn a_spawned_task_holds_what_it_holds() {
    let (gate, future) = hold();
    let task = track(future).named("smol");
    let id = id_of(&task);
    let handle = smol::spawn(task);
    let snapshot = becomes(id, WAITING);
    assert_eq!((row(&snapshot, id).name.as_str(), row(&snapshot, id).parent), ("smol", None));
    open(gate);
    assert_eq!(smol::block_on(handle), 10_000);
    becomes(id, completed());
}

#[test]
fn a_handle_that_is_dropped_or_cancelled_cancels_the_task() {
    for is_dropped in [false, true] {
        let (gate, future) = hold();
        let task = track(future);
        let id = id_of(&task);
        let handle = smol::spawn(task);
        becomes(id, WAITING);
        if is_dropped {
            drop(handle);
        } else {
            assert_eq!(smol::block_on(handle.cancel()), None);
        }
        becomes(id, cancelled());
        drop(gate);
    }
}

#[test]
fn a_detached_task_goes_on() {
    let (gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    smol::spawn(task).detach();
    becomes(id, WAITING);
    open(gate);
    becomes(id, completed());
}

#[test]
fn a_panic_ends_the_task_and_comes_out_of_its_handle() {
    keep_wanted_panics_quiet();
    let executor = Executor::new();
    let (gate, future) = panic_after();
    let task = track(future);
    let id = id_of(&task);
    let handle = executor.spawn(task);
    assert!(executor.try_tick());
    becomes(id, WAITING);
    open(gate);
    assert!(executor.try_tick());
    assert_eq!(current_task_id(), None);
    assert_eq!(panics(|| smol::block_on(handle)), "wanted: on an executor");
    becomes(id, panicked());
    // The executor goes on.
    let next = track(async { current_task_id() });
    let next_id = id_of(&next);
    assert_eq!(smol::block_on(executor.run(executor.spawn(next))), Some(next_id));
}

#[test]
fn a_future_that_is_not_send_runs_on_a_local_executor() {
    let executor = LocalExecutor::new();
    let (gate, future) = hold_here();
    let (_, never) = hold_here();
    let (task, left) = (track(future), track(never));
    let (id, left_id) = (id_of(&task), id_of(&left));
    let handle = executor.spawn(task);
    executor.spawn(left).detach();
    while executor.try_tick() {}
    becomes(id, WAITING);
    open(gate);
    assert_eq!(smol::block_on(executor.run(handle)), 10_000);
    becomes(id, completed());
    drop(executor);
    assert!(row(&conserved(&ALLOCATOR), left_id).state.is_ended());
}

#[test]
fn an_executor_that_is_dropped_cancels_what_lives_on_it() {
    let executor = Executor::new();
    let mut gates = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..10 {
        let (gate, future) = hold();
        let task = track(future);
        ids.push(id_of(&task));
        gates.push(gate);
        executor.spawn(task).detach();
    }
    for _ in 0..10 {
        assert!(executor.try_tick());
    }
    for id in &ids {
        becomes(*id, WAITING);
    }
    drop(executor);
    for id in ids {
        becomes(id, cancelled());
    }
}

/// Each poll on another thread: what one thread allocates the next one frees, as the same task.
#[test]
fn a_task_that_moves_from_thread_to_thread_is_one_task() {
    let executor = Arc::new(Executor::new());
    let task = track(async {
        let mut on: Vec<(ThreadId, Option<TaskId>)> = Vec::with_capacity(5);
        let mut held = vec![0u8; 1_000];
        for size in 1..=4 {
            on.push((thread::current().id(), current_task_id()));
            // Frees what another thread has allocated.
            held = vec![0u8; 1_000 * (size + 1)];
            memscope_tests::wait_once().await;
        }
        on.push((thread::current().id(), current_task_id()));
        drop(held);
        on
    });
    let id = id_of(&task);
    let handle = executor.spawn(task);
    for _ in 0..5 {
        let executor = Arc::clone(&executor);
        thread::spawn(move || assert!(executor.try_tick())).join().expect("no panic");
    }
    let on = smol::block_on(handle);
    let mut threads: Vec<ThreadId> = on.iter().map(|(thread, _)| *thread).collect();
    threads.dedup();
    assert_eq!(threads.len(), 5);
    assert!(on.iter().all(|(_, task)| *task == Some(id)));
    drop(on);
    let snapshot = conserved(&ALLOCATOR);
    let row = row(&snapshot, id);
    assert_eq!((row.state, row.poll_count, row.live_bytes), (TaskState::Completed, 5, 0));
    let list = 5 * size_of::<(ThreadId, Option<TaskId>)>() as u64;
    assert_eq!(row.allocated_bytes, 1_000 + 2_000 + 3_000 + 4_000 + 5_000 + list);
    assert_eq!(row.peak_bytes, 4_000 + 5_000 + list);
    assert_eq!(row.freed_elsewhere_bytes, list, "only the list left the task");
}

#[test]
fn timers_are_charged_to_the_task_that_sets_them() {
    let executor = Executor::new();
    let mut tasks = Vec::new();
    for number in 0..20_u64 {
        let (truth, future) = metered(async move {
            let held = vec![0u8; 1_000];
            Timer::after(Duration::from_millis(number % 5)).await;
            held.len()
        });
        let task = track(future);
        tasks.push((id_of(&task), truth, executor.spawn(task)));
    }
    for (id, truth, handle) in tasks {
        assert_eq!(smol::block_on(executor.run(handle)), 1_000);
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(row(&snapshot, id).state, TaskState::Completed);
        assert_eq!(spent(&snapshot, id), *truth.lock().expect("no panic"));
    }
}

#[test]
fn unblock_is_a_place_outside_the_task() {
    let task = track(async {
        let (sender, received) = mpsc::channel();
        let inside = smol::unblock(move || {
            sender.send(vec![0u8; 30_000]).expect("received");
            current_task_id()
        });
        (inside.await, received.recv().expect("sent"))
    });
    let id = id_of(&task);
    let (inside, bytes) = smol::block_on(task);
    assert_eq!(inside, None, "smol's blocking threads run closures, not futures");
    // What smol starts a thread with is the task's.
    let snapshot = conserved(&ALLOCATOR);
    assert!(row(&snapshot, id).allocated_bytes < 10_000, "{:?}", row(&snapshot, id));
    drop(bytes);
}

#[test]
fn workers_on_several_threads_charge_each_task_to_the_byte() {
    let executor = Arc::new(Executor::new());
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (executor, stopped) = (Arc::clone(&executor), stopped.clone());
            thread::spawn(move || smol::block_on(executor.run(stopped.recv())).ok())
        })
        .collect();
    let tasks: Vec<_> = (0..64_usize)
        .map(|seed| {
            let (truth, future) = metered(async move {
                let mut held = Vec::new();
                for step in 0..50 {
                    held.push(vec![0u8; 1 + (seed * 131 + step * 17) % 3_000]);
                    if step % 3 == 0 {
                        held.swap_remove(step % held.len());
                    }
                    smol::future::yield_now().await;
                }
                held.iter().map(Vec::len).sum::<usize>()
            });
            let task = track(future);
            (id_of(&task), truth, executor.spawn(task))
        })
        .collect();
    for _ in 0..5 {
        conserved(&ALLOCATOR);
    }
    for (id, truth, handle) in tasks {
        smol::block_on(handle);
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(row(&snapshot, id).state, TaskState::Completed);
        assert_eq!(spent(&snapshot, id), *truth.lock().expect("no panic"));
    }
    drop(stop);
    for worker in workers {
        worker.join().expect("no panic");
    }
}
