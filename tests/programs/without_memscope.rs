//! `thread_locals.rs` without memscope. `tests/unannotated/unannotated_tasks.rs` starts it.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

use std::task::{Context, Waker};

mod thread_locals;

fn main() {
    thread_locals::main(|mut work| {
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
}
