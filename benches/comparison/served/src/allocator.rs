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
#[global_allocator]
static ALLOCATOR: tracking_allocator::Allocator<std::alloc::System> =
    tracking_allocator::Allocator::from_allocator(std::alloc::System);

#[cfg(feature = "tracking-allocator")]
pub use comparison_groups::grouped as handled;
#[cfg(feature = "tracking-allocator")]
pub(crate) use comparison_groups::start;
