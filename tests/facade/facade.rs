//! The facade as a program sees it: the allocator is there, the attribute finds its paths, every
//! name of the contract exists.
#![forbid(unsafe_code)]

use memscope_rs::{
    Builder, Error, Timing, TrackingAllocator,
    async_memory::{
        AsyncResourceMonitor, Measured, MemorySnapshot, ProcessMemory, ResourceAnalysis,
        SiteProfile, TaskError, TaskId, TaskMemoryProfile, TaskPerformanceMetrics, TaskState,
        TaskType, ToolUsage, Tracked, create_tracked, current_task_id, get_memory_snapshot,
        initialize, spawn_tracked, spawn_tracked_as, track,
    },
    builder, init, tracked,
};

#[tracked(task_type = "io", name = "two kilobytes")]
async fn two_kilobytes() -> (Option<TaskId>, Vec<u8>) {
    (current_task_id(), vec![0; 2_000])
}

#[tokio::test]
async fn depending_on_the_crate_is_enough() {
    init();
    initialize().await.expect("it cannot fail today");
    let (id, bytes) = two_kilobytes().await;
    let snapshot: MemorySnapshot = get_memory_snapshot();
    assert_eq!(snapshot.measured(), Measured::Yes, "the feature `global-allocator` installs it");
    let row: &TaskMemoryProfile = snapshot.task(id.expect("inside a task")).expect("its row");
    assert_eq!((row.name.as_str(), row.task_type), ("two kilobytes", TaskType::IoIntensive));
    assert_eq!(
        (row.allocated_bytes, row.live_bytes, row.state),
        (2_000, 2_000, TaskState::Completed)
    );
    assert!(row.file.ends_with("facade.rs"), "{}", row.file);
    drop(bytes);
    assert_eq!(get_memory_snapshot().live_memory_bytes(), 0);
}

/// Never called: it compiles, so the names and shapes of the contract are there.
#[expect(dead_code, reason = "only its types matter")]
async fn every_name_of_the_contract() -> Result<(), Box<dyn std::error::Error>> {
    const ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);
    let _: (TrackingAllocator, Builder, Timing) = (ALLOCATOR, builder(), Timing::Off);
    let joined: tokio::task::JoinHandle<u8> = spawn_tracked(async { 1 });
    joined.await?;
    let joined: tokio::task::JoinHandle<u8> = spawn_tracked_as(async { 1 }, TaskType::Background);
    joined.await?;
    let created: Result<u8, TaskError> = create_tracked(async { 1 }, TaskType::Streaming).await;
    created?;
    let wrapped: Tracked<_> =
        track(async { 1 }).task_type(TaskType::Mixed).named(String::from("a")).named("b");
    let joined: tokio::task::JoinHandle<i32> = wrapped.spawn();
    joined.await?;
    let mut monitor: AsyncResourceMonitor = AsyncResourceMonitor::new();
    let started: Result<(), Error> = monitor.start_monitoring().await;
    started?;
    let analysis: ResourceAnalysis = monitor.stop_monitoring().await?;
    let _ = (analysis.cpu_task_count, analysis.io_task_count, analysis.network_task_count);
    let _: f64 = analysis.peak_memory_per_task_mb;
    let snapshot = get_memory_snapshot();
    let _: (ProcessMemory, ToolUsage, &[SiteProfile]) =
        (snapshot.process(), snapshot.tool(), snapshot.sites());
    let _: u64 =
        snapshot.total_memory_bytes() + snapshot.live_memory_bytes() + snapshot.total_allocations();
    let _: f64 = snapshot.memory_efficiency_percent();
    let _ = (snapshot.active_task_count(), snapshot.peak_concurrent_tasks());
    let metrics: TaskPerformanceMetrics = snapshot.get_task_metrics(TaskType::CpuIntensive);
    let _: [f64; 5] = [
        metrics.avg_memory_mb,
        metrics.peak_memory_mb,
        metrics.completion_rate_percent,
        metrics.avg_wait_time_ms,
        metrics.throughput_per_sec,
    ];
    let _ = [TaskType::MemoryIntensive, TaskType::NetworkIntensive, TaskType::Unspecified];
    Ok(())
}

/// This test program, started again without a test to run.
#[cfg(feature = "report-file")]
#[test]
fn a_program_that_calls_nothing_writes_its_report_at_exit() {
    let path = std::env::temp_dir().join(format!("memscope-facade-{}.json", std::process::id()));
    let output = std::process::Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "no test has this name"])
        .env("MEMSCOPE_REPORT", &path)
        .output()
        .expect("it starts");
    assert!(output.status.success());
    let report = MemorySnapshot::read(&path).expect("the report");
    std::fs::remove_file(path).expect("it is there");
    assert!(report.process().measured && report.process().whole_bytes > 0);
    let _: fn() -> memscope_rs::ReportGuard = memscope_rs::report_guard;
}
