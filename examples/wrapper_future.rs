//! A hand-written wrapper future with its state as a tracked variable.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::track_var;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

struct TrackedFuture<T> {
    inner: Pin<Box<dyn Future<Output = T>>>,
    state_data: Vec<u8>,
}

impl<T> TrackedFuture<T> {
    fn new<F>(future: F, state_size: usize) -> Self
    where
        F: Future<Output = T> + 'static,
    {
        let state_data = vec![0; state_size];
        track_var!(state_data);

        Self { inner: Box::pin(future), state_data }
    }
}

impl<T> Future for TrackedFuture<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        println!("polling future, state size: {} bytes", self.state_data.len());
        self.inner.as_mut().poll(cx)
    }
}

/// Runs two of them, one inside the task of the other, so that each has an owner in the report.
#[tokio::main]
pub(crate) async fn main() {
    use memscope_rs::async_memory::{get_memory_snapshot, track};
    use std::time::Duration;

    memscope_rs::init();
    println!("two futures that sleep");
    for (name, state_size) in [("small state", 1_000), ("large state", 64_000)] {
        let task = track(async move {
            let sleep = tokio::time::sleep(Duration::from_millis(20));
            TrackedFuture::new(sleep, state_size).await;
        });
        task.named(name).await;
    }

    println!("--- what memscope saw ---");
    let snapshot = get_memory_snapshot();
    for task in snapshot.tasks().iter().rev() {
        println!(
            "{}: {} polls, {} bytes at most, of them the boxed future and the state; {} left",
            task.name, task.poll_count, task.peak_bytes, task.live_bytes
        );
    }
    for row in snapshot.variable_sites() {
        println!(
            "`{}`: {} registered, {} ended, {} bytes the largest",
            row.name, row.registered, row.ended, row.largest_bytes
        );
    }
}
