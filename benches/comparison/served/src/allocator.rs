//! The allocator of the service, and what is measured beside it, as the features say.

#[cfg(not(feature = "tracking-allocator"))]
use std::future::Future;

#[cfg(all(feature = "jemalloc", not(feature = "memscope-over-jemalloc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[cfg(feature = "memscope-over-jemalloc")]
#[global_allocator]
static ALLOCATOR: memscope_rs::TrackingAllocator<tikv_jemallocator::Jemalloc> =
    memscope_rs::TrackingAllocator::new(tikv_jemallocator::Jemalloc);

#[cfg(feature = "hotpath")]
#[global_allocator]
static ALLOCATOR: hotpath::CountingAllocator<std::alloc::System> =
    hotpath::CountingAllocator::with(std::alloc::System);

#[cfg(feature = "dhat")]
#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Begins to measure, as long as the result lives.
#[cfg(feature = "hotpath")]
pub(crate) fn start() -> impl Sized {
    hotpath::HotpathGuardBuilder::new("main").format(hotpath::Format::None).build()
}

/// Begins to measure, as long as the result lives.
#[cfg(feature = "dhat")]
pub(crate) fn start() -> impl Sized {
    dhat::Profiler::builder().testing().build()
}

/// Nothing is to be begun.
#[cfg(not(any(feature = "hotpath", feature = "dhat", feature = "tracking-allocator")))]
pub(crate) fn start() -> impl Sized {}

/// The future of a handler.
#[cfg(not(feature = "tracking-allocator"))]
pub fn handled<F: Future>(future: F) -> impl Future<Output = F::Output> {
    future
}

#[cfg(feature = "tracking-allocator")]
pub use groups::handled;
#[cfg(feature = "tracking-allocator")]
pub(crate) use groups::start;

/// tracking-allocator: the live bytes of each group, which is the least that tells which request
/// holds what.
#[cfg(feature = "tracking-allocator")]
mod groups {
    use std::{
        alloc::System,
        array,
        future::Future,
        sync::atomic::{AtomicI64, Ordering},
    };

    use tracing::{Instrument, info_span, subscriber::set_global_default};
    use tracing_subscriber::{Registry, layer::SubscriberExt};
    use tracking_allocator::{
        AllocationGroupId, AllocationGroupToken, AllocationLayer, AllocationRegistry,
        AllocationTracker, Allocator,
    };

    #[global_allocator]
    static ALLOCATOR: Allocator<System> = Allocator::from_allocator(System);

    /// Groups are numbered in turn; where there are more they share.
    struct LiveBytes([AtomicI64; 4_096]);

    impl LiveBytes {
        fn add(&self, group: &AllocationGroupId, bytes: i64) {
            self.0[group.as_usize().get() % self.0.len()].fetch_add(bytes, Ordering::Relaxed);
        }
    }

    impl AllocationTracker for LiveBytes {
        fn allocated(&self, _: usize, bytes: usize, _: usize, group: AllocationGroupId) {
            self.add(&group, bytes.cast_signed() as i64);
        }

        fn deallocated(
            &self,
            _: usize,
            bytes: usize,
            _: usize,
            owner: AllocationGroupId,
            _: AllocationGroupId,
        ) {
            self.add(&owner, -(bytes.cast_signed() as i64));
        }
    }

    /// Begins to measure.
    pub(crate) fn start() -> impl Sized {
        set_global_default(Registry::default().with(AllocationLayer::new())).expect("the first");
        let tracker = LiveBytes(array::from_fn(|_| AtomicI64::new(0)));
        AllocationRegistry::set_global_tracker(tracker).expect("the first");
        AllocationRegistry::enable_tracking();
    }

    /// The future of a handler, in a group of its own.
    pub fn handled<F: Future>(future: F) -> impl Future<Output = F::Output> {
        let span = info_span!("request");
        AllocationGroupToken::register().expect("few groups").attach_to_span(&span);
        future.instrument(span)
    }
}
