//! Frees a block that is in the table of cells, unless a reader holds it.

use std::alloc::GlobalAlloc;

use super::leave;
use crate::{
    accounting::{Place, owner_word},
    alloc::{discharge::discharge, inner_allocator::without_bytes},
};

/// Frees a marked block, which may be a task's Tokio cell. `said` is the size that the program
/// passes.
///
/// # Safety
///
/// As for `GlobalAlloc::dealloc`; the block's word must lie at this place.
#[inline(never)]
pub(crate) unsafe fn free<A: GlobalAlloc>(
    inner: &A,
    block: *mut u8,
    place: Place,
    said: usize,
    align: usize,
) {
    // SAFETY: the caller's contract.
    let (owner, bytes) = unsafe { place.read(block, said) };
    // SAFETY: as above.
    let Some((number, bytes)) = (unsafe { place.unmark(block, bytes) }) else {
        // The program has overwritten the header: the block stays live and charged to its owner.
        return owner_word::refuse_word();
    };
    // NOTE: nothing is read of the block after `leave`: a reader that holds it may give it back.
    // SAFETY: as above; the mark is gone.
    let below = unsafe { place.inner(block, bytes, align) };
    // SAFETY: as above.
    let is_free = unsafe { leave(number, block, owner, bytes) };
    discharge(owner, bytes);
    let Some(below) = below else { return owner_word::refuse_word() };
    // Otherwise the reader that holds the block finds it by its place, and gives it back.
    if is_free {
        // SAFETY: the caller's contract; no reader has the block.
        unsafe { place.unlist(block) };
        place.clear();
        // SAFETY: `inner` allocated it with this layout.
        unsafe { inner.dealloc(below.block, below.layout) };
    }
}

/// Gives back a block that was freed while this thread held it. It is charged to no owner any more.
///
/// # Safety
///
/// The block must be live and of this alignment; an allocator of this type made it and freed it.
pub(super) unsafe fn give_back<A: GlobalAlloc>(block: *mut u8, align: usize) {
    // An allocator with bytes enters no blocks. SAFETY: one of this type made the block.
    let Some(inner) = (unsafe { without_bytes::<A>() }) else { return };
    // SAFETY: the caller's contract.
    let place = unsafe { Place::of(block, align) };
    // SAFETY: as above.
    let (_, bytes) = unsafe { place.read(block, 0) };
    // SAFETY: as above.
    if let Some(below) = unsafe { place.inner(block, bytes, align) } {
        // SAFETY: as above.
        unsafe { place.unlist(block) };
        place.clear();
        // SAFETY: `inner` allocated it with this layout.
        unsafe { inner.dealloc(below.block, below.layout) };
    }
}
