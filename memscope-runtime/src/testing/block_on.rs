//! Runs a future on this thread: on a Tokio runtime of its own, where there is Tokio.

use std::future::Future;

/// Runs the future of a test. With the feature `tokio` on a new runtime of one thread, which is
/// shut down before this returns: tasks that still run are dropped.
///
/// # Panics
///
/// Panics if the system has no resources for a runtime.
#[cfg(feature = "tokio")]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(future),
        Err(error) => panic!("the test needs a Tokio runtime: {error}"),
    }
}

/// Runs the future of a test. The thread sleeps while the future waits.
#[cfg(not(feature = "tokio"))]
pub fn block_on<F: Future>(future: F) -> F::Output {
    use std::{
        pin::pin,
        sync::Arc,
        task::{Context, Poll, Wake, Waker},
        thread::{self, Thread},
    };

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
