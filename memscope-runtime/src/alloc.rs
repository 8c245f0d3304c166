//! The global allocator: forward, test for null, then count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;

use crate::{
    block::{self, Owner, Stretched},
    current::{self, Other},
    reserve,
    tally::Tally,
};

/// A global allocator that charges every block to the async task that allocates it.
///
/// It forwards to `A` (`std::alloc::System` unless told otherwise) and keeps one pointer for each block, so a block is
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
/// On each allocation a thread-local read, five plain stores and the word of the block: see the README's table. A block
/// below 4 KiB takes 8 bytes more, after its size is rounded up to a multiple of 8; a larger one keeps its size, and has its 8 bytes elsewhere. `alloc_zeroed` and `realloc` are forwarded, so that large
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

// SAFETY: every request is forwarded to `A`, which keeps the contract. The layout passed on is the user's, below a page with room
// for one word behind it, and with an alignment at least as large; it is the same for the same user layout each time, so blocks
// are returned to `A` with the layout they were taken with. The pointer is `A`'s own. Nothing on the way can unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TrackingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc(layout) };
        }
        let Some(stretched) = Stretched::of_usual(layout) else {
            return take(&self.inner, layout, A::alloc);
        };
        // SAFETY: the size is not zero: it has the word in it.
        let block = unsafe { self.inner.alloc(stretched.layout) };
        // SAFETY: just allocated with this layout.
        unsafe { charge_usual(block, stretched, layout, A::alloc) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        let Some(stretched) = Stretched::of_usual(layout) else {
            return take(&self.inner, layout, A::alloc_zeroed);
        };
        // SAFETY: the size is not zero: it has the word in it.
        let block = unsafe { self.inner.alloc_zeroed(stretched.layout) };
        // SAFETY: just allocated with this layout.
        unsafe { charge_usual(block, stretched, layout, A::alloc_zeroed) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !current::ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.dealloc(block, layout) };
        }
        let Some(stretched) = Stretched::of_usual(layout) else {
            // SAFETY: the caller's contract, passed on.
            return unsafe { put(&self.inner, block, layout) };
        };
        // SAFETY: the caller says that the block is live and has this layout.
        if let Some(owner) = unsafe { block::owner(block, stretched) } {
            let tally = current::tally();
            if !owner.is(tally.account()) {
                // SAFETY: the caller's contract, and a usual layout.
                return unsafe { put_elsewhere(&self.inner, block, layout.size(), tally, owner) };
            }
            tally.discharge(layout.size());
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
            // SAFETY: the caller's contract: nothing was done.
            return unsafe { retake_again(self, block, layout, new_size) };
        }
        let tally = current::tally();
        let Some(owner) = owner.filter(|owner| owner.is(tally.account())) else {
            // SAFETY: `grown` is not null and now has the layout `new`, that of a usual one.
            return unsafe { recharge_usual(owner, layout.size(), grown, new_size) };
        };
        // SAFETY: `grown` is not null and now has the layout `new`, with room for the word.
        let _ = unsafe { block::write_owner(grown, new, owner) };
        if tally.recount(layout.size(), new_size) { settle(tally, grown) } else { grown }
    }
}

/// Charges a new block of a usual layout, and returns it. `alloc`: how it was asked for.
///
/// # Safety
///
/// `block` must be null or just allocated with `stretched`, which must be that of `layout`.
// PERF: what is rare is called last, so that nothing has to be kept for afterwards: most registers stay untouched.
#[inline]
unsafe fn charge_usual<A: GlobalAlloc>(
    block: *mut u8,
    stretched: Stretched,
    layout: Layout,
    alloc: unsafe fn(&A, Layout) -> *mut u8,
) -> *mut u8 {
    if block.is_null() {
        return take_again(layout.size(), alloc);
    }
    let tally = current::tally();
    let Some(account) = tally.account() else {
        // SAFETY: the caller's contract.
        return unsafe { charge_at_signpost(tally, block, layout.size()) };
    };
    // SAFETY: the caller's contract, and not null.
    let _ = unsafe { block::write_owner(block, stretched, Owner::account(account)) };
    if tally.count(layout.size()) { settle(tally, block) } else { block }
}

