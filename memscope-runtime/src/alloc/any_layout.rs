//! Blocks of any layout: taken, grown and given back where the fast path does not.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use super::discharge::discharge;
use crate::{
    accounting::{
        FRONT, FRONT_ALIGN, Inner, MOST_FRONT, Place, Request, Tally, block_layout, owner_word,
    },
    alloc::{charge, discharge},
    primitives::reserve,
};

/// Whether a block of this size has its word in front, if its alignment is usual.
#[inline]
pub(super) fn is_small(bytes: usize) -> bool {
    bytes <= MOST_FRONT
}

/// A usual layout of this size: nothing that is counted depends on the alignment.
///
/// # Safety
///
/// `bytes` must be below a page.
#[inline]
pub(super) unsafe fn inline_layout(bytes: usize) -> Layout {
    // SAFETY: a power of two, and the caller's contract.
    unsafe { Layout::from_size_align_unchecked(bytes, align_of::<usize>()) }
}

/// Takes a block of any layout from `inner` and charges it; null where there is no memory for it.
#[inline(never)]
pub(super) fn alloc_slow<A: GlobalAlloc>(inner: &A, layout: Layout, is_zeroed: bool) -> *mut u8 {
    let Some(request) = Request::of(layout) else { return ptr::null_mut() };
    let fresh = if is_zeroed {
        // SAFETY: the size is not zero: it has the word in it, or is that of the user's block.
        unsafe { inner.alloc_zeroed(request.layout) }
    } else {
        // SAFETY: as above.
        unsafe { inner.alloc(request.layout) }
    };
    // SAFETY: just allocated with this layout.
    let Some((block, place)) = (unsafe { settle_down(inner, request, fresh) }) else {
        let is_given = reserve::give_way(layout.size());
        return if is_given { alloc_slow(inner, layout, is_zeroed) } else { ptr::null_mut() };
    };
    let owner = if matches!(place, Place::NoSlot) {
        charge::charge_without_slot(block, layout)
    } else {
        charge::charge(block, layout)
    };
    // SAFETY: the place is that of this block.
    unsafe { place.write(block, owner, layout.size()) };
    block
}

/// Takes a block of a usual layout and of this size, of which there was none, if memscope's own
/// work can have some of what is kept for it; else null.
// PERF: without the allocator, which would have to be kept while it is asked for the first time.
#[cold]
#[inline(never)]
pub(super) fn alloc_again<A: GlobalAlloc>(bytes: usize, is_zeroed: bool) -> *mut u8 {
    if size_of::<A>() != 0 || !reserve::give_way(bytes) {
        return ptr::null_mut();
    }
    // SAFETY: a value without bytes is at any address that is aligned, and there is one of this
    // type.
    let inner = unsafe { ptr::NonNull::<A>::dangling().as_ref() };
    // SAFETY: a usual layout is below a page.
    alloc_slow(inner, unsafe { inline_layout(bytes) }, is_zeroed)
}

/// Reallocates a block of a usual layout, for which there was no memory, in the same way.
///
/// # Safety
///
/// That of `GlobalAlloc::realloc`, for a block of this size with its word in front.
// PERF: with what is kept anyway, but for the block.
#[cold]
#[inline(never)]
pub(super) unsafe fn realloc_again_inline<A: GlobalAlloc>(
    block: *mut u8,
    bytes: usize,
    new_size: usize,
) -> *mut u8 {
    if size_of::<A>() != 0 {
        return ptr::null_mut();
    }
    // SAFETY: a value without bytes is at any address that is aligned, and there is one of this
    // type.
    let inner = unsafe { ptr::NonNull::<A>::dangling().as_ref() };
    // SAFETY: a usual layout is below a page.
    let layout = unsafe { inline_layout(bytes) };
    // SAFETY: the caller's contract.
    unsafe { realloc_again(inner, block, layout, new_size) }
}

