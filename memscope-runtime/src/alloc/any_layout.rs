//! The slow path for blocks of any layout: allocates, reallocates and frees them.

use std::{
    alloc::{GlobalAlloc, Layout},
    ptr,
};

#[cfg(feature = "tokio")]
use super::{cells, spawn_charge};
use super::{
    charge, countdown,
    discharge::{self, discharge},
    inner_allocator::without_bytes,
};
use crate::{
    accounting::{FRONT_ALIGN, Inner, Place, Request, owner_word},
    primitives::{reserve, start_bits},
};

/// Returns the layout of an inline block of this size. No counter depends on the alignment.
///
/// # Safety
///
/// `bytes` must be below a page.
#[inline]
pub(super) unsafe fn inline_layout(bytes: usize) -> Layout {
    // SAFETY: a power of two, and the caller's contract.
    unsafe { Layout::from_size_align_unchecked(bytes, align_of::<usize>()) }
}

/// Allocates a block of any layout from `inner` and charges it. Returns null if there is no memory.
#[inline(never)]
pub(super) fn alloc_slow<A: GlobalAlloc>(inner: &A, layout: Layout, is_zeroed: bool) -> *mut u8 {
    match Request::padded(layout) {
        // PERF: the code for Tokio's cells has no branch for other blocks.
        Some(request) => alloc_by(Some(request), inner, layout, is_zeroed),
        None => alloc_by(Request::of(layout), inner, layout, is_zeroed),
    }
}

/// [`alloc_slow`] with this request for the layout.
#[expect(clippy::inline_always, reason = "less is left of it where more is known of the request")]
#[inline(always)]
fn alloc_by<A: GlobalAlloc>(
    request: Option<Request>,
    inner: &A,
    layout: Layout,
    is_zeroed: bool,
) -> *mut u8 {
    let Some(request) = request else { return ptr::null_mut() };
    let fresh = if is_zeroed {
        // SAFETY: the size is not zero: it includes the owner word, or is that of the user's block.
        unsafe { inner.alloc_zeroed(request.layout) }
    } else {
        // SAFETY: as above.
        unsafe { inner.alloc(request.layout) }
    };
    // SAFETY: `fresh` is null, or just allocated for this request.
    let Some((block, place)) = (unsafe { settle_down(inner, request, fresh) }) else {
        let is_given = reserve::give_way(layout.size());
        return if is_given { alloc_slow(inner, layout, is_zeroed) } else { ptr::null_mut() };
    };
    let charged = match place {
        Place::NoSlot => charge::charge_without_slot(block, layout),
        // PERF: this is mostly a tracked task's cell, for which the tests of `charge` are skipped.
        #[cfg(feature = "tokio")]
        _ if cells::may_be_cell(request.align()) && spawn_charge::is_spawning() => {
            spawn_charge::charge_spawned(block, layout.size())
        }
        _ => charge::charge(block, layout),
    };
    if countdown::take(layout.size()) {
        // SAFETY: the request placed this block there, and it is new.
        unsafe { charge::note_sampled(block, layout, place, charged) };
    } else {
        // SAFETY: the request placed this block there.
        unsafe { place.write(block, charged, layout.size()) };
    }
    // PERF: a tracked task ends with its future, so its cell need not be found.
    #[cfg(feature = "tokio")]
    if cells::may_be_cell(request.align()) && !charged.is_cell() {
        // SAFETY: the block is new, lies there, and no other thread has seen it.
        unsafe { cells::enter::<A>(block, layout, place, charged) };
    }
    block
}

/// Allocates an inline block again, after `inner` had no memory for it. Memscope's own work then
/// gives back a piece of the reserve. Returns null for all other work, and where that was not
/// enough.
// PERF: has no argument for the allocator, which the caller would have to keep across the first
// try.
#[cold]
#[inline(never)]
pub(super) fn alloc_again<A: GlobalAlloc>(bytes: usize, is_zeroed: bool) -> *mut u8 {
    // SAFETY: the caller's allocator is of this type.
    let inner = unsafe { without_bytes::<A>() }.filter(|_| reserve::give_way(bytes));
    let Some(inner) = inner else { return ptr::null_mut() };
    // SAFETY: an inline block is below a page.
    alloc_slow(inner, unsafe { inline_layout(bytes) }, is_zeroed)
}

