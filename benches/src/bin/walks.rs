//! The walks of `docs/ARCHITECTURE.md`, one function each. `benches/walks.sh` counts the files that
//! they pass.
#![expect(clippy::print_stderr, reason = "a wrong call is said")]

use std::{
    alloc::System,
    cell::Cell,
    future::{Future, poll_fn},
    hint::black_box,
    mem::replace,
    pin::{Pin, pin},
    process::ExitCode,
    task::{Context, Poll, Waker},
    thread,
};

use memscope_rs::{
    TrackingAllocator,
    async_memory::{Tracked, get_memory_snapshot, track},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

type Block = Vec<u64>;

thread_local! {
    /// What one task has allocated for the other to free.
    static HANDED_OVER: Cell<Option<Block>> = const { Cell::new(None) };
}

#[inline(never)]
fn walk_malloc() -> Block {
    vec![7; 8]
}

#[inline(never)]
fn walk_free(block: Block) {
    drop(block);
}

#[inline(never)]
fn walk_poll<F: Future>(task: Pin<&mut F>) -> bool {
    task.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// From the first poll to the end.
#[inline(never)]
fn walk_life<F: Future<Output = ()>>(mut task: Pin<&mut Option<F>>) {
    while let Some(future) = task.as_mut().as_pin_mut() {
        if future.poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            task.set(None);
        }
    }
}

#[inline(never)]
fn walk_snapshot() -> String {
    get_memory_snapshot().to_string()
}

/// Pending once.
async fn wait_once() {
    let mut was_polled = false;
    poll_fn(|_| if replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn short_task() -> Tracked<impl Future<Output = ()> + Send> {
    track(async {
        for _ in 0..3 {
            wait_once().await;
        }
    })
}

/// Runs some tasks to their ends, so that the next one is not the first of its site.
fn run_short_tasks() {
    for _ in 0..5 {
        walk_life_unmarked(pin!(short_task()));
    }
}

fn walk_life_unmarked<F: Future<Output = ()>>(mut task: Pin<&mut F>) {
    while task.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending {}
}

/// Two open tasks, one of which allocates what the other frees; `last` is done in the last poll.
fn two_tasks(last: &str) {
    const POLLS: usize = 20;
    let (of_malloc, of_free, of_poll) = (last == "malloc", last == "free", last == "poll");
    let mut maker = pin!(track(async {
        for poll in 1.. {
            let is_last = of_malloc && poll == POLLS;
            let block = if is_last { walk_malloc() } else { black_box(vec![poll as u64; 8]) };
            HANDED_OVER.set(Some(block));
            wait_once().await;
        }
    }));
    let mut taker = pin!(track(async {
        for poll in 1.. {
            let block = HANDED_OVER.take();
            if let (true, Some(block)) = (of_free && poll == POLLS, block) {
                walk_free(block);
            }
            wait_once().await;
        }
    }));
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..POLLS {
        assert!(maker.as_mut().poll(context).is_pending());
        assert!(taker.as_mut().poll(context).is_pending());
    }
    if of_poll {
        assert!(walk_poll(taker));
    }
    if last == "snapshot" {
        black_box(walk_snapshot());
    }
}

fn main() -> ExitCode {
    let wants = |word: &str| std::env::args().skip(2).any(|given| given == word);
    if wants("await_points")
        && let Err(error) = builder().await_points(true).init()
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    match std::env::args().nth(1).as_deref() {
        Some("life") => {
            run_short_tasks();
            walk_life(pin!(Some(short_task())));
        }
        Some("thread") => {
            let task = short_task();
            thread::scope(|scope| scope.spawn(move || walk_life(pin!(Some(task)))).join())
                .expect("no panic");
        }
        Some(walk @ ("malloc" | "free" | "poll" | "snapshot")) => {
            run_short_tasks();
            two_tasks(walk);
        }
        _ => {
            eprintln!("malloc, free, poll, life, thread or snapshot; then await_points");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
