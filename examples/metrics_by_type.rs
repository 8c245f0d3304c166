//! Metrics for each task type.
#![allow(
    unused_imports,
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{TaskMemoryProfile, TaskPerformanceMetrics};
use memscope_rs::async_memory::{TaskType, get_memory_snapshot};

async fn analyze_task_performance() -> Result<(), Box<dyn std::error::Error>> {
    let snapshot = get_memory_snapshot();

    let cpu_metrics = snapshot.get_task_metrics(TaskType::CpuIntensive);
    let io_metrics = snapshot.get_task_metrics(TaskType::IoIntensive);
    let network_metrics = snapshot.get_task_metrics(TaskType::NetworkIntensive);

    println!("--- done / heading ---");
    println!("--- done / heading ---");
    println!("   - average memory: {:.2} MB", cpu_metrics.avg_memory_mb);
    println!("   - peak memory: {:.2} MB", cpu_metrics.peak_memory_mb);
    println!("   - completion rate: {:.1}%", cpu_metrics.completion_rate_percent);

    println!("--- done / heading ---");
    println!("   - average memory: {:.2} MB", io_metrics.avg_memory_mb);
    println!("   - wait time: {:.2}ms", io_metrics.avg_wait_time_ms);

    println!("--- done / heading ---");
    println!("   - average memory: {:.2} MB", network_metrics.avg_memory_mb);
    println!("   - throughput: {:.1} requests/s", network_metrics.throughput_per_sec);

    Ok(())
}

/// Runs tasks to report on: four of each type, one of which is cancelled before it completes.
#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    use memscope_rs::async_memory::{initialize, spawn_tracked_as};
    use std::time::Duration;

    initialize().await?;
    let mut tasks = Vec::new();
    for mebibytes in 1..=4 {
        tasks.push(spawn_tracked_as(
            async move {
                let numbers = vec![mebibytes; mebibytes << 17];
                numbers.iter().sum::<usize>()
            },
            TaskType::CpuIntensive,
        ));
        tasks.push(spawn_tracked_as(
            async move {
                let buffer = vec![0u8; 512 * 1024];
                tokio::time::sleep(Duration::from_millis(50)).await;
                buffer.len()
            },
            TaskType::IoIntensive,
        ));
        tasks.push(spawn_tracked_as(
            async move {
                let mut received = 0;
                for _ in 0..mebibytes {
                    let packet = vec![0u8; 256 * 1024];
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    received += packet.len();
                }
                received
            },
            TaskType::NetworkIntensive,
        ));
    }
    let stuck = spawn_tracked_as(
        async {
            let matrix = vec![0u8; 1024 * 1024];
            std::future::pending::<()>().await;
            drop(matrix);
        },
        TaskType::CpuIntensive,
    );
    for task in tasks {
        task.await?;
    }
    stuck.abort();
    let _cancelled = stuck.await;

    analyze_task_performance().await
}
