//! Reading a record: a copy of its fields at one moment.

use super::Record;
use crate::{
    accounting::{
        future_type::FutureType,
        site::Site,
        tally::TallyReading,
        transferred::{self, TransferredIn},
    },
    model::TaskState,
    primitives::{Nanos, clock, sync::Ordering},
};

/// One reading of a record, in plain numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordReading {
    pub(crate) parent: u64,
    pub(crate) site: &'static Site,
    pub(crate) counted_site: &'static Site,
    /// Whether that site counts it already.
    pub(crate) is_counted: bool,
    pub(crate) future: &'static FutureType,
    pub(crate) state: TaskState,
    pub(crate) polls: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) timing: Timing,
    /// The least time for which the task has not been polled.
    pub(crate) idle_ns: Option<Nanos>,
    pub(crate) cell_bytes: u64,
    /// Whether a `JoinHandle` of an unannotated task is held, if that is known.
    pub(crate) has_handle: Option<bool>,
    /// What the task may hold; `u64::MAX` if it has no budget or has ended.
    pub(crate) budget_bytes: u64,
    /// Where the task waits, as a node number of the await-point tree. 0 if that is not known or
    /// the task does not wait.
    #[cfg(feature = "layout")]
    pub(crate) await_point: u32,
}

impl RecordReading {
    /// Adds what came to the task through other threads and tasks.
    pub(super) fn with(self, taken: &TransferredIn) -> Self {
        Self {
            polls: self.polls + taken.entries,
            peak_bytes: self.peak_bytes.max(taken.peak_bytes),
            ..self
        }
    }
}

/// The kind of a task: where it was created, the row that counts it, and the type of its future.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) site: &'static Site,
    pub(super) counted_site: Option<&'static Site>,
    pub(super) future: &'static FutureType,
}

/// How long a task was polled, and how long it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) busy_ns: Option<Nanos>,
    pub(crate) wait_ns: Option<Nanos>,
    /// Whether only some of the polls were timed.
    pub(crate) is_estimate: bool,
}

impl Record {
    /// Reads the tally, and adds what came to the task through other threads and tasks.
    pub(crate) fn read_tally(&self) -> TallyReading {
        self.tally.read().with(self.taken())
    }

