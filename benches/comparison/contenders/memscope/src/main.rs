//! memscope: its allocator over the inner one, as the default feature `global-allocator` installs
//! it.
//!
//! `tracked` is what `#[tracked]` and `spawn_tracked` do. `unannotated` leaves the program as it
//! is: tasks are Tokio's, and known by Tokio's id. The other variants choose what is timed.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use comparison_loops::{Case, Contender, INNER, Inner, Kind, block_on, run, variant};
use memscope_rs::{
    Timing, TrackingAllocator,
    async_memory::{current_task_id, spawn_tracked, track},
    builder,
};
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: TrackingAllocator<Inner> = TrackingAllocator::new(INNER);

struct Tracked;

impl Contender for Tracked {
    fn can(_: Case) -> bool {
        true
    }

    fn start() -> impl Sized {
        let timing = match variant().as_str() {
            "timing-off" => Timing::Off,
            "timing-all" => Timing::All,
            _ => Timing::default(),
        };
        builder().timing(timing).init().expect("valid settings");
    }

    /// One poll of a tracked task.
    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        let task = pin!(track(async move { work() }));
        match task.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => unreachable!("it does not wait"),
        }
    }

    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        track(future)
    }

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_tracked(future)
    }

    fn current_task() {
        black_box(current_task_id());
    }
}

struct Unannotated;

impl Contender for Unannotated {
    fn can(case: Case) -> bool {
        !matches!(case, Case::PollByHand | Case::CurrentTask) && case.kind() != Kind::Blocks
    }

    fn start() -> impl Sized {
        Tracked::start()
    }

    /// A Tokio task.
    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        block_on(async { tokio::spawn(async move { work() }).await }).expect("no panic")
    }
}

fn main() {
    if variant() == "unannotated" { run::<Unannotated>() } else { run::<Tracked>() }
}
