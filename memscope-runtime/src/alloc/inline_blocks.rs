//! Frees and reallocates inline blocks, whose owner word is in the 8 bytes in front, where the
//! current tally is not their owner's.

use std::alloc::GlobalAlloc;

use super::{
    any_layout::{free_slow, realloc_again_inline, realloc_fronted},
    charge::raise_outside,
    countdown, current, discharge,
    recent::{RECENT, Recent},
};
use crate::accounting::{
    FRONT, FRONT_ALIGN, Tally,
    block_layout::{self},
    owner_word::OwnerWord,
};

/// Returns an inline block to `inner`.
///
/// # Safety
///
/// As for `GlobalAlloc::dealloc`; the block must have been made with this size.
#[inline]
pub(super) unsafe fn give_back_front<A: GlobalAlloc>(inner: &A, block: *mut u8, bytes: usize) {
    // SAFETY: the caller's contract: an inline block of this size was made.
    let layout = unsafe { block_layout::front_layout(bytes) };
    // SAFETY: the inner block begins `FRONT` bytes in front of the block.
    let block = unsafe { block.sub(FRONT) };
    // SAFETY: `inner` allocated it with this layout.
    unsafe { inner.dealloc(block, layout) };
}

/// Subtracts an inline block from its owner, which is not the current one, and returns it to
/// `inner`.
///
/// # Safety
///
/// As for `GlobalAlloc::dealloc`; the block must have its owner word in front.
// PERF: a tail call, so `dealloc` saves no registers. The most frequent case of a program without
// annotations calls nothing but `inner`.
#[inline(never)]
pub(super) unsafe fn free_elsewhere<A: GlobalAlloc>(
    block: *mut u8,
    bytes: usize,
    tally: &'static Tally,
    recent: &Recent,
    inner: &A,
) {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    match recent.charged_in(tally) {
        Some(own) if word.is(own.owner(), bytes) => {
            own.discharge(bytes);
            // SAFETY: the owner word has confirmed that the block was made with this size.
            unsafe { give_back_front(inner, block, bytes) };
        }
        // SAFETY: the caller's contract.
        Some(own) => unsafe { free_for_another(block, bytes, own, recent, inner) },
        // SAFETY: as above.
        None => unsafe { free_foreign(block, bytes, tally, recent, inner) },
    }
}

/// [`free_elsewhere`] for a block that `own` frees, and that is not known to be its own of this
/// size.
///
/// # Safety
///
/// As for [`free_elsewhere`].
#[inline(never)]
unsafe fn free_for_another<A: GlobalAlloc>(
    block: *mut u8,
    bytes: usize,
    own: &'static Tally,
    recent: &Recent,
    inner: &A,
) {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    if word.bytes() != bytes {
        // SAFETY: the caller's contract.
        return unsafe { free_listed(block, bytes, inner) };
    }
    discharge::discharge_foreign(word.owner(), bytes, own, recent);
    // SAFETY: the owner word has confirmed that the block was made with this size.
    unsafe { give_back_front(inner, block, bytes) };
}

/// [`free_elsewhere`] for a block of another owner than the current one.
///
/// # Safety
///
/// As for [`free_elsewhere`].
#[inline(never)]
unsafe fn free_foreign<A: GlobalAlloc>(
    block: *mut u8,
    bytes: usize,
    tally: &'static Tally,
    recent: &Recent,
    inner: &A,
) {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    if word.bytes() != bytes {
        // SAFETY: the caller's contract.
        return unsafe { free_listed(block, bytes, inner) };
    }
    discharge::discharge_slow(word.owner(), bytes, tally, recent);
    // SAFETY: the owner word has confirmed that the block was made with this size.
    unsafe { give_back_front(inner, block, bytes) };
}

/// [`free_elsewhere`] for a block whose word does not have just this size: the block may be listed.
///
/// # Safety
///
/// As for [`free_elsewhere`].
// PERF: takes the arguments of its caller, so that the call is a jump.
#[inline(never)]
unsafe fn free_listed<A: GlobalAlloc>(block: *mut u8, bytes: usize, inner: &A) {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    if !word.is_listed_with(bytes) {
        // SAFETY: the caller's contract. A block with only an owner word in front has an alignment
        // of at most 8.
        return unsafe { free_slow(inner, block, bytes, FRONT_ALIGN) };
    }
    let word = word.unlisted();
    // SAFETY: the word lies there. The block must not count as listed once its memory is free.
    unsafe { block_layout::write_front(block.wrapping_sub(FRONT), word) };
    discharge::discharge(word.owner(), bytes);
    // SAFETY: the owner word has confirmed that the block was made with this size.
    unsafe { give_back_front(inner, block, bytes) };
}

/// Reallocates an inline block that stays one, and that the owner of `tally` reallocates itself.
/// `raise` is called if that may be a new peak.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`; `word` must be the block's word, and must name the owner of
/// `tally` and the size `bytes`. The new size must be that of an inline block.
#[inline]
pub(super) unsafe fn resize_own<A: GlobalAlloc>(
    block: *mut u8,
    word: OwnerWord,
    bytes: usize,
    new_size: usize,
    tally: &'static Tally,
    inner: &A,
    raise: impl FnOnce(&'static Tally, *mut u8) -> *mut u8,
) -> *mut u8 {
    // SAFETY: the owner word has confirmed that the block was made with this size.
    let old = unsafe { block_layout::front_layout(bytes) };
    // SAFETY: the caller's contract.
    let new = unsafe { block_layout::front_layout(new_size) };
    // SAFETY: the inner block begins `FRONT` bytes in front of the block.
    let below = unsafe { block.sub(FRONT) };
    // SAFETY: `below` was allocated with `old`. `new` has the same alignment, and a size that is
    // not zero.
    let grown = unsafe { inner.realloc(below, old, new.size()) };
    if grown.is_null() {
        // SAFETY: the caller's contract: the block is unchanged, and its owner word has confirmed
        // the size.
        return unsafe { realloc_again_inline::<A>(block, word.bytes(), new_size) };
    }
    // SAFETY: `grown` has the layout `new`, with room for the owner word.
    let block = unsafe { block_layout::write_front(grown, word.resized(new_size)) };
    // PERF: takes the old size from the owner word, which is in a register anyway.
    if new_size > word.bytes() && countdown::take(new_size - word.bytes()) {
        // SAFETY: the block was just reallocated, and its owner word is in front.
        return unsafe { countdown::sample_grown(tally, block, word.bytes()) };
    }
    if tally.recount(word.bytes(), new_size) { raise(tally, block) } else { block }
}

/// Reallocates an inline block that stays one. Its owner is not that of the current tally, or its
/// word does not have the size `bytes` that the program passes.
///
/// # Safety
///
/// As for `GlobalAlloc::realloc`; the block must have its owner word in front. The new size must be
/// that of an inline block.
#[inline(never)]
pub(super) unsafe fn realloc_elsewhere<A: GlobalAlloc>(
    block: *mut u8,
    bytes: usize,
    new_size: usize,
    inner: &A,
) -> *mut u8 {
    // SAFETY: the caller's contract.
    let word = unsafe { block_layout::front_word(block) };
    let own = RECENT.with(|recent| recent.charged_in(current::tally()));
    match own.filter(|own| word.is(own.owner(), bytes)) {
        // SAFETY: the caller's contract, and the word was compared.
        Some(own) => unsafe {
            resize_own(block, word, bytes, new_size, own, inner, |own, block| {
                raise_outside(own, block.wrapping_sub(FRONT))
            })
        },
        // SAFETY: the caller's contract.
        None => unsafe { realloc_fronted(inner, block, bytes, new_size) },
    }
}
