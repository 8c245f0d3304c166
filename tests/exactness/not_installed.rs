//! Without memscope's allocator sizes are not measured, and every report says so. Tasks and polls
//! are counted all the same.

use memscope_rs::async_memory::{
    AsyncResourceMonitor, Extent, Measured, MemorySnapshot, TaskState, TaskType, create_tracked,
    get_memory_snapshot, spawn_tracked_as, track,
};
use memscope_tests::{block_on, wait_once};

#[test]
fn nothing_is_said_about_sizes_and_everything_about_tasks() {
    let mut monitor = AsyncResourceMonitor::new();
    let (task, snapshot, analysis) = block_on(async {
        monitor.start_monitoring().await.expect("not running");
        let task = track(async {
            let held = vec![0u8; 100_000];
            wait_once().await;
            held
        })
        .named("holds");
        let id = task.id().expect("an id");
        drop(task.await);
        spawn_tracked_as(async { vec![1u8; 1_000] }, TaskType::IoIntensive)
            .await
            .expect("no panic");
        drop(track(async {}));
        create_tracked(async {}, TaskType::CpuIntensive).await.expect("no panic");
        let held = vec![0u8; 1_000];
        let number = 5u8;
        memscope_macros::track_var!(held, number);
        (id, get_memory_snapshot(), monitor.stop_monitoring().await.expect("running"))
    });
    assert_eq!(snapshot.measured(), Measured::NotInstalled);
    assert!(!snapshot.process().measured && !analysis.measured);
    let row = snapshot.task(task).expect("its row");
    assert!(!row.measured);
    assert_eq!((row.state, row.poll_count, row.name.as_str()), (TaskState::Completed, 2, "holds"));
    assert_eq!(
        (row.live_bytes, row.peak_bytes, row.allocated_bytes, row.live_blocks),
        (0, 0, 0, 0)
    );
    assert!(row.future_size_bytes > 0, "that is known without the allocator");
    assert!(snapshot.sites().iter().all(|site| !site.measured && site.peak_histogram.is_empty()));
    assert_eq!((snapshot.spawned_task_count(), snapshot.active_task_count()), (4, 0));
    let io = snapshot.get_task_metrics(TaskType::IoIntensive);
    assert_eq!((io.task_count, io.completion_rate_percent), (1, 100.0));
    assert!(io.avg_memory_mb.is_nan() && io.peak_memory_mb.is_nan());
    assert!(snapshot.memory_efficiency_percent().is_nan());
    assert_eq!((analysis.task_count, analysis.io_task_count, analysis.completed_count), (4, 1, 3));
    assert!(analysis.peak_memory_per_task_mb.is_nan());

    let variable = |name: &str| {
        let mut found = snapshot.variables().iter().filter(|variable| variable.name == name);
        let variable = found.next().expect("a row");
        (variable.extent, variable.live, variable.heap_bytes, variable.stack_bytes)
    };
    assert_eq!(variable("held"), (Extent::NotMeasured, false, 0, 24));
    assert_eq!(variable("number"), (Extent::Nothing, false, 0, 1));
    assert!(snapshot.leaks().to_string().contains("not measured"));
    let shown = snapshot.to_string();
    assert!(shown.contains("not measured") && shown.contains("not installed"), "{shown}");
    assert_no_sizes(&snapshot);
    let json = serde_json::to_string(&snapshot).expect("plain data");
    assert!(json.contains("not_installed"), "{json}");
    assert_eq!(serde_json::from_str::<MemorySnapshot>(&json).expect("the same"), snapshot);
    let json = serde_json::to_string(&analysis).expect("plain data");
    let back: memscope_rs::async_memory::ResourceAnalysis =
        serde_json::from_str(&json).expect("the same");
    assert!(back.peak_memory_per_task_mb.is_nan());
}

/// The only sizes shown are those of futures, of memscope itself, and what the system says.
fn assert_no_sizes(snapshot: &MemorySnapshot) {
    let resident = snapshot.resident();
    assert_eq!(resident.live_bytes, None);
    let is_other = |line: &&str| line.starts_with("memscope itself");
    let is_resident = |line: &&str| line.starts_with("resident memory: ");
    let shown = format!("{snapshot:#}");
    for line in shown.lines().filter(is_resident) {
        assert!(line.ends_with(" rest, live memory in it, which is not measured"), "{line}");
    }
    for line in shown.lines().filter(|line| !is_other(line) && !is_resident(line)) {
        let is_variable = line.starts_with("held") || line.starts_with("number");
        let is_site = line.contains("not_installed.rs:") && !is_variable;
        let sizes =
            line.split_whitespace().filter(|word| matches!(*word, "B" | "KiB" | "MiB")).count();
        assert_eq!(sizes, usize::from(is_site), "{line}");
    }
    limits_fail();
}

/// A limit that cannot be judged fails, and says what to do.
#[allow(unnameable_test_items, reason = "it fails, and is called here")]
fn limits_fail() {
    #[memscope_macros::test(leaks = 0)]
    fn without_allocator() {}
    let ((), profile) = memscope_rs::testing::measure_sync(|| ());
    let asserted: [fn(&memscope_rs::async_memory::TaskMemoryProfile); 2] = [
        |_| without_allocator(),
        |profile| memscope_rs::assert_memory!(profile, peak_bytes <= 1_000),
    ];
    for assert in asserted {
        let payload = std::panic::catch_unwind(|| assert(&profile)).expect_err("not measured");
        let text = payload.downcast::<String>().expect("a text");
        assert!(text.contains("is not measured") && text.contains("`global-allocator`"), "{text}");
    }
}
