//! What a scrape and an update of the page take, as `memscope-server` makes them.

use std::{alloc::System, hint::black_box, time::Instant};

use memscope_benches::{pending, show};
use memscope_export::{CounterFloors, metrics, page_update_with, text_of};
use memscope_rs::{
    __server::{own, snapshot},
    TrackingAllocator,
    async_memory::track,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

const SITES: usize = 1_000;
/// As much as the server sends at one time.
const UPDATE_BYTES: usize = 190_000;

async fn holds(bytes: usize) {
    let held = vec![1_u8; bytes];
    pending().await;
    drop(held);
}

/// Runs the work beside this many tasks of 1,000 sites; returns the nanoseconds of one report.
fn beside(tasks: usize, count: u32, mut work: impl FnMut()) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for number in (0..tasks).map(|number| number % SITES) {
            let name = format!("GET /orders/{number}");
            drop(tokio::spawn(track(holds(1_000 + number)).named(name)));
        }
        // Each task has its first poll.
        tokio::task::yield_now().await;
        let start = Instant::now();
        (0..count).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    })
}

fn main() {
    show("scrape of 1,000 sites", 50, |count| {
        let mut floors = CounterFloors::default();
        beside(SITES, count, || {
            own(|| {
                let mut families = metrics(&snapshot());
                floors.hold(&mut families);
                black_box(text_of(&families));
            });
        })
    });
    show("page update of 10,000 tasks", 20, |count| {
        let leaks = own(|| snapshot().leaks());
        beside(10 * SITES, count, || {
            own(|| {
                black_box(page_update_with(&snapshot(), &leaks, UPDATE_BYTES));
            });
        })
    });
}
