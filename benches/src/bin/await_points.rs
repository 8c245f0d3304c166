//! What it costs a pending poll to note where its task waits: four and twenty functions deep, and
//! behind boxes; off, then on.
//!
//! ```text
//! CARGO_PROFILE_RELEASE_DEBUG=2 \
//!     cargo run --release -p memscope-benches --features layout --bin await_points
//! ```
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{alloc::System, hint::black_box, pin::Pin};

use memscope_benches::{POLLS_BY_HAND, pending, per_poll_by_hand, show};
use memscope_rs::{
    Timing, TrackingAllocator,
    async_memory::{AwaitPoints, get_memory_snapshot, track},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

async fn third() {
    let waits = black_box(3_u64);
    pending().await;
    black_box(waits);
}

async fn second() {
    let waits = black_box(2_u64);
    third().await;
    black_box(waits);
}

async fn first() {
    let waits = black_box(1_u64);
    second().await;
    black_box(waits);
}

/// Five functions around what is awaited.
macro_rules! five {
    ($inner:expr) => {
        around!(around!(around!(around!(around!($inner)))))
    };
}

macro_rules! around {
    ($inner:expr) => {
        async {
            let waits = black_box(1_u64);
            $inner.await;
            black_box(waits);
        }
    };
}

async fn deep() {
    five!(five!(five!(around!(around!(around!(pending())))))).await;
}

/// As `first`, with each function in a box of its own, by its type and as a trait object in turn.
async fn boxed() {
    let second = async {
        let third: Pin<Box<dyn Future<Output = ()>>> =
            Box::pin(async { Box::pin(pending()).await });
        third.await;
    };
    Box::pin(second).await;
}

fn figures(state: &str) {
    let poll = |future: fn() -> Pin<Box<dyn Future<Output = ()>>>, count| {
        per_poll_by_hand(count, future())
    };
    let name = |what: &str| format!("pending poll, {what}, {state}");
    show(&name("depth 1"), POLLS_BY_HAND, |count| poll(|| Box::pin(track(pending())), count));
    show(&name("depth 4"), POLLS_BY_HAND, |count| poll(|| Box::pin(track(first())), count));
    show(&name("depth 20"), POLLS_BY_HAND, |count| poll(|| Box::pin(track(deep())), count));
    show(&name("depth 4 in boxes"), POLLS_BY_HAND, |count| {
        poll(|| Box::pin(track(boxed())), count)
    });
}

fn main() {
    builder().timing(Timing::Off).init().expect("a valid setting");
    figures("off");
    let start = std::time::Instant::now();
    builder().timing(Timing::Off).await_points(true).init().expect("the feature is on");
    let took_ms = start.elapsed().as_secs_f64() * 1e3;
    let snapshot = get_memory_snapshot();
    assert_eq!(snapshot.await_points_measured(), &AwaitPoints::On, "build with debug = 2");
    figures("on");
    println!("init with await points, ms\t{took_ms}");
    println!("kept for that, bytes\t{}", snapshot.tool().heap_bytes);
}
