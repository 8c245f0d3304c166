#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
//! facade

#[doc(no_inline)]
pub use memscope_macros::tracked;
#[doc(hidden)]
pub use memscope_runtime::__private;
pub use memscope_runtime::*;

#[cfg(all(feature = "enabled", feature = "global-allocator"))]
#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);
