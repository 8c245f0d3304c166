//! What the end of a poll has to do beyond its usual work: flags in the record, mostly none.
//!
//! The flags are one byte, so a poll that ends tests all of them with one comparison.

use super::Record;
use crate::{accounting::transferred, primitives::sync::Ordering};

/// The task may hold more than its budget. Threads that transfer blocks to it set this too.
const OVER_BUDGET: u8 = 8;
/// The current poll is timed: `ended_ns` is when it began.
pub(super) const TIMED: u8 = 16;

impl Record {
    /// Sets a flag for the end of the poll. The record's single writer calls this.
    // PERF: no locked instruction in a program without budgets and transfers. Only a task with a
    // budget has a flag that other threads raise, and its writer sees that there are budgets.
    #[inline]
    pub(super) fn raise_flag(&self, flag: u8) {
        if transferred::is_in_use() {
            self.flags.fetch_or(flag, Ordering::Relaxed);
        } else {
            self.flags.store(flag, Ordering::Relaxed);
        }
    }

    /// Clears a flag. The record's single writer calls this.
    #[inline]
    pub(super) fn drop_flag(&self, flag: u8) {
        if transferred::is_in_use() {
            // Acquire; pairs with the Release in `mark_over_budget`.
            self.flags.fetch_and(!flag, Ordering::Acquire);
        } else {
            self.flags.store(0, Ordering::Relaxed);
        }
    }

    /// Makes the end of the poll look at the budget. Any thread may call this.
    pub(in crate::accounting) fn mark_over_budget(&self) {
        // Release; pairs with the Acquires here: the look sees what was transferred before.
        self.flags.fetch_or(OVER_BUDGET, Ordering::Release);
    }

    /// Undoes [`mark_over_budget`](Self::mark_over_budget). The record's single writer calls this.
    pub(in crate::accounting) fn unmark_over_budget(&self) {
        self.drop_flag(OVER_BUDGET);
    }

    /// Whether the end of the poll looks at the budget.
    ///
    /// PERF: a comparison in memory.
    #[inline]
    pub(crate) fn may_be_over_budget(&self) -> bool {
        // Acquire; pairs with the Release in `mark_over_budget`.
        self.flags.load(Ordering::Acquire) & OVER_BUDGET != 0
    }
}
