//! A thousand panicking tasks leave every healthy task working and counted.

use memscope_rs::async_memory::{TaskState, current_task_id, track};
use memscope_tests::{
    Columns, conserved, cost_of_a_panic, keep_wanted_panics_quiet, row, wait_once, workers,
};

use crate::ALLOCATOR;

const TASKS: usize = 1_000;

#[test]
fn a_thousand_panicking_tasks_leave_the_healthy_ones_working_and_counted() {
    keep_wanted_panics_quiet();
    let panic = cost_of_a_panic(|| assert!(std::hint::black_box(false), "wanted: sick"));
    let runtime = workers(4);
    let mut sick = Vec::with_capacity(TASKS);
    let mut healthy = Vec::with_capacity(TASKS);
    for number in 0..TASKS {
        let task = track(async move {
            let held = vec![0u8; 100 + number];
            for _ in 0..number % 4 {
                wait_once().await;
            }
            assert!(held.is_empty(), "wanted: sick");
        })
        .named("sick");
        sick.push((task.id().expect("an id"), runtime.spawn(task)));
        let task = track(async move {
            let me = current_task_id();
            let mut held = vec![0u8; 1 + number];
            for _ in 0..8 {
                wait_once().await;
                assert_eq!(current_task_id(), me, "the slot is its own at every poll");
                held.extend_from_within(..1);
                held.shrink_to_fit();
            }
            held.len()
        })
        .named("healthy");
        healthy.push((task.id().expect("an id"), runtime.spawn(task)));
    }
    let sick: Vec<_> = sick
        .into_iter()
        .map(|(id, task)| {
            assert!(runtime.block_on(task).expect_err("it panicked").is_panic());
            id
        })
        .collect();
    let healthy: Vec<_> = healthy
        .into_iter()
        .enumerate()
        .map(|(number, (id, task))| {
            assert_eq!(runtime.block_on(task).expect("it is healthy"), number + 9);
            id
        })
        .collect();
    drop(runtime);
    assert_eq!(current_task_id(), None);
    let snapshot = conserved(&ALLOCATOR);
    for (number, id) in sick.into_iter().enumerate() {
        let bytes = 100 + number as u64 + panic.allocated_bytes;
        let truth = Columns {
            allocated_bytes: bytes,
            allocation_count: 1 + panic.allocations,
            peak_bytes: bytes,
            freed_bytes: bytes,
            freed_elsewhere_bytes: panic.allocated_bytes,
            ..Columns::nothing(TaskState::Panicked, 1 + number as u64 % 4)
        };
        assert_eq!(Columns::of(row(&snapshot, id)), truth, "{number}");
    }
    for (number, id) in healthy.into_iter().enumerate() {
        let row = Columns::of(row(&snapshot, id));
        // How a vector grows is the standard library's; that all of it is freed by the task is not.
        let truth = Columns {
            allocated_bytes: row.allocated_bytes,
            allocation_count: row.allocation_count,
            peak_bytes: row.peak_bytes,
            freed_bytes: row.allocated_bytes,
            ..Columns::nothing(TaskState::Completed, 9)
        };
        assert_eq!(row, truth, "{number}");
        assert!(row.peak_bytes >= number as u64 + 9 && row.allocation_count >= 9, "{row:?}");
    }
    let sums: Vec<_> = snapshot
        .sites()
        .iter()
        .map(|site| {
            (
                site.name.as_str(),
                site.spawned,
                site.active,
                site.completed,
                site.panicked,
                site.live_bytes,
            )
        })
        .collect();
    let tasks = TASKS as u64;
    assert!(sums.contains(&("sick", tasks, 0, 0, tasks, 0)), "{sums:?}");
    assert!(sums.contains(&("healthy", tasks, 0, tasks, 0, 0)), "{sums:?}");
    assert_eq!(snapshot.active_task_count(), 0);
}
