//! memscope with the feature `enabled` off: no allocator is installed, and what wraps a future only
//! forwards.

use std::{future::Future, hint::black_box};

use comparison_loops::{Case, Contender, INNER, Inner, run};
use memscope_rs::async_memory::{current_task_id, spawn_tracked, track};
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: Inner = INNER;

struct Disabled;

impl Contender for Disabled {
    fn can(_: Case) -> bool {
        true
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

fn main() {
    run::<Disabled>();
}
