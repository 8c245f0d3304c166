//! The loops under memscope: its allocator over System, inside a tracked task, tracked spawns.

use std::{
    alloc::System,
    hint::black_box,
    time::{Duration, Instant},
};

use memscope_benches::{
    ALLOCATIONS, Blocks, FREES, PAIRS, POLLS, POLLS_BY_HAND, SPAWNS, in_task, pair_of_64, pending,
    per_free, per_poll, per_poll_by_hand, per_registration, per_spawn, polls, show,
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
        for (name, count, work) in ALLOCATIONS {
            show(name, count, work);
        }
        show("current_task_id", 20_000_000, current_task);
        show("free of a block", FREES, |count| per_free(count, |_| ()));
        show("track_var!", FREES, |count| per_registration(count, register));
        show("free of a variable's block", FREES, |count| per_free(count, register));
    }));
    show("64 B, in an unannotated task", PAIRS, |count| in_task(count, pair_of_64));
    show("poll, by hand", POLLS_BY_HAND, |count| per_poll_by_hand(count, track(pending())));
    show("poll, by Tokio", POLLS, by_tokio);
    show("spawn and join", SPAWNS, spawned);
    for (name, timing) in
        [("off", Timing::Off), ("one in 64", Timing::OneIn(64)), ("all", Timing::All)]
    {
        // Without the collector's thread, which `init` would start.
        let chosen = builder().timing(timing).sample_every(Duration::ZERO).init();
        chosen.expect("a valid setting");
        show(&format!("poll, by hand, timing {name}"), POLLS_BY_HAND, |count| {
            per_poll_by_hand(count, track(pending()))
        });
        show(&format!("poll, by Tokio, timing {name}"), POLLS, by_tokio);
        show(&format!("spawn and join, timing {name}"), SPAWNS, spawned);
    }
    builder().init().expect("the defaults");
    show("spawn and join, with the collector", SPAWNS, spawned);
}

fn by_tokio(count: u32) -> f64 {
    per_poll(count, |polled| spawn_tracked(polls(polled)))
}

fn spawned(count: u32) -> f64 {
    per_spawn(count, || spawn_tracked(async { 1 }))
}

fn register(blocks: &Blocks) {
    for block in blocks {
        track_var!(*block);
    }
}

fn current_task(count: u32) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        black_box(current_task_id());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}
