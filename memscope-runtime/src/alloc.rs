//! The global allocator: forward, test for null, then count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use crate::{
    block::{self, Owner, Stretched},
    current,
    tally::Tally,
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
        if let Some(stretched) = Stretched::of_usual(layout) {
            // SAFETY: the size is not zero: it has the word in it.
            let block = unsafe { self.inner.alloc(stretched.layout) };
            // SAFETY: just allocated with this layout.
            return unsafe { charge_usual(block, stretched, layout) };
        }
        let inner = &self.inner;
        // SAFETY: the size is not zero: it has the word in it.
        take(layout, |stretched| unsafe { inner.alloc(stretched) })
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        if let Some(stretched) = Stretched::of_usual(layout) {
            // SAFETY: the size is not zero: it has the word in it.
            let block = unsafe { self.inner.alloc_zeroed(stretched.layout) };
            // SAFETY: just allocated with this layout.
            return unsafe { charge_usual(block, stretched, layout) };
        }
        let inner = &self.inner;
        // SAFETY: the size is not zero: it has the word in it.
        take(layout, |stretched| unsafe { inner.alloc_zeroed(stretched) })
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
        let tally = current::tally();
        if owner.is(tally.account()) {
            tally.discharge(layout.size());
        } else {
            current::discharge_elsewhere(tally, owner, layout.size());
        }
        // SAFETY: allocated by `inner` with the stretched layout.
        unsafe { self.inner.dealloc(block, stretched.layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        // SAFETY: the caller says that the new size, rounded up to the alignment, does not overflow.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let usual = (Stretched::of_usual(layout), Stretched::of_usual(new_layout));
        let (Some(old), Some(new)) = usual else {
            // SAFETY: the caller's contract, passed on.
            return unsafe { retake(&self.inner, block, layout, new_layout) };
        };
        // SAFETY: the caller says that the block is live and has this layout.
        let owner = unsafe { block::owner(block, old) };
        // SAFETY: allocated by `inner` with `old`; `new` has the same alignment and a size that is not zero.
        let grown = unsafe { self.inner.realloc(block, old.layout, new.layout.size()) };
        if grown.is_null() {
            return grown;
        }
        let tally = current::tally();
        if !owner.is(tally.account()) {
            let owner = current::recharge_elsewhere(tally, owner, layout, grown, new_layout);
            // SAFETY: `grown` is not null and now has the layout `new`.
            unsafe { block::write_owner(grown, new, owner) };
            return grown;
        }
        // SAFETY: as above.
        unsafe { block::write_owner(grown, new, owner) };
        if tally.recount(layout.size(), new_size) { settle(tally, grown) } else { grown }
    }
}

/// Charges a new block that is not large, and returns it.
///
/// # Safety
///
/// `block` must be null or just allocated with `stretched`, which must be that of `layout`.
// PERF: what is rare is called last, so that nothing has to be kept for afterwards: most registers stay untouched.
#[inline]
unsafe fn charge_usual(block: *mut u8, stretched: Stretched, layout: Layout) -> *mut u8 {
    if block.is_null() {
        return block;
    }
    let tally = current::tally();
    let Some(account) = tally.account() else {
        // SAFETY: the caller's contract.
        return unsafe { charge_at_signpost(tally, block, layout) };
    };
    // SAFETY: the caller's contract, and not null.
    unsafe { block::write_owner(block, stretched, Owner::account(account)) };
    if tally.count(layout.size()) { settle(tally, block) } else { block }
}

/// Charges a new block where not just the current task is to be charged.
///
/// # Safety
///
/// `block` must be allocated with the stretched layout, and must not be null.
#[inline(never)]
unsafe fn charge_at_signpost(signpost: &'static Tally, block: *mut u8, layout: Layout) -> *mut u8 {
    let owner = current::charge_at_signpost(signpost, block, layout);
    // SAFETY: the block exists, so its layout could be stretched.
    let stretched = unsafe { Stretched::of_live(layout) };
    // SAFETY: the caller's contract.
    unsafe { block::write_owner(block, stretched, owner) };
    block
}

/// Looks at the account, as the owner may never have held as much.
#[inline(never)]
fn settle(tally: &'static Tally, block: *mut u8) -> *mut u8 {
    if let Some(account) = tally.account() {
        tally.settle(account);
    }
    block
}

/// Takes a block of any layout from `inner` and charges it.
#[inline(never)]
fn take(layout: Layout, inner: impl FnOnce(Layout) -> *mut u8) -> *mut u8 {
    let Some(stretched) = Stretched::of(layout) else { return ptr::null_mut() };
    let block = inner(stretched.layout);
    if !block.is_null() {
        let owner = current::charge(block, layout);
        // SAFETY: just allocated with this layout, and not null.
        unsafe { block::write_owner(block, stretched, owner) };
    }
    block
}

/// Reallocates a block of any layout.
///
/// # Safety
///
/// That of `GlobalAlloc::realloc`, with a valid new layout of the same alignment.
#[inline(never)]
unsafe fn retake<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    layout: Layout,
    new_layout: Layout,
) -> *mut u8 {
    let Some(new) = Stretched::of(new_layout) else { return ptr::null_mut() };
    // SAFETY: the block exists, so its layout could be stretched.
    let old = unsafe { Stretched::of_live(layout) };
    // SAFETY: the caller says that the block is live and has this layout.
    let owner = unsafe { block::owner(block, old) };
    // SAFETY: allocated by `inner` with `old`; `new` has the same alignment and a size that is not zero.
    let grown = unsafe { inner.realloc(block, old.layout, new.layout.size()) };
    if !grown.is_null() {
        let owner = current::recharge(owner, layout, grown, new_layout);
        // SAFETY: `grown` is not null and now has the layout `new`.
        unsafe { block::write_owner(grown, new, owner) };
    }
    grown
}
