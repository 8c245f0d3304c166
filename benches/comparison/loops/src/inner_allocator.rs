//! The allocator that contenders wrap, chosen by a feature.

#[cfg(not(any(feature = "jemalloc", feature = "mimalloc")))]
mod chosen {
    /// glibc's, or whatever the system has.
    pub type Inner = std::alloc::System;
    /// The wrapped allocator's value.
    pub const INNER: Inner = std::alloc::System;
}

#[cfg(feature = "jemalloc")]
mod chosen {
    /// jemalloc.
    pub type Inner = tikv_jemallocator::Jemalloc;
    /// The wrapped allocator's value.
    pub const INNER: Inner = tikv_jemallocator::Jemalloc;
}

#[cfg(all(feature = "mimalloc", not(feature = "jemalloc")))]
mod chosen {
    /// mimalloc.
    pub type Inner = mimalloc::MiMalloc;
    /// The wrapped allocator's value.
    pub const INNER: Inner = mimalloc::MiMalloc;
}

pub use chosen::{INNER, Inner};
