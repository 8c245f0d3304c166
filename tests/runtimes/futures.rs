//! The executors of `futures`: `block_on` and `LocalPool`.

use futures::{
    executor::{LocalPool, block_on},
    future::{AbortHandle, Abortable, FutureExt},
    task::{LocalSpawnExt, SpawnExt},
};
use memscope_rs::async_memory::{current_task_id, track};
use memscope_tests::{panics, row};

use super::common::{
    WAITING, becomes, cancelled, completed, hold, hold_here, id_of, open, panic_after, panicked,
};

#[test]
fn block_on_polls_it_on_this_thread() {
    let (gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let opener = std::thread::spawn(move || {
        becomes(id, WAITING);
        open(gate);
    });
    assert_eq!(block_on(task), 10_000);
    opener.join().expect("no panic");
    becomes(id, completed());
}

#[test]
fn a_local_pool_runs_futures_that_are_not_send() {
    let mut pool = LocalPool::new();
    let (gate, future) = hold_here();
    let task = track(future);
    let id = id_of(&task);
    let handle = pool.spawner().spawn_local_with_handle(task).expect("the pool lives");
    pool.run_until_stalled();
    becomes(id, WAITING);
    open(gate);
    assert_eq!(pool.run_until(handle), 10_000);
    becomes(id, completed());
}

#[test]
fn a_remote_handle_that_is_dropped_cancels_the_task() {
    let mut pool = LocalPool::new();
    let (_gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let handle = pool.spawner().spawn_with_handle(task).expect("the pool lives");
    pool.run_until_stalled();
    becomes(id, WAITING);
    drop(handle);
    pool.run_until_stalled();
    becomes(id, cancelled());
}

#[test]
fn an_abort_handle_cancels_the_task_when_its_wrapper_is_dropped() {
    let mut pool = LocalPool::new();
    let (_gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let (abort, registration) = AbortHandle::new_pair();
    let wrapped = Abortable::new(task, registration).map(drop);
    pool.spawner().spawn(wrapped).expect("the pool lives");
    pool.run_until_stalled();
    becomes(id, WAITING);
    abort.abort();
    pool.run_until_stalled();
    becomes(id, cancelled());
}

#[test]
fn a_panic_comes_out_of_the_pool_and_ends_the_task() {
    let mut pool = LocalPool::new();
    let (gate, future) = panic_after();
    let task = track(future);
    let id = id_of(&task);
    pool.spawner().spawn(task.map(drop)).expect("the pool lives");
    pool.run_until_stalled();
    becomes(id, WAITING);
    open(gate);
    assert_eq!(panics(|| pool.run_until_stalled()), "wanted: on an executor");
    assert_eq!(current_task_id(), None);
    becomes(id, panicked());
}

#[test]
fn a_pool_that_is_dropped_cancels_what_lives_on_it() {
    let mut pool = LocalPool::new();
    let mut living = Vec::new();
    for _ in 0..10 {
        let (gate, future) = hold_here();
        let task = track(future);
        living.push((id_of(&task), gate));
        pool.spawner().spawn_local(task.map(drop)).expect("the pool lives");
    }
    pool.run_until_stalled();
    for (id, _) in &living {
        let snapshot = becomes(*id, WAITING);
        assert_eq!(row(&snapshot, *id).parent, None);
    }
    drop(pool);
    for (id, _) in living {
        becomes(id, cancelled());
    }
}
