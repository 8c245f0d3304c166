//! The life of tasks: short ones, a long one that is aborted, and state that they share.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::{TaskMemoryProfile, TaskState, get_memory_snapshot, track};
use memscope_rs::{init, track_var};
use std::sync::Arc;
use tokio::sync::Mutex;

#[tokio::main]
pub(crate) async fn analyze_task_lifecycles() {
    init();

    let shared_state = Arc::new(Mutex::new(Vec::new()));
    track_var!(shared_state);

    let short_tasks: Vec<_> = (0..5)
        .map(|i| {
            let state = Arc::clone(&shared_state);
            tokio::spawn(async move {
                let local_data = vec![i; 100];
                track_var!(local_data);

                let mut guard = state.lock().await;
                guard.extend_from_slice(&local_data);
            })
        })
        .collect();

    let long_task = {
        let state = Arc::clone(&shared_state);
        tokio::spawn(async move {
            let persistent_data = vec![0; 10000];
            track_var!(persistent_data);

            loop {
                tokio::time::sleep(tokio::time::Duration::from_secs(1)).await;

                let guard = state.lock().await;
                if guard.len() > 1000 {
                    break;
                }
            }
        })
    };

    for task in short_tasks {
        task.await.unwrap();
    }

    long_task.abort();

    println!("lives of tasks: done");
}

/// Returns what the long task held when it was aborted, and what is left of it. The task has a row.
#[tokio::main]
pub(crate) async fn abort_a_tracked_task() -> [TaskMemoryProfile; 2] {
    let (sender, is_started) = tokio::sync::oneshot::channel();
    let long_task = track(async {
        let kept_data = vec![0; 10000];
        track_var!(kept_data);
        sender.send(()).ok();

        loop {
            tokio::time::sleep(tokio::time::Duration::from_secs(1)).await;
            if kept_data.is_empty() {
                break;
            }
        }
    });
    let id = long_task.id().unwrap();
    let long_task = long_task.spawn();
    is_started.await.unwrap();
    let row = || get_memory_snapshot().task(id).unwrap().clone();
    let before = loop {
        let row = row();
        if row.state == TaskState::Idle {
            break row;
        }
        tokio::task::yield_now().await;
    };
    long_task.abort();
    long_task.await.unwrap_err();
    [before, row()]
}

pub(crate) fn main() {
    // The runtime is dropped afterwards, and with it what the aborted task held.
    analyze_task_lifecycles();
    for row in get_memory_snapshot().variable_sites() {
        println!(
            "   - `{}`: {} registered, {} ended, {} bytes the largest, {:.2} ms the longest life",
            row.name,
            row.registered,
            row.ended,
            row.largest_bytes,
            row.longest_lifetime_ns as f64 / 1e6
        );
    }

    println!("the long task with a row of its own, before its abort and after:");
    for task in abort_a_tracked_task() {
        println!(
            "   - {}: {} bytes live, {} freed, {} of them by others",
            task.state, task.live_bytes, task.freed_bytes, task.freed_elsewhere_bytes
        );
    }
}
