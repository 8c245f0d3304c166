//! The wrapper stream: its task is like that of a future, and also counts items.

use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::stream::{FusedStream, Stream};
use pin_project_lite::pin_project;

use super::future::{Tracked, track_for};
use crate::{
    accounting::{Counts, FutureType, stream_items},
    model::{TaskId, TaskType},
};

pin_project! {
    /// A stream whose allocations are charged to a task of its own; made by
    /// [`TrackStream::tracked`].
    ///
    /// Its task is `Completed` when the stream ends, `Cancelled` when it is dropped before, and
    /// `Panicked` when a poll panics. It is `Send`, `Sync` and `Unpin` if the stream in it is. It
    /// gives the same items and panics when that stream does.
    ///
    /// # Cost
    ///
    /// A poll costs what one of [`Tracked`] does. A poll that yields an item costs about twice
    /// that.
    #[must_use = "streams do nothing unless polled"]
    pub struct TrackedStream<S> {
        #[pin]
        tracked: Tracked<S>,
        items: Option<&'static Counts>,
    }
}

/// Tracks streams; implemented for all of them.
pub trait TrackStream: Stream + Sized {
    /// Gives the stream a task of its own, whose row also counts items:
    /// [`TaskMemoryProfile::items`].
    ///
    /// The task has the type [`TaskType::Streaming`] and is named after the stream's type; both can
    /// be changed. Its row carries the place of this call.
    ///
    /// ```
    /// use futures::{StreamExt, stream};
    /// use memscope_runtime::async_memory::{TrackStream, get_memory_snapshot};
    ///
    /// # #[global_allocator]
    /// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
    /// # futures::executor::block_on(async {
    /// let lines = stream::iter([100, 300]).map(|size| vec![0u8; size]).tracked().named("lines");
    /// let id = lines.id().unwrap();
    /// let all: usize = lines.map(|line| line.len()).fold(0, async |sum, len| sum + len).await;
    /// assert_eq!(all, 400);
    ///
    /// let snapshot = get_memory_snapshot();
    /// let items = snapshot.task(id).unwrap().items.unwrap();
    /// assert_eq!(items.count, 2);
    /// assert_eq!((items.allocated_bytes, items.largest_bytes), (400, 300));
    /// assert_eq!(items.net_bytes, 400, "they left with the items");
    /// # });
    /// ```
    ///
    /// [`TaskMemoryProfile::items`]: crate::async_memory::TaskMemoryProfile::items
    #[track_caller]
    fn tracked(self) -> TrackedStream<Self> {
        let tracked =
            track_for::<Self, Self>(self, FutureType::of_other::<Self>(), TaskType::Streaming);
        let items = tracked.record().and_then(stream_items::open);
        TrackedStream { tracked, items }
    }
}

impl<S: Stream> TrackStream for S {}

impl<S> TrackedStream<S> {
    /// See [`Tracked::task_type`].
    pub fn task_type(self, task_type: TaskType) -> Self {
        Self { tracked: self.tracked.task_type(task_type), ..self }
    }

    /// See [`Tracked::named`].
    pub fn named<'n>(self, name: impl Into<Cow<'n, str>>) -> Self {
        Self { tracked: self.tracked.named(name), ..self }
    }

    /// See [`Tracked::id`].
    pub fn id(&self) -> Option<TaskId> {
        self.tracked.id()
    }
}

impl<S: Stream> Stream for TrackedStream<S> {
    type Item = S::Item;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        let (stream, task) = this.tracked.parts();
        let Some(record) = task else { return stream.poll_next(context) };
        let before = record.tally().read();
        let (running, is_first) = record.run();
        if is_first {
            running.begin(Some(context));
        }
        let poll = stream.poll_next(context);
        if let (Poll::Ready(Some(_)), Some(items)) = (&poll, this.items) {
            items.note(&before, &record.tally().read());
        }
        running.finish(matches!(poll, Poll::Ready(None)));
        poll
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.tracked.get_ref().map_or((0, None), S::size_hint)
    }
}

impl<S: FusedStream> FusedStream for TrackedStream<S> {
    fn is_terminated(&self) -> bool {
        self.tracked.get_ref().is_none_or(S::is_terminated)
    }
}

impl<S> fmt::Debug for TrackedStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedStream").field("id", &self.id()).finish_non_exhaustive()
    }
}
