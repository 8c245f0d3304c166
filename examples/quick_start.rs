//! Quick start: track a task, take a snapshot.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{get_memory_snapshot, initialize, spawn_tracked};

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    initialize().await?;

    let task = spawn_tracked(async {
        let data = vec![0u8; 1024 * 1024];

        tokio::time::sleep(tokio::time::Duration::from_millis(100)).await;

        let processed = data.iter().map(|&x| x as u64).sum::<u64>();
        processed
    });

    let result = task.await?;
    println!("processed {} bytes, sum: {}", 1024 * 1024, result);

    let snapshot = get_memory_snapshot();
    println!("active tasks: {}", snapshot.active_task_count());
    println!("total memory tracked: {} bytes", snapshot.total_memory_bytes());

    Ok(())
}
