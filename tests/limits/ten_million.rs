//! Ten million tasks, on two threads: memscope's memory stays where a hundred thousand left it, and
//! no count is wrong.

use std::{thread, time::Duration};

use memscope_rs::{async_memory::track, builder};
use memscope_tests::{alone, conserved, poll, record_bytes};

use crate::ALLOCATOR;

/// Without optimisation a task takes a few microseconds: a tenth of them is enough there.
const TASKS: u64 = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };

fn run(tasks: u64) {
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..tasks / 2 {
                    let task = track(async { drop(std::hint::black_box(vec![0u8; 10])) });
                    assert!(poll(&mut std::pin::pin!(task)).is_ready());
                }
            });
        }
    });
}

#[test]
fn ten_million_tasks_leave_memscopes_memory_where_a_hundred_thousand_left_it() {
    let _alone = alone();
    // The machine may stop a thread in the middle of a poll: that is no event here.
    builder().long_poll(Duration::MAX).sample_every(Duration::ZERO).init().expect("valid settings");
    run(100_000);
    let before = conserved(&ALLOCATOR);
    run(TASKS);
    let after = conserved(&ALLOCATOR);
    let all = TASKS + 100_000;
    assert_eq!(record_bytes(&after), record_bytes(&before));
    let site = &after.sites()[0];
    assert_eq!((site.spawned, site.completed, site.allocated_bytes), (all, all, 10 * all));
    assert_eq!((site.live_bytes, site.allocation_count), (0, all));
    assert_eq!(after.spawned_task_count(), all);
    let tool = after.tool();
    assert_eq!(tool.ring_events + tool.ring_events_dropped, 2 * all);
    assert_eq!(tool.tasks_without_record, 0);
    // A thread that is stopped while it writes a row keeps that one from the thousands of tasks
    // that end meanwhile on the other.
    assert!(tool.events_dropped < all / 1_000, "{} rows", tool.events_dropped);
}
