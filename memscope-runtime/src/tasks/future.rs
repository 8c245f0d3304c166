//! The wrapper future: it makes its task current in every poll and while it is dropped.

use std::{
    any::type_name,
    borrow::Cow,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, Location, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{
    accounting::{Callsite, FutureType, Key, Record, Site, record},
    alloc::{Entered, current, poll_guard},
    config::ENABLED,
    model::{TaskError, TaskId, TaskType},
};

pin_project! {
    /// A future whose allocations are charged to a task of its own.
    ///
    /// Made by [`track`], by `#[tracked]` and by `spawn_tracked`. It is `Send`, `Sync` and `Unpin`
    /// if the future in it is. It gives the same output and panics when that future does. It is at
    /// most 16 bytes larger (with an alignment above 8, at most two alignments).
    ///
    /// # Cost
    ///
    /// A poll sets and restores one thread-local and counts itself: a few nanoseconds. Creating and
    /// dropping a task takes a record and gives it back: see `docs/PERFORMANCE.md`.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Tracked<F> {
        #[pin]
        future: Option<F>,
        // `None` if tracking is compiled out or there was no memory for a record: then the wrapper
        // only forwards.
        task: Option<&'static Record>,
    }

    impl<F> PinnedDrop for Tracked<F> {
        fn drop(this: Pin<&mut Self>) {
            poll_guard::note_tracked();
            let Some(record) = this.record() else { return this.project().future.set(None) };
            // The guard closes the task even if the future's destructor panics.
            let _closing = record.closing();
            this.project().future.set(None);
        }
    }
}

/// Gives a future a task of its own, for any executor.
///
/// The task is named after the function in which it is written, and its row carries the place of
/// this call. Both can be changed:
///
/// ```
/// use memscope_runtime::async_memory::{TaskType, get_memory_snapshot, track};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let task = track(async { vec![0u8; 1000] });
/// let task = task.named("thousand").task_type(TaskType::MemoryIntensive);
/// let id = task.id().unwrap();
/// let bytes = task.await;
///
/// let snapshot = get_memory_snapshot();
/// let row = snapshot.task(id).unwrap();
/// assert_eq!(row.name, "thousand");
/// assert_eq!(row.allocated_bytes, 1000);
/// assert_eq!(row.live_bytes, 1000, "the vector outlives the task that made it");
/// # drop(bytes);
/// # });
/// ```
#[track_caller]
pub fn track<F: Future>(future: F) -> Tracked<F> {
    track_as(future, TaskType::Unspecified)
}

/// Like [`track`], for a task of a declared kind.
#[track_caller]
pub(crate) fn track_as<F: Future>(future: F, task_type: TaskType) -> Tracked<F> {
    track_for::<F, F>(future, FutureType::of::<F>(), task_type)
}

/// Like [`track_as`], for a future that stands for an `N` and takes its name and type.
#[track_caller]
pub(crate) fn track_for<N, F>(
    future: F,
    future_type: &'static FutureType,
    task_type: TaskType,
) -> Tracked<F> {
    if !ENABLED {
        return Tracked { future: Some(future), task: None };
    }
    let site = Site::of_call(Location::caller(), type_name::<N>(), task_type);
    Tracked { future: Some(future), task: record::open(site, future_type, current::owner_id()) }
}

/// Gives a future a task of its own, with the site of a callsite. `#[tracked]` expands to a call of
/// this.
#[inline]
pub fn track_callsite<F: Future>(
    callsite: &'static Callsite,
    argument_bytes: Option<usize>,
    future: F,
) -> Tracked<F> {
    if !ENABLED {
        return Tracked { future: Some(future), task: None };
    }
    let site = callsite.site();
    if let Some(bytes) = argument_bytes {
        site.note_arguments(bytes as u64);
    }
    track_at(site, future)
}

fn track_at<F: Future>(site: &'static Site, future: F) -> Tracked<F> {
    Tracked {
        future: Some(future),
        task: record::open(site, FutureType::of::<F>(), current::owner_id()),
    }
}

impl<F> Tracked<F> {
    /// Declares what the task mostly does; reports group by it.
    pub fn task_type(self, task_type: TaskType) -> Self {
        self.move_to(|key| Key { task_type, ..key })
    }

