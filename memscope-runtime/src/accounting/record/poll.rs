//! Polls of a task: all are counted, some are timed, and one of them may be the last.

use super::Record;
use crate::{
    accounting::{budget, peak_window},
    config,
    model::{EventKind, TaskState},
    primitives::{
        clock, pending_starts,
        sync::{Ordering, bump, raise},
    },
};

/// Stands for the beginning of a poll that is not timed and whose end looks at the task's budget.
const UNTIMED: u64 = u64::MAX;

impl Record {
    /// Notes that a poll begins. The caller makes the task current. The first poll calls `outer`
    /// for the task that it happens in, 0 if there is none.
    #[inline]
    pub(crate) fn begin_poll(&'static self, outer: impl FnOnce() -> u64) -> Poll {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls + 1, Ordering::Relaxed);
        self.look_at_window();
        let ended = self.state().is_ended();
        if !ended {
            self.state.store(TaskState::Running as u8, Ordering::Relaxed);
        }
        let is_timed = !ended && self.sampling().times(polls);
        let started_ns = if is_timed { self.begin_timed(polls) } else { 0 };
        if polls == 0 {
            self.begin(outer, started_ns);
        }
        Poll {
            record: self,
            started_ns,
            outcome: if ended { None } else { Some(TaskState::Panicked) },
        }
    }

    /// Whether the task was never polled.
    #[inline]
    pub(crate) fn is_unpolled(&self) -> bool {
        self.polls.load(Ordering::Relaxed) == 0
    }

    /// The await point at which its last poll left it, if that was noted.
    #[cfg(feature = "layout")]
    #[inline]
    pub(crate) fn await_point(&self) -> u32 {
        self.links.waiting_at()
    }

    /// Notes the await point at which its poll leaves it. The polling thread calls this before the
    /// poll is over.
    #[cfg(feature = "layout")]
    #[inline]
    pub(crate) fn note_await_point(&self, node: u32) {
        // PERF: the task mostly waits where it waited before. Then its cache line is not written.
        if self.links.waiting_at() != node {
            self.links.set_waiting_at(node);
        }
    }

    /// Begins a poll for a caller that cannot hold a guard: a span that is entered.
    /// [`stop`](Self::stop) ends the poll. Returns the argument for `stop`.
    #[cfg(feature = "tracing")]
    pub(crate) fn start(&'static self, outer: impl FnOnce() -> u64) -> u64 {
        let poll = self.begin_poll(outer);
        let started_ns = poll.started_ns;
        // `stop` ends the poll.
        std::mem::forget(poll);
        started_ns
    }

    /// Ends a poll that [`start`](Self::start) began.
    #[cfg(feature = "tracing")]
    pub(crate) fn stop(&'static self, started_ns: u64) {
        drop(Poll { record: self, started_ns, outcome: Some(TaskState::Idle) });
    }

    /// Begins a timed poll, and returns its start. As long as the poll goes on, waiting has ended
    /// there.
    // PERF: out of line, because few polls need it and the others stay short.
    #[inline(never)]
    fn begin_timed(&self, polls: u64) -> u64 {
        let sampling = self.real_sampling();
        if !sampling.times(polls) {
            return UNTIMED;
        }
        let started_ns = clock::now_ns();
        self.ended_ns.store(started_ns, Ordering::Relaxed);
        if polls != 0
            && sampling.times(polls - 1)
            && let Some(counted_site) = self.counted_site.get()
        {
            // The poll before was timed too.
            counted_site.note_idle(
                started_ns.saturating_sub(self.last_poll_end_ns.load(Ordering::Relaxed)),
            );
        }
        started_ns
    }

    /// Ends a timed poll, and returns when it ended. `waits` says whether the task waits now.
    #[inline(never)]
    fn end_timed(&'static self, started_ns: u64, waits: bool) -> u64 {
        if waits && self.was_over_budget() {
            budget::tell(self);
        }
        if started_ns == UNTIMED {
            return 0;
        }
        let ended_ns = clock::now_ns();
        let took = ended_ns.saturating_sub(started_ns);
        bump(&self.busy_ns, took);
        bump(&self.timed_polls, 1);
        if let Some(counted_site) = self.counted_site.get() {
            counted_site.note_poll(took);
        }
        if took >= config::long_poll_ns() {
            self.emit(EventKind::LongPoll, ended_ns, took);
        }
        if waits {
            self.ended_ns.store(0, Ordering::Relaxed);
            self.last_poll_end_ns.store(ended_ns, Ordering::Relaxed);
        }
        pending_starts::occasion();
        ended_ns
    }

    /// Notes the first poll. The task that it happens in becomes the parent, if there is one; else
    /// the task that created it stays the parent. `started_ns` is 0 if the poll is not timed.
    #[cold]
    #[inline(never)]
    fn begin(&self, outer: impl FnOnce() -> u64, started_ns: u64) {
        let started_ns = if started_ns == UNTIMED { 0 } else { started_ns };
        // Must come first: an unregistered thread has no ring before.
        let outer = outer();
        self.first_poll_ns.store(started_ns, Ordering::Relaxed);
        self.emit(EventKind::Spawned, started_ns, 0);
        pending_starts::occasion();
        if outer != 0 && outer != self.tally.id() {
            self.parent.store(outer, Ordering::Relaxed);
        }
    }

    /// Restarts the peak if a monitor has opened a window since. Only the record's single writer
    /// calls this.
    #[inline]
    pub(crate) fn look_at_window(&self) {
        if self.window.load(Ordering::Relaxed) != peak_window::epoch() {
            self.enter_window();
        }
    }

    /// Notes the first poll in a monitor's window: restarts the peak.
    #[cold]
    fn enter_window(&self) {
        if let Some(account) = self.tally.account() {
            // The order matters: a reader of the new peak sees the old one in `past_peak` and in
            // the windows. Pairs with `read_ended` and `Window::peak_bytes`.
            let peak_bytes = self.tally.peak_bytes();
            raise(&self.past_peak, peak_bytes);
            if peak_window::any_is_open() {
                peak_window::note(self.window.load(Ordering::Relaxed), peak_bytes);
            }
            self.tally.restart_peak(account);
        }
        // Release; pairs with the Acquire in `window_peak`: a reader of the new epoch sees the new
        // peak.
        self.window.store(peak_window::epoch(), Ordering::Release);
    }
}

/// The guard of a poll that is going on. It does not depend on what is current.
#[derive(Debug)]
pub(crate) struct Poll {
    record: &'static Record,
    /// When the poll began; 0 if it is not timed, or [`UNTIMED`].
    started_ns: u64,
    /// The state after this poll; `None` if the task had ended before.
    outcome: Option<TaskState>,
}

impl Poll {
    /// Notes that the future has returned. If the guard is dropped before this call, the poll has
    /// panicked.
    #[inline]
    pub(crate) fn finish(&mut self, is_ready: bool) {
        if self.outcome.is_some() {
            self.outcome = Some(if is_ready { TaskState::Completed } else { TaskState::Idle });
        }
    }
}

impl Drop for Poll {
    #[inline]
    fn drop(&mut self) {
        let ended_ns = match self.started_ns {
            0 => 0,
            started => self.record.end_timed(started, self.outcome == Some(TaskState::Idle)),
        };
        match self.outcome {
            Some(TaskState::Idle) => {
                self.record.state.store(TaskState::Idle as u8, Ordering::Relaxed);
            }
            Some(state) => self.record.end(state, ended_ns),
            None => {}
        }
    }
}
