//! A monitor reports what happened between its start and its stop: only that, and all of that.

use memscope_rs::async_memory::{AsyncResourceMonitor, ResourceAnalysis, TaskType, Tracked, track};
use memscope_tests::{alone, block_on, conserved, poll, wait_once};

use crate::ALLOCATOR;

const MIB: usize = 1 << 20;

fn start() -> AsyncResourceMonitor {
    let mut monitor = AsyncResourceMonitor::new();
    block_on(monitor.start_monitoring()).expect("not running");
    monitor
}

fn stop(mut monitor: AsyncResourceMonitor) -> ResourceAnalysis {
    let analysis = block_on(monitor.stop_monitoring()).expect("running");
    conserved(&ALLOCATOR);
    analysis
}

/// Holds, one poll after the other, this many bytes.
fn holding(sizes: &'static [usize]) -> Tracked<impl Future<Output = ()> + Unpin> {
    track(Box::pin(async move {
        for size in sizes {
            let held = std::hint::black_box(vec![0u8; *size]);
            wait_once().await;
            drop(held);
        }
    }))
}

fn run(mut task: Tracked<impl Future + Unpin>) {
    while poll(&mut task).is_pending() {}
}

/// Exact: the bytes were divided by a power of two.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
fn peak_bytes(analysis: &ResourceAnalysis) -> usize {
    (analysis.peak_memory_per_task_mb * 1_048_576.0) as usize
}

#[test]
fn only_what_happened_between_is_counted() {
    let _alone = alone();
    run(holding(&[5 * MIB]).task_type(TaskType::CpuIntensive));
    let monitor = start();
    run(holding(&[1000, 3000]).task_type(TaskType::CpuIntensive));
    run(holding(&[2000]).task_type(TaskType::IoIntensive));
    run(holding(&[]).task_type(TaskType::NetworkIntensive));
    drop(holding(&[]).task_type(TaskType::Streaming));
    let analysis = stop(monitor);
    run(holding(&[5 * MIB]).task_type(TaskType::CpuIntensive));
    let truth = ResourceAnalysis {
        measured: true,
        is_still: true,
        duration_ms: analysis.duration_ms,
        task_count: 4,
        cpu_task_count: 1,
        io_task_count: 1,
        network_task_count: 1,
        streaming_task_count: 1,
        completed_count: 3,
        cancelled_count: 1,
        allocated_bytes: 6000,
        allocation_count: 3,
        peak_memory_per_task_mb: 3000.0 / 1_048_576.0,
        // Boxes of the futures are the thread's.
        ..ResourceAnalysis::default()
    };
    assert_eq!(analysis, truth);
    assert!(analysis.duration_ms > 0.0);
}

#[test]
fn a_task_with_a_big_peak_before_the_window_counts_with_what_it_holds_in_it() {
    let _alone = alone();
    let mut task = holding(&[5 * MIB, 1000, 2000, 500, 4 * MIB]);
    for _ in 0..2 {
        assert!(poll(&mut task).is_pending());
    }
    let monitor = start();
    assert!(poll(&mut task).is_pending());
    assert!(poll(&mut task).is_pending());
    let analysis = stop(monitor);
    assert_eq!(peak_bytes(&analysis), 2000);
    assert_eq!((analysis.tasks_at_start, analysis.tasks_at_end, analysis.task_count), (1, 1, 0));
    assert_eq!((analysis.live_bytes_at_start, analysis.live_bytes_at_end), (1000, 500));
    assert_eq!((analysis.allocated_bytes, analysis.allocation_count), (2500, 2));
    let whole = conserved(&ALLOCATOR);
    let row = whole.task(task.id().expect("an id")).expect("a row");
    assert_eq!(row.peak_bytes, 5 * MIB as u64, "the row keeps the peak of its life");
    run(task);
}

#[test]
fn a_task_that_only_waits_counts_with_what_it_holds() {
    let _alone = alone();
    let mut task = holding(&[5 * MIB, 7000]);
    for _ in 0..2 {
        assert!(poll(&mut task).is_pending());
    }
    assert_eq!(peak_bytes(&stop(start())), 7000);
    // Also when it is freed in the window, and when the task is gone at the end of it.
    let monitor = start();
    drop(task);
    let analysis = stop(monitor);
    assert_eq!(peak_bytes(&analysis), 7000);
    assert_eq!(
        (analysis.cancelled_count, analysis.live_bytes_at_start, analysis.live_bytes_at_end),
        (1, 7000, 0)
    );
    assert_eq!(peak_bytes(&stop(start())), 0);
}

