//! Records: the counters of one living task, or of one thread.

mod poll;
mod poll_end;
mod end;
mod ending;
mod read;
mod left_behind;
mod new_task;

use super::{
    account::Account, event::Event, future_type::FutureType, peak_window, site::Site, tally::Tally,
    thread_ring, transferred,
};
use crate::{
    config,
    model::{EventKind, TaskState},
    primitives::{
        HasLinks, Links, SlabItem, StaticRef, Zeroed,
        sync::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    sampling::Sampling,
};

pub(crate) use ending::Ending;
pub(crate) use new_task::{NewTask, open};
pub(crate) use poll::Poll;
pub(crate) use read::{RecordReading, Timing};

/// The counters of one living task or thread; reused for another one when it has ended.
///
/// The single writer of the tally (see [`Tally`]) also writes all other fields, except where a
/// field says otherwise.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Record {
    tally: Tally,
    polls: AtomicU64,
    parent: AtomicU64,
    /// Where the task was created, and its name.
    site: StaticRef<Site>,
    /// The site that counts the task: `(other)` if its own site would be a row too many. None: it
    /// is not counted yet, see [`NewTask::counted_site`].
    counted_site: StaticRef<Site>,
    future: StaticRef<FutureType>,
    /// When the first poll began. This field and the next three are valid only if some polls are
    /// timed.
    first_poll_ns: AtomicU64,
    /// When waiting ended: at the task's end, or at the start of the timed poll that is going on. 0
    /// while the task waits.
    ended_ns: AtomicU64,
    busy_ns: AtomicU64,
    timed_polls: AtomicU64,
    /// The highest peak of the windows before `window`.
    past_peak: AtomicU64,
    /// How many tasks the row had before this one.
    ordinal: AtomicU64,
    /// When the last timed poll ended that left the task waiting.
    last_poll_end_ns: AtomicU64,
    /// When a reader first saw `seen_polls`. Readers write both. 0 if no reader has looked.
    seen_ns: AtomicU64,
    seen_polls: AtomicU32,
    /// Bytes of the Tokio cell that the task was spawned into, and of the box before it; 0 if there
    /// is none.
    cell_bytes: AtomicU32,
    window: AtomicU32,
    links: Links,
    state: AtomicU8,
    /// Which polls are timed.
    sampling: AtomicU8,
    /// For a thread: [`WORKS`], [`SERVES`] or 0.
    thread_role: AtomicU8,
    /// Of an unannotated task: [`TRACED`], and [`HANDLE`] or [`NO_HANDLE`] if that is known. Of an
    /// annotated one: what the end of its poll has to do, see [`poll_end`].
    flags: AtomicU8,
}

/// The thread has polled tasks.
const WORKS: u8 = 1;
/// The thread is memscope's own.
const SERVES: u8 = 2;

/// Its stack trace was requested.
#[cfg(all(feature = "symbols", feature = "tokio"))]
const TRACED: u8 = 1;
/// A `JoinHandle` of the task is held.
const HANDLE: u8 = 2;
/// No `JoinHandle` of the task is held.
const NO_HANDLE: u8 = 4;

// SAFETY: atomics and `StaticRef`s, all valid when zeroed, none with a destructor.
unsafe impl Zeroed for Record {}

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Account {}

impl HasLinks for Record {
    fn links(&self) -> &Links {
        &self.links
    }
}

impl SlabItem for Account {
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

impl Record {
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Resets the record for a new task, and opens its account and its tally.
    #[inline]
    pub(crate) fn open(&'static self, id: u64, account: &'static Account, task: &NewTask) {
        for counter in [&self.polls, &self.past_peak, &self.seen_ns] {
            counter.store(0, Ordering::Relaxed);
        }
        self.cell_bytes.store(0, Ordering::Relaxed);
        self.ordinal.store(task.ordinal, Ordering::Relaxed);
        self.parent.store(task.parent, Ordering::Relaxed);
        self.site.set(task.site);
        match task.counted_site {
            Some(counted_site) => self.counted_site.set(counted_site),
            None => self.counted_site.clear(),
        }
        self.future.set(task.future);
        self.window.store(peak_window::epoch(), Ordering::Relaxed);
        self.state.store(task.state as u8, Ordering::Relaxed);
        self.set_sampling(task.sampling);
        self.flags.store(0, Ordering::Relaxed);
        #[cfg(feature = "layout")]
        self.links.set_waiting_at(0);
        let site = task.counted_site.unwrap_or(task.site);
        account.open(id, self.index(), site.index());
        self.tally.open(id);
    }

