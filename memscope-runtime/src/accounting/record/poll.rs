//! A poll of a task: it is counted, some are timed, and it may be the task's last.

use super::Record;
use crate::{
    accounting::peak_window,
    config,
    model::{EventKind, TaskState},
    primitives::{
        clock, pending_starts,
        sync::{Ordering, bump, raise},
    },
};

impl Record {
    /// Notes that a poll begins; the caller sees to it that the task is current. `outer`: the task
    /// that it happens in, 0 if none; asked at the first poll.
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

    /// Where its last poll left it, as far as that was noted.
    #[cfg(feature = "layout")]
    #[inline]
    pub(crate) fn await_point(&self) -> u32 {
        self.links.waiting_at()
    }

    /// Notes where its poll leaves it: by the thread that polls it, before the poll is over.
    #[cfg(feature = "layout")]
    #[inline]
    pub(crate) fn note_await_point(&self, node: u32) {
        // PERF: it mostly waits where it waited before, and then its cache line need not be
        // written.
        if self.links.waiting_at() != node {
            self.links.set_waiting_at(node);
        }
    }

    /// Begins a poll that [`stop`](Self::stop) ends, for whoever cannot hold a guard: a span that
    /// is entered. Returns what `stop` wants.
    #[cfg(feature = "tracing")]
    pub(crate) fn start(&'static self, outer: impl FnOnce() -> u64) -> u64 {
        let poll = self.begin_poll(outer);
        let started_ns = poll.started_ns;
        // `stop` ends it.
        std::mem::forget(poll);
        started_ns
    }

    /// Ends such a poll.
    #[cfg(feature = "tracing")]
    pub(crate) fn stop(&'static self, started_ns: u64) {
        drop(Poll { record: self, started_ns, outcome: Some(TaskState::Idle) });
    }

    /// A timed poll. As long as it goes on, waiting has ended here.
    // PERF: out of line, as all that few polls need, so that the others stay short.
    #[inline(never)]
    fn begin_timed(&self, polls: u64) -> u64 {
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
        started_ns
    }

    /// The end of a timed poll, and when it was; `waits`: the task waits now.
    #[inline(never)]
    fn end_timed(&self, started_ns: u64, waits: bool) -> u64 {
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

    /// The first poll: the task it happens in is the parent; else the one that created it.
    /// `started_ns`: 0 if it is not timed.
    #[cold]
    #[inline(never)]
    fn begin(&self, outer: impl FnOnce() -> u64, started_ns: u64) {
        // First, as a thread that nobody knew has no ring before.
        let outer = outer();
        self.first_poll_ns.store(started_ns, Ordering::Relaxed);
        self.emit(EventKind::Spawned, started_ns, 0);
        pending_starts::occasion();
        if outer != 0 && outer != self.tally.id() {
            self.parent.store(outer, Ordering::Relaxed);
        }
    }

    /// Starts the peak anew where a window of a monitor was opened since; by the record's only
    /// writer.
    #[inline]
    pub(crate) fn look_at_window(&self) {
        if self.window.load(Ordering::Relaxed) != peak_window::epoch() {
            self.enter_window();
        }
    }

    /// The first poll in a window of a monitor: the peak starts anew.
    #[cold]
    fn enter_window(&self) {
        if let Some(account) = self.tally.account() {
            // In this order: a reader of the new peak sees the old one in `past_peak` and in the
            // windows (pairs with `read` and `Window::peak_bytes`).
            let peak_bytes = self.tally.peak_bytes();
            raise(&self.past_peak, peak_bytes);
            if peak_window::any_is_open() {
                peak_window::note(self.window.load(Ordering::Relaxed), peak_bytes);
            }
            self.tally.restart_peak(account);
        }
        // Release: a reader of the new epoch sees the new peak (pairs with `window_peak`).
        self.window.store(peak_window::epoch(), Ordering::Release);
    }
}

/// A poll that is going on, whatever is current.
#[derive(Debug)]
pub(crate) struct Poll {
    record: &'static Record,
    /// 0: this poll is not timed.
    started_ns: u64,
    /// The state that the end of this poll brings; `None` when the task had ended before.
    outcome: Option<TaskState>,
}

impl Poll {
    /// The future has returned. Dropped before that, the poll has panicked.
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
