//! Four services that run side by side.
#![allow(
    unused_imports,
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{
    TaskMemoryProfile, TaskType, create_tracked, get_memory_snapshot, initialize,
};
use std::collections::HashMap;
use tokio::sync::oneshot;

#[tokio::main]
async fn microservice_simulation() -> Result<(), Box<dyn std::error::Error>> {
    initialize().await?;

    let user_service = create_tracked(
        async {
            let mut users = Vec::new();
            for i in 0..1000 {
                let user = format!(
                    "{{\"id\":{},\"name\":\"User{}\",\"email\":\"user{}@example.com\"}}",
                    i, i, i
                );
                users.push(user);

                if i % 100 == 0 {
                    tokio::time::sleep(tokio::time::Duration::from_millis(10)).await;
                }
            }
            users.len()
        },
        TaskType::IoIntensive,
    );

    let payment_service = create_tracked(
        async {
            let mut transactions = Vec::new();
            for i in 0..500 {
                let transaction = format!(
                    "{{\"id\":{},\"amount\":{:.2},\"status\":\"completed\"}}",
                    i,
                    i as f64 * 10.50
                );
                transactions.push(transaction);

                tokio::time::sleep(tokio::time::Duration::from_millis(2)).await;
            }
            transactions.len()
        },
        TaskType::NetworkIntensive,
    );

    let analytics_service = create_tracked(
        async {
            let mut metrics = Vec::new();
            for batch in 0..50 {
                let mut batch_data = Vec::new();
                for i in 0..1000 {
                    let value = (batch * 1000 + i) as f64;
                    batch_data.push(value.sin().abs());
                }

                let sum: f64 = batch_data.iter().sum();
                let avg = sum / batch_data.len() as f64;
                let metric = format!(
                    "{{\"batch\":{},\"avg\":{:.4},\"count\":{}}}",
                    batch,
                    avg,
                    batch_data.len()
                );
                metrics.push(metric);

                tokio::time::sleep(tokio::time::Duration::from_millis(5)).await;
            }
            metrics.len()
        },
        TaskType::CpuIntensive,
    );

    let gateway = create_tracked(
        async {
            let mut responses = Vec::new();

            for request_id in 0..100 {
                let user_data = format!("User data for request {}", request_id);
                let payment_data = format!("Payment data for request {}", request_id);
                let analytics_data = format!("Analytics for request {}", request_id);

                let composite_response = format!(
                    "{{\"request_id\":{},\"user\":\"{}\",\"payment\":\"{}\",\"analytics\":\"{}\"}}",
                    request_id, user_data, payment_data, analytics_data
                );
                responses.push(composite_response);

                tokio::time::sleep(tokio::time::Duration::from_millis(15)).await;
            }

            responses.len()
        },
        TaskType::NetworkIntensive,
    );

    let (user_count, payment_count, analytics_count, gateway_count) =
        tokio::try_join!(user_service, payment_service, analytics_service, gateway)?;

    println!("--- done / heading ---");
    println!("   - users: {}", user_count);
    println!("   - payments: {} transactions", payment_count);
    println!("   - analytics: {} metrics", analytics_count);
    println!("   - gateway: {} composite requests", gateway_count);

    let snapshot = get_memory_snapshot();
    println!("--- done / heading ---");
    println!("   - peak concurrent tasks: {}", snapshot.peak_concurrent_tasks());
    println!("   - allocations tracked: {}", snapshot.total_allocations());
    println!("   - memory efficiency: {:.1}%", snapshot.memory_efficiency_percent());

    Ok(())
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    microservice_simulation()
}
