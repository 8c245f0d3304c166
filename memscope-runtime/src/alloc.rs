//! The global allocator: forward, test for null, then count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use crate::{
    block::{self, Stretched},
    current,
};

/// A global allocator that charges every block to the async task that allocates it.
///
/// It forwards to `A` (`std::alloc::System` unless told otherwise) and keeps one pointer behind each block, so a block is
/// taken off the right task whoever frees it, and whenever.
///
/// The facade's default feature `global-allocator` installs it over `System`. To install it over another allocator, turn that
/// feature off and write
///
/// ```
/// # use std::alloc::System as Jemalloc;
/// use memscope_runtime::TrackingAllocator;
///
/// #[global_allocator]
/// static ALLOCATOR: TrackingAllocator<Jemalloc> = TrackingAllocator::new(Jemalloc);
/// # fn main() { let block = vec![1u8; 100]; assert_eq!(block.len(), 100); }
/// ```
///
/// # What it does not see
///
/// Zero-sized values and statics never reach an allocator; memory that a C library takes from `malloc` by itself passes it by.
///
/// # Cost
///
/// On each allocation a thread-local read, five plain stores and the word behind the block: see the README's table. A block
/// takes 8 bytes more, after its size is rounded up to a multiple of 8. `alloc_zeroed` and `realloc` are forwarded, so that large
/// zeroed blocks stay untouched and growth in place stays in place.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackingAllocator<A = System> {
    inner: A,
}

impl<A> TrackingAllocator<A> {
    /// Wraps `inner`, to which every request is forwarded.
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }

    /// The allocator that requests are forwarded to.
    pub const fn inner(&self) -> &A {
        &self.inner
    }
}

// SAFETY: every request is forwarded to `A`, which keeps the contract. The layout passed on is the user's with room
// for one word behind it and an alignment at least as large, and is the same for the same user layout each time, so blocks
// are returned to `A` with the layout they were taken with. The pointer is `A`'s own. Nothing on the way can unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TrackingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc(layout) };
        }
        let Some(stretched) = Stretched::of(layout) else { return ptr::null_mut() };
        // SAFETY: the size is not zero: it has the word in it.
        let block = unsafe { self.inner.alloc(stretched.layout) };
        if !block.is_null() {
            let owner = current::charge(block, layout);
            // SAFETY: just allocated with this layout, and not null.
            unsafe { block::write_owner(block, stretched, owner) };
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        let Some(stretched) = Stretched::of(layout) else { return ptr::null_mut() };
        // SAFETY: the size is not zero: it has the word in it.
        let block = unsafe { self.inner.alloc_zeroed(stretched.layout) };
        if !block.is_null() {
            let owner = current::charge(block, layout);
            // SAFETY: just allocated with this layout, and not null.
            unsafe { block::write_owner(block, stretched, owner) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.dealloc(block, layout) };
        }
        // SAFETY: the block exists, so its layout could be stretched.
        let stretched = unsafe { Stretched::of_live(layout) };
        // SAFETY: the caller says that the block is live and has this layout.
        let owner = unsafe { block::owner(block, stretched) };
        current::discharge(owner, layout.size());
        // SAFETY: allocated by `inner` with the stretched layout.
        unsafe { self.inner.dealloc(block, stretched.layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        let Some(new) = Stretched::of(new_layout) else { return ptr::null_mut() };
        // SAFETY: the block exists, so its layout could be stretched.
        let old = unsafe { Stretched::of_live(layout) };
        // SAFETY: the caller says that the block is live and has this layout.
        let owner = unsafe { block::owner(block, old) };
        // SAFETY: allocated by `inner` with `old`; `new` has the same alignment and a size that is not zero.
        let grown = unsafe { self.inner.realloc(block, old.layout, new.layout.size()) };
        if !grown.is_null() {
            let owner = current::recharge(owner, layout, grown, new_layout);
            // SAFETY: `grown` is not null and now has the layout `new`.
            unsafe { block::write_owner(grown, new, owner) };
        }
        grown
    }
}
