//! What the tests share: an allocator that counts by itself, and the law that its count and memscope's agree.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
};

use memscope_rs::{
    TrackingAllocator,
    async_memory::{MemorySnapshot, TaskId, TaskMemoryProfile, get_memory_snapshot},
};

/// Memscope's allocator inside one that counts bytes and blocks in two plain atomics, knowing nothing of tasks.
///
/// It passes every request on unchanged, so memscope is still the one that sees what the program asks for.
#[derive(Debug)]
pub struct Independent<A = System> {
    inner: TrackingAllocator<A>,
    live_bytes: AtomicI64,
    live_blocks: AtomicI64,
    allocated_bytes: AtomicU64,
}

impl<A> Independent<A> {
    /// Memscope's allocator over `inner`, counted from outside.
    pub const fn over(inner: A) -> Self {
        Self {
            inner: TrackingAllocator::new(inner),
            live_bytes: AtomicI64::new(0),
            live_blocks: AtomicI64::new(0),
            allocated_bytes: AtomicU64::new(0),
        }
    }

    /// Live bytes and blocks of the whole process.
    pub fn live(&self) -> (i64, i64) {
        (self.live_bytes.load(Ordering::SeqCst), self.live_blocks.load(Ordering::SeqCst))
    }

    /// Bytes of all allocations so far.
    pub fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes.load(Ordering::SeqCst)
    }

    fn count(&self, block: *mut u8, bytes: usize) {
        if !block.is_null() {
            self.live_bytes.fetch_add(bytes.cast_signed() as i64, Ordering::SeqCst);
            self.live_blocks.fetch_add(1, Ordering::SeqCst);
            self.allocated_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
        }
    }

    fn uncount(&self, bytes: usize) {
        self.live_bytes.fetch_sub(bytes.cast_signed() as i64, Ordering::SeqCst);
        self.live_blocks.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: every request goes to `TrackingAllocator` as it came; counting touches two atomics.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Independent<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        let block = unsafe { self.inner.alloc(layout) };
        self.count(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        let block = unsafe { self.inner.alloc_zeroed(layout) };
        self.count(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.uncount(layout.size());
        // SAFETY: the caller's contract, passed on.
        unsafe { self.inner.dealloc(block, layout) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        let grown = unsafe { self.inner.realloc(block, layout, new_size) };
        if !grown.is_null() {
            self.uncount(layout.size());
            self.count(grown, new_size);
        }
        grown
    }
}

/// Installs an [`Independent`] allocator under the name `ALLOCATOR`, over `System` or another one.
#[macro_export]
macro_rules! install {
    () => {
        $crate::install!(std::alloc::System, std::alloc::System);
    };
    ($inner:ty, $value:expr) => {
        #[global_allocator]
        static ALLOCATOR: $crate::Independent<$inner> = $crate::Independent::over($value);
    };
}

/// Takes a snapshot while nothing else allocates and checks the law: tasks + untracked = whole = the independent count.
///
/// Threads that are still on their way (a worker parking) may allocate between the two counts; so the check is repeated
/// until the independent count stands still around the snapshot, for at most a few seconds.
///
/// # Panics
///
/// When the law is broken.
#[track_caller]
pub fn conserved<A>(allocator: &Independent<A>) -> MemorySnapshot {
    for _ in 0..2_000 {
        let before = (allocator.live(), allocator.allocated_bytes());
        let snapshot = get_memory_snapshot();
        let after = allocator.allocated_bytes();
        // Only the snapshot's own memory may come between; another count tells whether somebody else was there.
        let again = get_memory_snapshot();
        let quiet = again.process() == after_holding(&snapshot, &again);
        if snapshot.is_still() && quiet && after >= before.1 {
            check(&snapshot, before.0);
            return snapshot;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("the process never stood still");
}

/// The second of two snapshots may differ from the first by the memory of the first alone, which is untracked.
fn after_holding(
    first: &MemorySnapshot,
    second: &MemorySnapshot,
) -> memscope_rs::async_memory::ProcessMemory {
    let mut expected = first.process();
    let now = second.process();
    expected.untracked_bytes = now.untracked_bytes;
    expected.untracked_blocks = now.untracked_blocks;
    expected.untracked_allocated_bytes = now.untracked_allocated_bytes;
    expected.whole_bytes = expected.tracked_bytes + now.untracked_bytes;
    expected.whole_blocks = expected.tracked_blocks + now.untracked_blocks;
    expected
}

#[track_caller]
fn check(snapshot: &MemorySnapshot, (live_bytes, live_blocks): (i64, i64)) {
    let process = snapshot.process();
    assert!(process.measured, "{:?}", snapshot.measured());
    let sites: u64 = snapshot.sites().iter().map(|site| site.live_bytes).sum();
    assert_eq!(sites, process.tracked_bytes, "the sites' rows are whole\n{snapshot:#}");
    assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
    assert_eq!(process.tracked_blocks + process.untracked_blocks, process.whole_blocks);
    assert_eq!(
        (i64::try_from(process.whole_bytes), i64::try_from(process.whole_blocks)),
        (Ok(live_bytes), Ok(live_blocks)),
        "memscope's whole (left) is the independent count (right)\n{snapshot:#}"
    );
    for task in snapshot.tasks() {
        assert_eq!(task.live_bytes, task.allocated_bytes - task.freed_bytes, "{task:#?}");
        assert!(task.peak_bytes >= task.live_bytes, "{task:#?}");
        assert!(task.freed_elsewhere_bytes <= task.freed_bytes, "{task:#?}");
    }
}

/// The row of one task.
///
/// # Panics
///
/// When it has none.
#[track_caller]
pub fn row(snapshot: &MemorySnapshot, id: TaskId) -> &TaskMemoryProfile {
    snapshot.task(id).unwrap_or_else(|| panic!("task {id} has no row\n{snapshot:#}"))
}
