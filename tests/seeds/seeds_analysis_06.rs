//! Tasks that never finish: plain ones are not seen, tracked ones are found, with what they hold.

use memscope_rs::analysis::LeakKind;
use memscope_tests::{block_on, conserved};

use crate::ALLOCATOR;

#[expect(dead_code, reason = "the example's main is not called, but what it calls")]
#[path = "../../examples/tasks_that_never_finish.rs"]
mod seed;

#[test]
fn six_tasks_of_ten_are_found_with_what_they_hold() {
    block_on(seed::detect_async_memory_leaks());
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!(snapshot.spawned_task_count(), 0, "plain tasks are not counted");
    assert!(snapshot.leaks().is_empty());
    let [data] = snapshot.variable_sites() else { panic!("one row\n{snapshot:#}") };
    assert_eq!((data.registered, data.ended, data.largest_bytes), (10, 10, 4_000));
    assert!(data.longest_lifetime_ns >= 900_000_000, "until they were aborted: {data:#?}");

    let leaks = block_on(seed::detect_with_memscope());
    let snapshot = conserved(&ALLOCATOR);
    let sites: Vec<_> = snapshot.sites().iter().filter(|site| site.is_annotated).collect();
    let [site] = sites[..] else { panic!("one site\n{snapshot}") };
    assert_eq!((site.completed, site.cancelled, site.live_bytes), (4, 6, 0), "{site:#?}");
    let [leak] = leaks.findings() else { panic!("{leaks}") };
    assert_eq!((leak.kind, leak.count), (LeakKind::Stuck, 6), "1, 2, 4, 5, 7 and 8: {leak}");
    assert_eq!((&*leak.place.file, leak.place.line), (&*site.file, site.line));
    assert_eq!(leak.variables, ["task_data"]);
    // 4,000 bytes in each, and its Tokio cell.
    let tasks = || snapshot.tasks().iter().filter(|task| task.is_annotated);
    let cells: u64 = tasks().map(|task| task.cell_bytes).sum();
    assert_eq!((leak.bytes, tasks().count()), (6 * 4_000 + cells / 10 * 6, 10));
    assert!(leak.oldest_ns.is_some_and(|ns| ns >= 900_000_000), "{leak}");
    let found = leak.task.and_then(|task| snapshot.task(task)).expect("its row");
    assert_eq!((found.line, found.poll_count), (site.line, 1), "it began, and slept");
}