    fn taken(&self) -> Option<&'static transferred::Row> {
        self.tally.account().and_then(transferred::of)
    }

    /// Reads all but the tally. The caller reads `now_ns` once for many records.
    pub(crate) fn read(&self, now_ns: u64) -> Option<RecordReading> {
        let ended = self.read_ended(self.kind()?, self.taken(), Some(now_ns));
        let idle_ns = self.idle_ns(now_ns);
        #[cfg(feature = "layout")]
        let await_point = if ended.state == TaskState::Idle { self.links.waiting_at() } else { 0 };
        Some(RecordReading {
            idle_ns,
            has_handle: self.has_handle(),
            budget_bytes: self.budget().unwrap_or(u64::MAX),
            #[cfg(feature = "layout")]
            await_point,
            ..ended
        })
    }

    /// The epoch of the task's last poll, and its peak since its first poll in that epoch.
    pub(crate) fn window_peak(&self) -> (u32, u64) {
        // Acquire; pairs with the Release in `enter_window`.
        let epoch = self.window.load(Ordering::Acquire);
        (epoch, self.tally.peak_bytes())
    }

    /// What kind of task it is; `None` if the record has no task.
    #[inline]
    pub(super) fn kind(&self) -> Option<Kind> {
        let counted_site = self.counted_site.get();
        Some(Kind { site: self.site.get()?, counted_site, future: self.future.get()? })
    }

    /// [`read`](Self::read) without what only a waiting task has. `now_ns` is `None` if the caller
    /// has not read the clock.
    #[inline]
    pub(super) fn read_ended(
        &self,
        kind: Kind,
        taken: Option<&transferred::Row>,
        now_ns: Option<u64>,
    ) -> RecordReading {
        let Kind { site, counted_site, future } = kind;
        let peak = self.tally.peak_bytes();
        let past_peak = self.past_peak.load(Ordering::Relaxed);
        let reading = RecordReading {
            parent: self.parent.load(Ordering::Relaxed),
            site,
            counted_site: counted_site.unwrap_or(site),
            is_counted: counted_site.is_some(),
            future,
            state: self.state(),
            polls: self.polls.load(Ordering::Relaxed),
            peak_bytes: peak.max(past_peak),
            // PERF: most tasks are not timed.
            timing: if self.sampling().is_any() { self.timing(now_ns) } else { Timing::default() },
            idle_ns: None,
            cell_bytes: u64::from(self.cell_bytes.load(Ordering::Relaxed)),
            has_handle: None,
            budget_bytes: u64::MAX,
            #[cfg(feature = "layout")]
            await_point: 0,
        };
        match taken {
            None => reading,
            Some(row) => reading.with(&row.read()),
        }
    }

    /// How long the task has not been polled. The time is exact if its last poll was timed.
    /// Otherwise it counts from the first reading that saw as many polls as there are now.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "enough to see that there was another poll"
    )]
    fn idle_ns(&self, now_ns: u64) -> Option<Nanos> {
        let polls = self.polls.load(Ordering::Relaxed);
        // Polls of tasks without annotations are counted by a runtime's hooks alone.
        let counts_polls = polls != 0 || self.future.get().is_some_and(|it| it.is_annotated);
        if self.state() != TaskState::Idle || !counts_polls {
            return None;
        }
        let sampling = self.sampling();
        let since = if polls.checked_sub(1).is_some_and(|last| sampling.times(last)) {
            self.last_poll_end_ns.load(Ordering::Relaxed)
        } else if self.seen_ns.load(Ordering::Relaxed) != 0
            && self.seen_polls.load(Ordering::Relaxed) == polls as u32
        {
            self.seen_ns.load(Ordering::Relaxed)
        } else {
            self.seen_polls.store(polls as u32, Ordering::Relaxed);
            // The time is now, and not when the reading began: the task may have been polled since.
            self.seen_ns.store(clock::now_ns(), Ordering::Relaxed);
            return None;
        };
        Some(Nanos::new(now_ns.saturating_sub(since)))
    }

    /// The times of a task that has timed polls.
    #[inline(never)]
    pub(super) fn timing(&self, now_ns: Option<u64>) -> Timing {
        let polls = self.polls.load(Ordering::Relaxed);
        let timed_polls = self.timed_polls.load(Ordering::Relaxed);
        if polls == 0 {
            // The task was never busy, and has not begun to wait.
            return Timing { busy_ns: Some(Nanos::ZERO), wait_ns: None, is_estimate: false };
        }
        // A poll that is going on now is not timed yet.
        let is_running = self.state() == TaskState::Running;
        let over = polls - u64::from(is_running);
        let timed_ns = self.busy_ns.load(Ordering::Relaxed);
        let waiting_ended_ns = self.ended_ns.load(Ordering::Relaxed);
        let is_estimate = timed_polls < over || (is_running && waiting_ended_ns == 0);
        let busy_ns = if timed_polls < over && timed_polls != 0 {
            let scaled = u128::from(timed_ns) * u128::from(over) / u128::from(timed_polls);
            u64::try_from(scaled).unwrap_or(u64::MAX)
        } else {
            timed_ns
        };
        let end = match waiting_ended_ns {
            0 => now_ns.unwrap_or_else(clock::now_ns),
            ended => ended,
        };
        let life = end.saturating_sub(self.first_poll_ns.load(Ordering::Relaxed));
        let (busy_ns, wait_ns) = (Nanos::new(busy_ns), Nanos::new(life.saturating_sub(busy_ns)));
        Timing { busy_ns: Some(busy_ns), wait_ns: Some(wait_ns), is_estimate }
    }
}
