//! How often this process was forked off, which is all that a [`Lock`](super::fork_lock::Lock)
//! needs to know of forks.
//!
//! `pthread_atfork` says it (see `hooks`), and not the process id: ids are used again, each
//! namespace has its own, and to ask for one is a system call. Nor a page that the kernel wipes in
//! a child (`MADV_WIPEONFORK`): only Linux has that, and what the other threads left has to be
//! looked after in the child anyway, on the thread that goes on, before any other is started. A
//! process that is copied past `fork` (by a bare `clone` or `_Fork`) is not noticed; there the
//! locks of `malloc` and of the standard library stay held as well.

use super::{
    fork_lock,
    sync::{AtomicU8, AtomicU32, Ordering},
};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The thread that forked was inside of a lock and still is: locks are not taken over until it has
/// left it.
static SURVIVOR_HOLDS: AtomicU8 = AtomicU8::new(0);

/// Threads of the program that forks have left behind.
static LEFT_BEHIND: AtomicU32 = AtomicU32::new(0);

/// How many forks there are between the program's start and this process.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// This is the child, and its only thread.
// Relaxed, as whatever thread there will be is started after this.
pub(crate) fn begin() {
    GENERATION.store(generation().wrapping_add(1), Ordering::Relaxed);
    SURVIVOR_HOLDS.store(u8::from(fork_lock::survives_holding()), Ordering::Relaxed);
}

/// So many threads of the program are known not to be in this child. What an earlier fork left
/// behind may still have its locks.
pub(crate) fn note_left_behind(threads: u32) {
    LEFT_BEHIND.fetch_add(threads, Ordering::Relaxed);
}

/// Whether no thread of the process of this generation is left that could release a lock.
pub(crate) fn has_left_behind(holders: u32) -> bool {
    holders != generation() && SURVIVOR_HOLDS.load(Ordering::Acquire) == 0
}

/// The thread that forked has released the last lock that it held then.
pub(crate) fn survivor_is_out() {
    // Release pairs with the Acquire in `has_left_behind`.
    SURVIVOR_HOLDS.store(0, Ordering::Release);
}

/// Whether other threads of the program ran when this process was forked off: they may have left
/// locks held that are not memscope's.
#[cfg_attr(
    not(any(feature = "report-file", feature = "task-names")),
    allow(dead_code, reason = "nothing there takes a lock that is not memscope's")
)]
pub(crate) fn may_have_foreign_locks() -> bool {
    LEFT_BEHIND.load(Ordering::Relaxed) != 0
}
