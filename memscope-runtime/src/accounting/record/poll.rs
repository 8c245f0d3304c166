//! Polls of a task: all are counted, some are timed, and one of them may be the last.

use super::{Record, poll_end::TIMED};
use crate::{
    accounting::{budget, peak_window},
    config,
    model::{EventKind, TaskState},
    primitives::{
        clock, pending_starts,
        sync::{Ordering, bump, raise},
    },
};

impl Record {
    /// Notes that a poll begins. The caller makes the task current. Returns whether this is the
    /// first poll: then the caller must call [`begin`](Self::begin).
    #[inline]
    pub(crate) fn begin_poll(&'static self) -> (Poll, bool) {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls + 1, Ordering::Relaxed);
        self.look_at_window();
        // PERF: the task mostly waits, so few polls need more than this comparison.
        let waits = self.state.load(Ordering::Relaxed) == TaskState::Idle as u8;
        let ended = !waits && self.state().is_ended();
        if !ended {
            self.state.store(TaskState::Running as u8, Ordering::Relaxed);
        }
        if !ended && self.sampling().times(polls) {
            self.begin_timed(polls);
        }
        let outcome = TaskState::Panicked;
        (Poll { record: self, had_ended: ended, outcome }, polls == 0)
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
    /// [`stop`](Self::stop) ends the poll.
    #[cfg(feature = "tracing")]
    pub(crate) fn start(&'static self, outer: impl FnOnce() -> u64) {
        let (poll, is_first) = self.begin_poll();
        // `stop` ends the poll.
        std::mem::forget(poll);
        if is_first {
            self.begin(outer());
        }
    }

    /// Ends a poll that [`start`](Self::start) began.
    #[cfg(feature = "tracing")]
    pub(crate) fn stop(&'static self) {
        drop(Poll { record: self, had_ended: false, outcome: TaskState::Idle });
    }

    /// Ends a poll that [`start`](Self::start) began. Its duration is not known. Its budget is
    /// compared at the end of the next one: a child of a fork calls this, where nothing may wait or
    /// allocate.
    #[cfg(all(feature = "tracing", unix))]
    pub(crate) fn stop_untimed(&self) {
        self.drop_flag(TIMED);
        self.ended_ns.store(0, Ordering::Relaxed);
        self.state.store(TaskState::Idle as u8, Ordering::Relaxed);
    }

    /// Begins a timed poll. As long as it goes on, waiting has ended at its start.
    // PERF: out of line, because few polls need it and the others stay short.
    #[inline(never)]
    fn begin_timed(&self, polls: u64) {
        self.raise_flag(TIMED);
        let started_ns = clock::now_ns();
        self.ended_ns.store(started_ns, Ordering::Relaxed);
        if polls != 0
            && self.sampling().times(polls - 1)
            && let Some(counted_site) = self.counted_site.get()
        {
            // The poll before was timed too.
            counted_site.note_idle(
                started_ns.saturating_sub(self.last_poll_end_ns.load(Ordering::Relaxed)),
            );
        }
    }

    /// Does what the flags ask of the end of a poll: looks at the budget, and ends a timed poll.
    /// Returns when the poll ended, or 0 if it is not timed. `waits` says whether the task waits
    /// now.
    #[inline(never)]
    fn end_flagged(&'static self, waits: bool) -> u64 {
        if waits && self.may_be_over_budget() {
            budget::tell(self);
        }
        let Some(started_ns) = self.timed_start() else { return 0 };
        self.drop_flag(TIMED);
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

    /// When the current poll began; `None` if it is not timed.
    #[inline]
    fn timed_start(&self) -> Option<u64> {
        let is_timed = self.flags.load(Ordering::Relaxed) & TIMED != 0;
        is_timed.then(|| self.ended_ns.load(Ordering::Relaxed))
    }

    /// Notes the first poll. If the poll happens inside another task, that task, `outer`, becomes
    /// the parent. If `outer` is 0, the task that created this one stays the parent.
    ///
    /// The thread must be registered by now if it can be: before, it has no ring.
    #[inline]
    pub(crate) fn begin(&self, outer: u64) {
        let started_ns = self.timed_start().unwrap_or(0);
        if started_ns != 0 {
            self.first_poll_ns.store(started_ns, Ordering::Relaxed);
        }
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
    /// Whether the task had ended before this poll.
    had_ended: bool,
    /// The state after this poll, unless the task had ended before.
    outcome: TaskState,
}

impl Poll {
    #[inline]
    pub(crate) fn record(&self) -> &'static Record {
        self.record
    }

    /// Notes that the future has returned. If the guard is dropped before this call, the poll has
    /// panicked.
    #[inline]
    pub(crate) fn finish(&mut self, is_ready: bool) {
        self.outcome = if is_ready { TaskState::Completed } else { TaskState::Idle };
    }
}

impl Drop for Poll {
    #[inline]
    fn drop(&mut self) {
        // PERF: one comparison in memory for all that few polls need.
        let ended_ns = match self.record.flags.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.record.end_flagged(!self.had_ended && self.outcome == TaskState::Idle),
        };
        if self.had_ended {
            return;
        }
        match self.outcome {
            TaskState::Idle => {
                self.record.state.store(TaskState::Idle as u8, Ordering::Relaxed);
            }
            state => self.record.end(state, ended_ns),
        }
    }
}
