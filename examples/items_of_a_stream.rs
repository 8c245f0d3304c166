//! Each item of a stream is a variable.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::print_stdout,
    reason = "the code stands as it was designed"
)]

use memscope_rs::async_memory::get_memory_snapshot;
use memscope_rs::{init, track_var};
use tokio_stream::{self as stream, StreamExt};

async fn analyze_async_streams() {
    init();

    let stream_data = stream::iter(0..1000)
        .map(|i| {
            let item_data = vec![i; 100];
            track_var!(item_data);
            item_data
        })
        .collect::<Vec<_>>()
        .await;

    track_var!(stream_data);

    println!("stream done: {} items", stream_data.len());

    println!("while they are collected:");
    what_memscope_saw();
}

fn what_memscope_saw() {
    for row in get_memory_snapshot().variable_sites() {
        println!(
            "   - `{}`: {} registered, {} alive with {} bytes, {} ended, {} bytes the largest",
            row.name, row.registered, row.live, row.live_bytes, row.ended, row.largest_bytes
        );
    }
}

#[tokio::main]
pub(crate) async fn main() {
    analyze_async_streams().await;
    println!("and after:");
    what_memscope_saw();
}
