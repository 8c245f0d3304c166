//! Whether this thread is registered: it has a record, and a destructor that will run at its end.
//!
//! Only a registered thread may keep slots for itself (a ring, a magazine), because its destructor
//! returns them.

use std::cell::Cell;

// PERF: `const` and without a destructor, like the thread-locals of `alloc::current`.
thread_local! {
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
}

#[inline]
pub(crate) fn is_registered() -> bool {
    IS_REGISTERED.get()
}

/// Records that this thread has a record, or that it has none any more.
pub(crate) fn set_registered(is_registered: bool) {
    IS_REGISTERED.set(is_registered);
}
