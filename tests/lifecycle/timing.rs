//! Which tasks and polls are timed, and what a report says of the others. How long anything took
//! does not matter here.

use memscope_rs::{
    Timing,
    async_memory::{Bucket, TaskMemoryProfile, TaskType, get_memory_snapshot, track},
    builder,
};
use memscope_tests::{conserved, row, wait_once};

use crate::ALLOCATOR;

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Polled `waits` times to a wait; what its row says in the poll after those.
fn inside(waits: usize) -> TaskMemoryProfile {
    let task = track(async move {
        for _ in 0..waits {
            wait_once().await;
        }
        get_memory_snapshot()
    });
    let id = task.id().expect("an id");
    let snapshot = run(task);
    row(&snapshot, id).clone()
}

#[test]
fn what_is_not_timed_is_none_and_a_sample_is_marked() {
    let unpolled = track(async {});
    let id = unpolled.id().expect("an id");
    let snapshot = conserved(&ALLOCATOR);
    assert_eq!((row(&snapshot, id).busy_ns, row(&snapshot, id).wait_ns), (Some(0), None));
    drop(unpolled);

    // The poll that asks is not over and not timed yet; that does not make the others a sample.
    for polls in [0, 1, 2, 63] {
        let row = inside(polls);
        assert!(row.busy_ns.is_some() && row.wait_ns.is_some(), "{row:#?}");
        assert!(!row.timing_is_estimate, "{row:#?}");
    }
    assert_eq!(inside(0).wait_ns, Some(0), "in its first poll a task has not waited");
    let row = inside(200);
    assert!(row.busy_ns.is_some() && row.timing_is_estimate, "{row:#?}");

    // The first 256 of a site, then one in 16.
    let timed = (0..512).filter(|_| inside_of_one_site().busy_ns.is_some()).count();
    assert_eq!(timed, 256 + 256 / 16);
    let snapshot = conserved(&ALLOCATOR);
    assert!(!snapshot.get_task_metrics(TaskType::Unspecified).avg_wait_time_ms.is_nan());

    builder().timing(Timing::Off).init().expect("a valid setting");
    let row = inside(1);
    assert_eq!((row.busy_ns, row.wait_ns, row.timing_is_estimate), (None, None, false));
    let snapshot = conserved(&ALLOCATOR);
    assert!(snapshot.get_task_metrics(TaskType::Unspecified).avg_wait_time_ms.is_nan());

    builder().timing(Timing::EveryTask).init().expect("a valid setting");
    assert_eq!((0..64).filter(|_| inside_of_one_site().busy_ns.is_some()).count(), 64);

    // Each poll of each task, and the waits between them.
    builder().timing(Timing::All).init().expect("a valid setting");
    let row = inside(200);
    assert!(row.busy_ns.is_some() && !row.timing_is_estimate, "{row:#?}");
    assert_eq!(timed_polls_and_waits("all", 200), (200, 199));

    // The first one, and then one in this many.
    builder().timing(Timing::OneIn(50)).init().expect("a valid setting");
    let row = inside(200);
    assert!(row.busy_ns.is_some() && row.timing_is_estimate, "{row:#?}");
    assert_eq!(timed_polls_and_waits("one in 64", 200), (4, 0));
    builder().timing(Timing::OneIn(1)).init().expect("a valid setting");
    assert_eq!(timed_polls_and_waits("one in one", 20), (20, 19));
}

/// How many of a task's polls were timed, and how many waits between two of these.
fn timed_polls_and_waits(name: &str, polls: usize) -> (u64, u64) {
    let task = track(async move {
        for _ in 1..polls {
            wait_once().await;
        }
    });
    run(task.named(name));
    let snapshot = conserved(&ALLOCATOR);
    let site = snapshot.sites_named(name).next().expect("a row");
    let count = |histogram: &[Bucket]| histogram.iter().map(|bucket| bucket.count).sum();
    assert_eq!(count(&site.lifetime_histogram), 1);
    (count(&site.poll_histogram), count(&site.idle_histogram))
}

fn inside_of_one_site() -> TaskMemoryProfile {
    let task = track(async { get_memory_snapshot() });
    let id = task.id().expect("an id");
    let snapshot = run(task);
    row(&snapshot, id).clone()
}
