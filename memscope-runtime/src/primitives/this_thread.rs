//! Whether this thread is registered: it has a record, and a destructor that will run.
//!
//! Only a registered thread may keep places for itself (a ring, a magazine): what it keeps is
//! handed on when it ends.

use std::cell::Cell;

// PERF: `const` and without a destructor, as in `alloc::current`.
thread_local! {
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
}

#[inline]
pub(crate) fn is_registered() -> bool {
    IS_REGISTERED.get()
}

/// Notes that this thread has, or has no longer, a record.
pub(crate) fn set_registered(is_registered: bool) {
    IS_REGISTERED.set(is_registered);
}
