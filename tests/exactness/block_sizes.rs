//! A block may be freed with another size than it was allocated with, and the program may have
//! overwritten the word in front of it.

use std::{
    alloc::{GlobalAlloc, Layout, System, alloc, alloc_zeroed, dealloc, realloc},
    cell::Cell,
    hint::black_box,
    sync::atomic::{AtomicI64, Ordering},
};

use memscope_rs::{
    TrackingAllocator,
    async_memory::{TaskId, get_memory_snapshot, track},
};
use memscope_tests::{alone, poll};
use proptest::{prelude::*, test_runner::Config};

/// `System`, which holds each block that it gets back against the layout that it was taken with.
struct Checking;

/// Blocks that came back with another layout than they were taken with.
static CHANGED: AtomicI64 = AtomicI64::new(0);

thread_local! {
    /// Blocks that this thread has taken and not given back: others may start or end meanwhile.
    static INNER_BLOCKS: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: TrackingAllocator<Checking> = TrackingAllocator::new(Checking);

/// What `Checking` has in front of a block: as much as its alignment, and the layout in the last 16
/// bytes of that.
fn around(layout: Layout) -> (Layout, usize) {
    let front = layout.align().max(16);
    (Layout::from_size_align(layout.size() + front, front).expect("small"), front)
}

impl Checking {
    /// # Safety
    ///
    /// `outer` must be null or allocated with what is `around` the layout.
    unsafe fn note(outer: *mut u8, layout: Layout) -> *mut u8 {
        if outer.is_null() {
            return outer;
        }
        INNER_BLOCKS.set(INNER_BLOCKS.get() + 1);
        // SAFETY: there is room for it.
        let block = unsafe { outer.add(around(layout).1) };
        for (place, value) in [(16, layout.size()), (8, layout.align())] {
            // SAFETY: the 16 bytes in front of the block.
            let place = unsafe { block.sub(place) }.cast::<[u8; size_of::<usize>()]>();
            // SAFETY: as above.
            unsafe { place.write(value.to_ne_bytes()) };
        }
        block
    }

    /// # Safety
    ///
    /// `block` must come from `note`.
    unsafe fn check(block: *mut u8, layout: Layout) -> (*mut u8, Layout) {
        INNER_BLOCKS.set(INNER_BLOCKS.get() - 1);
        let [size, align] = [16, 8].map(|place| {
            // SAFETY: the 16 bytes in front of the block.
            let place = unsafe { block.sub(place) }.cast::<[u8; size_of::<usize>()]>();
            // SAFETY: written by `note`.
            usize::from_ne_bytes(unsafe { place.read() })
        });
        if (size, align) != (layout.size(), layout.align()) {
            CHANGED.fetch_add(1, Ordering::Relaxed);
        }
        let (outer, front) = around(Layout::from_size_align(size, align).expect("as it was"));
        // SAFETY: so `note` was given it.
        (unsafe { block.sub(front) }, outer)
    }
}

// SAFETY: every request goes to `System`, with room for the layout in front.
unsafe impl GlobalAlloc for Checking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not zero.
        let outer = unsafe { System.alloc(around(layout).0) };
        // SAFETY: just allocated.
        unsafe { Self::note(outer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not zero.
        let outer = unsafe { System.alloc_zeroed(around(layout).0) };
        // SAFETY: just allocated.
        unsafe { Self::note(outer, layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: it was handed out by `note`.
        let (outer, layout) = unsafe { Self::check(block, layout) };
        // SAFETY: taken with this layout.
        unsafe { System.dealloc(outer, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: it was handed out by `note`.
        let (outer, old) = unsafe { Self::check(block, layout) };
        let new = Layout::from_size_align(new_size, layout.align()).expect("small");
        // SAFETY: taken with this layout; the new size is not zero.
        let outer = unsafe { System.realloc(outer, old, around(new).0.size()) };
        // SAFETY: so it is allocated now.
        unsafe { Self::note(outer, new) }
    }
}

/// One block's life: sizes at `alloc` and after each `realloc`, and the one that it is freed with.
#[derive(Clone, Debug)]
struct Life {
    align: usize,
    is_zeroed: bool,
    sizes: Vec<usize>,
    said: usize,
    is_freed_elsewhere: bool,
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("small")
}

impl Life {
    /// Makes the block, and lets it grow and shrink.
    fn begin(&self) -> usize {
        let first = layout(self.sizes[0], self.align);
        let take = if self.is_zeroed { alloc_zeroed } else { alloc };
        // SAFETY: no size is zero.
        let mut block = unsafe { take(first) };
        if self.is_zeroed {
            // SAFETY: this many bytes, all of them initialised.
            let bytes = unsafe { std::slice::from_raw_parts(block, first.size()) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{self:?}");
        }
        let mut size = first.size();
        for next in &self.sizes[1..] {
            // SAFETY: inside of the block.
            unsafe { block.write_bytes(0x5c, size) };
            // SAFETY: a live block with its layout.
            block = black_box(unsafe { realloc(block, layout(size, self.align), *next) });
            assert!(!block.is_null() && block.addr().is_multiple_of(self.align), "{self:?}");
            // SAFETY: `realloc` has kept them.
            let kept = unsafe { std::slice::from_raw_parts(block, size.min(*next)) };
            assert!(kept.iter().all(|byte| *byte == 0x5c), "{self:?}");
            size = *next;
        }
        // SAFETY: inside of the block.
        unsafe { block.write_bytes(0x5c, size) };
        block.expose_provenance()
    }

    /// Frees it as the compiler does that has left out a `realloc`.
    fn end(&self, block: usize) {
        let block = std::ptr::with_exposed_provenance_mut(block);
        // SAFETY: the block lives. Its size is another one, which the allocator promises to bear.
        unsafe { dealloc(block, black_box(layout(self.said, self.align))) };
    }
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 1..200usize,
        4 => 4_000..4_200usize,
        1 => 200..4_000usize,
        2 => 4_200..300_000usize,
    ]
}

fn lives() -> impl Strategy<Value = Life> {
    let sizes_of_one = proptest::collection::vec(sizes(), 1..4);
    (0..14u32, any::<bool>(), sizes_of_one, sizes(), any::<bool>()).prop_map(
        |(log, is_zeroed, sizes, said, is_freed_elsewhere)| Life {
            align: 1 << log,
            is_zeroed,
            sizes,
            said,
            is_freed_elsewhere,
        },
    )
}

/// Live bytes and blocks, and allocated and freed bytes, of a task.
fn row(task: TaskId) -> (u64, u64, u64, u64) {
    let snapshot = get_memory_snapshot();
    let row = snapshot.task(task).expect("its row");
    (row.live_bytes, row.live_blocks, row.allocated_bytes, row.freed_bytes)
}

fn changed() -> i64 {
    CHANGED.load(Ordering::Relaxed)
}

proptest! {
    #![proptest_config(Config {
        cases: memscope_tests::cases(300),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn a_block_freed_with_another_size_comes_off_with_its_own(
        lives in proptest::collection::vec(lives(), 1..12)
    ) {
        let _alone = alone();
        let mut blocks = Vec::with_capacity(lives.len());
        let mut live_then = (0, 0);
        let mut task = Box::pin(track(std::future::poll_fn(|_| {
            if blocks.is_empty() {
                blocks.extend(lives.iter().map(Life::begin));
                return std::task::Poll::Pending;
            }
            let all = lives.iter().zip(&blocks);
            for (life, block) in all.filter(|(life, _)| !life.is_freed_elsewhere) {
                life.end(*block);
            }
            std::task::Poll::Ready(())
        })));
        let id = task.id().expect("an id");
        prop_assert!(poll(&mut task).is_pending());
        let last = |life: &Life| life.sizes.last().map_or(0, |size| *size as u64);
        let sizes = lives.iter().flat_map(|life| &life.sizes);
        let allocated: u64 = sizes.map(|size| *size as u64).sum();
        let live: u64 = lives.iter().map(last).sum();
        prop_assert_eq!(row(id), (live, lives.len() as u64, allocated, allocated - live));
        prop_assert!(poll(&mut task).is_ready());
        for life in lives.iter().filter(|life| life.is_freed_elsewhere) {
            live_then = (live_then.0 + last(life), live_then.1 + 1);
        }
        prop_assert_eq!(row(id), (live_then.0, live_then.1, allocated, allocated - live_then.0));
        drop(task);
        for (life, block) in lives.iter().zip(&blocks).filter(|(life, _)| life.is_freed_elsewhere) {
            life.end(*block);
        }
        prop_assert_eq!(row(id), (0, 0, allocated, allocated));
        prop_assert_eq!(changed(), 0, "the inner allocator gets back what it gave");
        prop_assert_eq!(get_memory_snapshot().tool().owner_words_refused, refused());
    }
}

/// Words that the tests below have written over.
static REFUSED: AtomicI64 = AtomicI64::new(0);

fn refused() -> u64 {
    u64::try_from(REFUSED.load(Ordering::Relaxed)).expect("a count")
}

#[test]
fn a_realloc_that_the_compiler_leaves_out_changes_no_sum() {
    let _alone = alone();
    for (size, new_size) in
        [(4_000, 8), (8, 4_000), (100_000, 8), (8, 100_000), (4_088, 4_089), (4_096, 1), (64, 1)]
    {
        for align in [1, 8, 16, 128, 4_096] {
            let work = || memscope_folded::reallocate_and_free(layout(size, align), new_size);
            let mut task = Box::pin(track(async { work() }));
            let id = task.id().expect("an id");
            assert!(poll(&mut task).is_ready());
            drop(task);
            let (live_bytes, live_blocks, allocated, freed) = row(id);
            assert_eq!((live_bytes, live_blocks), (0, 0), "{size} {new_size} {align}");
            let whole = [size, size + new_size].map(|bytes| bytes as u64);
            assert!(allocated == freed && whole.contains(&allocated), "{allocated} of {whole:?}");
        }
    }
    assert_eq!(changed(), 0);
}

/// Words that stand for nothing; `real`: that of a block of the same task and size.
fn forged(real: u64, size: u64) -> [u64; 9] {
    let somewhere = (&raw const REFUSED).addr() as u64;
    [
        0,
        size,
        1,
        u64::MAX,
        0x5c5c_5c5c_5c5c_5c5c,
        somewhere << 16 | size,
        // Inside of an account, with all tags, and with those of a variable.
        real + (8 << 16),
        real + (3 << 16),
        real + (1 << 16),
    ]
}

/// Makes a block, writes over its word, and frees it, or reallocates it first. In a task; how many
/// words that were.
fn forge(align: usize, is_reallocated: bool) -> u64 {
    let size = 64;
    let mut count = 0;
    for index in 0..forged(0, 0).len() {
        // SAFETY: the size is not zero.
        let block = unsafe { alloc(layout(size, align)) };
        // SAFETY: the word is in front of the block.
        let word = unsafe { block.sub(8) }.cast::<[u8; 8]>();
        // SAFETY: as above.
        let real = u64::from_ne_bytes(unsafe { word.read() });
        let forged = forged(real, size as u64)[index];
        // SAFETY: the kind of fault that is tested: only the allocator looks at these bytes.
        unsafe { word.write(forged.to_ne_bytes()) };
        count += 1;
        let (block, size) = if is_reallocated {
            // SAFETY: a live block with its layout.
            (black_box(unsafe { realloc(block, layout(size, align), 100) }), 100)
        } else {
            (block, size)
        };
        // SAFETY: a live block with its layout.
        unsafe { dealloc(block, layout(size, align)) };
    }
    count
}

#[test]
fn a_word_that_was_written_over_is_counted_and_the_block_is_freed() {
    let _alone = alone();
    for align in [8, 64] {
        for is_reallocated in [false, true] {
            let mut task = Box::pin(track(async move { forge(align, is_reallocated) }));
            let before = (INNER_BLOCKS.get(), changed());
            let std::task::Poll::Ready(count) = poll(&mut task) else { panic!("it is ready") };
            let after = (INNER_BLOCKS.get(), changed());
            assert_eq!(after, before, "each went back, with its layout");
            REFUSED.fetch_add(count.cast_signed(), Ordering::Relaxed);
            let snapshot = get_memory_snapshot();
            assert_eq!(snapshot.tool().owner_words_refused, refused(), "{align} {is_reallocated}");
            assert!(snapshot.to_string().contains("owner's word was written over"), "{snapshot}");
            // Outside of every task a mode tally is current.
            let count = forge(align, is_reallocated);
            // Zeroes and the right size: the block is passed on as it is, and counted at its free
            // too.
            let again = u64::from(is_reallocated && align == 8);
            REFUSED.fetch_add((count + again).cast_signed(), Ordering::Relaxed);
            let tool = get_memory_snapshot().tool();
            assert_eq!(tool.owner_words_refused, refused(), "{align} {is_reallocated}");
        }
    }
}
