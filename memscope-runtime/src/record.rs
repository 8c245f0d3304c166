//! A record: what is counted for one living task, or for one thread.

use crate::{
    account::Account,
    arena::Zeroed,
    clock, collector, config,
    current::{self, Entered},
    ending::{self, Ending},
    event::{Event, EventKind},
    future_type::FutureType,
    history::{self, Written},
    items::{self, ItemsReading},
    pool::{Linked, Links, Pooled},
    registry,
    site::Site,
    static_ref::StaticRef,
    sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, bump, raise},
    taken::{self, Taken},
    tally::{Tally, TallyReading},
    task::TaskState,
    threads,
    timing::Sampling,
    window,
};

/// The counters of one living task or thread; used again for another when it has ended.
///
/// Everything but the tally is written by the same single writer (see [`Tally`]) unless it says otherwise.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Record {
    tally: Tally,
    polls: AtomicU64,
    parent: AtomicU64,
    /// Where the task was made, and its name.
    site: StaticRef<Site>,
    /// The site that counts it: `(other)` where its own would be a row too many.
    row: StaticRef<Site>,
    future: StaticRef<FutureType>,
    first_poll_ns: AtomicU64,
    /// When waiting ended: at the task's end, or at the start of a timed poll that goes on. 0: it waits.
    ended_ns: AtomicU64,
    busy_ns: AtomicU64,
    timed_polls: AtomicU64,
    /// The highest peak of the windows before `window`.
    past_peak: AtomicU64,
    /// How many tasks its row had before.
    ordinal: AtomicU64,
    /// When the last timed poll ended that left the task waiting.
    rested_ns: AtomicU64,
    /// When a reader first saw `seen_polls`; written by readers. 0: none has looked.
    seen_ns: AtomicU64,
    seen_polls: AtomicU32,
    /// The Tokio cell that it was spawned into, and the box before it; 0: none.
    cell_bytes: AtomicU32,
    window: AtomicU32,
    links: Links,
    state: AtomicU8,
    /// Which polls are timed.
    sampling: AtomicU8,
    /// Of a thread: it has polled tasks.
    works: AtomicU8,
    /// Of an unannotated task: a trace of it was taken.
    traced: AtomicU8,
}

// SAFETY: atomics and `StaticRef`s, all valid when zeroed, none with a destructor.
unsafe impl Zeroed for Record {}

// SAFETY: atomics only.
unsafe impl Zeroed for Account {}

impl Linked for Record {
    fn links(&self) -> &Links {
        &self.links
    }
}

impl Pooled for Account {
    fn index(&self) -> u32 {
        self.index()
    }

    fn set_index(&self, index: u32) {
        self.set_index(index);
    }

    fn link(&self) -> u32 {
        self.link()
    }

    fn set_link(&self, next: u32) {
        self.set_link(next);
    }
}

/// What a record says, whole numbers only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordReading {
    pub(crate) parent: u64,
    pub(crate) site: &'static Site,
    pub(crate) row: &'static Site,
    pub(crate) future: &'static FutureType,
    pub(crate) state: TaskState,
    pub(crate) polls: u64,
    pub(crate) peak_bytes: u64,
    /// The peak since the last monitored window began, where the task was polled since.
    pub(crate) window_peak_bytes: Option<u64>,
    pub(crate) timing: Timing,
    /// How long it has not been polled, at least.
    pub(crate) idle_ns: Option<u64>,
    pub(crate) cell_bytes: u64,
    /// Where it waits, as a number of `waits`; 0: that is not known, or it does not wait.
    #[cfg(feature = "layout")]
    pub(crate) await_point: u32,
    /// What it has yielded, if it is a stream.
    pub(crate) items: Option<ItemsReading>,
}

/// How long a task was polled and how long it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) busy_ns: Option<u64>,
    pub(crate) wait_ns: Option<u64>,
    /// Only some of the polls were timed.
    pub(crate) is_estimate: bool,
}