    #[inline]
    pub(crate) fn state(&self) -> TaskState {
        TaskState::from_u8(self.state.load(Ordering::Relaxed))
    }

    /// Whether the task will never be polled again.
    // PERF: a task mostly ends by completing.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state == TaskState::Completed as u8 || TaskState::from_u8(state).is_ended()
    }

    #[inline]
    fn sampling(&self) -> Sampling {
        Sampling::from_byte(self.sampling.load(Ordering::Relaxed))
    }

    /// Sets which polls are timed, before the first one.
    // PERF: most tasks are not timed, and their times are never looked at.
    #[inline]
    fn set_sampling(&self, sampling: Sampling) {
        if sampling.is_any() {
            for time in [&self.first_poll_ns, &self.ended_ns, &self.busy_ns, &self.timed_polls] {
                time.store(0, Ordering::Relaxed);
            }
        }
        self.sampling.store(sampling.to_byte(), Ordering::Relaxed);
    }

    /// Emits an event for the collector.
    #[inline]
    fn emit(&self, kind: EventKind, at_ns: u64, amount: u64) {
        thread_ring::push(|| self.event(kind, at_ns, amount));
    }

    #[inline]
    fn event(&self, kind: EventKind, at_ns: u64, amount: u64) -> Event {
        let site = self.counted_site.get().map_or(0, Site::index);
        Event { at_ns, task: self.tally.id(), amount, site, kind }
    }

    /// Notes the Tokio cell of the task, and the box that its future was put in before. The spawner
    /// calls this.
    pub(crate) fn note_cell(&self, cell: usize, boxed: Option<usize>) {
        let bytes = cell.saturating_add(boxed.unwrap_or(0));
        self.cell_bytes.store(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
        if let (Some(_), Some(counted_site)) = (boxed, self.counted_site.get()) {
            counted_site.note_boxed();
        }
    }

    /// Whether the task was spawned on Tokio, as a task of its own.
    #[inline]
    pub(crate) fn is_spawned(&self) -> bool {
        self.cell_bytes.load(Ordering::Relaxed) != 0
    }

    /// Notes that this thread polls tasks. The thread itself calls this.
    #[inline]
    pub(crate) fn become_worker(&self) {
        self.thread_role.store(WORKS, Ordering::Relaxed);
    }

    /// Notes that this thread is memscope's own. The thread itself calls this.
    pub(crate) fn serve(&self) {
        self.thread_role.store(SERVES, Ordering::Relaxed);
    }

    pub(crate) fn serves(&self) -> bool {
        self.thread_role.load(Ordering::Relaxed) == SERVES
    }

    /// Notes that the thread has ended.
    pub(crate) fn leave_worker(&self) {
        self.thread_role.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_worker(&self) -> bool {
        self.thread_role.load(Ordering::Relaxed) == WORKS
    }

    /// Whether this is the first request for a stack trace of the task. Later calls return `false`.
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    pub(crate) fn is_first_trace(&self) -> bool {
        let flags = self.flags.load(Ordering::Relaxed);
        // A reader may note a handle at this moment: the next one notes it again.
        self.flags.store(flags | TRACED, Ordering::Relaxed);
        flags & TRACED == 0
    }

    /// Whether a stack trace of the task was requested.
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    pub(crate) fn is_traced(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & TRACED != 0
    }

    /// Moves an unannotated task to another site, which carries its name. The caller keeps the task
    /// from ending meanwhile.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn rename(&self, site: &'static Site) {
        let Some(future) = self.future.get() else { return };
        let old = self.counted_site.get();
        self.count_in(site, future);
        self.site.set(site);
        if let Some(old) = old {
            old.retract();
        }
    }

    /// Returns the site that counts an unannotated task, which is counted now if it was not before.
    /// The caller keeps the task from ending meanwhile.
    #[cfg(feature = "tokio")]
    #[inline]
    fn count_in_row(&self) -> Option<&'static Site> {
        let counted_site = self.counted_site.get();
        counted_site.or_else(|| Some(self.count_in(self.site.get()?, self.future.get()?)))
    }

