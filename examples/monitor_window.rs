//! A monitor measures a window in which three tasks of different types run.
#![allow(
    unused_imports,
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{
    AsyncResourceMonitor, TaskMemoryProfile, TaskType, create_tracked, initialize,
};

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    initialize().await?;

    let mut monitor = AsyncResourceMonitor::new();
    monitor.start_monitoring().await?;

    let cpu_task = create_tracked(
        async {
            let mut data = vec![0u64; 1_000_000];
            for i in 0..data.len() {
                data[i] = (i as u64).pow(2) % 1000;
            }
            data.iter().sum::<u64>()
        },
        TaskType::CpuIntensive,
    );

    let io_task = create_tracked(
        async {
            let mut results = Vec::new();
            for i in 0..100 {
                tokio::time::sleep(tokio::time::Duration::from_millis(10)).await;
                results.push(format!("Result-{}", i));
            }
            results.len()
        },
        TaskType::IoIntensive,
    );

    let network_task = create_tracked(
        async {
            let mut responses = Vec::new();
            for i in 0..50 {
                tokio::time::sleep(tokio::time::Duration::from_millis(20)).await;
                let response = format!("Response-{}: {}", i, "A".repeat(1024));
                responses.push(response);
            }
            responses.len()
        },
        TaskType::NetworkIntensive,
    );

    let (cpu_result, io_result, network_result) =
        tokio::try_join!(cpu_task, io_task, network_task)?;

    println!("CPU task result: {}", cpu_result);
    println!("I/O task result: {}", io_result);
    println!("network task result: {}", network_result);

    let analysis = monitor.stop_monitoring().await?;

    println!("--- done / heading ---");
    println!("   - CPU tasks: {}", analysis.cpu_task_count);
    println!("   - I/O tasks: {}", analysis.io_task_count);
    println!("   - network tasks: {}", analysis.network_task_count);
    println!("   - peak memory of one task: {:.2} MB", analysis.peak_memory_per_task_mb);

    Ok(())
}
