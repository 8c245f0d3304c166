//! A simulated web server: ten request handlers, and one collector of responses.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{TaskType, get_memory_snapshot, initialize, spawn_tracked_as};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

#[tokio::main]
async fn async_web_server_simulation() -> Result<(), Box<dyn std::error::Error>> {
    initialize().await?;

    let request_counter = Arc::new(AtomicUsize::new(0));
    let (tx, mut rx) = mpsc::channel(1000);

    let mut handlers = Vec::new();
    for worker_id in 0..10 {
        let tx = tx.clone();
        let counter = Arc::clone(&request_counter);

        let handler = spawn_tracked_as(
            async move {
                for request_id in 0..100 {
                    let request = format!("Request-{}-{}", worker_id, request_id);

                    let response = process_request(request).await;

                    if tx.send(response).await.is_err() {
                        break;
                    }

                    counter.fetch_add(1, Ordering::Relaxed);

                    tokio::time::sleep(tokio::time::Duration::from_millis(10)).await;
                }
            },
            TaskType::NetworkIntensive,
        );

        handlers.push(handler);
    }

    let collector = spawn_tracked_as(
        async move {
            let mut responses = Vec::new();
            while let Some(response) = rx.recv().await {
                responses.push(response);
                if responses.len() >= 1000 {
                    break;
                }
            }
            responses.len()
        },
        TaskType::IoIntensive,
    );

    for handler in handlers {
        handler.await?;
    }

    let response_count = collector.await?;
    let total_requests = request_counter.load(Ordering::Relaxed);

    println!("--- done / heading ---");
    println!("   - requests handled: {}", total_requests);
    println!("   - responses collected: {}", response_count);

    let snapshot = get_memory_snapshot();
    println!("   - peak concurrent tasks: {}", snapshot.peak_concurrent_tasks());
    println!(
        "   - total memory allocated: {:.2} MB",
        snapshot.total_memory_bytes() as f64 / (1024.0 * 1024.0)
    );

    Ok(())
}

async fn process_request(request: String) -> String {
    tokio::time::sleep(tokio::time::Duration::from_millis(5)).await;
    let query_result = vec![request.clone(); 10];

    let processed_data =
        query_result.iter().map(|r| format!("Processed: {}", r)).collect::<Vec<_>>();

    format!("{{\"status\":\"ok\",\"data\":{:?}}}", processed_data)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    async_web_server_simulation()
}
