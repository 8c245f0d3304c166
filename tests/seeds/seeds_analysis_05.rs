//! Lives of tasks: what short ones, an aborted one and their shared state held, and that all of it
//! is freed.

use memscope_rs::async_memory::TaskState;
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[expect(dead_code, reason = "the example's main is not called, but what it calls")]
#[path = "../../examples/life_of_tasks.rs"]
mod seed;

#[test]
fn an_abort_frees_what_the_task_held() {
    seed::analyze_task_lifecycles();
    let snapshot = conserved(&ALLOCATOR);
    let site = |name: &str| snapshot.variable_sites().iter().find(|site| site.name == name);

    let local = site("local_data").expect("its row");
    assert_eq!((local.registered, local.ended, local.largest_bytes), (5, 5, 400));
    let shared = site("shared_state").expect("its row");
    assert_eq!((shared.registered, shared.ended), (1, 1), "the last holder is gone");
    // The two counts of the `Arc` stand before the lock. The vector in it was empty, and had no
    // block yet.
    let lock = size_of::<tokio::sync::Mutex<Vec<i32>>>() as u64;
    assert_eq!(shared.largest_bytes, 16 + lock);
    // It may have been aborted before it began; else it held 10,000 numbers of four bytes.
    if let Some(persistent) = site("persistent_data") {
        assert_eq!(
            (persistent.registered, persistent.ended, persistent.largest_bytes),
            (1, 1, 40_000)
        );
    }

    let [before, after] = seed::abort_a_tracked_task();
    assert_eq!((before.state, after.state), (TaskState::Idle, TaskState::Cancelled));
    assert_eq!(before.live_bytes, 40_000 + before.cell_bytes, "{before:#?}");
    assert_eq!((after.live_bytes, after.freed_bytes), (0, before.live_bytes), "{after:#?}");
    // Its own drop frees the data; only its Tokio cell is freed elsewhere.
    assert_eq!(after.freed_elsewhere_bytes, before.cell_bytes, "{after:#?}");
    let snapshot = conserved(&ALLOCATOR);
    let kept = snapshot.variables().iter().find(|variable| variable.name == "kept_data");
    let kept = kept.expect("its row");
    assert_eq!((kept.heap_bytes, kept.live), (40_000, false));
    assert_eq!((kept.task, kept.freed_by), (Some(after.id), Some(after.id)));
}
