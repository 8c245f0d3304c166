//! The loops that both programs run. Each returns nanoseconds per operation.

mod processor;

use std::{
    cell::Cell,
    hint::black_box,
    mem::{self, MaybeUninit},
    pin::{Pin, pin},
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    time::Instant,
};

use processor::OnProcessor;

/// Runs `work` on `count` operations and returns nanoseconds for one.
fn per_operation(count: u32, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// What the command line asks for.
enum Wanted {
    All,
    /// The names of all loops, and no figures.
    Names,
    /// The loops whose names have this word.
    Like(String),
    /// The loop of this name.
    Only(String),
    /// This loop, this many times: for the bench that counts its instructions.
    Count(String, u32),
}

impl Wanted {
    fn get() -> Self {
        let mut words = std::env::args().skip(1);
        match (words.next(), words.next(), words.next()) {
            (Some(word), Some(name), Some(count)) if word == "count" => {
                Self::Count(name, count.parse().expect("a number"))
            }
            (Some(word), Some(name), None) if word == "only" => Self::Only(name),
            (Some(word), None, None) if word == "names" => Self::Names,
            (Some(word), ..) => Self::Like(word),
            _ => Self::All,
        }
    }
}

/// Whether the loop with this name is to be timed; says its name where that is asked for.
#[expect(clippy::print_stdout, reason = "the names are the programs' output")]
pub fn is_wanted(name: &str) -> bool {
    match Wanted::get() {
        Wanted::All => true,
        Wanted::Like(word) => name.contains(&word),
        Wanted::Only(wanted) => name == wanted,
        Wanted::Count(..) => false,
        Wanted::Names => {
            println!("{name}");
            false
        }
    }
}

/// Prints the median of a few runs of `count` operations, all on one processor, so that one
/// interruption does not count.
#[expect(clippy::print_stdout, reason = "the figures are the programs' output")]
pub fn show(name: &str, count: u32, run: impl Fn(u32) -> f64) {
    if let Wanted::Count(wanted, count) = Wanted::get()
        && name == wanted
    {
        run(count);
    }
    if !is_wanted(name) {
        return;
    }
    let _here = OnProcessor::stay(1);
    let runs: Vec<f64> = (0..7).map(|_| run(count)).collect();
    println!("{name}\t{}", median(&runs));
}

/// The value that half of all are below.
pub fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The value that this part of all is below.
///
/// # Panics
///
/// When there are none.
pub fn quantile(figures: &[f64], part: f64) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few figures"
    )]
    let place = ((figures.len() - 1) as f64 * part).round() as usize;
    figures[place]
}

/// Allocates 64 bytes and frees them.
pub fn pair_of_64(count: u32) -> f64 {
    per_operation(count, || {
        for _ in 0..count {
            black_box(Vec::<u8>::with_capacity(black_box(64)));
        }
    })
}

/// Allocates 64 bytes and a word and frees them, writes their owner into the word and reads it.
/// Counts blocks and bytes: allocated, live, at the most, freed. It is the least that an allocator
/// has to do to know what each task holds.
pub fn pair_and_counting(count: u32) -> f64 {
    #[derive(Default)]
    struct Task {
        allocated_bytes: AtomicU64,
        allocations: AtomicU64,
        live_bytes: AtomicU64,
        peak_bytes: AtomicU64,
        frees: AtomicU64,
    }
    struct Block {
        owner: &'static Task,
        _bytes: [MaybeUninit<u8>; 64],
    }
    thread_local! {
        static CURRENT: Cell<Option<&'static Task>> = const { Cell::new(None) };
    }
    fn current() -> &'static Task {
        CURRENT.get().expect("the loop has begun")
    }
    // One thread writes: no locked instruction.
    fn add(counter: &AtomicU64, value: u64) -> u64 {
        let sum = counter.load(Ordering::Relaxed).wrapping_add(value);
        counter.store(sum, Ordering::Relaxed);
        sum
    }
    CURRENT.set(Some(Box::leak(Box::default())));
    per_operation(count, || {
        for _ in 0..count {
            let task = current();
            let block = Box::new(Block { owner: task, _bytes: [MaybeUninit::uninit(); 64] });
            add(&task.allocated_bytes, 64);
            add(&task.allocations, 1);
            let live = add(&task.live_bytes, 64);
            if live > task.peak_bytes.load(Ordering::Relaxed) {
                task.peak_bytes.store(live, Ordering::Relaxed);
            }
            let block = black_box(block);
            let task = current();
            if std::ptr::eq(block.owner, task) {
                add(&task.frees, 1);
                add(&task.live_bytes, 64_u64.wrapping_neg());
            }
        }
    })
}

/// Allocates 64 bytes and frees them, and asks Tokio each time which task this is: the least that
/// an allocator has to do for an unannotated task.
pub fn pair_and_questions(count: u32) -> f64 {
    per_operation(count, || {
        for _ in 0..count {
            let block = Vec::<u8>::with_capacity(black_box(64));
            black_box(tokio::task::try_id());
            drop(black_box(block));
            black_box(tokio::task::try_id());
        }
    })
}

