//! Samples that are alive when stacks are turned off. They have a process of their own: a full
//! table would take no stack more.

use memscope_rs::{
    __private::{stacks, stacks_state},
    Stacks,
    async_memory::StacksState,
    builder,
};
use memscope_tests::{alone, conserved};

use crate::ALLOCATOR;

#[test]
fn without_stacks_there_are_no_new_samples_and_live_ones_end() {
    let _alone = alone();
    builder().stacks(Stacks::EveryBytes(1)).init().expect("possible");
    let kept = vec![1u8; 54_321];
    builder().stacks(Stacks::Off).init().expect("possible");
    let sum = || {
        let stacks = stacks();
        let live: u64 = stacks.iter().map(|stack| stack.live_bytes).sum();
        let samples: u64 = stacks.iter().map(|stack| stack.samples).sum();
        (live, samples)
    };
    let before = sum();
    let more: Vec<_> = (0..1_000).map(|size| vec![1u8; 100 + size]).collect();
    assert_eq!(sum(), before);
    assert_eq!((stacks_state().0, stacks_state().2), (0, StacksState::Off));
    drop((kept, more));
    assert_eq!(sum(), (before.0 - 54_321, before.1));
    conserved(&ALLOCATOR);
}
