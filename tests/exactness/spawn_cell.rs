//! The cell that Tokio makes for a spawned task belongs to that task; what Tokio keeps for itself
//! does not.

#![expect(clippy::large_futures, reason = "Tokio treats them in its own way, which is tested")]

use std::{future::poll_fn, task::Poll};

use memscope_rs::async_memory::{
    TaskId, TaskState, TaskType, current_task_id, spawn_tracked, spawn_tracked_as, track,
};
use memscope_tests::{
    Columns, Meter, alone, block_on, conserved, conserved_when, poll, row, wait_once, workers,
};

use crate::ALLOCATOR;

fn whose() -> impl Future<Output = TaskId> + Send {
    poll_fn(|_| Poll::Ready(current_task_id().expect("a task")))
}

/// A future of at least `N` bytes.
async fn large<const N: usize>() -> usize {
    let held = [1u8; N];
    wait_once().await;
    std::hint::black_box(&held).iter().map(|byte| usize::from(*byte)).sum()
}

#[test]
fn an_empty_spawned_task_is_charged_with_its_cell_and_the_spawner_with_nothing() {
    let _alone = alone();
    let runtime = workers(2);
    let _inside = runtime.enter();
    // From outside the workers Tokio allocates the cell and nothing else.
    let (meter, task) = Meter::of(|| spawn_tracked(whose()));
    assert_eq!((meter.allocations, meter.frees), (1, 0));
    let cell = meter.allocated_bytes;
    let id = runtime.block_on(task).expect("no panic");
    drop(runtime);
    let truth = Columns {
        allocated_bytes: cell,
        allocation_count: 1,
        peak_bytes: cell,
        freed_bytes: cell,
        freed_elsewhere_bytes: cell,
        ..Columns::nothing(TaskState::Completed, 1)
    };
    assert_eq!(Columns::now(&ALLOCATOR, id), truth, "freed by Tokio, after the task's end");
}

#[test]
fn a_tracked_spawner_is_not_charged_with_the_cell() {
    let _alone = alone();
    let (outer, inner) = block_on(track(async {
        let inner = spawn_tracked_as(whose(), TaskType::Background).await.expect("no panic");
        (current_task_id().expect("a task"), inner)
    }));
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(Columns::of(row(&snapshot, outer)).allocated_bytes, 0);
    assert!(row(&snapshot, inner).allocated_bytes > 0);
    assert_eq!(row(&snapshot, inner).live_bytes, 0);
    assert_eq!(row(&snapshot, inner).parent, Some(outer));
    assert_eq!(row(&snapshot, inner).task_type, TaskType::Background);
}

#[test]
fn the_cell_is_retained_as_long_as_the_handle_is_held() {
    let _alone = alone();
    let runtime = workers(1);
    let _inside = runtime.enter();
    let (meter, task) = Meter::of(|| track(async { vec![0u8; 100] }).spawn());
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        snapshot.tasks().iter().any(|row| row.state == TaskState::Completed && row.live_bytes > 0)
    });
    drop(runtime);
    let live = snapshot.tasks().iter().find(|row| row.live_bytes > 0).expect("the row");
    // The output waits in the cell.
    assert_eq!((live.live_bytes, live.live_blocks), (meter.allocated_bytes + 100, 2));
    drop(task);
    let after = Columns::now(&ALLOCATOR, live.id);
    assert_eq!((after.live_bytes, after.freed_elsewhere_bytes), (0, meter.allocated_bytes + 100));
}

/// Tokio boxes large futures before it makes the cell: both are the task's.
#[test]
fn a_boxed_future_and_its_cell_are_both_the_tasks() {
    fn check<const N: usize>(runtime: &tokio::runtime::Runtime) {
        let _inside = runtime.enter();
        let task = track(large::<N>());
        let id = task.id().expect("an id");
        let (meter, task) = Meter::of(|| task.spawn());
        assert!(meter.allocations <= 2, "{meter:?}");
        assert!(meter.allocated_bytes > N as u64, "{meter:?}");
        assert_eq!(runtime.block_on(task).expect("no panic"), N);
        let snapshot = conserved_when(&ALLOCATOR, |snapshot| row(snapshot, id).live_bytes == 0);
        let truth = Columns {
            allocated_bytes: meter.allocated_bytes,
            allocation_count: meter.allocations,
            peak_bytes: meter.allocated_bytes,
            freed_bytes: meter.allocated_bytes,
            freed_elsewhere_bytes: meter.allocated_bytes,
            ..Columns::nothing(TaskState::Completed, 2)
        };
        assert_eq!(Columns::of(row(&snapshot, id)), truth, "{N}");
    }
    let _alone = alone();
    let runtime = workers(1);
    check::<1>(&runtime);
    check::<1_000>(&runtime);
    check::<3_000>(&runtime);
    check::<20_000>(&runtime);
    check::<100_000>(&runtime);
}

