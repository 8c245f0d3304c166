//! What the tests share: an allocator that counts by itself, the law that its count and memscope's
//! agree, and hands to poll with.
//!
//! **The convention.** Tests of one file run at the same time on several threads, and libtest's own
//! threads allocate too. So a test asserts on its own tasks only. The law holds at any moment,
//! because [`conserved`] stops every other thread at its next request to the allocator. Some tests
//! look at sums (all tasks, memscope's own bytes, monitors), and some take snapshots by themselves
//! (they need memory for a moment that is charged to no task). Such a test and its neighbours take
//! [`alone`].

pub mod files_apart;
pub mod programs;
pub mod shelf;
pub mod workers;

#[doc(hidden)]
pub use memscope_rs;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    collections::HashMap,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, UnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Barrier, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use memscope_rs::{
    TrackingAllocator,
    async_memory::{
        MemorySnapshot, TaskCells, TaskId, TaskMemoryProfile, TaskState, get_memory_snapshot,
    },
};

/// Memscope's allocator inside one that counts bytes and blocks by itself, knowing nothing of
/// tasks: for the whole process and, for [`Meter`], for each thread.
///
/// It passes every request on unchanged, so memscope is still the one that sees what the program
/// asks for.
#[derive(Debug)]
pub struct Independent<A = System> {
    inner: TrackingAllocator<A>,
    live_bytes: AtomicI64,
    live_blocks: AtomicI64,
    allocated_bytes: AtomicU64,
    /// Requests that are being served now; while `closed`, new ones wait (see
    /// [`Independent::stop`]).
    inside: AtomicI64,
    closed: AtomicBool,
    stopper: Mutex<()>,
}

thread_local! {
    /// Requests of this thread that are being served (they may nest), and one more while it has
    /// stopped the others.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static METER: Cell<Meter> = const { Cell::new(Meter::NOTHING) };
}

impl<A> Independent<A> {
    /// Memscope's allocator over `inner`, counted from outside.
    pub const fn over(inner: A) -> Self {
        Self {
            inner: TrackingAllocator::new(inner),
            live_bytes: AtomicI64::new(0),
            live_blocks: AtomicI64::new(0),
            allocated_bytes: AtomicU64::new(0),
            inside: AtomicI64::new(0),
            closed: AtomicBool::new(false),
            stopper: Mutex::new(()),
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

    /// Stops every other thread at its next request, until the guard is dropped; no request is half
    /// served then.
    pub fn stop(&self) -> Stopped<'_, A> {
        let stopper = self.stopper.lock().unwrap_or_else(PoisonError::into_inner);
        DEPTH.set(DEPTH.get() + 1);
        self.closed.store(true, Ordering::SeqCst);
        while self.inside.load(Ordering::SeqCst) != 0 {
            thread::yield_now();
        }
        Stopped { allocator: self, _stopper: stopper }
    }

    /// In a forked child: requests of threads that are not there are over. Only while the others
    /// were stopped is none of them half served.
    pub fn forked(&self) {
        self.inside.store(0, Ordering::SeqCst);
    }

    /// Serves one request, when no other thread has stopped this one.
    fn serve<T>(&self, request: impl FnOnce() -> T) -> T {
        let depth = DEPTH.get();
        DEPTH.set(depth + 1);
        if depth == 0 {
            self.enter();
        }
        let answer = request();
        if depth == 0 {
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
        DEPTH.set(depth);
        answer
    }

    fn enter(&self) {
        loop {
            self.inside.fetch_add(1, Ordering::SeqCst);
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
            thread::yield_now();
        }
    }

    fn count(&self, block: *mut u8, bytes: usize) {
        if !block.is_null() {
            self.live_bytes.fetch_add(bytes.cast_signed() as i64, Ordering::Relaxed);
            self.live_blocks.fetch_add(1, Ordering::Relaxed);
            self.allocated_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            let mut meter = METER.get();
            meter.allocated_bytes += bytes as u64;
            meter.allocations += 1;
            METER.set(meter);
        }
    }

    fn uncount(&self, bytes: usize) {
        self.live_bytes.fetch_sub(bytes.cast_signed() as i64, Ordering::Relaxed);
        self.live_blocks.fetch_sub(1, Ordering::Relaxed);
        let mut meter = METER.get();
        meter.freed_bytes += bytes as u64;
        meter.frees += 1;
        METER.set(meter);
    }
}

// SAFETY: every request goes to `TrackingAllocator` as it came; counting touches atomics and a
// `Cell`.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Independent<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.serve(|| {
            // SAFETY: the caller's contract, passed on.
            let block = unsafe { self.inner.alloc(layout) };
            self.count(block, layout.size());
            block
        })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.serve(|| {
            // SAFETY: the caller's contract, passed on.
            let block = unsafe { self.inner.alloc_zeroed(layout) };
            self.count(block, layout.size());
            block
        })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.serve(|| {
            self.uncount(layout.size());
            // SAFETY: the caller's contract, passed on.
            unsafe { self.inner.dealloc(block, layout) };
        });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        self.serve(|| {
            // SAFETY: the caller's contract, passed on.
            let grown = unsafe { self.inner.realloc(block, layout, new_size) };
            if !grown.is_null() {
                self.uncount(layout.size());
                self.count(grown, new_size);
            }
            grown
        })
    }
}

