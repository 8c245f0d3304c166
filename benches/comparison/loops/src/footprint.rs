//! The questions about memory: resident bytes, not bytes asked for.

use std::{
    array,
    future::pending,
    hint::black_box,
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Contender, Measurement,
    repetitions::is_quick,
    resident::{anonymous_bytes, trim},
    task::block_on,
};

/// Measures resident bytes per block, for a mix of sizes that takes some 64 MiB in all. Every byte
/// is written. A quarter as many blocks are allocated before, and stay. So memory that the
/// allocator needs once, or had free, does not count.
pub(crate) fn blocks<C: Contender, const SIZES: usize>(
    smallest: usize,
    step: usize,
) -> Measurement {
    C::scope(move || {
        let sizes: [usize; SIZES] = array::from_fn(|index| smallest + index * step);
        let mix: usize = sizes.iter().sum();
        let whole = if is_quick() { 16 << 20 } else { 64 << 20 };
        let count = (whole / mix) * SIZES;
        let first = count / 4;
        // The list itself is resident before the first block.
        let mut hold: Vec<Vec<u8>> = vec![Vec::new(); first + count];
        let mut slots = hold.iter_mut().zip(sizes.iter().cycle());
        let mut fill = |count| {
            for (slot, &size) in slots.by_ref().take(count) {
                *slot = vec![1; size];
            }
        };
        fill(first);
        let before = anonymous_bytes();
        fill(count);
        let after = anonymous_bytes();
        black_box(&hold);
        of_each(after - before, count, false)
    })
}

/// Resident bytes of each task that has been polled once and waits for ever, with its Tokio cell.
pub(crate) fn live_task<C: Contender>() -> Measurement {
    let count = if is_quick() { 1_000 } else { 20_000 };
    block_on(async move {
        C::spawn(async {}).await.expect("the task is empty");
        let mut tasks: Vec<_> = (0..count).map(|_| None).collect();
        let before = anonymous_bytes();
        for task in &mut tasks {
            *task = Some(C::spawn(pending::<()>()));
        }
        C::spawn(async {}).await.expect("the last one is polled after all others");
        let figure = of_each(anonymous_bytes() - before, count, false);
        drop(tasks);
        figure
    })
}

/// Resident bytes of each thread that has allocated, with its stack.
pub(crate) fn thread<C: Contender>() -> Measurement {
    const THREADS: usize = 64;
    let barrier = Arc::new(Barrier::new(THREADS + 1));
    let before = anonymous_bytes();
    let threads: [_; THREADS] = array::from_fn(|_| {
        let barrier = Arc::clone(&barrier);
        thread::spawn(move || {
            C::scope(move || {
                let block = black_box(vec![1u8; 64]);
                barrier.wait();
                barrier.wait();
                drop(block);
            });
        })
    });
    barrier.wait();
    let figure = of_each(anonymous_bytes() - before, THREADS, false);
    barrier.wait();
    for thread in threads {
        thread.join().expect("a thread that only waits");
    }
    figure
}

/// Resident bytes that are left, in all, when this many tasks have come and gone, a thousand at a
/// time. A contender that takes too long or too much gets fewer tasks, and the figure says so.
pub(crate) fn million_tasks<C: Contender>() -> Measurement {
    const AT_A_TIME: usize = 1_000;
    const LONGEST: Duration = Duration::from_secs(10);
    const MOST_BYTES: i64 = 2 << 30;
    let wanted = if is_quick() { 10_000 } else { 1_000_000 };
    block_on(async move {
        let mut tasks = Vec::with_capacity(AT_A_TIME);
        anonymous_bytes();
        trim();
        let before = anonymous_bytes();
        let start = Instant::now();
        let mut done = 0;
        while done < wanted && start.elapsed() < LONGEST {
            tasks
                .extend((0..AT_A_TIME).map(|_| C::spawn(async { black_box(vec![1u8; 64]).len() })));
            for task in tasks.drain(..) {
                task.await.expect("the task only allocates");
            }
            done += AT_A_TIME;
            if done % 50_000 == 0 && anonymous_bytes() - before > MOST_BYTES {
                break;
            }
        }
        trim();
        let value = (anonymous_bytes() - before) as f64;
        Measurement { value, operations: done as u64, is_capped: done < wanted }
    })
}

fn of_each(bytes: i64, count: usize, is_capped: bool) -> Measurement {
    Measurement { value: bytes as f64 / count as f64, operations: count as u64, is_capped }
}