/// Allocates a thousand blocks of 16 to 4,096 bytes, then frees them all.
pub fn mixed_batch(count: u32) -> f64 {
    let rounds = count.div_ceil(1_000);
    let mut random = 12_345u64;
    let sizes: Vec<usize> = (0..1_000)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            16 + usize::try_from((random >> 33) % 4_080).unwrap_or(0)
        })
        .collect();
    let mut hold: Vec<Vec<u8>> = Vec::with_capacity(sizes.len());
    per_operation(rounds * 1_000, || {
        for _ in 0..rounds {
            hold.extend(sizes.iter().map(|&size| Vec::with_capacity(size)));
            black_box(&hold);
            hold.clear();
        }
    })
}

/// Grows a vector to 64 words by pushing: five reallocations.
pub fn growth_by_push(count: u32) -> f64 {
    per_operation(count, || {
        for _ in 0..count {
            let mut words: Vec<u64> = Vec::new();
            for word in 0..64 {
                words.push(black_box(word));
            }
            black_box(&words);
        }
    })
}

/// A zeroed mebibyte, untouched.
pub fn zeroed_mebibyte(count: u32) -> f64 {
    per_operation(count, || {
        for _ in 0..count {
            black_box(vec![0u8; black_box(1 << 20)]);
        }
    })
}

/// Never ready, with a state machine of two states.
pub async fn pending() {
    let waits = black_box(1_u64);
    std::future::pending::<()>().await;
    black_box(waits);
}

/// Nanoseconds for a poll of a boxed future, with nothing around it.
pub fn per_poll_by_hand(count: u32, future: impl Future<Output = ()> + 'static) -> f64 {
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    per_operation(count, || {
        for _ in 0..count {
            let _ = black_box(black_box(&mut future).as_mut().poll(&mut context));
        }
    })
}

/// Nanoseconds for making a future, one poll of it that ends it, and dropping it, without an
/// executor.
pub fn per_call<F: Future<Output = u32>>(count: u32, make: impl Fn() -> F) -> f64 {
    let mut context = Context::from_waker(Waker::noop());
    per_operation(count, || {
        for _ in 0..count {
            let mut future = pin!(make());
            let _ = black_box(black_box(future.as_mut()).poll(&mut context));
        }
    })
}

/// Polls of a task that always is ready to go on: Tokio's `yield_now`, so each poll comes from the
/// scheduler.
pub async fn polls(count: u32) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// Reads the clock before and after each poll: the least that timing takes.
#[derive(Debug)]
pub struct Timed<F>(pub Pin<Box<F>>);

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let start = Instant::now();
        let poll = self.0.as_mut().poll(context);
        black_box(start.elapsed());
        poll
    }
}

/// Nanoseconds for each poll of a task spawned by `spawn`.
///
/// # Panics
///
/// When Tokio does not start or the task panics.
pub fn per_poll(count: u32, spawn: impl FnOnce(u32) -> tokio::task::JoinHandle<()>) -> f64 {
    let runtime = runtime();
    let _guard = runtime.enter();
    per_operation(count, || {
        let task = spawn(count);
        runtime.block_on(task).expect("the task runs");
    })
}

