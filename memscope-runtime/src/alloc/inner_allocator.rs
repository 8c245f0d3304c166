//! The inner allocator, asked for a block in the way that is cheapest for it.

use std::{
    alloc::{GlobalAlloc, Layout},
    any, process,
    ptr::NonNull,
};

use crate::accounting::INNER_ALIGN;

/// The type of the crate mimalloc that implements `GlobalAlloc`.
const MIMALLOC: &str = "mimalloc::MiMalloc";

/// The allocator that a [`TrackingAllocator`](super::TrackingAllocator) forwards to.
///
/// `mimalloc::MiMalloc` is asked for no alignment, because it aligns each block of 16 bytes and
/// more to 16 anyway (`MI_MAX_ALIGN_SIZE` of its `types.h`). Version 3 takes a slow path where a
/// block is to be aligned to 16 and its size is no power of two (`alloc-aligned.c`).
/// `benches/comparison` measures the pair over it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InnerAllocator<A>(A);

impl<A> InnerAllocator<A> {
    pub(super) const fn new(allocator: A) -> Self {
        Self(allocator)
    }

    pub(super) const fn get(&self) -> &A {
        &self.0
    }

    /// Whether `A` aligns each block of 16 bytes and more to 16 whatever it is asked for, and frees
    /// a block by its place alone.
    // PERF: an optimised build decides it when it is compiled.
    #[inline]
    fn aligns_anyway() -> bool {
        let name = any::type_name::<A>();
        name == MIMALLOC || cfg!(test) && name.ends_with(MIMALLOC)
    }

    /// The layout that `A` is asked for and given back.
    #[inline]
    fn eased(layout: Layout) -> Layout {
        let is_eased =
            Self::aligns_anyway() && layout.align() <= INNER_ALIGN && layout.size() >= INNER_ALIGN;
        if !is_eased {
            return layout;
        }
        // SAFETY: a power of two, and below the alignment with which this size was right.
        unsafe { Layout::from_size_align_unchecked(layout.size(), 1) }
    }
}

/// An allocator of this type, where the caller has none at hand; `None` if the type has bytes.
///
/// # Safety
///
/// The program must have an allocator of this type.
pub(super) unsafe fn without_bytes<'a, A: GlobalAlloc>() -> Option<&'a A> {
    // SAFETY: any aligned address holds a value without bytes, and the type has a value.
    (size_of::<A>() == 0).then(|| unsafe { NonNull::dangling().as_ref() })
}

impl<A: GlobalAlloc> InnerAllocator<A> {
    /// Asks again for a block that was not aligned. Only mimalloc with guard pages returns such a
    /// block.
    ///
    /// # Safety
    ///
    /// `A` must have allocated `block` for the eased `layout`.
    #[cold]
    #[inline(never)]
    unsafe fn ask_again(&self, block: *mut u8, layout: Layout, is_zeroed: bool) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { self.0.dealloc(block, Self::eased(layout)) };
        if is_zeroed {
            // SAFETY: the size is at least 16.
            unsafe { self.0.alloc_zeroed(layout) }
        } else {
            // SAFETY: as above.
            unsafe { self.0.alloc(layout) }
        }
    }

    /// Moves a block that lost its alignment in a reallocation to an aligned place.
    ///
    /// # Safety
    ///
    /// `A` must have allocated `block` with this layout, except for the alignment.
    #[cold]
    #[inline(never)]
    unsafe fn move_to_aligned(&self, block: *mut u8, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract. mimalloc moves a block that is not aligned.
        let moved = unsafe { self.0.realloc(block, layout, layout.size()) };
        if moved.is_null() {
            // The block that the program holds is gone, so a null pointer would be a lie.
            process::abort();
        }
        moved
    }
}

fn is_misaligned(block: *mut u8, layout: Layout) -> bool {
    block.addr() & (layout.align() - 1) != 0
}