    #[cfg(feature = "tokio")]
    #[inline]
    fn count_in(&self, site: &'static Site, future: &'static FutureType) -> &'static Site {
        let (counted_site, ordinal) = site.admit(future);
        self.ordinal.store(ordinal, Ordering::Relaxed);
        if let Some(account) = self.tally.account() {
            account.set_site(counted_site.index());
        }
        self.counted_site.set(counted_site);
        counted_site
    }

    /// Notes that a poll of an unannotated task begins, as reported by the runtime's hooks. Does
    /// nothing if the task has ended, as at a shutdown.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    #[inline]
    pub(crate) fn poll_started(&self, polls: u64) {
        if self.become_unless_ended(TaskState::Running) {
            self.polls.store(polls, Ordering::Relaxed);
        }
    }

    /// Notes that the poll is over, unless the state has changed since.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    #[inline]
    pub(crate) fn poll_ended(&self) {
        let (from, to) = (TaskState::Running as u8, TaskState::Idle as u8);
        let _ = self.state.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes that the task has ended, as reported by the runtime's hooks.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    pub(crate) fn task_ended(&self, state: TaskState, polls: u64) {
        self.polls.store(polls, Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// Notes that the task has ended, unless another thread has already noted how.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    pub(crate) fn end_unless_ended(&self) {
        self.become_unless_ended(TaskState::Ended);
    }

    /// Changes the state. Returns `false` if the task has ended, because an end is final.
    #[cfg(all(feature = "tokio", tokio_unstable))]
    #[inline]
    fn become_unless_ended(&self, next: TaskState) -> bool {
        let change = |state| (!TaskState::from_u8(state).is_ended()).then_some(next as u8);
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }

    /// Notes what the cell of an unannotated task says of it. The caller keeps the task from ending
    /// meanwhile.
    #[cfg(feature = "tokio")]
    pub(crate) fn observe(&self, state: TaskState, has_handle: bool) {
        self.state.store(state as u8, Ordering::Relaxed);
        let handle = if has_handle { HANDLE } else { NO_HANDLE };
        let others = self.flags.load(Ordering::Relaxed) & !(HANDLE | NO_HANDLE);
        self.flags.store(others | handle, Ordering::Relaxed);
    }

    /// Notes which task has spawned an unannotated one. The caller keeps the task from ending
    /// meanwhile.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_parent(&self, parent: u64) {
        self.parent.store(parent, Ordering::Relaxed);
    }

    /// Notes what is known of an unannotated task's future. The caller keeps the task from ending
    /// meanwhile.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn note_future(&self, future: &'static FutureType) {
        if !self.future.get().is_some_and(|known| std::ptr::eq(known, future)) {
            self.future.set(future);
            if let Some(site) = self.counted_site.get() {
                site.note_future(future);
            }
        }
    }

    /// Whether a `JoinHandle` of the task is held; `None` if that is not known.
    pub(super) fn has_handle(&self) -> Option<bool> {
        match self.flags.load(Ordering::Relaxed) & (HANDLE | NO_HANDLE) {
            HANDLE => Some(true),
            NO_HANDLE => Some(false),
            _ => None,
        }
    }

    /// Whether all blocks that the task allocated are freed.
    #[cfg(feature = "tokio")]
    pub(crate) fn holds_nothing(&self) -> bool {
        let net = self.tally.account().map_or(0, Account::net);
        self.tally.read().own_live_bytes.wrapping_add(net) == 0
    }

    /// Tells the collector that the task is above its budget.
    pub(crate) fn note_over_budget(&self, live_bytes: u64) {
        self.emit(EventKind::OverBudget, 0, live_bytes);
    }

    pub(crate) fn site(&self) -> Option<&'static Site> {
        self.site.get()
    }

    /// The site that counts the task, or will.
    #[cfg(feature = "tokio")]
    pub(crate) fn counted_site(&self) -> Option<&'static Site> {
        self.counted_site.get().or_else(|| self.site.get())
    }

    /// Moves the task to another site. Must be called while the task is being built, before its
    /// first poll.
    pub(crate) fn move_to(&self, site: impl FnOnce() -> &'static Site) {
        if let (Some(counted_site), Some(future)) = (self.counted_site.get(), self.future.get()) {
            // Must come first: if this was the only task of the old row, there is room for the new
            // row.
            counted_site.retract();
            let site = site();
            let (counted_site, earlier) = site.admit(future);
            self.ordinal.store(earlier, Ordering::Relaxed);
            if let Some(account) = self.tally.account() {
                account.set_site(counted_site.index());
            }
            if self.polls.load(Ordering::Relaxed) == 0 {
                let sampling = config::timing().sampling(earlier);
                self.set_sampling(sampling);
            }
            self.site.set(site);
            self.counted_site.set(counted_site);
            if transferred::is_in_use() {
                self.keep_budget();
            }
        }
    }
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