/// Charges a new block of a usual layout where not just the current task is to be charged.
///
/// # Safety
///
/// `block` must be allocated with the stretched layout, and must not be null.
// PERF: first, and with little to keep for afterwards, what a program that annotates nothing mostly does.
#[inline(never)]
unsafe fn charge_at_signpost(signpost: &'static Tally, block: *mut u8, bytes: usize) -> *mut u8 {
    if !current::is_outside(signpost) {
        // SAFETY: the caller's contract: a usual layout is below a page.
        let layout = unsafe { usual(bytes) };
        let owner = current::charge_at_other_signpost(signpost, block, layout);
        // SAFETY: the caller's contract.
        return unsafe { own(block, bytes, owner) };
    }
    let tally = match current::outside_again() {
        Ok(tally) => tally,
        // SAFETY: the caller's contract.
        Err(other) => return unsafe { charge_outside(other, block, bytes) },
    };
    let Some(account) = tally.account() else {
        // SAFETY: the caller's contract.
        return unsafe { own(block, bytes, Owner::NOBODY) };
    };
    // SAFETY: the caller's contract.
    let block = unsafe { own(block, bytes, Owner::account(account)) };
    if tally.count(bytes) { settle_outside(tally, block) } else { block }
}

/// [`charge_at_signpost`] outside of every tracked task, where the thread comes from another task.
///
/// # Safety
///
/// As there.
#[inline(never)]
unsafe fn charge_outside(other: Other, block: *mut u8, bytes: usize) -> *mut u8 {
    let owner = current::charge_outside(other, bytes);
    // SAFETY: the caller's contract.
    unsafe { own(block, bytes, owner) }
}

/// Charges a block of a usual layout that was reallocated from one, where the current task is not whose it was, and returns it.
///
/// # Safety
///
/// `grown` must be allocated with the stretched layout of a usual one of `new_bytes`, and must not be null; that of `bytes` was usual too.
// PERF: called last, and with sizes only, so that `realloc` has little to keep for afterwards.
#[inline(never)]
unsafe fn recharge_usual(
    owner: Option<Owner>,
    bytes: usize,
    grown: *mut u8,
    new_bytes: usize,
) -> *mut u8 {
    // SAFETY: the caller's contract: a usual layout is below a page.
    let layout = unsafe { usual(bytes) };
    // SAFETY: as above.
    let new_layout = unsafe { usual(new_bytes) };
    let owner = current::recharge(owner, layout, grown, new_layout);
    // SAFETY: the caller's contract.
    unsafe { own(grown, new_bytes, owner) }
}

/// A usual layout of this size: nothing that is counted depends on the alignment.
///
/// # Safety
///
/// `bytes` must be below a page.
#[inline]
unsafe fn usual(bytes: usize) -> Layout {
    // SAFETY: a power of two, and the caller's contract.
    unsafe { Layout::from_size_align_unchecked(bytes, align_of::<usize>()) }
}

/// Writes the owner of a block of a usual layout and of this size, and returns the block.
///
/// # Safety
///
/// `block` must be allocated with the stretched layout, and must not be null.
#[inline]
unsafe fn own(block: *mut u8, bytes: usize, owner: Owner) -> *mut u8 {
    // SAFETY: the caller's contract: a usual layout is below a page.
    let stretched = unsafe { Stretched::of_usual_size(bytes) };
    // SAFETY: the caller's contract.
    let _ = unsafe { block::write_owner(block, stretched, owner) };
    block
}