/// Reallocates a block of any layout, of which there was no memory, in the same way.
///
/// # Safety
///
/// As there.
#[cold]
#[inline(never)]
unsafe fn realloc_again<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    if !reserve::give_way(new_size) {
        return ptr::null_mut();
    }
    // SAFETY: the caller's contract.
    unsafe { realloc_slow(inner, block, layout, new_size) }
}

/// [`alloc_slow`] of a block that is not small.
// PERF: by another name, so that `alloc` has two short comparisons.
#[inline(never)]
pub(super) fn alloc_large<A: GlobalAlloc>(inner: &A, layout: Layout, is_zeroed: bool) -> *mut u8 {
    alloc_slow(inner, layout, is_zeroed)
}

/// Where a new block and its word are; `None` where there is no memory for either, and the inner
/// block has been given back.
///
/// # Safety
///
/// `fresh` must be null or just allocated by `inner` for this request.
unsafe fn settle_down<A: GlobalAlloc>(
    inner: &A,
    request: Request,
    fresh: *mut u8,
) -> Option<(*mut u8, Place)> {
    if fresh.is_null() {
        return None;
    }
    // SAFETY: the caller's contract, and not null.
    let placed = unsafe { request.place(fresh) };
    if placed.is_none() {
        // SAFETY: allocated with this layout.
        unsafe { inner.dealloc(fresh, request.layout) };
    }
    placed
}

/// Gives a block of a usual layout that was made with this size back to `inner`.
///
/// # Safety
///
/// That of `GlobalAlloc::dealloc`, and the block must have been made with this size.
#[inline]
pub(super) unsafe fn give_back_front<A: GlobalAlloc>(inner: &A, block: *mut u8, bytes: usize) {
    // SAFETY: a usual layout is below a page.
    let layout = unsafe { block_layout::front_layout(bytes) };
    // SAFETY: the inner block begins there.
    let block = unsafe { block.sub(FRONT) };
    // SAFETY: allocated by `inner` with this layout.
    unsafe { inner.dealloc(block, layout) };
}

/// Takes a block of a usual layout off its owner, not the current one, and gives it back to
/// `inner`.
///
/// # Safety
///
/// That of `GlobalAlloc::dealloc`, with a block that has its word in front.
// PERF: called last, so that `dealloc` has nothing to keep for afterwards.
#[inline(never)]
pub(super) unsafe fn free_elsewhere<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    bytes: usize,
    tally: &'static Tally,
) {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    if word.bytes() != bytes {
        // SAFETY: the caller's contract. Blocks with just a word in front have small alignments.
        return unsafe { free_slow(inner, block, bytes, FRONT_ALIGN) };
    }
    discharge::discharge_slow(word.owner(), bytes, tally);
    // SAFETY: the word has said that the block was made with this size.
    unsafe { give_back_front(inner, block, bytes) };
}

/// Takes a block of any layout off its owner and gives it back to `inner`. `bytes`: its size, as
/// the program says.
///
/// # Safety
///
/// That of `GlobalAlloc::dealloc`.
#[inline(never)]
pub(super) unsafe fn free_slow<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    bytes: usize,
    align: usize,
) {
    // SAFETY: the caller says that the block is live and has this alignment.
    let place = unsafe { Place::of(block, align) };
    // SAFETY: as above.
    let (owner, bytes) = unsafe { place.read(block, bytes) };
    // SAFETY: as above.
    let Some(below) = (unsafe { place.inner(block, bytes, align) }) else {
        // The inner block cannot be found: it lives on, and stays with its owner.
        return owner_word::refuse_word();
    };
    place.clear();
    match owner.cell() {
        // PERF: it does not matter which task frees it. Tokio aligns its cells so that they all
        // come here.
        Some(account) => discharge::discharge_cell(account, bytes),
        None => discharge(owner, bytes),
    }
    // SAFETY: allocated by `inner` with this layout.
    unsafe { inner.dealloc(below.block, below.layout) };
}

