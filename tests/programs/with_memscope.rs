//! `thread_locals.rs` with memscope. `tests/unannotated/unannotated_tasks.rs` starts it.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

use memscope_rs::async_memory::{get_memory_snapshot, track};
use memscope_tests::poll;

mod thread_locals;

memscope_tests::install!();

fn main() {
    thread_locals::main(|work| {
        let mut task = Box::pin(track(work));
        assert!(poll(&mut task).is_ready());
        assert!(!get_memory_snapshot().tasks().is_empty());
    });
}