/// [`settle`] outside of every tracked task, where a task that has become large gets a name.
#[inline(never)]
fn settle_outside(tally: &'static Tally, block: *mut u8) -> *mut u8 {
    let block = settle(tally, block);
    current::note_size(tally);
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

#[inline]
fn discharge(owner: Owner, bytes: usize) {
    let tally = current::tally();
    if owner.is(tally.account()) {
        tally.discharge(bytes);
    } else {
        current::discharge_elsewhere(owner, bytes, tally);
    }
}

/// Takes a block of any layout from `inner` and charges it; null where there is no memory for it, or for its slot.
#[inline(never)]
fn take<A: GlobalAlloc>(
    inner: &A,
    layout: Layout,
    alloc: unsafe fn(&A, Layout) -> *mut u8,
) -> *mut u8 {
    let Some(stretched) = Stretched::of(layout) else { return ptr::null_mut() };
    // SAFETY: the size is not zero: it has the word in it, or is that of a page or more.
    let block = unsafe { alloc(inner, stretched.layout) };
    if block.is_null() {
        let is_given = reserve::give_way(layout.size());
        return if is_given { take(inner, layout, alloc) } else { block };
    }
    // First, as without a slot nobody can be charged.
    // SAFETY: just allocated with this layout, and not null.
    if !unsafe { block::write_owner(block, stretched, Owner::NOBODY) } {
        // SAFETY: just allocated with this layout.
        unsafe { inner.dealloc(block, stretched.layout) };
        return ptr::null_mut();
    }
    let owner = current::charge(block, layout);
    // SAFETY: as above.
    let _ = unsafe { block::write_owner(block, stretched, owner) };
    block
}

/// Takes a block of a usual layout and of this size, of which `alloc` had none, if memscope's own work
/// can have some of what is kept for it; else null.
// PERF: without the allocator, which would have to be kept while it is asked for the first time.
#[cold]
#[inline(never)]
fn take_again<A: GlobalAlloc>(bytes: usize, alloc: unsafe fn(&A, Layout) -> *mut u8) -> *mut u8 {
    if size_of::<A>() != 0 || !reserve::give_way(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: a value without bytes is at any address that is aligned, and there is one of this type.
    let inner = unsafe { ptr::NonNull::<A>::dangling().as_ref() };
    // SAFETY: a usual layout is below a page.
    take(inner, unsafe { usual(bytes) }, alloc)
}

/// Reallocates a block of any layout, of which there was no memory, in the same way.
///
/// # Safety
///
/// That of [`GlobalAlloc::realloc`].
#[cold]
#[inline(never)]
unsafe fn retake_again<A: GlobalAlloc>(
    allocator: &TrackingAllocator<A>,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    if !reserve::give_way(new_size) {
        return ptr::null_mut();
    }
    // SAFETY: the caller's contract.
    unsafe { allocator.realloc(block, layout, new_size) }
}

/// Takes a block of a usual layout and of this size off its owner, who is not the current one, and gives it back to `inner`.
///
/// # Safety
///
/// That of `GlobalAlloc::dealloc`, with a block that has this owner.
// PERF: called last, so that `dealloc` has nothing to keep for afterwards.
#[inline(never)]
unsafe fn put_elsewhere<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    bytes: usize,
    tally: &'static Tally,
    owner: Owner,
) {
    current::discharge_elsewhere(owner, bytes, tally);
    // SAFETY: the caller's contract: a usual layout is below a page.
    let stretched = unsafe { Stretched::of_usual_size(bytes) };
    // SAFETY: allocated by `inner` with the stretched layout.
    unsafe { inner.dealloc(block, stretched.layout) };
}

/// Takes a block of any layout off its owner and gives it back to `inner`.
///
/// # Safety
///
/// That of `GlobalAlloc::dealloc`.
#[inline(never)]
unsafe fn put<A: GlobalAlloc>(inner: &A, block: *mut u8, layout: Layout) {
    // SAFETY: the block exists, so its layout could be stretched.
    let stretched = unsafe { Stretched::of_live(layout) };
    // SAFETY: the caller says that the block is live and has this layout.
    if let Some(owner) = unsafe { block::owner(block, stretched) } {
        match owner.cell() {
            // PERF: nobody needs to know who frees it. Tokio aligns its cells so that they all come here.
            Some(account) => current::discharge_cell(account, layout.size()),
            None => discharge(owner, layout.size()),
        }
    }
    // SAFETY: allocated by `inner` with the stretched layout.
    unsafe { inner.dealloc(block, stretched.layout) };
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
    // NOTE: before, as the place where the block was may be another's afterwards.
    // SAFETY: the caller says that the block is live and has this layout.
    let owner = unsafe { block::owner(block, old) };
    // SAFETY: allocated by `inner` with `old`; `new` has the same alignment and a size that is not zero.
    let grown = unsafe { inner.realloc(block, old.layout, new.layout.size()) };
    if grown.is_null() {
        return grown;
    }
    // First, as in `take`. Nothing can be taken back here: where there is no memory for the slot, nobody is charged.
    // SAFETY: `grown` is not null and now has the layout `new`.
    let has_slot = unsafe { block::write_owner(grown, new, Owner::NOBODY) };
    if has_slot {
        let owner = current::recharge(owner, layout, grown, new_layout);
        // SAFETY: as above.
        let _ = unsafe { block::write_owner(grown, new, owner) };
    } else if let Some(owner) = owner {
        discharge(owner, layout.size());
    }
    grown
}
