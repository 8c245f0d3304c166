//! Signals are blocked while a thread or a copy of the process starts: neither takes the program's.

use std::{mem::MaybeUninit, ptr};

/// Blocks all signals in this thread, and in the threads that it starts, until dropped.
pub(crate) struct AllBlocked {
    before: libc::sigset_t,
}

impl AllBlocked {
    /// May be called in a signal handler.
    pub(crate) fn new() -> Self {
        let mut all = MaybeUninit::<libc::sigset_t>::zeroed();
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the pointer is to memory for a signal set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        // SAFETY: `sigfillset` made the new set, and `before` has room for the old one. It
        // cannot fail.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: zeroed, which is valid for this struct of numbers, and written by the call.
        Self { before: unsafe { before.assume_init() } }
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        let before = &raw const self.before;
        // SAFETY: restores the set that was in place; null: the set in between is not wanted.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, ptr::null_mut()) };
    }
}