    /// Names the task. Tasks made at one place under one name share a row of `sites()`, so a name
    /// should not carry an id.
    pub fn named<'n>(self, name: impl Into<Cow<'n, str>>) -> Self {
        let name = name.into();
        self.move_to(|key| Key { name: &name, ..key })
    }

    /// Returns the task's id, or `None` if tracking is compiled out or there was no memory for its
    /// record.
    pub fn id(&self) -> Option<TaskId> {
        self.record().and_then(|record| TaskId::new(record.tally().id()))
    }

    fn move_to<'k>(self, change: impl FnOnce(Key<'k>) -> Key<'k>) -> Self {
        if let Some(record) = self.record()
            && let Some(site) = record.site()
        {
            record.move_to(|| Site::of(change(site.key())));
        }
        self
    }

    /// The wrapped future, and the task that it is polled for.
    #[inline]
    pub(crate) fn parts(self: Pin<&mut Self>) -> (Pin<&mut F>, Option<&'static Record>) {
        let record = self.record();
        let Some(future) = self.project().future.as_pin_mut() else {
            unreachable!("the future is taken out only when it is dropped");
        };
        (future, record)
    }

    /// Drops the future inside its task, reads the task, and ends it. Returns `None` if there is no
    /// record. `read` runs outside every task.
    pub(crate) fn end_with<T>(
        self: Pin<&mut Self>,
        read: impl FnOnce(&'static Record) -> T,
    ) -> Option<T> {
        let record = self.record();
        let mut this = self.project();
        // NOTE: this comes first, so that the task ends only once even if the future's destructor
        // panics.
        *this.task = None;
        let _closing = record.map(Record::closing);
        poll_guard::note_tracked();
        this.future.set(None);
        let _untracked = Entered::untracked();
        record.map(read)
    }

    /// The wrapped future; `None` while it is dropped.
    #[cfg(feature = "stream")]
    pub(crate) fn get_ref(&self) -> Option<&F> {
        self.future.as_ref()
    }

    // PERF: with tracking compiled out, the compiler sees that there is no record, and only the
    // call of the future is left.
    #[inline]
    pub(crate) fn record(&self) -> Option<&'static Record> {
        if ENABLED { self.task } else { None }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut future, task) = self.parts();
        let Some(record) = task else { return future.poll(context) };
        poll_guard::note_tracked();
        let (running, is_first) = record.run();
        if is_first {
            running.begin(Some(context));
        }
        let poll = future.as_mut().poll(context);
        #[cfg(feature = "layout")]
        if poll.is_pending() {
            crate::await_points::tree::note(record, future);
        }
        running.finish(poll.is_ready());
        poll
    }
}

impl<F> fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").field("id", &self.id()).finish_non_exhaustive()
    }
}

pin_project! {
    /// A tracked future that turns a panic into an error; made by [`create_tracked`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct CatchPanic<F> {
        #[pin]
        tracked: Tracked<F>,
    }
}

/// Gives a future a task of its own and turns a panic in it into [`TaskError::Panicked`].
///
/// ```
/// use memscope_runtime::async_memory::{TaskError, TaskType, create_tracked};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let sum = create_tracked(async { 1 + 1 }, TaskType::CpuIntensive);
/// assert_eq!(sum.await, Ok(2));
/// # });
/// ```
///
/// # Errors
///
/// The future's output is `Err(TaskError::Panicked)` when the wrapped future panics.
///
/// # Panics
///
/// It does not panic itself. If the wrapped future panics when it is polled again after its end,
/// the output is the same `Err`.
#[track_caller]
pub fn create_tracked<F: Future>(future: F, task_type: TaskType) -> CatchPanic<F> {
    CatchPanic { tracked: track_as(future, task_type) }
}

impl<F> CatchPanic<F> {
    /// See [`Tracked::named`].
    pub fn named<'n>(self, name: impl Into<Cow<'n, str>>) -> Self {
        Self { tracked: self.tracked.named(name) }
    }

    /// See [`Tracked::id`].
    pub fn id(&self) -> Option<TaskId> {
        self.tracked.id()
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // After a panic the future is only dropped, unless the caller chooses to poll it again.
        let poll = AssertUnwindSafe(|| self.project().tracked.poll(context));
        match catch_unwind(poll) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(payload) => Poll::Ready(Err(TaskError::panicked(&*payload))),
        }
    }
}
