//! Futures that poll several others inside one task: each tracked arm is a row of its own below it.

use std::pin::pin;

use futures::{
    FutureExt, StreamExt,
    executor::block_on,
    future::{Either, join_all, select},
    stream::{self, FuturesUnordered},
};
use memscope_rs::async_memory::{
    MemorySnapshot, TaskId, TaskState, Tracked, current_task_id, track,
};
use memscope_tests::{Columns, conserved, poll, row, wait_once};

use super::{
    ALLOCATOR,
    common::{Gate, WAITING, becomes, cancelled, ended, hold, id_of, metered, open, spent},
};

/// The outer task's id, and those of its arms.
type Ids = (TaskId, Vec<TaskId>);

fn here() -> TaskId {
    current_task_id().expect("a task")
}

/// The rows of the outer task and its arms are what the whole has allocated.
#[track_caller]
fn adds_up((outer, arms): &Ids, truth: (u64, u64)) -> MemorySnapshot {
    let snapshot = conserved(&ALLOCATOR);
    let mut sum = spent(&snapshot, *outer);
    for arm in arms {
        assert_eq!(row(&snapshot, *arm).parent, Some(*outer));
        let (bytes, blocks) = spent(&snapshot, *arm);
        sum = (sum.0 + bytes, sum.1 + blocks);
    }
    assert_eq!(sum, truth);
    snapshot
}

/// Runs it as one task, whose future is dropped at the end.
fn run<F: Future<Output = Vec<TaskId>>>(future: F) -> (Ids, (u64, u64)) {
    let (truth, future) = metered(future);
    let task = track(future);
    let outer = id_of(&task);
    let arms = block_on(task);
    let truth = *truth.lock().expect("no panic");
    ((outer, arms), truth)
}

/// Waits a few polls and holds this many bytes meanwhile.
fn arm(bytes: usize, waits: usize) -> Tracked<impl Future<Output = TaskId>> {
    track(async move {
        let held = vec![1u8; bytes];
        for _ in 0..waits {
            wait_once().await;
        }
        drop(held);
        here()
    })
}

#[track_caller]
fn one_block_and_done(snapshot: &MemorySnapshot, id: TaskId, bytes: u64, polls: u64) {
    let truth = Columns {
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: bytes,
        ..Columns::one_block(TaskState::Completed, polls, bytes)
    };
    assert_eq!(Columns::of(row(snapshot, id)), truth);
}

#[test]
fn join_polls_each_arm_as_itself() {
    let both = [
        run(async {
            let (a, b) = futures::join!(arm(1_000, 1), arm(2_000, 0));
            vec![a, b]
        }),
        run(async {
            let (a, b) = tokio::join!(arm(1_000, 1), arm(2_000, 0));
            vec![a, b]
        }),
    ];
    for (ids, truth) in both {
        let snapshot = adds_up(&ids, truth);
        one_block_and_done(&snapshot, ids.1[0], 1_000, 2);
        one_block_and_done(&snapshot, ids.1[1], 2_000, 1);
    }
}

#[test]
fn the_arm_that_loses_a_select_is_cancelled() {
    type Arms = (Gate, TaskId, TaskId);
    fn lost(arms: Arms) {
        let (gate, winner, loser) = arms;
        let snapshot = becomes(loser, cancelled());
        assert_eq!(row(&snapshot, winner).state, TaskState::Completed);
        assert_eq!(row(&snapshot, winner).parent, row(&snapshot, loser).parent);
        assert!(row(&snapshot, loser).parent.is_some());
        assert!(gate.send(()).is_err(), "the loser is gone");
    }
    lost(block_on(track(async {
        let (gate, future) = hold();
        let (loser, winner) = (track(future), arm(3_000, 0));
        let (loser_id, winner_id) = (id_of(&loser), id_of(&winner));
        tokio::select! {
            biased;
            _ = loser => unreachable!("its gate is closed"),
            id = winner => assert_eq!(id, winner_id),
        }
        (gate, winner_id, loser_id)
    })));
    lost(block_on(track(async {
        let (gate, future) = hold();
        let (loser, winner) = (track(future), arm(3_000, 0));
        let (loser_id, winner_id) = (id_of(&loser), id_of(&winner));
        {
            let (mut loser, mut winner) = (pin!(loser.fuse()), pin!(winner.fuse()));
            futures::select_biased! {
                _ = loser => unreachable!("its gate is closed"),
                id = winner => assert_eq!(id, winner_id),
            }
        }
        (gate, winner_id, loser_id)
    })));
    lost(block_on(track(async {
        let (gate, future) = hold();
        let (loser, winner) = (track(future), arm(3_000, 0));
        let (loser_id, winner_id) = (id_of(&loser), id_of(&winner));
        match select(Box::pin(loser), Box::pin(winner)).await {
            Either::Left(_) => unreachable!("its gate is closed"),
            Either::Right((id, loser)) => {
                assert_eq!(id, winner_id);
                becomes(loser_id, WAITING);
                drop(loser);
            }
        }
        (gate, winner_id, loser_id)
    })));
}

