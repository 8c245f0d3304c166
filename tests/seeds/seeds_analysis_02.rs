//! A wrapper future: its box and its state belong to the task that made it.

use memscope_rs::async_memory::TaskState;
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/wrapper_future.rs"]
mod seed;

#[test]
fn each_task_held_the_boxed_sleep_and_the_state_and_nothing_else() {
    seed::main();
    let snapshot = conserved(&ALLOCATOR);

    let boxed_sleep = size_of::<tokio::time::Sleep>() as u64;
    assert_eq!(snapshot.spawned_task_count(), 2, "{snapshot}");
    for (name, state) in [("small state", 1_000), ("large state", 64_000)] {
        let mut tasks = snapshot.tasks().iter().filter(|task| task.name == name);
        let task = tasks.next().expect("its row");
        assert_eq!((task.state, task.poll_count), (TaskState::Completed, 2), "{task:#?}");
        assert_eq!(task.live_bytes, 0, "{task:#?}");
        // What the task prints in its polls goes into libtest's list of lines, which is charged to
        // it: less than a KiB.
        let held = state + boxed_sleep;
        assert!((held..held + 1_024).contains(&task.peak_bytes), "{held}: {task:#?}");
        assert!((held..held + 1_024).contains(&task.allocated_bytes), "{held}: {task:#?}");
        assert!(task.freed_elsewhere_bytes < 1_024, "{task:#?}");
        // On a busy machine a part of the time goes by while it is polled.
        let lived_ns = task.wait_ns.expect("timed") + task.busy_ns.expect("timed");
        assert!(lived_ns >= 19_000_000, "it slept: {task:#?}");
    }
    let [site] = snapshot.variable_sites() else { panic!("one site\n{snapshot:#}") };
    assert_eq!((&*site.name, site.registered, site.ended), ("state_data", 2, 2));
    assert_eq!((site.largest_bytes, site.live_bytes), (64_000, 0));
    // The last one that ended.
    let [state] = snapshot.variables() else { panic!("one variable\n{snapshot:#}") };
    assert_eq!((state.heap_bytes, state.live), (64_000, false));
    let holder = snapshot.task(state.task.expect("a task")).expect("its row");
    assert_eq!((&*holder.name, state.freed_by), ("large state", Some(holder.id)));
}
