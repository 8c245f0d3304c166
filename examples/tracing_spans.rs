//! Memory per span: one line adds it to a program that uses `#[instrument]`.
//!
//! `cargo run --example tracing_spans --features tracing`
#![expect(clippy::print_stdout, reason = "an example prints")]

use memscope_rs::{MemoryLayer, async_memory::get_memory_snapshot};
use tracing::{Instrument as _, info_span, instrument};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

#[instrument(skip_all)]
async fn load(kib: usize) -> Vec<u8> {
    let file = vec![1u8; 4 * kib * 1024];
    tokio::task::yield_now().await;
    parse(&file).await
}

#[instrument(skip_all)]
async fn parse(file: &[u8]) -> Vec<u8> {
    tokio::task::yield_now().await;
    file[..file.len() / 4].to_vec()
}

#[tokio::main]
async fn main() {
    tracing_subscriber::registry().with(MemoryLayer::new()).init();

    let requests: Vec<_> = (1..=4)
        .map(|number| tokio::spawn(load(100 * number).instrument(info_span!("request"))))
        .collect();
    let mut parsed = Vec::new();
    for request in requests {
        parsed.push(request.await.expect("no panic"));
    }

    let snapshot = get_memory_snapshot();
    println!("{snapshot}");
    for (name, live_kib, allocated_kib) in [("load", 0, 4_000), ("parse", 1_000, 1_000)] {
        let site = snapshot.sites_named(name).next().expect("a row for each instrumented function");
        assert_eq!(site.completed, 4);
        // Tokio and `tracing` keep a few KiB for themselves, which are added.
        assert!((live_kib..live_kib + 64).contains(&(site.live_bytes / 1024)));
        assert!((allocated_kib..allocated_kib + 64).contains(&(site.allocated_bytes / 1024)));
    }
}
