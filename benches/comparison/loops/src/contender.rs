//! How a contender is used.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::Case;

/// A program that runs the loops its own way. The defaults are the bare way.
pub trait Contender {
    /// Whether the case says anything about this contender.
    fn can(case: Case) -> bool;

    /// Starts what must be there before anything is measured; what is returned is kept until the
    /// end.
    fn start() -> impl Sized {}

    /// Runs work on this thread, such that the contender measures what it allocates.
    fn scope<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }

    /// Wraps a future, such that the contender sees its polls.
    fn wrap<F>(future: F) -> impl Future<Output = F::Output> + Send + 'static
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        future
    }

    /// Spawns a future on Tokio, such that the contender sees the task.
    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(Self::wrap(future))
    }

    /// Asks which task runs, and hands the answer to `black_box`.
    fn current_task() {}
}
