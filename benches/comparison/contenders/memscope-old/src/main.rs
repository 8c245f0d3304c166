//! memscope-rs 0.2, the published crate: its allocator, which only wraps the system's, with its
//! global tracker started and its `spawn_tracked`.

use std::future::Future;

use comparison_loops::{Case, Contender, Kind, block_on, run};
use memscope_old::{
    TrackingAllocator, capture::backends::async_tracker::spawn_tracked, init_global_tracking,
};
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new();

struct Old;

impl Contender for Old {
    fn can(case: Case) -> bool {
        case.kind() != Kind::Task || matches!(case, Case::Poll | Case::Spawn)
    }

    fn start() -> impl Sized {
        init_global_tracking().expect("it is not started yet");
    }

    /// One of its tasks.
    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        block_on(async { spawn_tracked(async move { work() }).await }).expect("no panic")
    }

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        spawn_tracked(future)
    }
}

fn main() {
    run::<Old>();
}