/// Reallocates a block of any layout.
///
/// # Safety
///
/// That of `GlobalAlloc::realloc`.
#[inline(never)]
pub(super) unsafe fn realloc_slow<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    let align = layout.align();
    // SAFETY: the caller says that the new size, rounded up to the alignment, does not overflow.
    let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, align) };
    let Some(request) = Request::of(new_layout) else { return ptr::null_mut() };
    // SAFETY: the caller says that the block is live and has this alignment.
    let place = unsafe { Place::of(block, align) };
    // SAFETY: as above.
    let (owner, bytes) = unsafe { place.read(block, layout.size()) };
    // SAFETY: as above.
    let below = unsafe { place.inner(block, bytes, align) };
    let grown = match below {
        Some(below) if request.keeps(place) => {
            // SAFETY: all of this was said of this block.
            unsafe { resize(inner, below, place, request) }
        }
        _ => {
            // SAFETY: as above.
            unsafe { relocate(inner, block, bytes.min(new_size), below, place, request) }
        }
    };
    let Some((grown, new_place)) = grown else {
        // SAFETY: the block stays where and as it was.
        unsafe { place.write(block, owner, bytes) };
        // SAFETY: the caller's contract: nothing was done.
        return unsafe { realloc_again(inner, block, layout, new_size) };
    };
    let owner = if matches!(new_place, Place::NoSlot) {
        discharge(owner, bytes);
        charge::charge_without_slot(grown, new_layout)
    } else {
        charge::recharge(owner, bytes, grown, new_layout)
    };
    // SAFETY: the place is that of this block.
    unsafe { new_place.write(grown, owner, new_size) };
    grown
}

/// [`realloc_slow`] of a block of a usual layout that becomes larger than such a block.
///
/// # Safety
///
/// As there.
// PERF: by another name, so that `realloc` has two short comparisons.
#[inline(never)]
pub(super) unsafe fn outgrow<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    bytes: usize,
    new_size: usize,
) -> *mut u8 {
    // SAFETY: the caller's contract: the size is one that a block may have.
    let layout = unsafe { Layout::from_size_align_unchecked(bytes, FRONT_ALIGN) };
    // SAFETY: as above.
    unsafe { realloc_slow(inner, block, layout, new_size) }
}

/// Has `inner` reallocate a block whose word stays at the same kind of place; `None` where there is
/// no memory.
///
/// # Safety
///
/// That of `GlobalAlloc::realloc`, for what `below` and `place` say of the block; and the request
/// must keep the place.
unsafe fn resize<A: GlobalAlloc>(
    inner: &A,
    below: Inner,
    place: Place,
    request: Request,
) -> Option<(*mut u8, Place)> {
    place.clear();
    // SAFETY: allocated by `inner` with this layout; the request has the same alignment and a size
    // that is not zero.
    let grown = unsafe { inner.realloc(below.block, below.layout, request.layout.size()) };
    if grown.is_null() {
        return None;
    }
    // SAFETY: `grown` has the layout of the request.
    unsafe { request.place(grown) }
}

/// Copies so many bytes of a block to a new one and gives the old one back; `None` where there is
/// no memory.
///
/// # Safety
///
/// As for [`resize`], and that many bytes must be in both blocks.
unsafe fn relocate<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    kept: usize,
    below: Option<Inner>,
    place: Place,
    request: Request,
) -> Option<(*mut u8, Place)> {
    // SAFETY: the size is not zero: it has the word in it, or is that of the user's block.
    let fresh = unsafe { inner.alloc(request.layout) };
    // SAFETY: just allocated with this layout.
    let (new, new_place) = unsafe { settle_down(inner, request, fresh) }?;
    // SAFETY: the caller says so, and a new block does not overlap an old one.
    unsafe { ptr::copy_nonoverlapping(block, new, kept) };
    place.clear();
    if let Some(below) = below {
        // SAFETY: allocated by `inner` with this layout.
        unsafe { inner.dealloc(below.block, below.layout) };
    }
    Some((new, new_place))
}