// SAFETY: `A` keeps the contract, as every request is forwarded to it. A block that was requested
// without an alignment is tested, and requested again with it if it is not aligned. Such a block
// goes back with another layout than it was made with. It is mimalloc's, which frees a block by its
// address alone.
unsafe impl<A: GlobalAlloc> GlobalAlloc for InnerAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        let block = unsafe { self.0.alloc(Self::eased(layout)) };
        if Self::aligns_anyway() && is_misaligned(block, layout) {
            // SAFETY: allocated for this layout, and not null.
            return unsafe { self.ask_again(block, layout, false) };
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        let block = unsafe { self.0.alloc_zeroed(Self::eased(layout)) };
        if Self::aligns_anyway() && is_misaligned(block, layout) {
            // SAFETY: allocated for this layout, and not null.
            return unsafe { self.ask_again(block, layout, true) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract, passed on.
        unsafe { self.0.dealloc(block, Self::eased(layout)) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        let grown = unsafe { self.0.realloc(block, Self::eased(layout), new_size) };
        if Self::aligns_anyway() && is_misaligned(grown, layout) {
            // SAFETY: the caller's contract: the new size is right with this alignment.
            let layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            // SAFETY: just reallocated to this size, and not null.
            return unsafe { self.move_to_aligned(grown, layout) };
        }
        grown
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use self::mimalloc::MiMalloc;
    use super::*;

    mod mimalloc {
        use std::{
            alloc::{GlobalAlloc, Layout, System},
            cell::RefCell,
            ptr,
        };

        /// Stands for mimalloc with guard pages: it aligns to 8 unless it is asked for more.
        pub(super) struct MiMalloc;

        thread_local! {
            /// For each live block: its address, and the address and layout of the block in which
            /// it lies.
            static LIVE: RefCell<Vec<(*mut u8, *mut u8, Layout)>> = const { RefCell::new(vec![]) };
        }

        // SAFETY: each block lies in a block of `System`, which is remembered.
        unsafe impl GlobalAlloc for MiMalloc {
            unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
                let whole = Layout::from_size_align(layout.size() + 16, 16).expect("small");
                // SAFETY: the size is not 0.
                let base = unsafe { System.alloc_zeroed(whole) };
                let front = if layout.align() == 16 { 0 } else { 8 };
                // SAFETY: the block of `System` has 16 bytes more.
                let block = unsafe { base.add(front) };
                LIVE.with_borrow_mut(|live| live.push((block, base, whole)));
                block
            }

            unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
                let (_, base, whole) = LIVE.with_borrow_mut(|live| {
                    let at = live.iter().position(|it| it.0 == block).expect("it is live");
                    live.swap_remove(at)
                });
                // SAFETY: `alloc` has made it with this layout.
                unsafe { System.dealloc(base, whole) };
            }

            unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
                let new = Layout::from_size_align(new_size, layout.align()).expect("small");
                // SAFETY: the size is not 0.
                let grown = unsafe { self.alloc(new) };
                // SAFETY: both blocks have that many bytes.
                unsafe { ptr::copy_nonoverlapping(block, grown, layout.size().min(new_size)) };
                // SAFETY: the caller's contract.
                unsafe { self.dealloc(block, layout) };
                grown
            }
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, INNER_ALIGN).expect("small")
    }

    fn bytes<'block>(block: *mut u8, size: usize) -> &'block [u8] {
        // SAFETY: the tests pass live blocks of this size, whose bytes are written.
        unsafe { slice::from_raw_parts(block, size) }
    }

    #[test]
    fn a_block_that_mimalloc_does_not_align_is_asked_for_again() {
        let inner = InnerAllocator::new(MiMalloc);
        for size in [16, 72, 4_104] {
            // SAFETY: the size is not 0.
            let block = unsafe { inner.alloc_zeroed(layout(size)) };
            assert!(block.addr().is_multiple_of(INNER_ALIGN), "{size}");
            assert_eq!(bytes(block, size), vec![0; size], "{size}");
            // SAFETY: the block has that many bytes.
            unsafe { block.write_bytes(7, size) };
            // SAFETY: a live block with its layout.
            let grown = unsafe { inner.realloc(block, layout(size), size + 8) };
            assert!(grown.addr().is_multiple_of(INNER_ALIGN), "{size}");
            assert_eq!(bytes(grown, size), vec![7; size], "{size}");
            // SAFETY: as above.
            unsafe { inner.dealloc(grown, layout(size + 8)) };
            // SAFETY: the size is not 0.
            let block = unsafe { inner.alloc(layout(size)) };
            assert!(block.addr().is_multiple_of(INNER_ALIGN), "{size}");
            // SAFETY: a live block with its layout.
            unsafe { inner.dealloc(block, layout(size)) };
        }
    }

    #[test]
    fn mimalloc_alone_is_asked_for_no_alignment() {
        assert_eq!(InnerAllocator::<MiMalloc>::eased(layout(72)).align(), 1);
        assert_eq!(InnerAllocator::<std::alloc::System>::eased(layout(72)), layout(72));
        let small = Layout::from_size_align(8, 8).expect("small");
        assert_eq!(InnerAllocator::<MiMalloc>::eased(small), small);
        let page = Layout::from_size_align(64, 4_096).expect("small");
        assert_eq!(InnerAllocator::<MiMalloc>::eased(page), page);
    }
}