impl Record {
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Starts counting for a new task.
    pub(crate) fn open(&'static self, id: u64, account: &'static Account, task: &NewTask) {
        for counter in [
            &self.polls,
            &self.first_poll_ns,
            &self.ended_ns,
            &self.busy_ns,
            &self.timed_polls,
            &self.past_peak,
            &self.seen_ns,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.cell_bytes.store(0, Ordering::Relaxed);
        self.ordinal.store(task.ordinal, Ordering::Relaxed);
        self.parent.store(task.parent, Ordering::Relaxed);
        self.site.set(task.site);
        self.row.set(task.row);
        self.future.set(task.future);
        self.window.store(window::epoch(), Ordering::Relaxed);
        let state = if task.is_annotated { TaskState::Idle } else { TaskState::Unknown };
        self.state.store(state as u8, Ordering::Relaxed);
        self.sampling.store(task.sampling.to_byte(), Ordering::Relaxed);
        self.traced.store(0, Ordering::Relaxed);
        #[cfg(feature = "layout")]
        self.links.note(0);
        account.open(id, self.index(), task.row.index());
        self.tally.open(id, account);
    }

    pub(crate) fn state(&self) -> TaskState {
        TaskState::from_u8(self.state.load(Ordering::Relaxed))
    }

    /// Enters the task for one poll.
    #[inline]
    pub(crate) fn run(&'static self) -> Running {
        let entered = Entered::new(&self.tally);
        let poll = self.begin_run(|| {
            current::thread_works();
            entered.previous_owner_id(self.cell_bytes.load(Ordering::Relaxed) != 0)
        });
        Running { poll, entered }
    }

    /// Notes that a poll begins; the caller sees to it that the task is current. `outer`: the task that it happens in, 0 if none; asked at the
    /// first poll.
    #[inline]
    fn begin_run(&'static self, outer: impl FnOnce() -> u64) -> Poll {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls + 1, Ordering::Relaxed);
        if self.window.load(Ordering::Relaxed) != window::epoch() {
            self.enter_window();
        }
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

    /// Notes where its poll leaves it: by the thread that polls it, before the poll is over.
    #[cfg(feature = "layout")]
    #[inline]
    pub(crate) fn note_await_point(&self, node: u32) {
        // PERF: it mostly waits where it waited before, and then its cache line need not be written.
        if self.links.noted() != node {
            self.links.note(node);
        }
    }

    fn sampling(&self) -> Sampling {
        Sampling::from_byte(self.sampling.load(Ordering::Relaxed))
    }

    /// Tells the collector.
    fn say(&self, kind: EventKind, at_ns: u64, amount: u64) {
        let site = self.row.get().map_or(0, Site::index);
        threads::push(Event { at_ns, task: self.tally.id(), amount, site, kind });
    }

    /// Begins a poll that [`stop`](Self::stop) ends, for whoever cannot hold a guard: a span that is entered. Returns what `stop` wants.
    #[cfg(feature = "tracing")]
    pub(crate) fn start(&'static self, outer: impl FnOnce() -> u64) -> u64 {
        let poll = self.begin_run(outer);
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

    /// The end of a span.
    #[cfg(feature = "tracing")]
    pub(crate) fn complete(&'static self) {
        self.end(TaskState::Completed, 0);
        self.close();
    }

    /// Notes the Tokio cell of the task, and the box that its future was put in before; by the spawner.
    pub(crate) fn note_cell(&self, cell: usize, boxed: Option<usize>) {
        let bytes = cell.saturating_add(boxed.unwrap_or(0));
        self.cell_bytes.store(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
        if let (Some(_), Some(row)) = (boxed, self.row.get()) {
            row.note_boxed();
        }
    }

    /// Notes that this thread polls tasks; by itself.
    pub(crate) fn become_worker(&self) {
        self.works.store(1, Ordering::Relaxed);
    }

    /// Notes that the thread is over.
    pub(crate) fn leave_worker(&self) {
        self.works.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.works.load(Ordering::Relaxed) != 0
    }

    /// A timed poll. As long as it goes on, waiting has ended here.
    // PERF: out of line, as all that few polls need, so that the others stay short.
    #[inline(never)]
    fn begin_timed(&self, polls: u64) -> u64 {
        let started_ns = clock::now_ns();
        self.ended_ns.store(started_ns, Ordering::Relaxed);
        if polls != 0
            && self.sampling().times(polls - 1)
            && let Some(row) = self.row.get()
        {
            // The poll before was timed too.
            row.note_idle(started_ns.saturating_sub(self.rested_ns.load(Ordering::Relaxed)));
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
        if let Some(row) = self.row.get() {
            row.note_poll(took);
        }
        if took >= config::long_poll_ns() {
            self.say(EventKind::LongPoll, ended_ns, took);
        }
        if waits {
            self.ended_ns.store(0, Ordering::Relaxed);
            self.rested_ns.store(ended_ns, Ordering::Relaxed);
        }
        collector::wake();
        ended_ns
    }

    /// The first poll: the task it happens in is the parent; else the one that created it. `started_ns`: 0 if it is not timed.
    #[cold]
    #[inline(never)]
    fn begin(&self, outer: impl FnOnce() -> u64, started_ns: u64) {
        self.first_poll_ns.store(started_ns, Ordering::Relaxed);
        self.say(EventKind::Spawned, started_ns, 0);
        collector::wake();
        let outer = outer();
        if outer != 0 && outer != self.tally.id() {
            self.parent.store(outer, Ordering::Relaxed);
        }
    }

    /// The first poll in a window of a monitor: the peak starts anew.
    #[cold]
    fn enter_window(&self) {
        if let Some(account) = self.tally.account() {
            // In this order: who sees the new peak sees the old one in `past_peak` (pairs with `read`).
            raise(&self.past_peak, self.tally.peak_bytes());
            self.tally.restart_peak(account);
        }
        self.window.store(window::epoch(), Ordering::Relaxed);
    }

    /// The task's end: it will not be polled any more, but its future may still hold memory. `known_ns`: when that is, if somebody has just looked.
    #[inline(never)]
    fn end(&self, state: TaskState, known_ns: u64) {
        self.state.store(state as u8, Ordering::Relaxed);
        let (mut ended_ns, mut lived_ns) = (0, 0);
        let first_poll_ns = self.first_poll_ns.load(Ordering::Relaxed);
        if first_poll_ns != 0 {
            ended_ns = if known_ns == 0 { clock::now_ns() } else { known_ns };
            lived_ns = ended_ns.saturating_sub(first_poll_ns);
            self.ended_ns.store(ended_ns, Ordering::Relaxed);
            if let Some(row) = self.row.get() {
                row.note_life(lived_ns);
            }
        }
        registry::count_end();
        if self.polls.load(Ordering::Relaxed) == 0 {
            self.say(EventKind::Spawned, 0, 0);
        }
        let kind = match state {
            TaskState::Panicked => EventKind::Panicked,
            TaskState::Cancelled => EventKind::Cancelled,
            _ => EventKind::Completed,
        };
        self.say(kind, ended_ns, lived_ns);
    }

    /// Enters the task to drop its future; when the guard goes, the task is closed.
    pub(crate) fn closing(&'static self) -> Closing {
        let entered = Entered::new(&self.tally);
        if self.window.load(Ordering::Relaxed) != window::epoch() {
            self.enter_window();
        }
        Closing { record: self, entered: Some(entered) }
    }

    /// The end of the future: folds all into the site and the history and gives the record back.
    fn close(&'static self) {
        if !self.state().is_ended() && self.state() != TaskState::Unknown {
            self.end(TaskState::Cancelled, 0);
        }
        let (Some(account), Some(row)) = (self.tally.account(), self.row.get()) else { return };
        threads::fold(|| self.fold(account, row, history::next().as_ref()));
        self.tally.close();
        registry::give_back_record(self);
    }

    /// Whether this is the first time that somebody wants to trace its task.
    #[cfg(feature = "task-names")]
    pub(crate) fn is_first_trace(&self) -> bool {
        let is_first = self.traced.load(Ordering::Relaxed) == 0;
        self.traced.store(1, Ordering::Relaxed);
        is_first
    }

    /// Moves an unannotated task to another site, which says its name; the caller keeps its end out.
    #[cfg(any(feature = "task-names", all(feature = "tokio", tokio_unstable)))]
    pub(crate) fn rename(&self, site: &'static Site) {
        let Some(old) = self.row.get() else { return };
        let (row, ordinal) = site.admit(FutureType::not_known());
        self.ordinal.store(ordinal, Ordering::Relaxed);
        if let Some(account) = self.tally.account() {
            account.set_site(row.index());
        }
        self.site.set(site);
        self.row.set(row);
        old.retract();
    }

    /// A poll of an unannotated task begins, as its runtime tells; not where the task has ended, as at a shutdown.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    #[inline]
    pub(crate) fn begin_told(&self, polls: u64) {
        let begin =
            |state| (!TaskState::from_u8(state).is_ended()).then_some(TaskState::Running as u8);
        if self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, begin).is_ok() {
            self.polls.store(polls, Ordering::Relaxed);
        }
    }

    /// The poll is over, unless more has happened since.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    #[inline]
    pub(crate) fn rest_told(&self) {
        let (from, to) = (TaskState::Running as u8, TaskState::Idle as u8);
        let _ = self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The task has ended, as its runtime tells.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    pub(crate) fn end_told(&self, state: TaskState, polls: u64) {
        self.polls.store(polls, Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Whether nothing that its task allocated lives.
    #[cfg(feature = "tokio")]
    pub(crate) fn holds_nothing(&self) -> bool {
        let net = self.tally.account().map_or(0, Account::net);
        self.tally.read().own_live_bytes.wrapping_add(net) == 0
    }

    /// The end of an unannotated task, as far as anybody knows: the caller keeps others out. If that was not told by the runtime, it gets a row only
    /// if it left something.
    #[cfg(feature = "tokio")]
    pub(crate) fn give_up(&'static self) {
        let (Some(account), Some(row)) = (self.tally.account(), self.row.get()) else { return };
        let has_ended = self.state().is_ended();
        if !has_ended {
            // Nobody will say how it ends.
            self.state.store(TaskState::Unknown as u8, Ordering::Relaxed);
        }
        if !has_ended && self.holds_nothing() {
            threads::fold(|| self.fold(account, row, None));
            self.tally.close();
            registry::give_back_record(self);
        } else {
            self.close();
        }
    }

    /// Adds the task to the sums of its site, closes its account and writes down what stays of it.
    #[inline]
    fn fold(&self, account: &'static Account, row: &'static Site, written: Option<&Written>) {
        let id = self.tally.id();
        let mut tally = self.read_tally();
        let Some(reading) = self.read_inline(clock::now_ns) else { return };
        row.sums.add(&tally, &reading);
        window::note_ended(self.window.load(Ordering::Relaxed), tally.peak_bytes);
        let left = tally.own_live_bytes.wrapping_add(account.net());
        if left != 0 {
            // More than the cell, which Tokio frees a moment later.
            let is_more = left > i64::from(self.cell_bytes.load(Ordering::Relaxed));
            ending::note(account, &self.ending(row, is_more));
        }
        if account.close(tally.own_live_bytes, tally.own_live_blocks()) {
            registry::give_back(account);
        } else {
            // What was transferred up to the close is counted, and since then nothing could be.
            let late = taken::of(account).bytes.saturating_sub(tally.taken_bytes);
            if late != 0 && account.id() == id {
                row.sums.add_taken(late);
                tally = tally.with_taken(late);
            }
        }
        if let Some(written) = written {
            written.put(id, account.index(), &tally, &reading);
        }
    }

    /// What it counts, and what the task took over.
    pub(crate) fn read_tally(&self) -> TallyReading {
        self.tally.read().with_taken(self.taken().bytes)
    }

    fn taken(&self) -> Taken {
        self.tally.account().map_or_else(Taken::default, taken::of)
    }

    /// Its place among the tasks of its site, and when it ended if that is wanted and a clock may be read.
    #[inline]
    fn ending(&self, row: &Site, is_timed: bool) -> Ending {
        let ended_ns = match self.ended_ns.load(Ordering::Relaxed) {
            0 if is_timed && config::timing() != crate::Timing::Off => clock::now_ns(),
            ended => ended,
        };
        Ending { ordinal: self.ordinal.load(Ordering::Relaxed), spawned: row.spawned(), ended_ns }
    }

    /// Reads all but the tally. `now_ns`: read once for many records.
    pub(crate) fn read(&self, now_ns: u64) -> Option<RecordReading> {
        self.read_inline(|| now_ns)
    }

    #[expect(clippy::inline_always, reason = "at a task's end, most of it is a load and a store")]
    #[inline(always)]
    fn read_inline(&self, now_ns: impl Fn() -> u64) -> Option<RecordReading> {
        let window = self.window.load(Ordering::Relaxed);
        let peak = self.tally.peak_bytes();
        Some(RecordReading {
            parent: self.parent.load(Ordering::Relaxed),
            site: self.site.get()?,
            row: self.row.get()?,
            future: self.future.get()?,
            state: self.state(),
            polls: self.polls.load(Ordering::Relaxed),
            peak_bytes: peak
                .max(self.past_peak.load(Ordering::Relaxed))
                .max(self.taken().peak_bytes),
            window_peak_bytes: (window == window::epoch()).then_some(peak),
            timing: self.timing(&now_ns),
            idle_ns: self.idle_ns(now_ns),
            cell_bytes: u64::from(self.cell_bytes.load(Ordering::Relaxed)),
            #[cfg(feature = "layout")]
            await_point: if self.state() == TaskState::Idle { self.links.noted() } else { 0 },
            items: items::of(self),
        })
    }

    /// How long it has not been polled: exactly, where its last poll was timed. Else from the first reading on that saw as many
    /// polls as there are now.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "enough to see that there was another poll"
    )]
    #[inline]
    fn idle_ns(&self, now_ns: impl Fn() -> u64) -> Option<u64> {
        if self.state() != TaskState::Idle {
            return None;
        }
        let polls = self.polls.load(Ordering::Relaxed);
        let sampling = self.sampling();
        let since = if polls.checked_sub(1).is_some_and(|last| sampling.times(last)) {
            self.rested_ns.load(Ordering::Relaxed)
        } else if self.seen_ns.load(Ordering::Relaxed) != 0
            && self.seen_polls.load(Ordering::Relaxed) == polls as u32
        {
            self.seen_ns.load(Ordering::Relaxed)
        } else {
            self.seen_polls.store(polls as u32, Ordering::Relaxed);
            // Now, and not when the reading began: it may have been polled since.
            self.seen_ns.store(clock::now_ns(), Ordering::Relaxed);
            return None;
        };
        Some(now_ns().saturating_sub(since))
    }

    pub(crate) fn site(&self) -> Option<&'static Site> {
        self.site.get()
    }

    /// Moves the task to another site: only while it is being built, before its first poll.
    pub(crate) fn move_to(&self, site: impl FnOnce() -> &'static Site) {
        if let (Some(row), Some(future)) = (self.row.get(), self.future.get()) {
            // First, so that there is room for the new row where this was the only task of the old one.
            row.retract();
            let site = site();
            let (row, earlier) = site.admit(future);
            self.ordinal.store(earlier, Ordering::Relaxed);
            if let Some(account) = self.tally.account() {
                account.set_site(row.index());
            }
            if self.polls.load(Ordering::Relaxed) == 0 {
                let sampling = config::timing().sampling(earlier);
                self.sampling.store(sampling.to_byte(), Ordering::Relaxed);
            }
            self.site.set(site);
            self.row.set(row);
        }
    }

    #[inline]
    fn timing(&self, now_ns: impl Fn() -> u64) -> Timing {
        let polls = self.polls.load(Ordering::Relaxed);
        let timed_polls = self.timed_polls.load(Ordering::Relaxed);
        if !self.sampling().is_any() {
            return Timing::default();
        }
        if polls == 0 {
            // It was never busy, and has not begun to wait.
            return Timing { busy_ns: Some(0), wait_ns: None, is_estimate: false };
        }
        // A poll that goes on right now is not timed yet.
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
            0 => now_ns(),
            ended => ended,
        };
        let life = end.saturating_sub(self.first_poll_ns.load(Ordering::Relaxed));
        Timing { busy_ns: Some(busy_ns), wait_ns: Some(life.saturating_sub(busy_ns)), is_estimate }
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

/// A poll that is going on, whatever is current.
#[derive(Debug)]
struct Poll {
    record: &'static Record,
    /// 0: this poll is not timed.
    started_ns: u64,
    /// The state that the end of this poll brings; `None` when the task had ended before.
    outcome: Option<TaskState>,
}

impl Running {
    #[inline]
    pub(crate) fn finish(mut self, is_ready: bool) {
        if self.poll.outcome.is_some() {
            self.poll.outcome = Some(if is_ready { TaskState::Completed } else { TaskState::Idle });
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

/// What is known of a task before it has a record.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) site: &'static Site,
    pub(crate) row: &'static Site,
    pub(crate) future: &'static FutureType,
    pub(crate) parent: u64,
    pub(crate) sampling: Sampling,
    /// How many tasks the row had before.
    pub(crate) ordinal: u64,
    pub(crate) is_annotated: bool,
}

/// Starts a task; `None` when there is no memory for its record (counted, and in every report).
pub(crate) fn open(site: &'static Site, future: &'static FutureType) -> Option<&'static Record> {
    let (row, earlier) = site.admit(future);
    let sampling = config::timing().sampling(earlier);
    let parent = current::owner_id();
    let record = registry::open_task(&NewTask {
        site,
        row,
        future,
        parent,
        sampling,
        ordinal: earlier,
        is_annotated: true,
    });
    if record.is_none() {
        row.retract();
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_task_takes_what_the_readme_says() {
        assert_eq!(size_of::<Record>() + size_of::<Account>(), 224);
        assert_eq!(size_of::<Account>(), 32);
    }
}