/// While this exists, no other thread gets memory or gives it back.
#[derive(Debug)]
pub struct Stopped<'a, A> {
    allocator: &'a Independent<A>,
    _stopper: MutexGuard<'a, ()>,
}

impl<A> Drop for Stopped<'_, A> {
    fn drop(&mut self) {
        self.allocator.closed.store(false, Ordering::SeqCst);
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// What a thread has allocated and freed, counted without memscope: the truth for a task polled
/// between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Bytes of all allocations.
    pub allocated_bytes: u64,
    /// How many there were.
    pub allocations: u64,
    /// Bytes of all frees.
    pub freed_bytes: u64,
    /// How many there were.
    pub frees: u64,
}

impl Meter {
    const NOTHING: Self = Self { allocated_bytes: 0, allocations: 0, freed_bytes: 0, frees: 0 };

    /// Runs `work` and says what this thread allocated and freed in it.
    pub fn of<T>(work: impl FnOnce() -> T) -> (Self, T) {
        let before = METER.get();
        let value = work();
        let after = METER.get();
        let spent = Self {
            allocated_bytes: after.allocated_bytes - before.allocated_bytes,
            allocations: after.allocations - before.allocations,
            freed_bytes: after.freed_bytes - before.freed_bytes,
            frees: after.frees - before.frees,
        };
        (spent, value)
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

/// Makes the table in which `parking_lot` lets threads wait, before `main`. Otherwise the first
/// thread that finds a lock of Tokio's taken makes it: 1,056 bytes that stay for good, charged to
/// the task that happened to run there. Two threads that make it at once each hold one for a
/// moment.
extern "C" fn make_table_of_waiting_threads() {
    // SAFETY: no thread waits under this key, so the closure is not called.
    unsafe { parking_lot_core::unpark_one(0, |_| parking_lot_core::DEFAULT_UNPARK_TOKEN) };
}

// The allocator works there, and the function needs nothing else.
memscope_rs::__before_main!(".init_array", make_table_of_waiting_threads);

/// Makes that table large enough for this many threads at one time. Otherwise the sixth one that
/// has ever waited makes a larger table, which stays for good as well.
fn make_room_for_waiting_threads() {
    const THREADS: usize = 40;
    let all_are_there = Barrier::new(THREADS);
    let counted = || {
        // A thread counts for the table from its first call until it ends.
        let is_to_wait = || false;
        // SAFETY: the thread does not wait, so no closure but the first is called, which neither
        // panics nor calls `parking_lot`.
        unsafe {
            let token = parking_lot_core::DEFAULT_PARK_TOKEN;
            parking_lot_core::park(0, is_to_wait, || (), |_, _| (), token, None);
        }
        all_are_there.wait();
    };
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(counted));
        // So that none of them is left: a scope does not wait for that.
        for thread in threads {
            thread.join().expect("no panic");
        }
    });
}

