//! Guards that make a task current: while it is polled, and while its future is dropped.

use std::task::Context;

use super::current::{self, Entered};
use crate::accounting::{Poll, Record, Tally};

/// Tells a runtime's hooks, where there are any, that this thread polls or drops a tracked future.
#[inline]
pub(crate) fn note_tracked() {
    #[cfg(all(feature = "tokio", tokio_unstable))]
    super::unannotated::note_tracked();
}

impl Record {
    /// Makes the task current for one poll. Returns whether it is the first one: then the caller
    /// must call [`Running::begin`].
    #[expect(clippy::inline_always, reason = "the guard stays in registers for the whole poll")]
    #[inline(always)]
    pub(crate) fn run(&'static self) -> (Running, bool) {
        let entered = Entered::new(self.tally());
        let (poll, is_first) = self.begin_poll();
        (Running { poll, entered }, is_first)
    }

    /// [`run`](Self::run) for a future that is only a part of a Tokio task. Notes the first poll,
    /// too.
    #[cfg(feature = "tower")]
    #[inline]
    pub(crate) fn run_apart(&'static self) -> Running {
        let (running, is_first) = self.run();
        if is_first {
            running.begin(None);
        }
        running
    }

    /// Makes the task current while its future is dropped. Dropping the guard closes the task.
    #[inline]
    pub(crate) fn closing(&'static self) -> Closing {
        let entered = Entered::new(self.tally());
        self.look_at_window();
        Closing { record: self, entered: Some(entered) }
    }
}

/// Notes the first poll of a task. `previous` is what was current before.
#[inline(never)]
fn begin(record: &'static Record, previous: &'static Tally, context: Option<&Context<'_>>) {
    #[cfg(feature = "tokio")]
    if let Some(context) = context {
        super::cells::note_tracked(context.waker());
    }
    #[cfg(not(feature = "tokio"))]
    let _ = context;
    // Must come first, because an unregistered thread has no ring.
    current::thread_works();
    record.begin(current::outer_id(previous, record.is_spawned()));
}

/// A poll in progress, inside its task. If the guard is dropped before [`Running::finish`], the
/// poll has panicked.
#[derive(Debug)]
pub(crate) struct Running {
    // Must be the first field: the poll ends while its task is current.
    poll: Poll,
    entered: Entered,
}

impl Running {
    /// Notes the first poll. `context` is the poll's, if the future may be the whole of a Tokio
    /// task.
    // PERF: called for the guard that the caller holds already. A guard that is returned after this
    // call is moved.
    #[inline]
    pub(crate) fn begin(&self, context: Option<&Context<'_>>) {
        begin(self.poll.record(), self.entered.previous(), context);
    }

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
    #[inline]
    fn drop(&mut self) {
        self.entered = None;
        self.record.close();
    }
}
