//! A library that is linked by itself, so it has its own copy of memscope.
//! `programs/report_child.rs` loads it.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use memscope_rs::{TrackingAllocator, async_memory::track};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

/// What the report of this copy must show.
// SAFETY: no other library of the tests has a function of this name.
#[unsafe(no_mangle)]
pub extern "C" fn leave_something_in_plugin() {
    let task = pin!(track(async { vec![1u8; 54_321] }).named("left by the plugin"));
    if let Poll::Ready(left) = task.poll(&mut Context::from_waker(Waker::noop())) {
        std::mem::forget(left);
    }
}
