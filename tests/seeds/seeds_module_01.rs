//! The quick start: one task that holds a mebibyte.

use memscope_rs::async_memory::{TaskState, TaskType};
use memscope_tests::{annotated, conserved};

use crate::ALLOCATOR;

#[path = "../../examples/quick_start.rs"]
mod seed;

const MEBIBYTE: u64 = 1024 * 1024;
/// More than Tokio needs for one task, less than any second buffer.
const TASK_CELL: u64 = 4096;

#[test]
fn the_task_held_a_mebibyte_and_left_nothing() {
    seed::main().expect("it runs");
    let snapshot = conserved(&ALLOCATOR);

    let [task] = annotated(&snapshot)[..] else { panic!("one task\n{snapshot}") };
    assert_eq!((task.state, task.task_type), (TaskState::Completed, TaskType::Unspecified));
    assert!(task.name.contains("main"), "{}", task.name);
    assert!(task.file.ends_with("quick_start.rs"), "{}", task.file);
    assert!((MEBIBYTE..MEBIBYTE + TASK_CELL).contains(&task.allocated_bytes), "{task:#?}");
    assert!((MEBIBYTE..=task.allocated_bytes).contains(&task.peak_bytes), "{task:#?}");
    assert_eq!((task.live_bytes, task.live_blocks, task.freed_bytes), (0, 0, task.allocated_bytes));
    // The task itself drops the buffer; at most its Tokio cell is freed by another thread.
    assert!(task.freed_elsewhere_bytes < TASK_CELL, "{task:#?}");
    assert!(task.poll_count >= 2, "before the sleep and after it: {task:#?}");

    let sites: Vec<_> = snapshot.sites().iter().filter(|site| site.is_annotated).collect();
    let [site] = sites[..] else { panic!("one site\n{snapshot}") };
    assert_eq!((site.spawned, site.active, site.completed, site.retained_bytes), (1, 0, 1, 0));
    assert_eq!(snapshot.active_task_count(), 0);
    let all: u64 = snapshot.tasks().iter().map(|task| task.allocated_bytes).sum();
    assert_eq!(snapshot.total_memory_bytes(), all);
}