#[test]
fn an_arm_that_was_never_polled_is_cancelled_too() {
    let task = track(async {
        let (first, second) = (arm(10, 0), arm(20, 0));
        let second_id = id_of(&second);
        tokio::select! {
            biased;
            id = first => (id, second_id),
            _ = second => unreachable!("the first is ready"),
        }
    });
    let (_, second) = block_on(task);
    assert_eq!(Columns::now(&ALLOCATOR, second), Columns::nothing(TaskState::Cancelled, 0));
}

#[test]
fn futures_unordered_polls_each_arm_as_itself() {
    let (ids, truth) = run(async {
        let mut arms: FuturesUnordered<_> =
            (1..=50_usize).map(|number| arm(number * 100, number % 3)).collect();
        let mut ids = Vec::new();
        while let Some(id) = arms.next().await {
            ids.push(id);
        }
        ids
    });
    assert_eq!(ids.1.len(), 50);
    let snapshot = adds_up(&ids, truth);
    let mut sizes: Vec<u64> =
        ids.1.iter().map(|arm| row(&snapshot, *arm).allocated_bytes).collect();
    sizes.sort_unstable();
    assert!(sizes.into_iter().eq((1..=50).map(|number| number * 100)));
    for arm in &ids.1 {
        let bytes = row(&snapshot, *arm).allocated_bytes;
        one_block_and_done(&snapshot, *arm, bytes, 1 + bytes / 100 % 3);
    }
}

#[test]
fn futures_unordered_that_is_dropped_cancels_its_arms() {
    let mut gates = Vec::new();
    let mut ids = Vec::new();
    let task = track(async {
        let arms = FuturesUnordered::new();
        for _ in 0..10 {
            let (gate, future) = hold();
            let task = track(future);
            ids.push(id_of(&task));
            gates.push(gate);
            arms.push(task);
        }
        let mut arms = pin!(arms);
        open(gates.remove(3));
        assert_eq!(arms.next().await, Some(10_000));
    });
    let outer = id_of(&task);
    block_on(task);
    // The one that goes on had its gate open at its first poll.
    let done = ids.remove(3);
    let snapshot = becomes(done, ended(TaskState::Completed, 1));
    assert_eq!(row(&snapshot, done).parent, Some(outer));
    for id in ids {
        let snapshot = conserved(&ALLOCATOR);
        assert_eq!(row(&snapshot, id).state, TaskState::Cancelled);
        assert_eq!(row(&snapshot, id).live_bytes, 0);
        assert_eq!(row(&snapshot, id).freed_elsewhere_bytes, 0);
    }
}

#[test]
fn join_all_and_buffered_streams_poll_each_arm_as_itself() {
    for (ids, truth) in [
        run(async { join_all((1..=40).map(|number| arm(number * 10, 2))).await }),
        run(async {
            stream::iter(1..=40)
                .map(|number| arm(number * 10, 2))
                .buffer_unordered(7)
                .collect()
                .await
        }),
    ] {
        assert_eq!(ids.1.len(), 40);
        let snapshot = adds_up(&ids, truth);
        for arm in &ids.1 {
            let bytes = row(&snapshot, *arm).allocated_bytes;
            one_block_and_done(&snapshot, *arm, bytes, 3);
        }
    }
}

#[test]
fn arms_nest_to_any_depth() {
    let task = track(async {
        let held = vec![0u8; 100];
        let middle = track(async {
            let held = vec![0u8; 200];
            let (left, right) = futures::join!(arm(300, 1), arm(400, 1));
            (here(), left, right, held.len())
        });
        let ids = middle.await;
        (here(), ids, held.len())
    });
    let (outer, (middle, left, right, _), _) = block_on(task);
    let snapshot = conserved(&ALLOCATOR);
    let of = |id| (row(&snapshot, id).parent, row(&snapshot, id).allocated_bytes);
    assert_eq!(of(outer), (None, 100));
    assert_eq!(of(middle), (Some(outer), 200));
    assert_eq!(of(left), (Some(middle), 300));
    assert_eq!(of(right), (Some(middle), 400));
}

#[test]
fn shared_and_boxed_futures_are_polled_as_the_task() {
    let (gate, future) = hold();
    let task = track(future);
    let id = id_of(&task);
    let mut shared = task.boxed().shared();
    let mut other = shared.clone();
    assert!(poll(&mut shared).is_pending());
    assert!(poll(&mut other).is_pending());
    becomes(id, Columns { poll_count: 2, ..WAITING });
    open(gate);
    assert!(poll(&mut other).is_ready());
    becomes(id, ended(TaskState::Completed, 3));
    assert!(poll(&mut shared).is_ready());
}

#[test]
fn an_arm_that_was_made_outside_is_the_child_of_the_task_it_is_polled_in() {
    let arms: Vec<_> = (1..=3).map(|number| arm(number * 100, 1)).collect();
    let (ids, truth) = run(join_all(arms));
    let snapshot = adds_up(&ids, truth);
    for (arm, bytes) in ids.1.iter().zip([100, 200, 300]) {
        one_block_and_done(&snapshot, *arm, bytes, 2);
    }
}
