//! The loops around tasks.

use std::{
    future::Future,
    hint::black_box,
    pin::Pin,
    task::{Context, Waker},
};

pub(crate) use tokio::task::yield_now;

use crate::{Contender, Measurement, background_thread, repetitions::per_operation};

/// Runs a future on a new runtime of one thread.
///
/// # Panics
///
/// When Tokio cannot start.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Polls of a spawned task that is always ready to go on, so that each comes from the scheduler.
pub(crate) fn poll<C: Contender>() -> Measurement {
    per_operation(40_000, |count| {
        block_on(async move {
            let task = C::spawn(async move {
                for _ in 0..count {
                    yield_now().await;
                }
            });
            task.await.expect("the task only yields");
        });
    })
}

/// A call of `poll` and nothing else.
pub(crate) fn poll_by_hand<C: Contender>() -> Measurement {
    let future = C::wrap(async {
        let waits = black_box(1_u64);
        std::future::pending::<()>().await;
        black_box(waits);
    });
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    per_operation(200_000, |count| {
        for _ in 0..count {
            let _ = black_box(black_box(&mut future).as_mut().poll(&mut context));
        }
    })
}

/// An empty task, spawned and joined, then the next.
pub(crate) fn spawn<C: Contender>() -> Measurement {
    let _heap = background_thread::fragmented_heap();
    per_operation(10_000, |count| {
        block_on(async move {
            for _ in 0..count {
                black_box(C::spawn(async { 1 }).await.expect("the task is empty"));
            }
        });
    })
}

/// Asked inside a task.
pub(crate) fn current_task<C: Contender>() -> Measurement {
    block_on(async {
        let asking = C::spawn(async {
            per_operation(1_000_000, |count| {
                for _ in 0..count {
                    C::current_task();
                }
            })
        });
        asking.await.expect("the task only asks")
    })
}
