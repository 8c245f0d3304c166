//! A cache of the owner that a thread has charged last and of its last free: the next block is
//! mostly like them.

use super::current::is_outside;
#[cfg(feature = "tokio")]
use super::unannotated::Charged;
use crate::accounting::{LastPair, Tally};

// PERF: `const` and without a destructor, as `HERE`. It is no part of `HERE`: the hot path of a
// program with its own `#[global_allocator]` reads that relative to the thread pointer, and needs
// no address of it.
thread_local! {
    pub(super) static RECENT: Recent = const { Recent::new() };
}

/// What a thread has charged and freed last.
///
/// PERF: code that may be linked into a library looks up each thread-local by a call, which the
/// linker turns into two instructions for a program. The compiler does not know that: it keeps no
/// value across the call in a register that a call may overwrite. So the paths outside of tracked
/// tasks look it up once, and pass it on.
pub(super) struct Recent {
    #[cfg(feature = "tokio")]
    pub(super) charged: Charged,
    pub(super) pair: LastPair,
}

impl Recent {
    const fn new() -> Self {
        Self {
            #[cfg(feature = "tokio")]
            charged: Charged::new(),
            pair: LastPair::new(),
        }
    }

    /// Returns the tally to charge in this mode, if that is outside of tracked tasks and the owner
    /// is still the one which this thread charged last.
    ///
    /// PERF: two comparisons, without a call.
    #[inline]
    pub(super) fn charged_in(&self, mode: &'static Tally) -> Option<&'static Tally> {
        if is_outside(mode) { self.charged() } else { None }
    }

    /// [`charged_in`](Self::charged_in) outside of tracked tasks.
    #[cfg_attr(not(feature = "tokio"), expect(clippy::unused_self, reason = "as with Tokio"))]
    #[inline]
    pub(super) fn charged(&self) -> Option<&'static Tally> {
        #[cfg(feature = "tokio")]
        return self.charged.current();
        #[cfg(not(feature = "tokio"))]
        None
    }
}
