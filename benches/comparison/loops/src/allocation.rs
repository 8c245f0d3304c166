//! The loops that allocate.

use std::{
    hint::black_box,
    sync::{Arc, Barrier, mpsc},
    thread,
};

use crate::{
    Contender, Measurement,
    processor::stay_on,
    repetitions::per_operation,
    task::{block_on, yield_now},
};

/// 64 bytes allocated and freed.
pub(crate) fn pair<C: Contender>() -> Measurement {
    C::scope(|| beside_others(|| per_operation(200_000, pairs)))
}

/// Runs a loop while other blocks of 64 bytes live, as they do in any program.
fn beside_others(run: impl FnOnce() -> Measurement) -> Measurement {
    let others: Vec<Vec<u8>> = (0..8).map(|_| Vec::with_capacity(black_box(64))).collect();
    let measured = run();
    drop(black_box(others));
    measured
}

#[inline(never)]
fn pairs(count: u32) {
    for _ in 0..count {
        black_box(Vec::<u8>::with_capacity(black_box(64)));
    }
}

/// Batches of a thousand blocks, the same sizes each time.
pub(crate) fn mixed<C: Contender>() -> Measurement {
    C::scope(|| {
        let mut random = 12_345u64;
        let sizes: Vec<usize> = (0..1_000)
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                16 + usize::try_from((random >> 33) % 4_081).unwrap_or(0)
            })
            .collect();
        let mut hold = Vec::with_capacity(sizes.len());
        per_operation(50_000, |count| batches(count, &sizes, &mut hold))
    })
}

/// As many operations as there are, if not as many whole batches.
#[inline(never)]
fn batches(count: u32, sizes: &[usize], hold: &mut Vec<Vec<u8>>) {
    let mut left = count as usize;
    while left > 0 {
        let batch = left.min(sizes.len());
        hold.extend(sizes[..batch].iter().map(|&size| Vec::with_capacity(size)));
        black_box(&hold);
        hold.clear();
        left -= batch;
    }
}

/// Grows a vector to 64 words: five blocks, one after the other.
pub(crate) fn growth<C: Contender>() -> Measurement {
    C::scope(|| per_operation(10_000, growths))
}

#[inline(never)]
fn growths(count: u32) {
    for _ in 0..count {
        let mut words: Vec<u64> = Vec::new();
        for word in 0..64 {
            words.push(black_box(word));
        }
        black_box(&words);
    }
}

/// Zeroed memory that is not touched.
pub(crate) fn zeroed<C: Contender>(size: usize) -> Measurement {
    C::scope(move || {
        per_operation(400, |count| {
            for _ in 0..count {
                black_box(vec![0u8; black_box(size)]);
            }
        })
    })
}

/// `pair` on two threads at once, each on a processor of its own; the mean of both.
pub(crate) fn two_threads<C: Contender>() -> Measurement {
    let barrier = Arc::new(Barrier::new(2));
    let threads = [0, 1].map(|cpu| {
        let barrier = Arc::clone(&barrier);
        thread::spawn(move || {
            stay_on(cpu);
            barrier.wait();
            C::scope(|| beside_others(|| per_operation(200_000, pairs)))
        })
    });
    let [a, b] = threads.map(|thread| thread.join().expect("a thread that only allocates"));
    Measurement {
        value: f64::midpoint(a.value, b.value),
        operations: a.operations + b.operations,
        is_capped: a.is_capped || b.is_capped,
    }
}

type Batch = Vec<Box<[u8; 64]>>;

/// Blocks go from one thread to another in batches, and empty batches come back. Each has a
/// processor of its own: on one, which the kernel would choose every now and then, no cache line
/// goes from one to the other, and a block takes a quarter of the time.
pub(crate) fn hand_over<C: Contender>() -> Measurement {
    const BATCH: usize = 256;
    const BATCHES: usize = 8;
    let (filled, to_free) = mpsc::sync_channel::<Batch>(BATCHES);
    let (emptied, to_fill) = mpsc::sync_channel::<Batch>(BATCHES);
    for _ in 0..BATCHES {
        emptied.send(Vec::with_capacity(BATCH)).expect("the receiver is here");
    }
    let consumer = thread::spawn(move || {
        stay_on(1);
        C::scope(move || {
            for mut batch in to_free {
                batch.clear();
                if emptied.send(batch).is_err() {
                    break; // The other thread has ended: the last batches go nowhere.
                }
            }
        });
    });
    stay_on(0);
    let figure = C::scope(move || {
        per_operation(100_000, |count| {
            let mut left = count as usize;
            while left > 0 {
                let Ok(mut batch) = to_fill.recv() else { return };
                let blocks = left.min(BATCH);
                batch.extend((0..blocks).map(|_| black_box(Box::new([1; 64]))));
                left -= blocks;
                if filled.send(batch).is_err() {
                    return;
                }
            }
        })
    });
    consumer.join().expect("a thread that only frees");
    figure
}

/// A block for each poll, freed in the next.
pub(crate) fn in_task<C: Contender>() -> Measurement {
    per_operation(20_000, |count| {
        block_on(async move {
            let task = C::spawn(async move {
                for _ in 0..count {
                    let block = black_box(Vec::<u8>::with_capacity(black_box(64)));
                    yield_now().await;
                    drop(block);
                }
            });
            task.await.expect("the task only allocates");
        });
    })
}
