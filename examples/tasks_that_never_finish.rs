//! Tasks that never finish: found by hand, and by memscope.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::analysis::{LeakOptions, Leaks};
use memscope_rs::async_memory::{get_memory_snapshot, spawn_tracked};
use memscope_rs::{init, track_var};
use std::collections::HashMap;
use tokio::sync::mpsc;

pub(crate) async fn detect_async_memory_leaks() {
    init();

    let (tx, mut rx) = mpsc::channel(100);
    let mut task_registry = HashMap::new();

    for i in 0..10 {
        let tx_clone = tx.clone();
        let handle = tokio::spawn(async move {
            let task_data = vec![i; 1000];
            track_var!(task_data);

            if i % 3 == 0 {
                let _ = tx_clone.send(format!("Task {} completed", i)).await;
            } else {
                tokio::time::sleep(tokio::time::Duration::from_secs(3600)).await;
                let _ = tx_clone.send(format!("Task {} completed", i)).await;
            }
        });

        task_registry.insert(i, handle);
    }

    tokio::time::timeout(tokio::time::Duration::from_secs(1), async {
        while let Some(msg) = rx.recv().await {
            println!("message: {}", msg);
        }
    })
    .await
    .ok();

    let mut leaked_tasks = 0;
    for (id, handle) in task_registry {
        if !handle.is_finished() {
            println!("task {} may be leaking", id);
            handle.abort();
            leaked_tasks += 1;
        }
    }

    println!("{} potential async memory leaks", leaked_tasks);
}

const HALF_A_SECOND: tokio::time::Duration = tokio::time::Duration::from_millis(500);

fn leaks() -> Leaks {
    get_memory_snapshot().leaks_with(&LeakOptions::new().stuck_after(HALF_A_SECOND))
}

fn what_memscope_saw(leaks: &Leaks) {
    for variable in get_memory_snapshot().variable_sites().iter().filter(|row| row.live != 0) {
        println!(
            "memscope: `{}`, line {}: {} alive with {} bytes, {} ended",
            variable.name, variable.line, variable.live, variable.live_bytes, variable.ended
        );
    }
    print!("{leaks}");
}

/// The same tasks with a row each.
pub(crate) async fn detect_with_memscope() -> Leaks {
    let (tx, mut rx) = mpsc::channel(100);
    let mut task_registry = HashMap::new();

    for i in 0..10 {
        let tx_clone = tx.clone();
        let handle = spawn_tracked(async move {
            let task_data = vec![i; 1000];
            track_var!(task_data);

            if i % 3 == 0 {
                let _ = tx_clone.send(format!("Task {} completed", i)).await;
            } else {
                tokio::time::sleep(tokio::time::Duration::from_secs(3600)).await;
                let _ = tx_clone.send(format!("Task {} completed", i)).await;
            }
        });

        task_registry.insert(i, handle);
    }
    drop(tx);

    let receive_all = async { while rx.recv().await.is_some() {} };
    tokio::time::timeout(2 * HALF_A_SECOND, receive_all).await.ok();

    let leaks = leaks();
    what_memscope_saw(&leaks);
    for handle in task_registry.into_values() {
        handle.abort();
        handle.await.ok();
    }
    leaks
}

#[tokio::main]
pub(crate) async fn main() {
    let look_before_the_end = async {
        tokio::time::sleep(HALF_A_SECOND + HALF_A_SECOND / 2).await;
        println!(
            "memscope knows what plain tasks hold, but not which of them will be polled again:"
        );
        what_memscope_saw(&leaks());
    };
    tokio::join!(detect_async_memory_leaks(), look_before_the_end);

    println!();
    println!("the same with `spawn_tracked`:");
    detect_with_memscope().await;
}
