//! Guards that make a task current: while it is polled, and while its future is dropped.

use std::task::Context;

use super::current::{self, Entered};
use crate::accounting::{Poll, Record};

/// Tells a runtime's hooks, where there are any, that this thread polls or drops a tracked future.
#[inline]
pub(crate) fn note_tracked() {
    #[cfg(all(feature = "tokio", tokio_unstable))]
    super::unannotated::note_tracked();
}

/// Notes that a tracked future is polled for the first time in this context, which may be that of a
/// Tokio task.
#[cold]
#[inline(never)]
fn note_in_cell(context: &Context<'_>) {
    #[cfg(feature = "tokio")]
    super::cells::note_tracked(context.waker());
    #[cfg(not(feature = "tokio"))]
    let _ = context;
}

impl Record {
    /// Makes the task current for one poll.
    #[expect(clippy::inline_always, reason = "the guard stays in registers for the whole poll")]
    #[inline(always)]
    pub(crate) fn run(&'static self) -> Running {
        let entered = Entered::new(self.tally());
        let poll = self.begin_poll(|| {
            current::thread_works();
            entered.previous_owner_id(self.is_spawned())
        });
        Running { poll, entered }
    }

    /// [`run`](Self::run) for a future that may be all of a Tokio task. `context`: of the poll.
    // PERF: not in the first poll's own function, for which each poll would keep the context.
    #[expect(clippy::inline_always, reason = "as `run`")]
    #[inline(always)]
    pub(crate) fn run_in(&'static self, context: &Context<'_>) -> Running {
        if self.is_unpolled() {
            note_in_cell(context);
        }
        self.run()
    }

    /// Makes the task current while its future is dropped. Dropping the guard closes the task.
    pub(crate) fn closing(&'static self) -> Closing {
        let entered = Entered::new(self.tally());
        self.look_at_window();
        Closing { record: self, entered: Some(entered) }
    }
}

/// A poll in progress, inside its task. Dropped before [`Running::finish`], the poll has panicked.
#[derive(Debug)]
pub(crate) struct Running {
    // Must be the first field: the poll ends while its task is current.
    poll: Poll,
    #[expect(dead_code, reason = "held for its drop")]
    entered: Entered,
}

impl Running {
    #[inline]
    pub(crate) fn finish(mut self, is_ready: bool) {
        self.poll.finish(is_ready);
    }
}

/// A future that is being dropped, inside its task.
#[derive(Debug)]
pub(crate) struct Closing {
    record: &'static Record,
    entered: Option<Entered>,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.entered = None;
        self.record.close();
    }
}