/// Reallocates an inline block again, as [`alloc_again`] allocates.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`, for a block of this size with its owner word in front.
// PERF: except for the block, takes only values that the caller has at hand.
#[cold]
#[inline(never)]
pub(super) unsafe fn realloc_again_inline<A: GlobalAlloc>(
    block: *mut u8,
    bytes: usize,
    new_size: usize,
) -> *mut u8 {
    // SAFETY: the caller's allocator is of this type.
    let Some(inner) = (unsafe { without_bytes::<A>() }) else { return ptr::null_mut() };
    // SAFETY: an inline block is below a page.
    let layout = unsafe { inline_layout(bytes) };
    // SAFETY: the caller's contract.
    unsafe { realloc_again(inner, block, layout, new_size) }
}

/// Reallocates a block of any layout again, as [`alloc_again`] allocates.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`.
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

/// [`alloc_slow`] for a block that is not small and has an alignment of at most 8.
// PERF: a function of its own, so that `alloc` has two short comparisons.
#[inline(never)]
pub(super) fn alloc_large<A: GlobalAlloc>(inner: &A, layout: Layout, is_zeroed: bool) -> *mut u8 {
    alloc_by(Request::large(layout.size()), inner, layout, is_zeroed)
}

/// Places a block in a new inner block. Returns the block and where its owner word is. Returns
/// `None` if there is no memory for either; the inner block has then been freed.
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
    // SAFETY: the caller's contract; it is not null.
    let placed = unsafe { request.place(fresh) };
    if placed.is_none() {
        // SAFETY: `inner` allocated it with this layout.
        unsafe { inner.dealloc(fresh, request.layout) };
    }
    placed
}

/// Subtracts a block of any layout from its owner, and returns it to `inner`. `bytes` is the size
/// that the program passes.
///
/// # Safety
///
/// As for `GlobalAlloc::dealloc`.
#[inline(never)]
pub(super) unsafe fn free_slow<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    bytes: usize,
    align: usize,
) {
    // SAFETY: by the caller's contract the block is live and has this alignment.
    match unsafe { Place::of(block, align) } {
        // PERF: the code for a large block has no branch for the others.
        // SAFETY: as above.
        Place::Slot(slot) => unsafe { free_at(Place::Slot(slot), inner, block, bytes, align) },
        // SAFETY: as above.
        place => unsafe { free_at(place, inner, block, bytes, align) },
    }
}

/// [`free_slow`] for a block whose word lies at this place.
///
/// # Safety
///
/// As for [`free_slow`].
#[expect(clippy::inline_always, reason = "less is left of it where more is known of the place")]
#[inline(always)]
unsafe fn free_at<A: GlobalAlloc>(
    place: Place,
    inner: &A,
    block: *mut u8,
    bytes: usize,
    align: usize,
) {
    // SAFETY: by the caller's contract the block is live and has this alignment.
    #[cfg(feature = "tokio")]
    if unsafe { place.is_marked(block) } {
        // SAFETY: as above.
        return unsafe { cells::free(inner, block, place, bytes, align) };
    }
    // SAFETY: as above.
    let (owner, bytes) = unsafe { place.take(block, bytes) };
    // SAFETY: as above.
    let Some(below) = (unsafe { place.inner(block, bytes, align) }) else {
        // The inner block cannot be found: the block stays live, and stays charged to its owner.
        return owner_word::refuse_word();
    };
    place.clear();
    match owner.cell() {
        // PERF: which task frees the cell does not matter. Tokio aligns its cells so that all of
        // them take this path.
        Some(account) => discharge::discharge_cell(account, bytes),
        None => discharge(owner, bytes),
    }
    // SAFETY: `inner` allocated it with this layout.
    unsafe { inner.dealloc(below.block, below.layout) };
}

