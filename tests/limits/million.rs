//! A million short tasks (half of them spawned, half of them nested in these) leave memscope's own
//! memory where ten thousand left it, and their site complete.

use memscope_rs::async_memory::{MemorySnapshot, SiteProfile, spawn_tracked, track};
use memscope_tests::{alone, block_on, conserved, record_bytes, settled_record_bytes};

use crate::ALLOCATOR;

const BATCH: u64 = 1_000;

fn run(batches: u64) {
    block_on(async {
        let mut handles = Vec::with_capacity(usize::try_from(BATCH).expect("small"));
        for _ in 0..batches {
            handles.extend((0..BATCH).map(|number| spawn_tracked(short(number))));
            for handle in handles.drain(..) {
                handle.await.expect("no panic");
            }
        }
    });
}

async fn short(number: u64) {
    let held = vec![0u8; 1 + usize::try_from(number).expect("small")];
    track(async { drop(std::hint::black_box(vec![0u8; 10])) }).named("inner").await;
    drop(held);
}

fn site<'a>(snapshot: &'a MemorySnapshot, name: &str) -> &'a SiteProfile {
    snapshot.sites().iter().find(|site| site.name.contains(name)).expect("a row")
}

/// Pages of the process that are in memory, in bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = statm.split(' ').nth(1).expect("two numbers").parse().expect("a number");
    pages * 4096
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "reads /proc")]
fn a_million_short_tasks_leave_memscopes_memory_where_ten_thousand_left_it() {
    let _alone = alone();
    run(5);
    let first = conserved(&ALLOCATOR);
    let resident = resident_bytes();
    let cells = site(&first, "short").allocated_bytes - 5 * (BATCH * (BATCH + 1) / 2);
    let cell = cells / (5 * BATCH);
    assert_eq!(cell * 5 * BATCH, cells, "one cell a task");
    let mut ran = 5;
    let settled = settled_record_bytes(|| {
        run(5);
        ran += 5;
        conserved(&ALLOCATOR)
    });
    run(500 - ran);
    let last = conserved(&ALLOCATOR);
    assert_eq!(record_bytes(&last), settled);
    let grown = resident_bytes().saturating_sub(resident);
    assert!(grown < 8 << 20, "{grown} bytes more are resident");

    let tasks = 500 * BATCH;
    let short = site(&last, "short");
    assert_eq!((short.spawned, short.completed, short.active), (tasks, tasks, 0));
    assert_eq!(short.allocated_bytes, 500 * (BATCH * (BATCH + 1) / 2) + tasks * cell);
    assert_eq!(short.allocation_count, 2 * tasks);
    assert_eq!((short.live_bytes, short.retained_bytes, short.live_blocks), (0, 0, 0));
    assert_eq!(short.peak_bytes, BATCH + cell);
    assert_eq!(
        short.peak_sum_bytes, short.allocated_bytes,
        "each one held all it allocated at one time"
    );
    assert_eq!(short.peak_histogram.iter().map(|bucket| bucket.count).sum::<u64>(), tasks);
    let inner = site(&last, "inner");
    assert_eq!((inner.spawned, inner.completed, inner.allocated_bytes), (tasks, tasks, 10 * tasks));
    assert_eq!(inner.peak_sum_bytes, 10 * tasks);

    assert_eq!(last.spawned_task_count(), 2 * tasks);
    assert_eq!(last.active_task_count(), 0);
    assert_eq!(last.tasks().len(), 4_096, "the last ended ones have a row");
    assert_eq!(last.tool().ended_tasks_forgotten, 2 * tasks - 4_096);
    assert_eq!(
        (last.tool().events_dropped, last.tool().tasks_without_record, last.tool().tasks_in_other),
        (0, 0, 0)
    );
    assert!((last.memory_efficiency_percent() - 100.0).abs() < f64::EPSILON);
}
