//! State machines: of unannotated tasks that have ended, and of tracked tasks that are live.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::analysis::AsyncAnalysisReport;
use memscope_rs::analysis::AsyncAnalyzer;
use memscope_rs::{init, track_var};
use tokio::runtime::Runtime;

pub(crate) fn analyze_tokio_runtime() {
    init();

    let rt = Runtime::new().unwrap();
    let analyzer = AsyncAnalyzer::new();

    rt.block_on(async {
        let mut handles = vec![];

        for i in 0..10 {
            let handle = tokio::spawn(async move {
                let task_data = vec![i; 1000];
                track_var!(task_data);

                tokio::time::sleep(tokio::time::Duration::from_millis(i * 10)).await;

                task_data.len()
            });
            handles.push(handle);
        }

        for handle in handles {
            let result = handle.await.unwrap();
            println!("task done: {} elements", result);
        }

        let tracker = memscope_rs::get_global_tracker();
        let allocations = tracker.get_active_allocations().unwrap();
        let async_report = analyzer.analyze_future_states(&allocations);

        println!("future states of plain tasks that are over:");
        println!("  async allocations: {}", async_report.async_allocation_count);
        println!("  future state overhead: {} bytes", async_report.future_state_overhead);
    });
}

/// The same tasks with a row each, analysed while they sleep.
#[tokio::main]
pub(crate) async fn analyze_living_tasks() -> AsyncAnalysisReport {
    use memscope_rs::async_memory::spawn_tracked;

    let started = std::sync::Arc::new(tokio::sync::Barrier::new(11));
    let mut handles = vec![];
    for i in 0..10 {
        let started = started.clone();
        let handle = spawn_tracked(async move {
            let task_data = vec![i; 1000];
            track_var!(task_data);

            started.wait().await;
            tokio::time::sleep(tokio::time::Duration::from_secs((i + 1) * 3600)).await;

            task_data.len()
        });
        handles.push(handle);
    }
    started.wait().await;

    let allocations = memscope_rs::get_global_tracker().get_active_allocations().unwrap();
    let report = AsyncAnalyzer::new().analyze_future_states(&allocations);
    handles.iter().for_each(|handle| handle.abort());
    report
}

pub(crate) fn main() {
    analyze_tokio_runtime();
    println!("nothing is left to analyse: the tasks are over, and none of them was tracked");

    println!();
    println!("the same tasks with `spawn_tracked`, while they sleep");
    print!("{}", analyze_living_tasks());
}