/// Allocates only when it is dropped.
struct Farewell;

impl Drop for Farewell {
    fn drop(&mut self) {
        drop(std::hint::black_box(vec![0u8; 2 * MIB]));
    }
}

#[test]
fn what_a_destructor_allocates_in_the_window_counts() {
    let _alone = alone();
    let mut task = track(Box::pin(async {
        let _farewell = Farewell;
        wait_once().await;
    }));
    assert!(poll(&mut task).is_pending());
    let monitor = start();
    drop(task);
    let analysis = stop(monitor);
    assert_eq!((peak_bytes(&analysis), analysis.allocated_bytes), (2 * MIB, 2 * MIB as u64));
}

#[test]
fn a_destructor_in_the_window_does_not_bring_a_peak_of_before() {
    let _alone = alone();
    let mut task = holding(&[5 * MIB, 10]);
    for _ in 0..2 {
        assert!(poll(&mut task).is_pending());
    }
    let monitor = start();
    drop(task);
    assert_eq!(peak_bytes(&stop(monitor)), 10);
}

#[test]
fn overlapping_monitors_see_each_their_own_window() {
    let _alone = alone();
    let outer = start();
    run(holding(&[10_000]));
    let inner = start();
    run(holding(&[300]));
    let late = start();
    run(holding(&[20]));
    let inner = stop(inner);
    run(holding(&[7_000]));
    let late = stop(late);
    run(holding(&[4_000]));
    let outer = stop(outer);
    assert_eq!([&outer, &inner, &late].map(peak_bytes), [10_000, 300, 7_000]);
    assert_eq!([&outer, &inner, &late].map(|analysis| analysis.task_count), [5, 2, 2]);
    assert_eq!(
        [&outer, &inner, &late].map(|analysis| analysis.allocated_bytes),
        [21_320, 320, 7_020]
    );
}

#[test]
fn a_window_opened_and_closed_inside_another_hides_nothing_from_it() {
    let _alone = alone();
    let mut task = holding(&[9_000, 100, 50, 60]);
    let outer = start();
    assert!(poll(&mut task).is_pending());
    let inner = start();
    assert!(poll(&mut task).is_pending());
    assert_eq!(peak_bytes(&stop(inner)), 9_000, "held at its start");
    let inner = start();
    assert!(poll(&mut task).is_pending());
    assert_eq!(peak_bytes(&stop(inner)), 100);
    assert_eq!(peak_bytes(&stop(outer)), 9_000);
    run(task);
}

#[test]
fn a_monitor_dropped_while_it_runs_leaves_the_others_right() {
    let _alone = alone();
    let outer = start();
    run(holding(&[5_000]));
    drop(start());
    run(holding(&[600]));
    assert_eq!(peak_bytes(&stop(outer)), 5_000);
}

#[test]
fn starting_twice_and_stopping_twice_are_errors_that_change_nothing() {
    let _alone = alone();
    block_on(async {
        let mut monitor = AsyncResourceMonitor::new();
        let error = monitor.stop_monitoring().await.expect_err("not started");
        assert!(error.to_string().contains("start_monitoring"), "{error}");
        monitor.start_monitoring().await.expect("not running");
        run(holding(&[100]));
        let error = monitor.start_monitoring().await.expect_err("running");
        assert!(error.to_string().contains("stop_monitoring"), "{error}");
        run(holding(&[200]));
        let analysis = monitor.stop_monitoring().await.expect("running");
        assert_eq!(
            (analysis.task_count, analysis.allocated_bytes),
            (2, 300),
            "the first start counts"
        );
        monitor.stop_monitoring().await.expect_err("stopped");
        monitor.start_monitoring().await.expect("it starts again");
        assert_eq!(monitor.stop_monitoring().await.expect("running").task_count, 0);
    });
}

#[test]
fn the_analysis_goes_through_json_unchanged() {
    let _alone = alone();
    let monitor = start();
    run(holding(&[123]).task_type(TaskType::Mixed));
    let analysis = stop(monitor);
    let json = serde_json::to_string(&analysis).expect("plain data");
    assert_eq!(serde_json::from_str::<ResourceAnalysis>(&json).expect("the same"), analysis);
}

#[test]
fn fifty_monitors_at_once_each_close_their_own() {
    let _alone = alone();
    let monitors: Vec<_> = (0..50).map(|_| start()).collect();
    run(holding(&[50]));
    for monitor in monitors {
        assert_eq!(
            peak_bytes(&block_on(async {
                let mut monitor = monitor;
                monitor.stop_monitoring().await.expect("running")
            })),
            50
        );
    }
}
