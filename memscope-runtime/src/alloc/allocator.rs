//! The global allocator: forward, test for null, then count.

use std::alloc::{GlobalAlloc, Layout, System};

use super::{
    any_layout::{
        alloc_again, alloc_large, alloc_slow, free_elsewhere, free_slow, give_back_front, is_small,
        outgrow, realloc_again_inline, realloc_slow,
    },
    charge::{charge_inline, settle},
    current::{self},
};
use crate::{
    accounting::{FRONT, FRONT_ALIGN, block_layout},
    config::ENABLED,
};

/// A global allocator that charges every block to the async task that allocates it.
///
/// It forwards to `A` (`std::alloc::System` unless told otherwise) and keeps one pointer for each
/// block, so a block is taken off the right task, whichever thread frees it, and whenever.
///
/// The facade's default feature `global-allocator` installs it over `System`. To install it over
/// another allocator, turn that feature off and write
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
/// Zero-sized values and statics never reach an allocator; memory that a C library takes from
/// `malloc` by itself passes it by.
///
/// # Cost
///
/// On each allocation a thread-local read, five plain stores and the word of the block: see the
/// README's table. A block below 4 KiB takes 8 bytes more, after its size is rounded up to a
/// multiple of 8; with an alignment above 8 it takes as many bytes more as its alignment. A larger
/// one keeps its size, and has 16 bytes elsewhere. `alloc_zeroed` and `realloc` are forwarded, so
/// that large zeroed blocks stay untouched and growth in place stays in place. A block that grows
/// beyond 4 KiB, or shrinks below, is copied once, as is one of an alignment of 16 to 2,048 each
/// time.
///
/// # What it asks of the inner allocator
///
/// Blocks with an alignment of 16 or more, and other sizes than the program's. The size that
/// `dealloc` and `realloc` are passed is the one that the block was made with, also where the
/// compiler has left out a `realloc` before a `dealloc`.
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

// SAFETY: every request is forwarded to `A`, which keeps the contract. The layout passed on has
// room for the user's block at its alignment, and for what is in front of it. A block goes back to
// `A` with the pointer and the layout that it was taken with: its place says where the inner block
// begins, and its word or its slot how large it is. Nothing on the way can unwind.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TrackingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc(layout) };
        }
        if layout.align() > FRONT_ALIGN {
            return alloc_slow(&self.inner, layout, false);
        }
        if !is_small(layout.size()) {
            return alloc_large(&self.inner, layout, false);
        }
        // SAFETY: just compared, and the caller says that it is not 0.
        let front = unsafe { block_layout::front_layout(layout.size()) };
        // SAFETY: the size is not zero: it has the word in it.
        let inner = unsafe { self.inner.alloc(front) };
        if inner.is_null() {
            return alloc_again::<A>(layout.size(), false);
        }
        // SAFETY: just allocated with this layout.
        unsafe { charge_inline(inner, layout.size()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.alloc_zeroed(layout) };
        }
        if layout.align() > FRONT_ALIGN {
            return alloc_slow(&self.inner, layout, true);
        }
        if !is_small(layout.size()) {
            return alloc_large(&self.inner, layout, true);
        }
        // SAFETY: just compared, and the caller says that it is not 0.
        let front = unsafe { block_layout::front_layout(layout.size()) };
        // SAFETY: the size is not zero: it has the word in it.
        let inner = unsafe { self.inner.alloc_zeroed(front) };
        if inner.is_null() {
            return alloc_again::<A>(layout.size(), true);
        }
        // SAFETY: just allocated with this layout.
        unsafe { charge_inline(inner, layout.size()) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.dealloc(block, layout) };
        }
        if !block_layout::is_fronted(block) {
            // SAFETY: the caller's contract, passed on.
            return unsafe { free_slow(&self.inner, block, layout.size(), layout.align()) };
        }
        // SAFETY: the caller says that the block is live; its address says that the word is in
        // front.
        let word = unsafe { block_layout::front_word(block) };
        let tally = current::tally();
        // NOTE: at a signpost this lets zeroes pass, which then are counted there.
        if !word.is(tally.owner(), layout.size()) {
            // SAFETY: the caller's contract, and the block's word.
            return unsafe { free_elsewhere(&self.inner, block, layout.size(), tally) };
        }
        tally.discharge(layout.size());
        // SAFETY: the word has said that the block was made with this size.
        unsafe { give_back_front(&self.inner, block, layout.size()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner.realloc(block, layout, new_size) };
        }
        if !block_layout::is_fronted(block) {
            // SAFETY: the caller's contract, passed on.
            return unsafe { realloc_slow(&self.inner, block, layout, new_size) };
        }
        if !is_small(new_size) {
            // SAFETY: the caller's contract, passed on. The address says that the alignment is
            // usual.
            return unsafe { outgrow(&self.inner, block, layout.size(), new_size) };
        }
        // SAFETY: the caller says that the block is live; its address says that the word is in
        // front.
        let word = unsafe { block_layout::front_word(block) };
        let tally = current::tally();
        // NOTE: as in `dealloc`.
        if !word.is(tally.owner(), layout.size()) {
            // SAFETY: the caller's contract, passed on.
            return unsafe { realloc_slow(&self.inner, block, layout, new_size) };
        }
        // SAFETY: the word has said that the block was made with this size.
        let old = unsafe { block_layout::front_layout(layout.size()) };
        // SAFETY: just compared, and the caller says that it is not 0.
        let new = unsafe { block_layout::front_layout(new_size) };
        // SAFETY: the inner block begins there.
        let inner = unsafe { block.sub(FRONT) };
        // SAFETY: allocated by `inner` with `old`; `new` has the same alignment and a size that is
        // not zero.
        let grown = unsafe { self.inner.realloc(inner, old, new.size()) };
        if grown.is_null() {
            // SAFETY: the caller's contract: nothing was done, and the word has said the size.
            return unsafe { realloc_again_inline::<A>(block, word.bytes(), new_size) };
        }
        // SAFETY: `grown` has the layout `new`, with room for the word.
        let block = unsafe { block_layout::write_front(grown, word.resized(new_size)) };
        // PERF: the old size from the word, which is kept anyway.
        if tally.recount(word.bytes(), new_size) { settle(tally, block) } else { block }
    }
}