/// Lets no other test of this process run that takes it too.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    static ROOM: Once = Once::new();
    ROOM.call_once(make_room_for_waiting_threads);
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a snapshot while every other thread is stopped, and checks the law: tasks + untracked =
/// whole = the independent count.
///
/// # Panics
///
/// When the law is broken.
#[track_caller]
pub fn conserved<A>(allocator: &Independent<A>) -> MemorySnapshot {
    let (snapshot, live, allocated_bytes) = read_stopped(allocator);
    check(&snapshot, live, allocated_bytes);
    snapshot
}

/// Overwrites what the polls and calls before have left on the stack. A future that is made there
/// has such words where it is not written yet, and so the block of another task.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "as deep as what was called before")]
pub fn clear_stack() {
    std::hint::black_box([0_u8; 64 << 10]);
}

/// What memscope itself holds for tasks, sites, variables and events. So without the table that
/// grows with the program's addresses, without stacks, which are sampled, and their names, and
/// without the history, which is full after a while.
pub fn record_bytes(snapshot: &MemorySnapshot) -> u64 {
    let tool = snapshot.tool();
    let grows_otherwise = tool.owner_table_bytes + tool.history_bytes;
    tool.own_bytes - grows_otherwise - tool.stack_bytes - tool.name_bytes
}

/// [`record_bytes`], once three rounds in a row leave them as they are: the names of types that are
/// found meanwhile take memory.
///
/// # Panics
///
/// When they still grow after a hundred rounds.
#[track_caller]
pub fn settled_record_bytes(mut round: impl FnMut() -> MemorySnapshot) -> u64 {
    let (mut before, mut equal) = (0, 0);
    for _ in 0..100 {
        let bytes = record_bytes(&round());
        equal = if bytes == before { equal + 1 } else { 1 };
        if equal == 3 {
            return bytes;
        }
        before = bytes;
        names_found();
    }
    panic!("the records grow and grow: {before} bytes");
}

/// [`conserved`], repeated until the snapshot is as `settled` asks: for what happens soon, on
/// another thread.
///
/// # Panics
///
/// When that takes more than ten seconds.
#[track_caller]
pub fn conserved_when<A>(
    allocator: &Independent<A>,
    settled: impl Fn(&MemorySnapshot) -> bool,
) -> MemorySnapshot {
    let start = Instant::now();
    loop {
        let snapshot = conserved(allocator);
        if settled(&snapshot) {
            return snapshot;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "never settled\n{snapshot}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until memscope has learned what is in Tokio's cells, so that unannotated tasks end exactly
/// from here on. A program's first task waits for that a tenth of a second at most, and here other
/// threads may be stopped meanwhile.
///
/// # Panics
///
/// When no runtime can be built.
pub fn cells_learned() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // It allocates nothing, so it has no row. It is counted.
    runtime.block_on(async { tokio::spawn(async {}).await.expect("no panic") });
    while get_memory_snapshot().tool().task_cells == TaskCells::NotTried {
        thread::yield_now();
    }
}

/// Waits until all tasks that are large have their names. Memscope's thread for that is then gone,
/// or takes no memory any more.
pub fn names_found() {
    while get_memory_snapshot().tool().names_awaited != 0 {
        thread::yield_now();
    }
}

/// [`alone`], with tasks that end exactly and stay without names.
///
/// # Panics
///
/// When no runtime can be built.
pub fn alone_without_names() -> MutexGuard<'static, ()> {
    let alone = alone();
    let settings = memscope_rs::builder().name_tasks(false).sample_every(Duration::ZERO);
    settings.init().expect("good settings");
    cells_learned();
    alone
}

#[track_caller]
fn read_stopped<A>(allocator: &Independent<A>) -> (MemorySnapshot, (i64, i64), u64) {
    // What memscope sets up once (it may wait for another thread that does so) is set up before
    // any thread is stopped.
    static SET_UP: Once = Once::new();
    SET_UP.call_once(|| drop(get_memory_snapshot()));
    let start = Instant::now();
    loop {
        // NOTE: nothing in here may panic: printing it could wait for a lock that a stopped thread
        // holds.
        let stopped = allocator.stop();
        let (live, allocated_bytes) = (allocator.live(), allocator.allocated_bytes());
        let snapshot = get_memory_snapshot();
        drop(stopped);
        // A task that ends needs no memory, so that it may end while all are stopped.
        if snapshot.is_still() {
            return (snapshot, live, allocated_bytes);
        }
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "tasks never stopped ending\n{snapshot}"
        );
        thread::yield_now();
    }
}

