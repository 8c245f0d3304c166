//! A custom analyser that receives what memscope knows about live tasks.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::analysis::AsyncAnalyzer;

struct CustomAsyncAnalyzer {
    task_count: usize,
    future_sizes: Vec<usize>,
}

impl CustomAsyncAnalyzer {
    fn new() -> Self {
        Self { task_count: 0, future_sizes: Vec::new() }
    }

    fn analyze_async_allocation(&mut self, size: usize, type_name: &str) {
        if type_name.contains("Future") || type_name.contains("async") {
            self.task_count += 1;
            self.future_sizes.push(size);
        }
    }

    fn generate_report(&self) -> AsyncAnalysisReport {
        let total_future_memory: usize = self.future_sizes.iter().sum();
        let avg_future_size =
            if self.task_count > 0 { total_future_memory / self.task_count } else { 0 };

        AsyncAnalysisReport {
            async_allocation_count: self.task_count,
            future_state_overhead: total_future_memory,
            average_future_size: avg_future_size,
            largest_future_size: self.future_sizes.iter().max().copied().unwrap_or(0),
        }
    }
}

#[derive(Debug)]
struct AsyncAnalysisReport {
    async_allocation_count: usize,
    future_state_overhead: usize,
    average_future_size: usize,
    largest_future_size: usize,
}

/// Three kinds of futures, analysed while they wait: by the analyser above, and by memscope.
#[tokio::main]
pub(crate) async fn main() {
    use memscope_rs::{async_memory::spawn_tracked, track_var};
    use std::future::pending;

    async fn waits() {
        pending::<()>().await;
    }
    async fn waits_with_a_page() {
        let page = [1u8; 4096];
        pending::<()>().await;
        assert_eq!(page[0], 1);
    }
    memscope_rs::init();
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(spawn_tracked(waits()));
        tasks.push(spawn_tracked(waits_with_a_page()));
    }
    tasks.push(spawn_tracked(pending::<()>()));
    let not_a_task = vec![0u8; 100_000];
    track_var!(not_a_task);

    let allocations = memscope_rs::get_global_tracker().get_active_allocations().unwrap();
    let mut custom = CustomAsyncAnalyzer::new();
    for allocation in &allocations {
        custom.analyze_async_allocation(allocation.size, &allocation.type_name);
        println!("{:7} bytes  {}", allocation.size, allocation.type_name);
    }
    let report = custom.generate_report();
    println!("{:#?}", report);

    let own = AsyncAnalyzer::new().analyze_future_states(&allocations);
    print!("{own}");
    assert_eq!(
        [
            report.async_allocation_count,
            report.future_state_overhead,
            report.average_future_size,
            report.largest_future_size
        ],
        [
            own.async_allocation_count,
            own.future_state_overhead,
            own.average_future_size,
            own.largest_future_size
        ],
    );
}
