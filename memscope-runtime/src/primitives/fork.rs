//! Counts forks, so that a [`Lock`](super::fork_lock::Lock) knows whether this process took it.
//!
//! `pthread_atfork` reports a fork (see `output::os_hooks`). The process id cannot stand for it:
//! ids are reused, each namespace has its own, and asking for one is a system call. A page that the
//! kernel wipes in a child (`MADV_WIPEONFORK`) exists on Linux alone. In any case the child must
//! clean up after the parent's other threads, on its only thread, before it starts another one. A
//! copy without `fork` (by a bare `clone` or `_Fork`) is not noticed. There the locks of `malloc`
//! and of the standard library stay held as well.

use super::{
    fork_lock,
    sync::{AtomicU8, AtomicU32, Ordering},
};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// 1 if the forking thread held a lock at the fork and still holds it. No lock is taken over until
/// that thread has released it.
static SURVIVOR_HOLDS: AtomicU8 = AtomicU8::new(0);

/// Threads of the program that forks have left behind.
static LEFT_BEHIND: AtomicU32 = AtomicU32::new(0);

/// The number of forks between the program's start and this process.
#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// Starts a new generation. Must be called in the child, on its only thread.
// Relaxed: every other thread is started after this.
pub(crate) fn begin() {
    GENERATION.store(generation().wrapping_add(1), Ordering::Relaxed);
    SURVIVOR_HOLDS.store(u8::from(fork_lock::survives_holding()), Ordering::Relaxed);
}

/// Records that this many threads of the program do not exist in this child. The locks of threads
/// that an earlier fork left behind may still be held.
pub(crate) fn note_left_behind(threads: u32) {
    LEFT_BEHIND.fetch_add(threads, Ordering::Relaxed);
}

/// Whether no thread is left that could release a lock taken in the generation `holders`.
pub(crate) fn has_left_behind(holders: u32) -> bool {
    holders != generation() && SURVIVOR_HOLDS.load(Ordering::Acquire) == 0
}

/// Records that the forking thread has released the last lock that it held at the fork.
pub(crate) fn survivor_is_out() {
    // Release; pairs with the Acquire in `has_left_behind`.
    SURVIVOR_HOLDS.store(0, Ordering::Release);
}

/// Whether other threads of the program ran at a fork that led to this process. They may have left
/// locks held that are not memscope's.
#[cfg_attr(
    not(any(feature = "report-file", feature = "symbols")),
    allow(dead_code, reason = "nothing there takes a lock that is not memscope's")
)]
pub(crate) fn may_have_foreign_locks() -> bool {
    LEFT_BEHIND.load(Ordering::Relaxed) != 0
}
