//! Guards that make a task current: while it is polled, and while its future is dropped.

use super::current::{self, Entered};
use crate::accounting::{Poll, Record};

impl Record {
    /// Enters the task for one poll.
    #[inline]
    pub(crate) fn run(&'static self) -> Running {
        let entered = Entered::new(self.tally());
        let poll = self.begin_poll(|| {
            current::thread_works();
            entered.previous_owner_id(self.is_spawned())
        });
        Running { poll, entered }
    }

    /// Enters the task to drop its future; when the guard goes, the task is closed.
    pub(crate) fn closing(&'static self) -> Closing {
        let entered = Entered::new(self.tally());
        self.look_at_window();
        Closing { record: self, entered: Some(entered) }
    }
}

/// A poll that is going on in its task. Dropped before [`Running::finish`], the poll has panicked.
#[derive(Debug)]
pub(crate) struct Running {
    // First, so that the poll ends inside the task.
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

/// A future that is being dropped.
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
