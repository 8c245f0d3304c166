//! The loops that both programs run. Each returns nanoseconds per operation.

use std::{
    hint::black_box,
    pin::Pin,
    task::{Context, Waker},
    time::Instant,
};

/// Runs `work` on `count` operations and returns nanoseconds for one.
fn per_operation(count: u32, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
}

/// Prints the median of a few runs, so that one interruption does not count. With a word on the command line: only if the
/// name has it.
#[expect(clippy::print_stdout, reason = "the figures are the programs' output")]
pub fn show(name: &str, run: impl Fn() -> f64) {
    if std::env::args().nth(1).is_none_or(|word| name.contains(&word)) {
        let mut runs: Vec<f64> = (0..7).map(|_| run()).collect();
        runs.sort_by(f64::total_cmp);
        println!("{name}\t{}", runs[runs.len() / 2]);
    }
}

/// Allocates 64 bytes and frees them.
pub fn pair_of_64() -> f64 {
    const COUNT: u32 = 2_000_000;
    per_operation(COUNT, || {
        for _ in 0..COUNT {
            black_box(Vec::<u8>::with_capacity(black_box(64)));
        }
    })
}

/// Allocates a thousand blocks of 16 to 4,096 bytes, then frees them all.
pub fn mixed_batch() -> f64 {
    const ROUNDS: u32 = 300;
    let mut random = 12_345u64;
    let sizes: Vec<usize> = (0..1_000)
        .map(|_| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            16 + usize::try_from((random >> 33) % 4_080).unwrap_or(0)
        })
        .collect();
    let mut hold: Vec<Vec<u8>> = Vec::with_capacity(sizes.len());
    per_operation(ROUNDS * 1_000, || {
        for _ in 0..ROUNDS {
            hold.extend(sizes.iter().map(|&size| Vec::with_capacity(size)));
            black_box(&hold);
            hold.clear();
        }
    })
}

/// Grows a vector to 64 words by pushing: five reallocations.
pub fn growth_by_push() -> f64 {
    const COUNT: u32 = 100_000;
    per_operation(COUNT, || {
        for _ in 0..COUNT {
            let mut words: Vec<u64> = Vec::new();
            for word in 0..64 {
                words.push(black_box(word));
            }
            black_box(&words);
        }
    })
}

/// A zeroed mebibyte, untouched.
pub fn zeroed_mebibyte() -> f64 {
    const COUNT: u32 = 2_000;
    per_operation(COUNT, || {
        for _ in 0..COUNT {
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
pub fn per_poll_by_hand(future: impl Future<Output = ()> + 'static) -> f64 {
    const COUNT: u32 = 5_000_000;
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    per_operation(COUNT, || {
        for _ in 0..COUNT {
            let _ = black_box(black_box(&mut future).as_mut().poll(&mut context));
        }
    })
}

/// Polls of a task that always is ready to go on: Tokio's `yield_now`, so each poll comes from the scheduler.
pub async fn polls() {
    for _ in 0..POLLS {
        tokio::task::yield_now().await;
    }
}

/// How many polls [`polls`] makes.
pub const POLLS: u32 = 500_000;

/// Nanoseconds for each poll of a task spawned by `spawn`.
///
/// # Panics
///
/// When Tokio does not start or the task panics.
pub fn per_poll(spawn: impl FnOnce() -> tokio::task::JoinHandle<()>) -> f64 {
    let runtime = runtime();
    let _guard = runtime.enter();
    per_operation(POLLS, || {
        let task = spawn();
        runtime.block_on(task).expect("the task runs");
    })
}

/// Nanoseconds for spawning an empty task with `spawn` and joining it.
///
/// # Panics
///
/// When Tokio does not start or a task panics.
pub fn per_spawn(spawn: impl Fn() -> tokio::task::JoinHandle<u32>) -> f64 {
    const COUNT: u32 = 200_000;
    runtime().block_on(async {
        let start = Instant::now();
        for _ in 0..COUNT {
            black_box(spawn().await.expect("the task runs"));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT)
    })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

/// Blocks of the two loops below.
pub type Blocks = Vec<Box<[u8; 64]>>;

/// Nanoseconds that `register` takes for each of many live blocks.
pub fn per_registration(register: impl Fn(&Blocks)) -> f64 {
    with_blocks(|blocks| per_operation(BLOCKS, || register(&blocks)))
}

/// Nanoseconds for each free of many blocks, to which `register` has done something before.
pub fn per_free(register: impl Fn(&Blocks)) -> f64 {
    with_blocks(|blocks| {
        register(&blocks);
        per_operation(BLOCKS, || drop(blocks))
    })
}

const BLOCKS: u32 = 10_000;

/// The mean of twenty rounds.
fn with_blocks(measure: impl Fn(Blocks) -> f64) -> f64 {
    let rounds = (0..20).map(|_| measure((0..BLOCKS).map(|_| Box::new([1; 64])).collect()));
    rounds.sum::<f64>() / 20.0
}

/// A loop: nanoseconds per operation.
pub type Loop = fn() -> f64;

/// The allocation loops by name.
pub const ALLOCATIONS: [(&str, Loop); 4] = [
    ("64 B, allocate and free", pair_of_64),
    ("16 to 4,096 B, in batches", mixed_batch),
    ("growth by push to 512 B", growth_by_push),
    ("1 MiB zeroed", zeroed_mebibyte),
];
