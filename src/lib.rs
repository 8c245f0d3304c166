#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub use memscope_macros::tracked;
#[doc(hidden)]
pub use memscope_runtime::__private;
pub use memscope_runtime::{
    Builder, Error, Timing, TrackingAllocator, async_memory, builder, init,
};

#[cfg(all(feature = "enabled", feature = "global-allocator"))]
#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);
