//! A storm of allocations drives the mean between samples up. What was sampled before, meanwhile
//! and afterwards keeps the weight that it was drawn with.

use std::hint::black_box;

use memscope_rs::{
    __private::{StackReading, error_bound, stacks, stacks_state},
    Stacks,
    async_memory::StacksState,
    builder,
};
use memscope_tests::conserved;

use crate::ALLOCATOR;

/// The least mean that adapts.
const BASE: u64 = 4 << 10;

/// Allocates until the mean is this many bytes.
#[inline(never)]
fn storm(mean: u64) -> Vec<Vec<u8>> {
    let mut kept = Vec::with_capacity(1 << 20);
    while stacks_state().0 < mean {
        kept.push(black_box(vec![1_u8; 3_000]));
    }
    kept
}

#[inline(never)]
fn calm(blocks: usize) -> Vec<Vec<u8>> {
    let mut kept = Vec::with_capacity(blocks);
    kept.extend((0..blocks).map(|_| black_box(vec![1_u8; 3_000])));
    black_box(kept)
}

/// Live and allocated bytes and their samples, of stacks that are new.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    live: (u64, u64),
    allocated: (u64, u64),
}

fn sums() -> Sums {
    let add = |sums: Sums, stack: &StackReading| Sums {
        live: (sums.live.0 + stack.live_bytes, sums.live.1 + stack.live_samples),
        allocated: (sums.allocated.0 + stack.allocated_bytes, sums.allocated.1 + stack.samples),
    };
    stacks().iter().fold(Sums::default(), add)
}

/// The truth is within three times its bound, which holds in all but one of a million runs.
#[track_caller]
#[expect(clippy::cast_precision_loss, reason = "a bound is not exact")]
fn is_near(before: (u64, u64), after: (u64, u64), truth: u64) {
    let (estimate, samples) = (after.0 - before.0, after.1 - before.1);
    assert!(samples > 50, "{samples} samples");
    let bound = 3.0 * error_bound(samples) * estimate as f64;
    assert!(estimate.abs_diff(truth) as f64 <= bound, "{estimate} of {truth}, {samples} samples");
}

#[test]
fn samples_keep_the_weight_that_they_were_drawn_with() {
    builder().stacks(Stacks::EveryBytes(BASE)).init().expect("possible");
    if stacks_state().2 == StacksState::Unsupported {
        return;
    }
    let bytes = |blocks: &Vec<Vec<u8>>| (blocks.len() * 3_000 + blocks.capacity() * 24) as u64;
    let start = sums();
    let in_storm = storm(32 * BASE);
    let between = sums();
    is_near(start.live, between.live, bytes(&in_storm));
    is_near(start.allocated, between.allocated, bytes(&in_storm));
    let later = calm(30_000);
    let end = sums();
    is_near(between.live, end.live, bytes(&later));
    is_near(between.allocated, end.allocated, bytes(&later));
    assert!(stacks_state().0 >= 32 * BASE);
    // What is freed takes off just what it was counted as.
    drop((in_storm, later));
    assert_eq!(sums().live, start.live);
    conserved(&ALLOCATOR);
}
