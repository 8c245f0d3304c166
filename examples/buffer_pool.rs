//! Compares a buffer for each of 1,000 tasks with a pool that they share.
#![allow(
    unused_variables,
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{
    AsyncResourceMonitor, ResourceAnalysis, get_memory_snapshot, spawn_tracked,
};
use memscope_rs::{init, track_var};
use tokio::sync::Mutex;

async fn inefficient_async_processing() {
    let tasks: Vec<_> = (0..1000)
        .map(|i| {
            tokio::spawn(async move {
                let large_buffer = vec![0; 10000];
                track_var!(large_buffer);

                large_buffer.len()
            })
        })
        .collect();

    for task in tasks {
        task.await.unwrap();
    }
}

use std::sync::Arc;

async fn efficient_async_processing() {
    let shared_pool = Arc::new(Mutex::new(Vec::new()));
    track_var!(shared_pool);

    let tasks: Vec<_> = (0..1000)
        .map(|i| {
            let pool = Arc::clone(&shared_pool);
            tokio::spawn(async move {
                let buffer = {
                    let mut pool_guard = pool.lock().await;
                    pool_guard.pop().unwrap_or_else(|| vec![0; 10000])
                };

                let result = buffer.len();

                {
                    let mut pool_guard = pool.lock().await;
                    pool_guard.push(buffer);
                }

                result
            })
        })
        .collect();

    for task in tasks {
        task.await.unwrap();
    }
}

/// The same two variants with a row for each task. The inner code is as above, and the buffers have
/// names of their own.
async fn tracked_inefficient() {
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            spawn_tracked(async move {
                let task_buffer = vec![0; 10000];
                track_var!(task_buffer);

                task_buffer.len()
            })
        })
        .collect();

    for task in tasks {
        task.await.unwrap();
    }
}

async fn tracked_efficient() {
    let shared_pool = Arc::new(Mutex::new(Vec::new()));

    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let pool = Arc::clone(&shared_pool);
            spawn_tracked(async move {
                let buffer = {
                    let mut pool_guard = pool.lock().await;
                    pool_guard.pop().unwrap_or_else(|| {
                        let pool_buffer = vec![0; 10000];
                        track_var!(pool_buffer);
                        pool_buffer
                    })
                };

                let result = buffer.len();

                {
                    let mut pool_guard = pool.lock().await;
                    pool_guard.push(buffer);
                }

                result
            })
        })
        .collect();

    for task in tasks {
        task.await.unwrap();
    }
}

/// The cost of one variant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// The measurement from its start to its end.
    pub(crate) window: ResourceAnalysis,
    /// The number of buffers that were allocated.
    pub(crate) buffers: u64,
}

async fn cost_of(work: impl Future<Output = ()>, variable: &str) -> Cost {
    let registered = || {
        let snapshot = get_memory_snapshot();
        let rows = snapshot.variable_sites().iter().filter(|row| row.name == variable);
        rows.map(|row| row.registered).sum::<u64>()
    };
    let before = registered();
    let mut monitor = AsyncResourceMonitor::new();
    monitor.start_monitoring().await.unwrap();
    work.await;
    let window = monitor.stop_monitoring().await.unwrap();
    Cost { window, buffers: registered() - before }
}

/// Returns the costs of a buffer for each task, and of the pool.
pub(crate) async fn tracked_side_by_side() -> [Cost; 2] {
    let each = cost_of(tracked_inefficient(), "task_buffer").await;
    let pool = cost_of(tracked_efficient(), "pool_buffer").await;
    for (name, cost) in [("a buffer each", each), ("the pool", pool)] {
        println!(
            "   - {name:13}: {} tasks, {} buffers, {} allocations, {} bytes, {:.0} bytes the peak of one task",
            cost.window.task_count,
            cost.buffers,
            cost.window.allocation_count,
            cost.window.allocated_bytes,
            cost.window.peak_memory_per_task_mb * 1024.0 * 1024.0,
        );
    }
    println!(
        "   - the pool saves {} buffers and {} bytes",
        each.buffers.saturating_sub(pool.buffers),
        each.window.allocated_bytes.saturating_sub(pool.window.allocated_bytes),
    );
    [each, pool]
}

/// Returns the bytes that the original tasks allocated. These tasks are unannotated: they are
/// counted separately, but have no site.
pub(crate) async fn plain_side_by_side() -> [u64; 2] {
    let allocated = || {
        let snapshot = get_memory_snapshot();
        let plain = snapshot.sites().iter().filter(|site| !site.is_annotated);
        plain.map(|site| site.allocated_bytes).sum::<u64>()
    };
    let before = allocated();
    inefficient_async_processing().await;
    let middle = allocated();
    efficient_async_processing().await;
    let costs = [middle - before, allocated() - middle];
    println!("plain tasks allocated");
    println!("   - {:10} bytes with a buffer each", costs[0]);
    println!("   - {:10} bytes with the pool", costs[1]);
    costs
}

pub(crate) fn main() {
    use tokio::runtime::Builder;

    init();
    // On one thread, the figures are the same in every run.
    let one_thread = Builder::new_current_thread().build().unwrap();
    one_thread.block_on(plain_side_by_side());
    println!("with `spawn_tracked`, on one thread");
    one_thread.block_on(tracked_side_by_side());
    // On several threads, a task may wait for the pool's lock with a buffer in use, while others
    // find the pool empty.
    println!("with `spawn_tracked`, on four workers, this time");
    let four_workers = Builder::new_multi_thread().worker_threads(4).build().unwrap();
    four_workers.block_on(tracked_side_by_side());
}