#[cfg(all(test, feature = "enabled"))]
mod tests {
    use std::{
        sync::{Mutex, PoisonError},
        thread,
    };

    use super::*;
    use crate::{
        accounting::{Balance, Owner, OwnerKind, registry},
        primitives::{arena::shortage, page_map},
    };

    const ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

    /// Runs `work` on a new thread that nothing is known of, and with the orphans to itself.
    fn on_a_new_thread(work: impl FnOnce() + Send) {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        thread::scope(|scope| scope.spawn(work).join().expect("no panic"));
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("small")
    }

    /// Live bytes and blocks of the orphans.
    fn orphans() -> (i64, u32) {
        let account = registry::orphans_account();
        let Balance::Open { net_bytes, net_blocks, .. } = account.read() else {
            panic!("it is never closed")
        };
        let tally = registry::orphans(account).expect("theirs");
        (tally.own_live_bytes + net_bytes, tally.own_live_blocks.wrapping_add(net_blocks))
    }

    fn plus((bytes, blocks): (i64, u32), more: i64) -> (i64, u32) {
        (bytes + more, blocks + 1)
    }

    fn alloc_slow(layout: Layout) -> *mut u8 {
        // SAFETY: the tests ask for no empty block.
        unsafe { ALLOCATOR.alloc(layout) }
    }

    fn free(block: *mut u8, layout: Layout) {
        // SAFETY: the tests pass live blocks, each once.
        unsafe { ALLOCATOR.dealloc(block, layout) };
    }

    #[test]
    fn a_thread_that_finds_no_account_charges_the_orphans_and_its_free_takes_off_just_that() {
        for (size, align) in [(40, 8), (40, 64), (100_000, 8)] {
            on_a_new_thread(|| {
                let (layout, before) = (layout(size, align), orphans());
                let bytes = i64::try_from(size).expect("small");
                let block = shortage::during(|| alloc_slow(layout));
                assert!(!block.is_null());
                assert_eq!(orphans(), plus(before, bytes), "{layout:?}");
                free(block, layout);
                assert_eq!(orphans(), before, "{layout:?}");
            });
        }
    }

    #[test]
    fn outside_of_tasks_a_thread_that_finds_no_account_charges_the_orphans() {
        on_a_new_thread(|| {
            let before = orphans();
            let owner = shortage::during(|| {
                crate::alloc::charge::charge_outside(current::SwitchedTask::NOBODY, 40)
            });
            assert!(matches!(owner.read(), OwnerKind::Account(_)));
            assert_eq!(owner, Owner::account(registry::orphans_account()));
            assert_eq!(orphans(), plus(before, 40));
            crate::alloc::discharge::discharge_slow(owner, 40, current::tally());
            assert_eq!(orphans(), before);
        });
    }

    /// Large enough to begin where no block with a slot has begun.
    const HUGE: usize = 64 << 20;

    #[test]
    fn a_large_block_without_a_slot_is_the_orphans_through_growth_and_until_it_is_freed() {
        on_a_new_thread(|| {
            free(alloc_slow(layout(40, 8)), layout(40, 8));
            let (before, refused) = (orphans(), page_map::slots_refused());
            let block = shortage::during(|| alloc_slow(layout(HUGE, 8)));
            assert_eq!(page_map::slots_refused(), refused + 1, "there was a slot");
            assert_eq!(orphans(), plus(before, HUGE.cast_signed() as i64));
            let grow = |block, from: usize, to| {
                // SAFETY: a live block with its layout.
                unsafe { ALLOCATOR.realloc(block, layout(from, 8), to) }
            };
            let block = shortage::during(|| grow(block, HUGE, 2 * HUGE));
            assert!(!block.is_null());
            assert_eq!(orphans(), plus(before, 2 * HUGE.cast_signed() as i64));
            // With memory it is the thread's.
            let block = grow(block, 2 * HUGE, 100);
            assert_eq!(orphans(), before);
            free(block, layout(100, 8));
            assert_eq!(orphans(), before);
        });
    }

    #[test]
    fn a_large_block_that_would_be_taken_for_a_padded_one_is_refused_without_a_slot() {
        on_a_new_thread(|| {
            let (before, wide) = (orphans(), layout(HUGE, 64));
            assert!(shortage::during(|| alloc_slow(wide)).is_null());
            let small = layout(100, 64);
            let block = alloc_slow(small);
            // SAFETY: a live block with its layout.
            let grown = shortage::during(|| unsafe { ALLOCATOR.realloc(block, small, HUGE) });
            assert!(grown.is_null(), "the block stays");
            free(block, small);
            assert_eq!(orphans(), before);
        });
    }
}
