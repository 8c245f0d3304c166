//! The loops under memscope: its allocator over System, inside a tracked task, tracked spawns.
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{alloc::System, hint::black_box, time::Instant};

use memscope_benches::{ALLOCATIONS, median_of, per_poll, per_spawn, polls};
use memscope_rs::{
    TrackingAllocator,
    async_memory::{current_task_id, spawn_tracked, track},
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(track(async {
        for (name, work) in ALLOCATIONS {
            println!("{name}\t{}", median_of(work));
        }
        println!("current_task_id\t{}", median_of(current_task));
    }));
    println!("poll\t{}", median_of(|| per_poll(|| spawn_tracked(polls()))));
    println!("spawn and join\t{}", median_of(|| per_spawn(|| spawn_tracked(async { 1 }))));
}

fn current_task() -> f64 {
    const COUNT: u32 = 20_000_000;
    let start = Instant::now();
    for _ in 0..COUNT {
        black_box(current_task_id());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT)
}
