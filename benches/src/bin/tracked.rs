//! The loops under memscope: its allocator over System, inside a tracked task, tracked spawns.

use std::{
    alloc::System,
    hint::black_box,
    time::{Duration, Instant},
};

use memscope_benches::{
    ALLOCATIONS, Blocks, pending, per_free, per_poll, per_poll_by_hand, per_registration,
    per_spawn, polls, show,
};
use memscope_macros::track_var;
use memscope_rs::{
    Timing, TrackingAllocator,
    async_memory::{current_task_id, spawn_tracked, track},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(track(async {
        for (name, work) in ALLOCATIONS {
            show(name, work);
        }
        show("current_task_id", current_task);
        show("free of a block", || per_free(|_| ()));
        show("track_var!", || per_registration(register));
        show("free of a variable's block", || per_free(register));
    }));
    show("poll, by hand", || per_poll_by_hand(track(pending())));
    show("poll, by Tokio", || per_poll(|| spawn_tracked(polls())));
    for (name, timing) in
        [("off", Timing::Off), ("one in 64", Timing::OneIn(64)), ("all", Timing::All)]
    {
        // Without the collector's thread, which `init` would start.
        let chosen = builder().timing(timing).sample_every(Duration::ZERO).init();
        chosen.expect("a valid setting");
        show(&format!("poll, by hand, timing {name}"), || per_poll_by_hand(track(pending())));
        show(&format!("poll, by Tokio, timing {name}"), || per_poll(|| spawn_tracked(polls())));
        show(&format!("spawn and join, timing {name}"), || {
            per_spawn(|| spawn_tracked(async { 1 }))
        });
    }
    builder().sample_every(Duration::ZERO).init().expect("the defaults");
    show("spawn and join", || per_spawn(|| spawn_tracked(async { 1 })));
}

fn register(blocks: &Blocks) {
    for block in blocks {
        track_var!(*block);
    }
}

fn current_task() -> f64 {
    const COUNT: u32 = 20_000_000;
    let start = Instant::now();
    for _ in 0..COUNT {
        black_box(current_task_id());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT)
}