/// Reallocates a block of any layout.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`.
#[inline(never)]
pub(super) unsafe fn realloc_slow<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    let align = layout.align();
    // The caller may have raised the alignment to that of all inline blocks.
    let Ok(new_layout) = Layout::from_size_align(new_size, align) else { return ptr::null_mut() };
    let Some(request) = Request::of(new_layout) else { return ptr::null_mut() };
    // SAFETY: by the caller's contract the block is live and has this alignment.
    let place = unsafe { Place::of(block, align) };
    // SAFETY: as above.
    let (owner, bytes) = unsafe { place.take(block, layout.size()) };
    // SAFETY: as above.
    let (mark, bytes) = unsafe { unmark(place, block, bytes, align) };
    // SAFETY: as above.
    let below = unsafe { place.inner(block, bytes, align) };
    let grown = match below {
        Some(below) if request.keeps(place) => {
            // SAFETY: `place` and `below` were read from this block, and the request keeps the
            // place.
            unsafe { resize(inner, below, place, request) }
        }
        _ => {
            // SAFETY: `place` and `below` were read from this block, and both sizes hold that many
            // bytes.
            unsafe { relocate(inner, block, bytes.min(new_size), (below, mark), place, request) }
        }
    };
    let Some((grown, new_place)) = grown else {
        // SAFETY: the block is still live and in its place.
        unsafe { place.write(block, owner, bytes) };
        if start_bits::is_on() {
            // SAFETY: as above.
            unsafe { place.list(block) };
        }
        #[cfg(feature = "tokio")]
        if let Some(number) = mark {
            // SAFETY: as above.
            unsafe { place.mark(block, number) };
        }
        // SAFETY: the caller's contract: the block is unchanged.
        return unsafe { realloc_again(inner, block, layout, new_size) };
    };
    let (owner, lists) = if matches!(new_place, Place::NoSlot) {
        discharge(owner, bytes);
        (charge::charge_without_slot(grown, new_layout), false)
    } else {
        countdown::counted(charge::recharge(owner, bytes, grown, new_layout), bytes, new_size)
    };
    // SAFETY: the request placed this block there.
    unsafe { new_place.write(grown, owner, new_size) };
    if lists {
        // SAFETY: as above; the program has not seen the block yet.
        unsafe { new_place.list(grown) };
    }
    grown
}

/// [`realloc_slow`] for an inline block.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`.
// PERF: a function of its own, so that `realloc` has two short comparisons.
#[inline(never)]
pub(super) unsafe fn realloc_fronted<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    bytes: usize,
    new_size: usize,
) -> *mut u8 {
    // SAFETY: by the caller's contract a live block has this size.
    let layout = unsafe { Layout::from_size_align_unchecked(bytes, FRONT_ALIGN) };
    // SAFETY: as above.
    unsafe { realloc_slow(inner, block, layout, new_size) }
}

/// Reallocates a block in `inner`; its owner word stays in the same kind of place. Returns `None`
/// if there is no memory.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`, with what `below` and `place` say of the block; the request must
/// keep the place.
unsafe fn resize<A: GlobalAlloc>(
    inner: &A,
    below: Inner,
    place: Place,
    request: Request,
) -> Option<(*mut u8, Place)> {
    place.clear();
    // SAFETY: `inner` allocated it with this layout. The request has the same alignment, and a size
    // that is not zero.
    let grown = unsafe { inner.realloc(below.block, below.layout, request.layout.size()) };
    if grown.is_null() {
        return None;
    }
    // SAFETY: `grown` has the layout of the request.
    unsafe { request.place(grown) }
}

/// Removes the mark of a block that is reallocated. Returns the mark and the size of the block.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`; the block's word must lie at this place.
#[inline]
unsafe fn unmark(place: Place, block: *mut u8, bytes: usize, align: usize) -> (Option<u32>, usize) {
    #[cfg(feature = "tokio")]
    if cells::may_be_cell(align) {
        // SAFETY: the caller's contract.
        if let Some((number, bytes)) = unsafe { place.unmark(block, bytes) } {
            return (Some(number), bytes);
        }
    }
    #[cfg(not(feature = "tokio"))]
    let _ = (place, block, align);
    (None, bytes)
}

/// Copies `kept` bytes of a block to a new one and frees the old one, whose inner block and mark
/// are `old`. Returns `None` if there is no memory.
///
/// # Safety
///
/// As for [`resize`], except that the request need not keep the place; both blocks must have `kept`
/// bytes.
unsafe fn relocate<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    kept: usize,
    old: (Option<Inner>, Option<u32>),
    place: Place,
    request: Request,
) -> Option<(*mut u8, Place)> {
    // SAFETY: the size is not zero: it includes the owner word, or is that of the user's block.
    let fresh = unsafe { inner.alloc(request.layout) };
    // SAFETY: `fresh` is null, or just allocated for this request.
    let (new, new_place) = unsafe { settle_down(inner, request, fresh) }?;
    // SAFETY: both blocks have `kept` bytes by the caller's contract, and a new block overlaps no
    // live one.
    unsafe { ptr::copy_nonoverlapping(block, new, kept) };
    let (below, mark) = old;
    #[cfg(feature = "tokio")]
    if mark.is_some_and(|number| !cells::withdraw(number, block)) {
        // The reader that holds the block gives it back.
        return Some((new, new_place));
    }
    if mark.is_some() {
        // SAFETY: the caller's contract; the block has left the table, so no reader has it.
        unsafe { place.unlist(block) };
    }
    place.clear();
    if let Some(below) = below {
        // SAFETY: `inner` allocated it with this layout.
        unsafe { inner.dealloc(below.block, below.layout) };
    }
    Some((new, new_place))
}