#[track_caller]
fn check(snapshot: &MemorySnapshot, (live_bytes, live_blocks): (i64, i64), allocated_bytes: u64) {
    let process = snapshot.process();
    assert!(process.measured, "{:?}", snapshot.measured());
    let sum =
        |field: fn(&TaskMemoryProfile) -> u64| snapshot.tasks().iter().map(field).sum::<u64>();
    let sites = || snapshot.sites().iter();
    assert_eq!(
        sites().map(|site| site.live_bytes).sum::<u64>(),
        process.tracked_bytes,
        "{snapshot}"
    );
    assert_eq!(
        sites().map(|site| site.live_blocks).sum::<u64>(),
        process.tracked_blocks,
        "{snapshot}"
    );
    // What was transferred counts as allocated once more, by the task that took it over.
    let transferred: u64 = sites().map(|site| site.transferred_bytes).sum();
    assert_eq!(
        sites().map(|site| site.allocated_bytes).sum::<u64>(),
        process.tracked_allocated_bytes + transferred,
        "{snapshot}"
    );
    let allocated = process.tracked_allocated_bytes + transferred;
    // The rows of tasks that have not ended, and the sums of those that have.
    let open = snapshot.tasks().iter().filter(|task| !task.state.is_ended());
    let open: u64 = open.map(|task| task.allocated_bytes).sum();
    let ended: u64 = sites().map(|site| site.ended_allocated_bytes).sum();
    // A task that was given up has a row like an open one, and is among the ended ones.
    if sites().all(|site| site.given_up == 0) && snapshot.tool().tasks_split == 0 {
        assert_eq!(open + ended, allocated, "{snapshot}");
    }
    if snapshot.tool().ended_tasks_forgotten == 0 {
        assert_eq!(sum(|task| task.live_bytes), process.tracked_bytes, "{snapshot}");
        assert_eq!(sum(|task| task.live_blocks), process.tracked_blocks, "{snapshot}");
        check_rows(snapshot);
    }
    assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
    assert_eq!(process.tracked_blocks + process.untracked_blocks, process.whole_blocks);
    // What memscope itself holds in the program's heap, its collector's thread, is charged to no
    // task.
    let tool = snapshot.tool();
    let seen = (process.whole_bytes + tool.heap_bytes, process.whole_blocks + tool.heap_blocks);
    assert_eq!(
        (i64::try_from(seen.0), i64::try_from(seen.1)),
        (Ok(live_bytes), Ok(live_blocks)),
        "memscope's whole (left) is the independent count (right)\n{snapshot}"
    );
    // What memscope takes for a moment to read its own records is charged to no task.
    let charged = process.tracked_allocated_bytes + process.untracked_allocated_bytes;
    assert!(charged <= allocated_bytes, "{charged} bytes charged of {allocated_bytes} allocated");
    for task in snapshot.tasks() {
        assert_eq!(task.live_bytes + task.freed_bytes, task.allocated_bytes, "{task:#?}");
        assert!(task.peak_bytes >= task.live_bytes, "{task:#?}");
        assert!(task.peak_bytes <= task.allocated_bytes, "{task:#?}");
        assert!(task.freed_elsewhere_bytes <= task.freed_bytes, "{task:#?}");
        assert!(task.transferred_bytes <= task.allocated_bytes, "{task:#?}");
        assert_eq!(task.live_blocks == 0, task.live_bytes == 0, "{task:#?}");
    }
}

/// What the rows of a place's tasks allocated, and how often, beside what its sites say.
#[derive(Debug, Default)]
struct Sums {
    rows: [u64; 2],
    sites: [u64; 2],
    /// Whether each of its tasks has a row: an unannotated one that ended and left nothing has
    /// none.
    are_all: bool,
}

