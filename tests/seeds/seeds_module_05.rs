//! Metrics by task type, against what the tasks are known to have held.

use memscope_rs::async_memory::TaskType;
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/metrics_by_type.rs"]
mod seed;

/// The buffer, and Tokio's cell of the task: less than 8 KiB, in MiB.
fn holds(mebibytes: f64, measured: f64) {
    assert!(
        (mebibytes..mebibytes + 8.0 / 1024.0).contains(&measured),
        "{measured} for {mebibytes}"
    );
}

#[test]
fn the_metrics_of_each_type_are_those_of_its_tasks() {
    seed::main().expect("it runs");
    let snapshot = conserved(&ALLOCATOR);

    // 1, 2, 3 and 4 MiB, and 1 MiB in the one that was given up.
    let cpu = snapshot.get_task_metrics(TaskType::CpuIntensive);
    assert_eq!(cpu.task_count, 5);
    holds((1.0 + 2.0 + 3.0 + 4.0 + 1.0) / 5.0, cpu.avg_memory_mb);
    holds(4.0, cpu.peak_memory_mb);
    assert!((cpu.completion_rate_percent - 80.0).abs() < 1e-9, "{cpu:?}");

    // Four tasks that hold 512 KiB and sleep for 50 ms.
    let io = snapshot.get_task_metrics(TaskType::IoIntensive);
    assert_eq!(io.task_count, 4);
    assert!(io.completion_rate_percent >= 100.0, "{io:?}");
    holds(0.5, io.avg_memory_mb);
    assert!((50.0..5_000.0).contains(&io.avg_wait_time_ms), "{}", io.avg_wait_time_ms);

    // One packet of 256 KiB at a time, however many there are.
    let network = snapshot.get_task_metrics(TaskType::NetworkIntensive);
    assert_eq!(network.task_count, 4);
    holds(0.25, network.avg_memory_mb);
    holds(0.25, network.peak_memory_mb);
    let completed = network.throughput_per_sec * snapshot.observed_seconds();
    assert!((completed - 4.0).abs() < 1e-9, "{completed}");

    assert_eq!(snapshot.get_task_metrics(TaskType::Streaming).task_count, 0);
    // Tokio's own threads may hold something for ever: what its locks made when two met.
    let sites = snapshot.sites().iter().filter(|site| site.is_annotated);
    let live_bytes: u64 = sites.map(|site| site.live_bytes).sum();
    assert_eq!((snapshot.active_task_count(), live_bytes), (0, 0), "{snapshot}");
}
