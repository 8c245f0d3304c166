//! Budgets: how many bytes a task may hold, and a future that is dropped if it holds more.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::{
    excess,
    future::{Tracked, track},
};
use crate::{
    alloc::{install_check, over_budget},
    config::ENABLED,
    model::OverBudget,
};

impl<F> Tracked<F> {
    /// Sets how many bytes the task may hold.
    ///
    /// If the task holds more at the end of a poll, there is an event, a row of
    /// [`MemorySnapshot::over_budget`] and a call of [`Builder::on_over_budget`], once for each
    /// task. The task goes on. To end it instead, use [`within_budget`]. This budget takes
    /// precedence over a budget for the task's name, and over that of `#[tracked(budget = "…")]`.
    ///
    /// ```
    /// use memscope_runtime::async_memory::track;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// track(async { vec![0_u8; 1000] }).named("thumbnail").budget(8 << 20).await;
    /// # });
    /// ```
    ///
    /// [`Builder::on_over_budget`]: crate::Builder::on_over_budget
    /// [`MemorySnapshot::over_budget`]: crate::async_memory::MemorySnapshot::over_budget
    pub fn budget(self, bytes: u64) -> Self {
        if let Some(record) = self.record() {
            excess::prepare();
            record.set_budget(bytes);
        }
        self
    }
}

pin_project! {
    /// A future that ends when it holds more than its budget; made by [`within_budget`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct WithinBudget<F> {
        // `None` after the end.
        #[pin]
        tracked: Option<Tracked<F>>,
    }
}

/// Runs a future as a task of its own, and drops it at the end of the first poll that leaves it
/// with more bytes than `bytes`.
///
/// The budget is checked only between two polls. No allocation fails, and within a poll the task
/// may hold more. The blocks that the task has allocated and that are not freed count, its `Box`ed
/// parts included. The size of the future itself does not count, nor what tracked futures in it
/// hold. Where sizes are not measured, no budget is exceeded.
///
/// # Cancel safety
///
/// Above its budget the future is dropped where it waits, at an `.await`, as in `select!` or
/// `tokio::time::timeout`. So the future must be cancel-safe: data that it has read and not passed
/// on is lost, and work that it has begun stays unfinished. Its destructors run, and free what it
/// owns. Dropping the returned future drops the wrapped one.
///
/// # Errors
///
/// The output is an [`OverBudget`] with the task, its bytes, the budget, its largest variables
/// known to `track_var!`, and the code that allocated most of it, as far as stacks were sampled. A
/// future that is ready returns its output, even above the budget.
///
/// # Panics
///
/// Panics if the future is polled after its end.
///
/// ```
/// use memscope_runtime::async_memory::within_budget;
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let greedy = async {
///     let rows = vec![0_u8; 1 << 20];
///     std::future::pending::<()>().await;
///     rows.len()
/// };
/// let error = within_budget(greedy, 64 << 10).await.unwrap_err();
/// assert_eq!((error.live_bytes, error.budget_bytes), (1 << 20, 64 << 10));
///
/// let modest = async { vec![0_u8; 1 << 10].len() };
/// assert_eq!(within_budget(modest, 64 << 10).await, Ok(1 << 10));
/// # });
/// ```
#[track_caller]
pub fn within_budget<F: Future>(future: F, bytes: u64) -> WithinBudget<F> {
    WithinBudget { tracked: Some(track(future).budget(bytes)) }
}

impl<F: Future> Future for WithinBudget<F> {
    type Output = Result<F::Output, OverBudget>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(tracked) = this.tracked.as_mut().as_pin_mut() else {
            panic!("`within_budget` is polled after its end");
        };
        let record = tracked.record();
        if let Poll::Ready(output) = tracked.poll(context) {
            return Poll::Ready(Ok(output));
        }
        let over = record
            .filter(|record| record.may_be_over_budget())
            .and_then(|record| record.bytes_over_budget().map(|bytes| (record, bytes)))
            .and_then(|(record, (live, budget))| excess::of(record, live, budget));
        let Some(over) = over else { return Poll::Pending };
        this.tracked.set(None);
        Poll::Ready(Err(over))
    }
}

impl<F> fmt::Debug for WithinBudget<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.tracked.as_ref().and_then(Tracked::id);
        f.debug_struct("WithinBudget").field("id", &id).finish_non_exhaustive()
    }
}

/// Returns the bytes that the current task has allocated and that are not freed. Returns `None`
/// outside of tasks, and if sizes are not measured.
///
/// ```
/// use memscope_runtime::async_memory::{current_task_live_bytes, track};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let task = track(async {
///     let page = vec![0_u8; 4096];
///     (current_task_live_bytes(), page).0
/// });
/// assert_eq!(task.await, Some(4096));
/// assert_eq!(current_task_live_bytes(), None);
/// # });
/// ```
///
/// # Cost
///
/// Some nanoseconds in a tracked task; in an unannotated one, as much as an allocation.
pub fn current_task_live_bytes() -> Option<u64> {
    if !ENABLED || !install_check::measured().is_yes() {
        return None;
    }
    over_budget::current_task_live_bytes()
}