/// Checks that the rows of each site's tasks make up the site. All ended tasks must be kept.
#[track_caller]
fn check_rows(snapshot: &MemorySnapshot) {
    let mut sums: HashMap<_, Sums> = HashMap::new();
    for site in snapshot.sites() {
        let key = (&*site.name, site.task_type, &*site.file, site.line, site.is_annotated);
        let sums = sums.entry(key).or_insert(Sums { are_all: true, ..Sums::default() });
        let ended = site.given_up + site.cancelled + site.ended_unknown;
        sums.are_all &= site.is_annotated || ended == 0;
        sums.sites[0] += site.allocated_bytes;
        sums.sites[1] += site.allocation_count;
    }
    if snapshot.tool().tasks_in_other != 0 {
        return;
    }
    for task in snapshot.tasks() {
        let key = (&*task.name, task.task_type, &*task.file, task.line, task.is_annotated);
        let Some(sums) = sums.get_mut(&key) else {
            // A thread that allocates nothing goes on, and may have made a task after the sites
            // were read.
            assert_eq!(task.allocation_count, 0, "no site\n{task:#?}");
            continue;
        };
        sums.rows[0] += task.allocated_bytes;
        sums.rows[1] += task.allocation_count;
    }
    for (key, Sums { rows, sites, are_all }) in sums {
        let is_right =
            if are_all { rows == sites } else { rows[0] <= sites[0] && rows[1] <= sites[1] };
        assert!(is_right, "{key:?}: rows {rows:?}, site {sites:?}\n{snapshot}");
    }
}

/// The row of one task.
///
/// # Panics
///
/// When it has none.
#[track_caller]
pub fn row(snapshot: &MemorySnapshot, id: TaskId) -> &TaskMemoryProfile {
    snapshot.task(id).unwrap_or_else(|| panic!("task {id} has no row\n{snapshot}"))
}

/// The annotated tasks: without Tokio's workers, which are tasks too, and other unannotated ones.
pub fn annotated(snapshot: &MemorySnapshot) -> Vec<&TaskMemoryProfile> {
    snapshot.tasks().iter().filter(|task| task.is_annotated).collect()
}

/// Every column of a row that a test can know; compared whole, so that no column goes unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the row's")]
pub struct Columns {
    pub state: TaskState,
    pub poll_count: u64,
    pub live_bytes: u64,
    pub live_blocks: u64,
    pub peak_bytes: u64,
    pub allocated_bytes: u64,
    pub allocation_count: u64,
    pub freed_bytes: u64,
    pub freed_elsewhere_bytes: u64,
}

impl Columns {
    /// Those of a task that was polled so often and has not allocated.
    pub const fn nothing(state: TaskState, poll_count: u64) -> Self {
        Self {
            state,
            poll_count,
            live_bytes: 0,
            live_blocks: 0,
            peak_bytes: 0,
            allocated_bytes: 0,
            allocation_count: 0,
            freed_bytes: 0,
            freed_elsewhere_bytes: 0,
        }
    }

    /// A task that made one block of `bytes` and did nothing else.
    pub fn one_block(state: TaskState, polls: u64, bytes: u64) -> Self {
        Self {
            allocated_bytes: bytes,
            allocation_count: 1,
            live_bytes: bytes,
            live_blocks: 1,
            peak_bytes: bytes,
            ..Self::nothing(state, polls)
        }
    }

    /// Those of a row.
    pub fn of(row: &TaskMemoryProfile) -> Self {
        Self {
            state: row.state,
            poll_count: row.poll_count,
            live_bytes: row.live_bytes,
            live_blocks: row.live_blocks,
            peak_bytes: row.peak_bytes,
            allocated_bytes: row.allocated_bytes,
            allocation_count: row.allocation_count,
            freed_bytes: row.freed_bytes,
            freed_elsewhere_bytes: row.freed_elsewhere_bytes,
        }
    }

    /// Those of a task now, by a snapshot that keeps the law.
    #[track_caller]
    pub fn now<A>(allocator: &Independent<A>, id: TaskId) -> Self {
        Self::of(row(&conserved(allocator), id))
    }
}

/// A block taken from the global allocator as a program takes it, free to move between threads;
/// freed by [`Block::free`] only.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    address: usize,
    /// As it was asked for.
    pub layout: Layout,
}

impl Block {
    const FILL: u8 = 0x5c;

