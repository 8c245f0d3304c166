//! Scopes: code whose allocations belong to no task, or to a shared owner.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::{accounting::Shared, alloc::Entered, config::ENABLED};

/// Charges what `work` allocates to the thread, outside every task.
///
/// Use it for memory that outlives the task that needs it first, such as a table that is made once,
/// or a pool that grows. The innermost task or scope counts: a tracked task that is polled inside
/// is charged itself, and so is a scope inside this one. Inside, [`current_task_id`] is `None`.
///
/// ```
/// use memscope_runtime::async_memory::{get_memory_snapshot, track, untracked};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let task = track(async { (vec![1u8; 1000], untracked(|| vec![1u8; 5000])) });
/// let id = task.id().unwrap();
/// let (own, table) = task.await;
/// assert_eq!(get_memory_snapshot().task(id).unwrap().live_bytes, 1000);
/// # drop((own, table));
/// # });
/// ```
///
/// # Cost
///
/// Two thread-local reads and two writes. Allocations inside cost what they cost outside every
/// task.
///
/// [`current_task_id`]: crate::async_memory::current_task_id
pub fn untracked<T>(work: impl FnOnce() -> T) -> T {
    let _entered = Owner::Untracked.enter();
    work()
}

/// Charges what `work` allocates to the shared owner with this name: a row of
/// [`MemorySnapshot::shared`].
///
/// Use it for pools and caches, which would otherwise be charged to the request that fills them.
/// The bytes are a part of the untracked ones. A free of such a block, on any thread and in any
/// task, discharges the shared owner. Scopes nest as those of [`untracked`] do.
///
/// There is room for as many names as for sites ([`Builder::site_rows`]); later names share
/// `(other)`. So a name should not carry an id.
///
/// ```
/// use memscope_runtime::async_memory::{get_memory_snapshot, shared, track};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let request = track(async { shared("pages", || vec![1u8; 5000]) });
/// let id = request.id().unwrap();
/// let page = request.await;
/// let snapshot = get_memory_snapshot();
/// assert_eq!(snapshot.task(id).unwrap().allocated_bytes, 0);
/// assert_eq!(snapshot.shared()[0].name, "pages");
/// assert_eq!(snapshot.shared()[0].live_bytes, 5000);
/// assert!(snapshot.process().untracked_bytes >= snapshot.process().shared_bytes);
///
/// drop(page);
/// assert_eq!(get_memory_snapshot().shared()[0].live_bytes, 0);
/// # });
/// ```
///
/// # Cost
///
/// The name is looked up: tens of nanoseconds. An allocation inside takes four locked additions, a
/// free of such a block two. So the sums are exact, however many threads are inside. Threads that
/// are inside at the same time wait for the same cache line.
///
/// [`MemorySnapshot::shared`]: crate::async_memory::MemorySnapshot::shared
/// [`Builder::site_rows`]: crate::Builder::site_rows
pub fn shared<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let _entered = Owner::shared(name).enter();
    work()
}

/// The owner that is charged in a scope.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Untracked,
    Shared(&'static Shared),
}

impl Owner {
    fn shared(name: &str) -> Self {
        // Without memory for a row the bytes are untracked too, but have no name.
        let shared = if ENABLED { Shared::named(name) } else { None };
        shared.map_or(Self::Untracked, Self::Shared)
    }

    fn enter(self) -> Option<Entered> {
        ENABLED.then(|| match self {
            Self::Untracked => Entered::untracked(),
            Self::Shared(shared) => Entered::new(shared.mode()),
        })
    }
}

/// [`untracked`] and [`shared`] as methods of futures.
///
/// ```
/// use memscope_runtime::async_memory::{Scope, get_memory_snapshot};
///
/// # #[global_allocator]
/// # static A: memscope_runtime::TrackingAllocator = memscope_runtime::TrackingAllocator::new(std::alloc::System);
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let page = async { vec![1u8; 5000] }.shared("pages of the scope").await;
/// let snapshot = get_memory_snapshot();
/// assert_eq!(snapshot.shared()[0].live_bytes, 5000);
/// # drop(page);
/// # });
/// ```
pub trait Scope: Future + Sized {
    /// Charges what this future allocates, in its polls and in its drop, to the thread, outside
    /// every task.
    fn untracked(self) -> Scoped<Self> {
        Scoped { future: Some(self), owner: Owner::Untracked }
    }

    /// Charges what this future allocates, in its polls and in its drop, to the shared owner with
    /// this name.
    fn shared(self, name: &str) -> Scoped<Self> {
        Scoped { future: Some(self), owner: Owner::shared(name) }
    }
}

impl<F: Future> Scope for F {}

pin_project! {
    /// A future whose allocations belong to no task; made by [`Scope`].
    ///
    /// # Cost
    ///
    /// Each poll and the drop cost as much as a scope. The name is looked up once, when the future
    /// is made.
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Scoped<F> {
        #[pin]
        future: Option<F>,
        owner: Owner,
    }

    impl<F> PinnedDrop for Scoped<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = this.owner.enter();
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            unreachable!("the future is taken out only when it is dropped");
        };
        let _entered = this.owner.enter();
        future.poll(context)
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("owner", &self.owner).finish_non_exhaustive()
    }
}
