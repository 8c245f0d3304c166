//! The global allocator: forwards each request, tests the result for null, then counts the block.

use std::alloc::{GlobalAlloc, Layout, System};

use super::{
    any_layout::{alloc_again, alloc_large, alloc_slow, free_slow, realloc_fronted, realloc_slow},
    charge::{charge_inline, raise},
    current,
    inline_blocks::{free_elsewhere, give_back_front, realloc_elsewhere, resize_own},
    inner_allocator::InnerAllocator,
    recent::RECENT,
};
use crate::{
    accounting::{FRONT_ALIGN, block_layout},
    config::ENABLED,
};

/// A global allocator that charges every block to the async task that allocates it.
///
/// It forwards to `A`, by default `std::alloc::System`, and stores one pointer to the owner with
/// each block. So a free is subtracted from the task that allocated the block, on any thread and at
/// any time.
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
/// Zero-sized values and statics never reach an allocator. Memory that a C library takes directly
/// from `malloc` bypasses it.
///
/// # Cost
///
/// Each allocation costs a thread-local read, three plain stores and the owner word of the block.
/// Its free costs two more plain stores: see `docs/PERFORMANCE.md`. The memory overhead depends on
/// the block:
///
/// - A block below 4 KiB takes 8 more bytes, after its size is rounded up to a multiple of 8.
/// - With an alignment of 16 to 2,048 it takes as many more bytes as its alignment.
/// - A larger block keeps its size, and has 16 bytes elsewhere.
///
/// `alloc_zeroed` and `realloc` are forwarded: large zeroed blocks stay untouched, and growth in
/// place stays in place. A block that grows beyond 4 KiB, or shrinks below it, is copied once. A
/// block with an alignment of 16 to 2,048 is copied each time.
///
/// # What it asks of the inner allocator
///
/// It asks for blocks with an alignment of 16 or more, and for other sizes than the program's. Of
/// `mimalloc::MiMalloc`, which aligns to 16 anyway, it asks for no alignment: that is faster.
/// `dealloc` and `realloc` always pass the size that the block was made with. This holds even where
/// the compiler has removed a `realloc` before a `dealloc`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrackingAllocator<A = System> {
    inner: InnerAllocator<A>,
}

impl<A> TrackingAllocator<A> {
    /// Wraps `inner`, which receives every request.
    pub const fn new(inner: A) -> Self {
        Self { inner: InnerAllocator::new(inner) }
    }

    /// Returns the inner allocator.
    pub const fn inner(&self) -> &A {
        self.inner.get()
    }
}

// SAFETY: every request is forwarded to `A`, which keeps the contract. The inner layout has room
// for the user's block at its alignment, and for what stands in front of it. A block goes back to
// `A` with the pointer and the layout of its allocation by `A`. The block's address tells where the
// inner block begins, and its owner word or its slot tells the size. No function on the way
// unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for TrackingAllocator<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner().alloc(layout) };
        }
        if layout.align() > FRONT_ALIGN {
            return alloc_slow(&self.inner, layout, false);
        }
        if !block_layout::is_small(layout.size()) {
            return alloc_large(&self.inner, layout, false);
        }
        // SAFETY: `is_small` bounds the size from above, and by the caller's contract it is not 0.
        let front = unsafe { block_layout::front_layout(layout.size()) };
        // SAFETY: the size is not zero: it includes the owner word.
        let inner = unsafe { self.inner.alloc(front) };
        if inner.is_null() {
            return alloc_again::<InnerAllocator<A>>(layout.size(), false);
        }
        // SAFETY: just allocated with the front layout of this size, and not null.
        unsafe { charge_inline(inner, layout.size()) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner().alloc_zeroed(layout) };
        }
        if layout.align() > FRONT_ALIGN {
            return alloc_slow(&self.inner, layout, true);
        }
        if !block_layout::is_small(layout.size()) {
            return alloc_large(&self.inner, layout, true);
        }
        // SAFETY: `is_small` bounds the size from above, and by the caller's contract it is not 0.
        let front = unsafe { block_layout::front_layout(layout.size()) };
        // SAFETY: the size is not zero: it includes the owner word.
        let inner = unsafe { self.inner.alloc_zeroed(front) };
        if inner.is_null() {
            return alloc_again::<InnerAllocator<A>>(layout.size(), true);
        }
        // SAFETY: just allocated with the front layout of this size, and not null.
        unsafe { charge_inline(inner, layout.size()) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner().dealloc(block, layout) };
        }
        if !block_layout::is_fronted(block) {
            // SAFETY: the caller's contract, passed on.
            return unsafe { free_slow(&self.inner, block, layout.size(), layout.align()) };
        }
        // SAFETY: by the caller's contract the block is live; its address tells that the owner word
        // is in front.
        let word = unsafe { block_layout::front_word(block) };
        let tally = current::tally();
        // NOTE: a mode tally has 0 for an owner. There a word whose owner the program has
        // overwritten with zeroes passes this test; `Tally::zeroes` counts such frees.
        if !word.is(tally.owner(), layout.size()) {
            return RECENT.with(|recent| {
                // SAFETY: the caller's contract, and the owner word is in front.
                unsafe { free_elsewhere(block, layout.size(), tally, recent, &self.inner) };
            });
        }
        tally.discharge(layout.size());
        // SAFETY: the owner word has confirmed that the block was made with this size.
        unsafe { give_back_front(&self.inner, block, layout.size()) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if !ENABLED {
            // SAFETY: the caller's contract, passed on.
            return unsafe { self.inner().realloc(block, layout, new_size) };
        }
        if !block_layout::is_fronted(block) {
            // SAFETY: the caller's contract, passed on.
            return unsafe { realloc_slow(&self.inner, block, layout, new_size) };
        }
        if !block_layout::is_small(new_size) {
            // SAFETY: the caller's contract, passed on. The address tells that the alignment is at
            // most 8.
            return unsafe { realloc_fronted(&self.inner, block, layout.size(), new_size) };
        }
        // SAFETY: by the caller's contract the block is live; its address tells that the owner word
        // is in front.
        let word = unsafe { block_layout::front_word(block) };
        let tally = current::tally();
        // NOTE: as in `dealloc`.
        if !word.is(tally.owner(), layout.size()) {
            // SAFETY: the caller's contract, passed on.
            return unsafe { realloc_elsewhere(block, layout.size(), new_size, &self.inner) };
        }
        // SAFETY: the caller's contract; the word was compared, and `is_small` bounds the new size
        // from above. It is not 0.
        unsafe { resize_own(block, word, layout.size(), new_size, tally, &self.inner, raise) }
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
        alloc::{charge::charge_outside, current::SwitchedTask, discharge::discharge},
        primitives::{arena::shortage, page_map},
    };

    const ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

    /// Runs `work` on a new, unregistered thread; no other test charges the orphans meanwhile.
    fn on_a_new_thread(work: impl FnOnce() + Send) {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        thread::scope(|scope| scope.spawn(work).join().expect("no panic"));
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("small")
    }

    /// Returns the live bytes and blocks of the orphans.
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
            let owner = shortage::during(|| charge_outside(SwitchedTask::NO_TASK, 40));
            assert!(matches!(owner.read(), OwnerKind::Account(_)));
            assert_eq!(owner, Owner::account(registry::orphans_account()));
            assert_eq!(orphans(), plus(before, 40));
            discharge(owner, 40);
            assert_eq!(orphans(), before);
        });
    }

    /// Large enough to begin in a page for which no slot has been made.
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
            // With memory available, the thread gets the block.
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