/// The run queue of a current-thread runtime grows while the tasks are spawned: that is the
/// spawner's.
fn burst<F: Future + Send + 'static>(name: &str, future: impl Fn() -> F) {
    const TASKS: u64 = 10_000;
    let name_of = |what| format!("{name}: {what}");
    block_on(
        track(async {
            let mut handles = Vec::with_capacity(usize::try_from(TASKS).expect("small"));
            for _ in 0..TASKS {
                let future = future();
                handles.push(
                    track(async move {
                        future.await;
                    })
                    .named(name_of("spawned"))
                    .spawn(),
                );
            }
            let snapshot = conserved(&ALLOCATOR);
            let sizes: std::collections::BTreeSet<_> = snapshot
                .tasks()
                .iter()
                .filter(|row| row.name == name_of("spawned"))
                .map(|row| (row.allocated_bytes, row.allocation_count))
                .collect();
            assert_eq!(sizes.len(), 1, "every task is charged the same: {sizes:?}");
            for handle in handles {
                handle.await.expect("no panic");
            }
        })
        .named(name_of("spawner")),
    );
    let snapshot = conserved(&ALLOCATOR);
    for site in snapshot.sites() {
        assert_eq!((site.live_bytes, site.retained_bytes), (0, 0), "{}", site.name);
    }
    let spawned =
        snapshot.sites().iter().find(|site| site.name == name_of("spawned")).expect("a row");
    assert_eq!((spawned.spawned, spawned.completed), (TASKS, TASKS));
    assert_eq!(spawned.allocation_count % TASKS, 0, "{spawned:#?}");
}

#[test]
fn a_burst_of_spawns_charges_no_task_with_the_run_queue() {
    let _alone = alone();
    burst("small", || async {});
    burst("boxed", || async {
        large::<3_000>().await;
    });
    burst("boxed in release", || async {
        large::<17_000>().await;
    });
}

#[test]
fn spawning_outside_a_runtime_panics_and_leaves_the_accounting_right() {
    let _alone = alone();
    let task = track(async {});
    let id = task.id().expect("an id");
    let message = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.spawn()))
        .expect_err("no runtime here")
        .downcast_ref::<String>()
        .cloned();
    assert!(message.is_some_and(|message| message.contains("runtime")));
    assert_eq!(current_task_id(), None);
    assert_eq!(Columns::now(&ALLOCATOR, id).state, TaskState::Cancelled);
    let before = Columns::now(&ALLOCATOR, id);
    // Not charged to it any more, nor to its record's next owner.
    let held = vec![0u8; 100_000];
    let mut next = Box::pin(track(async {}));
    drop(vec![0u8; 50_000]);
    assert!(poll(&mut next).is_ready());
    assert_eq!(Columns::now(&ALLOCATOR, id), before);
    assert_eq!(
        Columns::now(&ALLOCATOR, next.id().expect("an id")),
        Columns::nothing(TaskState::Completed, 1)
    );
    drop(held);
    let id = block_on(async { spawn_tracked(whose()).await.expect("no panic") });
    assert_eq!(Columns::now(&ALLOCATOR, id).live_bytes, 0);
}

#[test]
fn spawning_on_a_runtime_that_has_ended_cancels_the_task_at_once() {
    let _alone = alone();
    let runtime = workers(1);
    let handle = runtime.handle().clone();
    drop(runtime);
    let _inside = handle.enter();
    for is_large in [false, true] {
        let task = track(async move {
            if is_large {
                large::<3_000>().await;
            }
        });
        let id = task.id().expect("an id");
        let (meter, task) = Meter::of(|| task.spawn());
        assert!(task.is_finished());
        drop(task);
        let truth = Columns {
            allocated_bytes: meter.allocated_bytes,
            allocation_count: meter.allocations,
            peak_bytes: meter.allocated_bytes,
            freed_bytes: meter.allocated_bytes,
            freed_elsewhere_bytes: meter.allocated_bytes,
            ..Columns::nothing(TaskState::Cancelled, 0)
        };
        assert_eq!(Columns::now(&ALLOCATOR, id), truth);
        assert_eq!(current_task_id(), None);
    }
}

#[test]
fn a_task_spawned_by_a_task_that_spawns_is_charged_its_own_cell() {
    let _alone = alone();
    let runtime = workers(4);
    let ids: Vec<(TaskId, TaskId)> = runtime.block_on(async {
        let mut handles = Vec::new();
        for _ in 0..200 {
            handles.push(spawn_tracked(async {
                let inner = spawn_tracked(whose());
                (current_task_id().expect("a task"), inner.await.expect("no panic"))
            }));
        }
        let mut ids = Vec::new();
        for handle in handles {
            ids.push(handle.await.expect("no panic"));
        }
        ids
    });
    drop(runtime);
    let snapshot = conserved(&ALLOCATOR);
    for (outer, inner) in ids {
        let [outer, inner] = [outer, inner].map(|id| row(&snapshot, id));
        assert_eq!((outer.allocation_count, outer.live_bytes), (1, 0), "{outer:#?}");
        assert_eq!((inner.allocation_count, inner.live_bytes), (1, 0), "{inner:#?}");
        assert_eq!(inner.parent, Some(outer.id));
    }
}
