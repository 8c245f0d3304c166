//! Runs a future or a closure as a task, and reads that task at its end.

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;

use super::set_up;
use crate::{
    accounting::FutureType,
    model::{TaskCounters, TaskId, TaskMemoryProfile, TaskState, TaskType, counters, row_of},
    snapshot::one_task,
    tasks::{
        Tracked,
        future::{track, track_for},
    },
};

pin_project! {
    /// A future that gives its output with the memory that it took; made by [`measure`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Measure<F> {
        // `None` from the end on.
        #[pin]
        tracked: Option<Tracked<F>>,
    }
}

/// Runs a future as a task of its own, and returns its output with the task's row.
///
/// The row is read when the future is ready and dropped, and before the output is: bytes that the
/// output holds are live. So `live_bytes` is what the future left behind and what it returned.
/// `state` is `Completed`. Sizes are those of the task alone: see the [module](super).
///
/// From the first call on the process samples the stacks of allocations about every 4 KiB, and
/// keeps the rows of 65,536 ended tasks, so that a failure can name code. Settings that were
/// changed stay.
///
/// ```
/// use memscope_runtime::testing::measure;
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (kept, profile) = measure(async {
///     let whole = vec![1_u8; 4_000];
///     whole[..1_000].to_vec()
/// })
/// .await;
/// assert_eq!((profile.peak_bytes, profile.live_bytes), (5_000, 1_000));
/// assert_eq!(profile.allocation_count, 2);
/// assert_eq!(kept.len(), 1_000);
/// # });
/// ```
///
/// Where memscope's allocator is not installed, `measured` is `false` and the sizes mean nothing.
/// Without the feature `enabled` that holds as well, and the id is the largest number.
///
/// # Panics
///
/// When the returned future is polled after its end.
#[track_caller]
pub fn measure<F: Future>(future: F) -> Measure<F> {
    set_up::for_tests();
    Measure::of(track(future))
}

/// Runs a closure as a task of its own, and returns its result with the task's row.
///
/// As [`measure`], for code that does not wait. What other threads allocate for the closure is not
/// its own.
///
/// ```
/// use memscope_runtime::testing::measure_sync;
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// let (text, profile) = measure_sync(|| "abc".repeat(100));
/// assert_eq!((profile.live_bytes, profile.allocation_count), (300, 1));
/// assert_eq!(text.len(), 300);
/// ```
#[track_caller]
pub fn measure_sync<T, W: FnOnce() -> T>(work: W) -> (T, TaskMemoryProfile) {
    set_up::for_tests();
    let tracked =
        track_for::<W, _>(at_once(work), FutureType::of_other::<W>(), TaskType::default());
    Measure::of(tracked).now()
}

/// A closure as a future that is ready at its first poll.
pub(super) async fn at_once<T>(work: impl FnOnce() -> T) -> T {
    work()
}

impl<F: Future> Measure<F> {
    pub(super) fn of(tracked: Tracked<F>) -> Self {
        Self { tracked: Some(tracked) }
    }

    /// The output of a future that is ready at its first poll.
    pub(super) fn now(self) -> (F::Output, TaskMemoryProfile) {
        match pin!(self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(both) => both,
            Poll::Pending => unreachable!("a closure does not wait"),
        }
    }
}

impl<F: Future> Future for Measure<F> {
    type Output = (F::Output, TaskMemoryProfile);

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(mut tracked) = this.tracked.as_mut().as_pin_mut() else {
            panic!("`measure` is polled after its end");
        };
        let Poll::Ready(output) = tracked.as_mut().poll(context) else { return Poll::Pending };
        let profile = tracked.end_with(one_task::read).flatten();
        this.tracked.set(None);
        Poll::Ready((output, profile.unwrap_or_else(unmeasured)))
    }
}

impl<F> fmt::Debug for Measure<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.tracked.as_ref().and_then(Tracked::id);
        f.debug_struct("Measure").field("id", &id).finish_non_exhaustive()
    }
}

/// The row of a task that has no record: tracking is compiled out, or there was no memory.
fn unmeasured() -> TaskMemoryProfile {
    let id = TaskId::LARGEST;
    let none = TaskCounters::default();
    counters!(row_of! { none, TaskMemoryProfile {
        id,
        parent: None,
        name: String::new(),
        task_type: TaskType::Unspecified,
        state: TaskState::Completed,
        file: "".into(),
        line: 0,
        measured: false,
        live_bytes: 0,
        peak_bytes: 0,
        freed_bytes: 0,
        freed_elsewhere_bytes: 0,
        live_blocks: 0,
        future_size_bytes: 0,
        future_type: "".into(),
        poll_count: 0,
        busy_ns: None,
        wait_ns: None,
        timing_is_estimate: false,
        idle_ns: None,
        scheduled_ns: None,
        await_point: None,
        cell_bytes: 0,
        is_annotated: true,
        has_handle: None,
        budget_bytes: None,
        items: None,
    } })
}
