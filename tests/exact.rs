//! Exact sizes of single tasks, to the byte, on a current-thread runtime.

use memscope_rs::async_memory::{TaskState, track};
use memscope_tests::{conserved, row};

memscope_tests::install!();

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Pending once, woken at once, without an allocation (Tokio's `yield_now` keeps a list).
async fn wait_once() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[test]
fn a_task_is_charged_with_what_it_allocates() {
    let task = track(async {
        let held = vec![0u8; 1000];
        drop(vec![0u8; 500]);
        wait_once().await;
        held
    });
    let id = task.id().expect("an id");
    let held = block_on(task);
    let snapshot = conserved(&ALLOCATOR);
    let row = row(&snapshot, id);
    assert_eq!(row.state, TaskState::Completed);
    assert_eq!((row.allocated_bytes, row.allocation_count), (1500, 2));
    assert_eq!((row.live_bytes, row.live_blocks, row.peak_bytes), (1000, 1, 1500));
    assert_eq!((row.freed_bytes, row.freed_elsewhere_bytes), (500, 0));
    assert_eq!(row.poll_count, 2);
    drop(held);
    let snapshot = conserved(&ALLOCATOR);
    let row = memscope_tests::row(&snapshot, id);
    assert_eq!((row.live_bytes, row.live_blocks, row.freed_elsewhere_bytes), (0, 0, 1000));
}
