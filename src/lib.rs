#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
//! facade

#[doc(no_inline)]
pub use memscope_macros::tracked;
pub use memscope_runtime::*;
#[doc(hidden)]
pub use memscope_runtime::__private;

#[cfg(all(feature = "enabled", feature = "global-allocator"))]
#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);