/// Nanoseconds for spawning an empty task with `spawn` and joining it.
///
/// # Panics
///
/// When Tokio does not start or a task panics.
pub fn per_spawn(count: u32, spawn: impl Fn() -> tokio::task::JoinHandle<u32>) -> f64 {
    let _heap = fragmented_heap();
    runtime().block_on(async {
        let start = Instant::now();
        for _ in 0..count {
            black_box(spawn().await.expect("the task runs"));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
    })
}

/// The body of a task that has one block for a moment.
#[expect(clippy::unused_async, reason = "tasks are futures")]
pub async fn allocates() -> u32 {
    black_box(Box::new(black_box(1_u32)));
    1
}

/// Blocks of all sizes with gaps between them, as a service's heap has them: in an empty one the C
/// library's ways depend on what happens to lie behind the last block.
fn fragmented_heap() -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> =
        (0..10_000).map(|place| Vec::with_capacity(16 + place * 37 % 2_000)).collect();
    let mut place = 0;
    blocks.retain(|_| {
        place += 1;
        place % 3 != 0
    });
    blocks
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Blocks of the loops below.
pub type Blocks = Vec<Box<[u8; 64]>>;

/// Nanoseconds that `register` takes for each of many live blocks.
pub fn per_registration(count: u32, register: impl Fn(&Blocks)) -> f64 {
    with_blocks(count, blocks, |blocks| per_operation(BLOCKS, || register(&blocks)))
}

/// Nanoseconds for each free of many blocks, to which `register` has done something before.
pub fn per_free(count: u32, register: impl Fn(&Blocks)) -> f64 {
    with_blocks(count, blocks, |blocks| {
        register(&blocks);
        per_operation(BLOCKS, || drop(blocks))
    })
}

/// Nanoseconds for each free of many blocks that were allocated in a future of their own, which
/// `elsewhere` runs.
pub fn per_free_for_another(count: u32, elsewhere: impl Fn(fn() -> Blocks) -> Blocks) -> f64 {
    // A block lies behind them: without one, the C library gives them back to the end of the heap,
    // which takes it fewer instructions.
    let make = || (elsewhere(blocks), Box::new([1; 64]));
    with_blocks(count, make, |(blocks, _behind)| per_operation(BLOCKS, || drop(blocks)))
}

/// Nanoseconds for each block that is allocated and kept.
pub fn per_allocation(count: u32) -> f64 {
    with_blocks(count, || (), |()| per_operation(BLOCKS, || mem::forget(blocks())))
}

/// [`per_allocation`] in a task that has held more before.
pub fn per_allocation_below_the_peak(count: u32) -> f64 {
    drop(black_box(Vec::<u8>::with_capacity(1 << 30)));
    per_allocation(count)
}

const BLOCKS: u32 = 10_000;

fn blocks() -> Blocks {
    (0..BLOCKS).map(|_| Box::new([1; 64])).collect()
}

/// The mean of the rounds that it takes.
fn with_blocks<T>(count: u32, make: impl Fn() -> T, measure: impl Fn(T) -> f64) -> f64 {
    let rounds = count.div_ceil(BLOCKS);
    let rounds_ns = (0..rounds).map(|_| measure(make()));
    rounds_ns.sum::<f64>() / f64::from(rounds)
}

/// Nanoseconds for each block that another thread frees: it is passed on in batches, with nothing
/// else to do.
///
/// # Panics
///
/// When the other thread panics.
pub fn freed_there(count: u32) -> f64 {
    handed_over::<64>(count, |_| ())
}

/// [`freed_there`] with a word behind each block that is read when it is freed, and two counters
/// that the other thread adds to: the least that it takes to take bytes and blocks off their owner.
///
/// # Panics
///
/// When the other thread panics.
pub fn freed_there_and_counted(count: u32) -> f64 {
    static BYTES: AtomicU64 = AtomicU64::new(0);
    static BLOCKS: AtomicU64 = AtomicU64::new(0);
    handed_over::<72>(count, |block| {
        BYTES.fetch_add(u64::from(block[71]), Ordering::Relaxed);
        BLOCKS.fetch_add(1, Ordering::Relaxed);
    })
}

fn handed_over<const N: usize>(count: u32, before_free: fn(&[u8; N])) -> f64 {
    const BATCH: u32 = 1_000;
    let (send, receive) = std::sync::mpsc::sync_channel::<Vec<Box<[u8; N]>>>(4);
    let other = std::thread::spawn(move || {
        let _there = OnProcessor::stay(0);
        for blocks in receive {
            for block in black_box(blocks) {
                before_free(&block);
            }
        }
    });
    per_operation(count, || {
        for _ in 0..count.div_ceil(BATCH) {
            send.send((0..BATCH).map(|_| Box::new([1; N])).collect()).expect("it receives");
        }
        drop(send);
        other.join().expect("it frees");
    })
}

/// Milliseconds to copy as many names as a snapshot of this many tasks has, and to drop them.
pub fn names_ms(count: u32) -> [f64; 2] {
    let start = Instant::now();
    let names: Vec<String> =
        (0..count).map(|_| black_box("memscope_benches::pending").to_owned()).collect();
    let copied = start.elapsed();
    let start = Instant::now();
    drop(black_box(names));
    [copied, start.elapsed()].map(|time| time.as_secs_f64() * 1e3)
}

/// Adds to as many counters as a tracked task does that is spawned, runs and ends: each has many
/// writers, and so takes a locked instruction.
pub fn add_to_counters() {
    static COUNTERS: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];
    for counter in &COUNTERS {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `work` in an unannotated Tokio task.
///
/// # Panics
///
/// When Tokio does not start or the task panics.
pub fn in_task(count: u32, work: Loop) -> f64 {
    let runtime = runtime();
    let task = runtime.spawn(async move { work(count) });
    runtime.block_on(task).expect("the task runs")
}

/// A loop of this many operations: nanoseconds for each.
pub type Loop = fn(u32) -> f64;

/// The allocation loops: name, operations.
pub const ALLOCATIONS: [(&str, u32, Loop); 5] = [
    ("64 B, allocate and free", 2_000_000, pair_of_64),
    ("16 to 4,096 B, in batches", 300_000, mixed_batch),
    ("growth by push to 512 B", 100_000, growth_by_push),
    ("1 MiB zeroed", 2_000, zeroed_mebibyte),
    ("allocated here, freed there", HANDED_OVER, freed_there),
];

/// How many operations the loops take that pass blocks on.
pub const HANDED_OVER: u32 = 500_000;
/// How many operations the other loops take.
pub const PAIRS: u32 = 2_000_000;
/// See [`PAIRS`].
pub const POLLS_BY_HAND: u32 = 5_000_000;
/// See [`PAIRS`].
pub const POLLS: u32 = 500_000;
/// See [`PAIRS`].
pub const SPAWNS: u32 = 200_000;
/// See [`PAIRS`].
pub const FREES: u32 = 200_000;
/// How many tasks the snapshots are of.
pub const TASKS: u32 = 100_000;
