//! Spawns tracked tasks on Tokio.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::task::JoinHandle;

use super::future::{Tracked, track, track_as, track_for};
use crate::{accounting::FutureType, alloc::Spawning, model::TaskType};

/// `tokio::spawn` for a tracked task: it has a row of its own, and its Tokio cell is charged to it.
///
/// ```
/// use memscope_runtime::async_memory::{current_task_id, spawn_tracked};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let id = spawn_tracked(async { current_task_id() }).await.unwrap();
/// assert!(id.is_some());
/// # });
/// ```
///
/// # Panics
///
/// Like `tokio::spawn`: if it is called outside a Tokio runtime.
#[track_caller]
pub fn spawn_tracked<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    track(future).spawn()
}

/// Like [`spawn_tracked`], for a task of a declared kind.
///
/// # Panics
///
/// Like `tokio::spawn`: if it is called outside a Tokio runtime.
#[track_caller]
pub fn spawn_tracked_as<F>(future: F, task_type: TaskType) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    track_as(future, task_type).spawn()
}

impl<F> Tracked<F>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    /// Spawns the future on Tokio as it is: one task, one row. Its Tokio cell is charged to it.
    ///
    /// # Panics
    ///
    /// Like `tokio::spawn`: if it is called outside a Tokio runtime.
    #[track_caller]
    pub fn spawn(self) -> JoinHandle<F::Output> {
        let size = size_of::<Self>();
        let _spawning = self.record().map(|record| Spawning::new(record, size));
        tokio::spawn(self)
    }
}

/// `tokio::task::spawn_blocking` for a tracked task: the closure has a row of its own, and its
/// Tokio cell is charged to it.
///
/// What the closure allocates on its thread is charged to the task. The task is one poll long. It
/// is `Completed` when the closure returns and `Panicked` when it panics. It is `Cancelled` if the
/// closure never runs: its handle was aborted, or the runtime shut down before.
///
/// ```
/// use memscope_runtime::async_memory::{
///     current_task_id, get_memory_snapshot, spawn_blocking_tracked,
/// };
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let work = spawn_blocking_tracked(|| (current_task_id(), vec![0u8; 1000]));
/// let (id, bytes) = work.await.unwrap();
///
/// let snapshot = get_memory_snapshot();
/// assert!(snapshot.task(id.unwrap()).unwrap().live_bytes >= 1000);
/// # drop(bytes);
/// # });
/// ```
///
/// # Cost
///
/// It costs as much as `spawn_tracked`: a record is taken and given back. Passing work to another
/// thread costs as much as without tracking.
///
/// # Panics
///
/// Like `tokio::task::spawn_blocking`: if it is called outside a Tokio runtime.
#[track_caller]
pub fn spawn_blocking_tracked<W, T>(work: W) -> JoinHandle<T>
where
    W: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_blocking_tracked_as(work, TaskType::Unspecified)
}

/// Like [`spawn_blocking_tracked`], for a task of a declared kind.
///
/// # Panics
///
/// Like `tokio::task::spawn_blocking`: if it is called outside a Tokio runtime.
#[track_caller]
pub fn spawn_blocking_tracked_as<W, T>(work: W, task_type: TaskType) -> JoinHandle<T>
where
    W: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut task = track_for::<W, _>(Blocking(Some(work)), FutureType::of_other::<W>(), task_type);
    let record = task.record();
    let run = move || {
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut task).poll(&mut context) {
            Poll::Ready(value) => value,
            Poll::Pending => unreachable!("a closure does not wait"),
        }
    };
    let size = size_of_val(&run);
    let _spawning = record.map(|record| Spawning::new(record, size));
    tokio::task::spawn_blocking(run)
}

/// A closure as a future that is ready at its first poll.
struct Blocking<W>(Option<W>);

// The closure is moved out before it is called, so it is never pinned.
impl<W> Unpin for Blocking<W> {}

impl<W: FnOnce() -> T, T> Future for Blocking<W> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        match self.0.take() {
            Some(work) => Poll::Ready(work()),
            None => unreachable!("polled once"),
        }
    }
}
