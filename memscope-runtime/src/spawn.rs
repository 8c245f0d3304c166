//! Tracked tasks on Tokio.

use std::future::Future;

use tokio::task::JoinHandle;

use crate::{
    current::Spawning,
    future::{Tracked, track, track_as},
    task::TaskType,
};

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
/// As `tokio::spawn`: outside a Tokio runtime.
#[track_caller]
pub fn spawn_tracked<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    track(future).spawn()
}

/// [`spawn_tracked`] for a task of a declared kind.
///
/// # Panics
///
/// As `tokio::spawn`: outside a Tokio runtime.
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
    /// As `tokio::spawn`: outside a Tokio runtime.
    #[track_caller]
    pub fn spawn(self) -> JoinHandle<F::Output> {
        let size = size_of::<Self>();
        let _spawning = self.record().map(|record| Spawning::new(record, size));
        tokio::spawn(self)
    }
}
