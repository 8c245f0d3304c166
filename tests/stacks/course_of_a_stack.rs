//! The live bytes of a stack at earlier times: which code grows, beside code that has more.

use std::{hint::black_box, time::Duration};

use memscope_rs::{
    Stacks,
    async_memory::{MemorySnapshot, StackProfile, StacksState, get_memory_snapshot},
    builder,
};

const BLOCK: usize = 16 << 10;
const KEPT: usize = 128;
const ROUNDS: usize = 20;
const A_ROUND: usize = 2;

#[inline(never)]
fn keeps() -> Vec<Vec<u8>> {
    (0..KEPT).map(|_| black_box(vec![1; BLOCK])).collect()
}

#[inline(never)]
fn grows(blocks: &mut Vec<Vec<u8>>) {
    for _ in 0..A_ROUND {
        let block = black_box(vec![2; BLOCK]);
        blocks.push(block);
    }
}

/// The largest stack with this function, and its earlier live bytes.
fn course(snapshot: &MemorySnapshot, function: &str) -> (u64, Vec<u64>) {
    let has =
        |stack: &&StackProfile| stack.frames.iter().any(|frame| frame.function.ends_with(function));
    let stack = snapshot.stacks().iter().find(has).expect("it is named");
    let times: Vec<u64> = stack.points.iter().map(|point| point.at_ns).collect();
    assert!(times.is_sorted() && times.len() <= 16, "{times:?}");
    (stack.live_bytes, stack.points.iter().map(|point| point.live_bytes).collect())
}

#[test]
fn the_stack_that_grows_is_told_from_the_one_that_has_more() {
    let settings = builder().stacks(Stacks::EveryBytes(1)).sample_every(Duration::from_hours(1));
    settings.init().expect("the settings are right");
    if get_memory_snapshot().stacks_measured() == StacksState::Unsupported {
        return;
    }
    let kept = keeps();
    let mut blocks = Vec::with_capacity(ROUNDS * A_ROUND);
    for _ in 0..ROUNDS {
        grows(&mut blocks);
        black_box(get_memory_snapshot());
    }
    while memscope_rs::__private::look_up_names() != 0 {}
    let snapshot = get_memory_snapshot();

    let (live, points) = course(&snapshot, "::keeps");
    assert_eq!(live, (KEPT * BLOCK) as u64, "each block is sampled");
    assert!(points.len() >= 8 && points.iter().all(|it| *it == live), "{points:?}");

    let (live, points) = course(&snapshot, "::grows");
    let of_rounds = |rounds: usize| (rounds * A_ROUND * BLOCK) as u64;
    assert_eq!(live, of_rounds(ROUNDS));
    assert_eq!(points.first(), Some(&of_rounds(1)), "what was there at its first sample");
    assert_eq!(points.last(), Some(&live), "the last point is this snapshot");
    assert!(points.len() >= 8 && points.is_sorted(), "{points:?}");
    drop((kept, blocks));
}
