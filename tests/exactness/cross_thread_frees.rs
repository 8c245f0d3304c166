//! Eight threads free one task's blocks at once: while the task allocates, after its end, and
//! exactly at its end. No byte is lost.

use std::{
    pin::Pin,
    sync::{Arc, Barrier, Mutex},
    thread,
};

use memscope_rs::async_memory::{TaskId, TaskState, Tracked, track};
use memscope_tests::{Columns, conserved, poll, row, wait_once};

use crate::ALLOCATOR;

const THREADS: usize = 8;
const BLOCKS: usize = 64;

/// What a task hands out: for each thread its own blocks, so that a free needs no lock.
type Shares = Vec<Vec<Vec<u8>>>;

fn sizes(share: usize) -> impl Iterator<Item = usize> {
    (0..BLOCKS).map(move |block| 1 + (share * 131 + block * 37) % 700)
}

fn all_bytes() -> u64 {
    (0..THREADS).flat_map(sizes).map(|size| size as u64).sum()
}

/// Fills vectors that have room already, so that only the blocks are the task's.
fn fill(mut shares: Shares) -> Shares {
    for (share, blocks) in shares.iter_mut().enumerate() {
        blocks.extend(sizes(share).map(|size| vec![0u8; size]));
    }
    shares
}

fn room() -> Shares {
    (0..THREADS).map(|_| Vec::with_capacity(BLOCKS)).collect()
}

/// Frees each share on a thread of its own, all at once, with `meanwhile` at the same time on this
/// one.
fn free_all(shares: Shares, meanwhile: impl FnOnce()) {
    let start = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        for share in shares {
            scope.spawn(|| {
                let share = share;
                start.wait();
                drop(share);
            });
        }
        start.wait();
        meanwhile();
    });
}

fn truth(state: TaskState, polls: u64) -> Columns {
    let blocks = (THREADS * BLOCKS) as u64;
    Columns {
        allocated_bytes: all_bytes(),
        allocation_count: blocks,
        peak_bytes: all_bytes(),
        freed_bytes: all_bytes(),
        freed_elsewhere_bytes: all_bytes(),
        ..Columns::nothing(state, polls)
    }
}

/// A task that fills `shares` at its first poll and puts them out; what it does at its second is
/// `work`.
fn owner(
    work: impl FnOnce() + Send + 'static,
) -> (Pin<Box<Tracked<impl Future<Output = ()> + Send>>>, Shares) {
    let out = Arc::new(Mutex::new(room()));
    let slot = Arc::clone(&out);
    let mut task = Box::pin(track(async move {
        let empty = std::mem::take(&mut *slot.lock().expect("no panic"));
        *slot.lock().expect("no panic") = fill(empty);
        drop(slot);
        wait_once().await;
        work();
    }));
    assert!(poll(&mut task).is_pending());
    let shares = std::mem::take(&mut *out.lock().expect("no panic"));
    (task, shares)
}

fn now(id: TaskId) -> Columns {
    Columns::of(row(&conserved(&ALLOCATOR), id))
}

#[test]
fn while_the_task_waits() {
    for _ in 0..20 {
        let (task, shares) = owner(|| {});
        let id = task.id().expect("an id");
        free_all(shares, || {});
        assert_eq!(now(id), truth(TaskState::Idle, 1));
    }
}

#[test]
fn while_the_task_allocates_and_frees() {
    const ROUNDS: u64 = 2_000;
    for _ in 0..20 {
        let (mut task, shares) = owner(|| {
            for _ in 0..ROUNDS {
                drop(std::hint::black_box(vec![0u8; 64]));
            }
        });
        let id = task.id().expect("an id");
        free_all(shares, || assert!(poll(&mut task).is_ready()));
        let now = now(id);
        let truth = truth(TaskState::Completed, 2);
        assert!((truth.peak_bytes..=truth.peak_bytes + 64).contains(&now.peak_bytes), "{now:?}");
        let truth = Columns {
            allocated_bytes: truth.allocated_bytes + 64 * ROUNDS,
            allocation_count: truth.allocation_count + ROUNDS,
            freed_bytes: truth.freed_bytes + 64 * ROUNDS,
            peak_bytes: now.peak_bytes,
            ..truth
        };
        assert_eq!(now, truth);
    }
}

#[test]
fn after_its_end() {
    for _ in 0..20 {
        let (mut task, shares) = owner(|| {});
        let id = task.id().expect("an id");
        assert!(poll(&mut task).is_ready());
        drop(task);
        let retained = now(id);
        assert_eq!(
            (retained.live_bytes, retained.live_blocks),
            (all_bytes(), (THREADS * BLOCKS) as u64)
        );
        free_all(shares, || {});
        assert_eq!(now(id), truth(TaskState::Completed, 2));
    }
}

#[test]
fn exactly_at_its_end() {
    for _ in 0..300 {
        let (task, shares) = owner(|| {});
        let id = task.id().expect("an id");
        free_all(shares, || drop(task));
        assert_eq!(now(id), truth(TaskState::Cancelled, 1));
    }
}

#[test]
fn while_other_tasks_take_over_the_accounts_given_back() {
    // Each task's last block is freed elsewhere, just when the next tasks open: an account given
    // back twice or too early would be two tasks' at once.
    const ROUNDS: usize = 2_000;
    let (send, receive) = std::sync::mpsc::sync_channel::<Vec<u8>>(4);
    let freer = thread::spawn(move || receive.into_iter().for_each(drop));
    let mut ids = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let mut task = Box::pin(track(async move { vec![0u8; 1 + round % 100] }));
        ids.push((task.id().expect("an id"), 1 + round as u64 % 100));
        let std::task::Poll::Ready(block) = poll(&mut task) else { panic!("ready") };
        // Half of them before their task's future is gone, half after.
        if round % 2 == 0 {
            send.send(block).expect("received");
            drop(task);
        } else {
            drop(task);
            send.send(block).expect("received");
        }
    }
    drop(send);
    freer.join().expect("no panic");
    let snapshot = conserved(&ALLOCATOR);
    for (id, bytes) in ids {
        let truth = Columns {
            allocated_bytes: bytes,
            allocation_count: 1,
            peak_bytes: bytes,
            freed_bytes: bytes,
            freed_elsewhere_bytes: bytes,
            ..Columns::nothing(TaskState::Completed, 1)
        };
        assert_eq!(Columns::of(row(&snapshot, id)), truth);
    }
}
