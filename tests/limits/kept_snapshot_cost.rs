//! What a snapshot holds that is kept. It has a process of its own: memscope's thread that finds
//! names for other tests takes memory for a moment, and gives it back.

use std::{future::pending, task::Poll, thread};

use futures::{FutureExt, StreamExt, stream};
use memscope_rs::{
    Stacks,
    async_memory::{TrackStream, get_memory_snapshot, track},
    builder,
};
use memscope_tests::{Columns, conserved, poll};

use crate::ALLOCATOR;

const TASKS: usize = 3_000;

#[test]
fn a_snapshot_that_is_kept_is_memscopes_own_memory_until_its_rows_are_made() {
    // Names of functions are memscope's own memory too, and come when they are found.
    builder().stacks(Stacks::Off).init().expect("no setting is wrong");
    let mut tasks: Vec<_> = (0..TASKS).map(|_| Box::pin(track(pending::<()>()))).collect();
    assert!(tasks.iter_mut().all(|task| poll(task).is_pending()));
    let mut streams: Vec<_> =
        (0..100).map(|item| Box::pin(stream::repeat(item).tracked())).collect();
    assert!(streams.iter_mut().all(|stream| stream.next().now_or_never().is_some()));
    // Dropped at once, so that the snapshots themselves are not counted.
    let held_now = || {
        let snapshot = conserved(&ALLOCATOR);
        (snapshot.process().untracked_bytes, snapshot.tool().heap_bytes)
    };
    let before = held_now();
    let kept = get_memory_snapshot();
    let without_rows = held_now();
    // At the least an id and what is live of each.
    assert!(without_rows.1 >= before.1 + 16 * TASKS as u64, "{before:?} {without_rows:?}");

    // A task asks for the rows, on another thread: they are not the task's.
    let (kept, id) = thread::spawn(move || {
        let mut asks = Box::pin(track(async {
            assert!(kept.tasks().len() >= TASKS);
            kept
        }));
        let id = asks.id().expect("an id");
        let Poll::Ready(kept) = poll(&mut asks) else { panic!("it does not wait") };
        (kept, id)
    })
    .join()
    .expect("no panic");
    let with_rows = held_now();
    let asked = Columns::now(&ALLOCATOR, id);
    assert_eq!((asked.live_bytes, asked.allocated_bytes), (0, 0));
    // The rows are the thread's that took the snapshot, and what they were made of is gone.
    assert!(with_rows.0 >= without_rows.0 + 100 * TASKS as u64, "{without_rows:?} {with_rows:?}");
    assert_eq!(with_rows.1, before.1);

    drop(kept);
    let after = held_now();
    assert!(after.0 + 100 * TASKS as u64 <= with_rows.0, "{with_rows:?} {after:?}");
    assert_eq!(after.1, before.1);
    drop((tasks, streams));
}
