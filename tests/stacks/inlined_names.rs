//! A function of the program that the compiler has put into one of the standard library's: no
//! symbol names it, and the report has its name from debug information.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{hint::black_box, thread, time::Duration};

use memscope_rs::{
    Stacks,
    async_memory::{StacksState, get_memory_snapshot},
    builder,
};

struct Blocks;

impl Iterator for Blocks {
    type Item = Vec<u8>;

    #[expect(clippy::inline_always, reason = "the test is about inlined functions")]
    #[inline(always)]
    fn next(&mut self) -> Option<Vec<u8>> {
        Some(vec![black_box(1); 2 << 20])
    }
}

#[test]
fn a_function_that_was_inlined_into_the_standard_library_has_its_name() {
    builder().stacks(Stacks::EveryBytes(64 << 10)).init().expect("good settings");
    if get_memory_snapshot().stacks_measured() != StacksState::On {
        return eprintln!("skipped: no stacks on this system");
    }
    let kept: Vec<_> = Blocks.take(8).collect();
    let mut snapshot = get_memory_snapshot();
    for _ in 0..4_000 {
        if snapshot.stack_names_pending() == 0 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
        snapshot = get_memory_snapshot();
    }
    let of_blocks = snapshot.stacks().iter().max_by_key(|stack| stack.live_bytes).expect("a stack");
    let frames = &of_blocks.frames;
    let name = "<stacks::inlined_names::Blocks as core::iter::traits::iterator::Iterator>::next";
    let at =
        frames.iter().position(|it| it.function == name).unwrap_or_else(|| panic!("{snapshot:#}"));
    assert!(frames[at].is_inlined, "{frames:#?}");
    assert!(frames[at + 1].function.contains("adapters::take::Take<"), "{frames:#?}");
    assert_eq!((frames[at + 1].address, frames[at + 1].is_inlined), (frames[at].address, false));
    let text = snapshot.to_string();
    assert!(text.contains("stacks::inlined_names::Blocks::next"), "{text}");
    drop(kept);
}