    /// Takes a block and fills it, up to its last byte.
    ///
    /// # Panics
    ///
    /// When there is no memory, a zeroed block is not, or the address is not aligned.
    pub fn new(layout: Layout, is_zeroed: bool) -> Self {
        assert_ne!(layout.size(), 0);
        let block = if is_zeroed {
            // SAFETY: the size is not zero.
            let block = unsafe { std::alloc::alloc_zeroed(layout) };
            assert!(!block.is_null());
            // SAFETY: the block has that many bytes, all of them initialised.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{layout:?}");
            block
        } else {
            // SAFETY: the size is not zero.
            unsafe { std::alloc::alloc(layout) }
        };
        Self::filled(block, layout)
    }

    fn filled(block: *mut u8, layout: Layout) -> Self {
        assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()), "{layout:?}");
        // SAFETY: the block has that many bytes.
        unsafe { block.write_bytes(Self::FILL, layout.size()) };
        Self { address: block.expose_provenance(), layout }
    }

    fn pointer(self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.address)
    }

    /// Reallocates the block.
    ///
    /// # Panics
    ///
    /// When there is no memory, its bytes were not kept, or the address is not aligned.
    #[must_use]
    pub fn resize(self, size: usize) -> Self {
        let layout = Layout::from_size_align(size, self.layout.align()).expect("a small size");
        assert_ne!(size, 0);
        // SAFETY: a live block with its layout, and a size that is not zero.
        let block = unsafe { std::alloc::realloc(self.pointer(), self.layout, size) };
        assert!(!block.is_null());
        // SAFETY: `realloc` kept this many bytes.
        let kept = unsafe { std::slice::from_raw_parts(block, size.min(self.layout.size())) };
        assert!(kept.iter().all(|byte| *byte == Self::FILL), "{layout:?}");
        Self::filled(block, layout)
    }

    /// Gives the block back; each only once.
    pub fn free(self) {
        // SAFETY: a live block with its layout.
        unsafe { std::alloc::dealloc(self.pointer(), self.layout) };
    }
}

/// Polls a future once, with a waker that does nothing.
pub fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Pending once, woken at once, without an allocation (Tokio's `yield_now` keeps a list).
pub async fn wait_once() {
    let mut waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs a future on a current-thread runtime.
///
/// # Panics
///
/// When the runtime cannot be built.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// A multi-thread runtime.
///
/// # Panics
///
/// When it cannot be built.
pub fn workers(count: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The start of the message of every panic that a test wants.
pub const WANTED: &str = "wanted:";

/// How many inputs a property is tried with: as many, or `PROPTEST_CASES` where that says fewer.
pub fn cases(most: u32) -> u32 {
    let said = std::env::var("PROPTEST_CASES").ok().and_then(|it| it.parse().ok());
    said.map_or(most, |said: u32| said.min(most))
}

/// Runs `work`, which must panic with a message that starts with [`WANTED`]; nothing is printed.
/// Returns the message.
///
/// # Panics
///
/// When `work` does not.
#[track_caller]
pub fn panics<T>(work: impl FnOnce() -> T) -> String {
    keep_wanted_panics_quiet();
    let Err(payload) = catch_unwind(AssertUnwindSafe(work)) else { panic!("did not panic") };
    message(&*payload).expect("a message").to_owned()
}

fn message(payload: &(dyn std::any::Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// From now on nothing is printed for panics that a test wants.
pub fn keep_wanted_panics_quiet() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_wanted =
                |text: &str| text.starts_with(WANTED) || text.contains("resumed after completion");
            if !message(panic.payload()).is_some_and(is_wanted) {
                print(panic);
            }
        }));
    });
}

/// What a panic with a literal message allocates by itself (its payload and the unwinder's
/// exception): measured without tasks.
///
/// # Panics
///
/// When `panic` does not.
pub fn cost_of_a_panic(panic: impl FnOnce() + UnwindSafe) -> Meter {
    keep_wanted_panics_quiet();
    let (meter, caught) = Meter::of(|| catch_unwind(panic));
    assert!(caught.is_err(), "must panic");
    meter
}

/// The system's allocator, whose blocks are all zeroes at first. In others the words of blocks that
/// were freed are left, and a graph of the heap takes some of them for references.
#[derive(Clone, Copy, Debug)]
pub struct Zeroing;

// SAFETY: every request goes to the system's allocator. A reallocated block is a new one with what
// was in the old one.
unsafe impl GlobalAlloc for Zeroing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract, passed on.
        unsafe { System.dealloc(block, layout) };
    }
}
