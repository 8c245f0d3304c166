//! LLVM turns `dealloc(realloc(block, old, new), new)` into `dealloc(block, new)` when it
//! optimises. So this crate is always optimised.

use std::alloc::{Layout, alloc, dealloc, realloc};

/// Allocates a block of `size` bytes, and reallocates it to `new_size` right before it frees it.
///
/// # Panics
///
/// When there is no memory.
pub fn reallocate_and_free(layout: Layout, new_size: usize) {
    let new_layout = Layout::from_size_align(new_size, layout.align()).expect("a small size");
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(layout) };
    assert!(!block.is_null());
    for byte in 0..layout.size() {
        // SAFETY: inside of the block.
        let place = unsafe { block.add(byte) };
        // SAFETY: as above.
        unsafe { place.write_volatile(3) };
    }
    // SAFETY: a live block with its layout, and a size that is not zero.
    let block = unsafe { realloc(block, layout, new_size) };
    // SAFETY: it has this layout now.
    unsafe { dealloc(block, new_layout) };
}
