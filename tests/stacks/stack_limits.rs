//! More stacks than are kept: what is lost is counted, and sums stay exact.

use memscope_rs::{
    __private::{stacks, stacks_state},
    Stacks,
    async_memory::{MemorySnapshot, StacksState},
    builder,
};
use memscope_tests::conserved;

use crate::ALLOCATOR;

/// All that memscope holds, except for the table that grows with the program's addresses.
fn own_bytes(snapshot: &MemorySnapshot) -> u64 {
    let tool = snapshot.tool();
    tool.own_bytes - tool.owner_table_bytes - tool.history_bytes
}

#[inline(never)]
fn left(path: u32, levels: u32) -> Vec<u8> {
    std::hint::black_box(walk(path, levels))
}

#[inline(never)]
fn right(path: u32, levels: u32) -> Vec<u8> {
    std::hint::black_box(walk(path, levels))
}

/// Allocates under a stack of its own for each path.
fn walk(path: u32, levels: u32) -> Vec<u8> {
    if levels == 0 {
        vec![1; 100]
    } else if path & 1 == 0 {
        left(path >> 1, levels - 1)
    } else {
        right(path >> 1, levels - 1)
    }
}

#[test]
fn stacks_beyond_the_limit_are_dropped_and_counted() {
    builder().stacks(Stacks::EveryBytes(1)).init().expect("possible");
    let (mean, before, state) = stacks_state();
    assert_eq!((mean, state), (1, StacksState::On));
    let blocks: Vec<_> = (0..1 << 13).map(|path| walk(path, 13)).collect();
    let dropped = stacks_state().1 - before;
    let kept = stacks().iter().filter(|stack| stack.live_bytes == 100).count();
    assert!((3_000..=4_096).contains(&kept), "{kept}");
    assert!((4_096..5_200).contains(&dropped), "{dropped}");
    let memory = own_bytes(&conserved(&ALLOCATOR));
    drop(blocks);
    for path in 0..1 << 13 {
        drop(walk(path, 13));
    }
    let grown = own_bytes(&conserved(&ALLOCATOR)) - memory;
    assert!(grown < 64 << 10, "{grown}");
}
