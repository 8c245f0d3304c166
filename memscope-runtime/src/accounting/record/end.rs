//! The end of a task, and then of its future: its counts are added to the sums of its site.

use super::{Ending, Record};
use crate::{
    accounting::{
        account::Account,
        end_stamps::{self, EndStamp},
        ended_tasks::{self, Slot, SlotWriter},
        peak_window, registry,
        site::Site,
        thread_ring::{self, EndInProgress},
        transferred::{self, TransferredIn},
    },
    config,
    model::{EventKind, TaskState},
    primitives::{clock, sync::Ordering},
};

impl Record {
    /// Ends the task: it will not be polled any more, but its future may still hold memory.
    /// `known_ns` is the time of the end, 0 if the caller has not read the clock.
    #[inline(never)]
    pub(super) fn end(&self, state: TaskState, known_ns: u64) {
        self.state.store(state as u8, Ordering::Relaxed);
        // PERF: most tasks are not timed.
        let (ended_ns, lived_ns) =
            if self.sampling().is_any() { self.end_life(known_ns) } else { (0, 0) };
        registry::count_end();
        thread_ring::push(|| {
            let kind = match state {
                TaskState::Panicked => EventKind::Panicked,
                TaskState::Cancelled => EventKind::Cancelled,
                _ => EventKind::Completed,
            };
            self.event(kind, ended_ns, lived_ns)
        });
    }

    /// Notes the end of a task that has timed polls. Returns the time of the end and how long the
    /// task lived, or zeroes if its first poll was not timed.
    #[inline(never)]
    fn end_life(&self, known_ns: u64) -> (u64, u64) {
        let first_poll_ns = self.first_poll_ns.load(Ordering::Relaxed);
        if first_poll_ns == 0 {
            return (0, 0);
        }
        let ended_ns = if known_ns == 0 { clock::now_ns() } else { known_ns };
        let lived_ns = ended_ns.saturating_sub(first_poll_ns);
        self.ended_ns.store(ended_ns, Ordering::Relaxed);
        if let Some(counted_site) = self.counted_site.get() {
            counted_site.note_life(lived_ns);
        }
        (ended_ns, lived_ns)
    }

    /// Ends the future: adds all counts to the site and the ended tasks, and gives the record back.
    pub(crate) fn close(&'static self) {
        if !self.has_ended() && self.state() != TaskState::Unknown {
            self.end_between_polls(TaskState::Cancelled);
        }
        self.archive(true, false);
    }

    /// [`end`](Self::end) between two polls, or before the first one.
    #[inline(never)]
    fn end_between_polls(&self, state: TaskState) {
        if self.polls.load(Ordering::Relaxed) == 0 {
            self.emit(EventKind::Spawned, 0, 0);
        }
        self.end(state, 0);
    }

    /// Ends a task as completed, between two polls, unless it has ended. Only the record's single
    /// writer calls this.
    #[cfg(feature = "tower")]
    pub(crate) fn complete_unless_ended(&self) {
        if !self.has_ended() {
            self.end_between_polls(TaskState::Completed);
        }
    }

    /// Ends a span: adds all its counts, but keeps the record until [`give_back`](Self::give_back).
    #[cfg(feature = "tracing")]
    pub(crate) fn complete(&'static self) {
        self.end_between_polls(TaskState::Completed);
        if let Written::AllFree(account) = self.write_down(true, false) {
            registry::give_back(account);
        }
    }

    /// Gives back the record of a span that has [completed](Self::complete).
    #[cfg(feature = "tracing")]
    pub(crate) fn give_back(&'static self) {
        registry::give_back_record(self);
    }

    /// Ends an unannotated task, as far as its end is known. The caller keeps other threads out.
    ///
    /// If the runtime's hooks did not report the end, the task gets a row only if it left
    /// something. `goes_on` says that the task has not ended: it is not counted again when it gets
    /// another record.
    #[cfg(feature = "tokio")]
    pub(crate) fn abandon(&'static self, goes_on: bool) {
        let has_ended = self.has_ended() && !goes_on;
        if !has_ended {
            // This record will not tell how the task ends.
            self.state.store(TaskState::Unknown as u8, Ordering::Relaxed);
        }
        let _ = self.count_in_row();
        self.archive(has_ended || !self.holds_nothing(), goes_on);
    }

    /// Ends an unannotated task whose cell is freed. It gets a row only if it left something.
    #[cfg(feature = "tokio")]
    pub(crate) fn end_with_cell(&'static self, state: TaskState, parent: u64) {
        self.state.store(state as u8, Ordering::Relaxed);
        self.set_parent(parent);
        let _ = self.count_in_row();
        self.archive(!self.holds_nothing(), false);
    }

    /// Writes down what stays of the task, and gives the record back. `goes_on` says that the task
    /// has not ended.
    #[inline]
    fn archive(&'static self, gets_row: bool, goes_on: bool) {
        match self.write_down(gets_row, goes_on) {
            Written::AllFree(account) => registry::give_back_both(self, account),
            Written::AccountInUse => registry::give_back_record(self),
            Written::NoTask => {}
        }
    }

    /// Writes down what stays of the task, in its own row if `gets_row`.
    #[expect(clippy::inline_always, reason = "the callers know both arguments")]
    #[inline(always)]
    fn write_down(&self, gets_row: bool, goes_on: bool) -> Written {
        let (Some(account), Some(site)) = (self.tally.account(), self.counted_site.get()) else {
            return Written::NoTask;
        };
        let is_free = {
            let _folding = EndInProgress::begin();
            if goes_on {
                site.note_split();
            }
            let written = if gets_row { ended_tasks::next() } else { None };
            let slot = written.as_ref().map(SlotWriter::slot);
            if self.tally.leaves_nothing(account) {
                let ending = Ending::new(self, account, None);
                self.fold(ending, site, slot, || account.begin_close_without());
                let is_free = account.finish_close(0);
                if !is_free {
                    // Something was transferred to it meanwhile.
                    self.add_late(account, site, slot, 0);
                }
                is_free
            } else {
                self.write_down_left(account, site, slot)
            }
        };
        self.tally.close();
        if is_free { Written::AllFree(account) } else { Written::AccountInUse }
    }

    /// [`write_down`](Self::write_down) of a task that leaves something, or whose blocks others
    /// have freed, or to which blocks may have been transferred. Returns whether all is free.
    #[inline(never)]
    fn write_down_left(
        &self,
        account: &'static Account,
        site: &'static Site,
        slot: Option<Slot>,
    ) -> bool {
        match transferred::of(account) {
            None => self.write_down_with(account, site, slot, None),
            Some(row) => self.write_down_taken(account, site, slot, &row.read()),
        }
    }

    /// [`write_down_left`](Self::write_down_left) of a task to which blocks may have been
    /// transferred.
    #[cold]
    #[inline(never)]
    fn write_down_taken(
        &self,
        account: &'static Account,
        site: &'static Site,
        slot: Option<Slot>,
        taken: &TransferredIn,
    ) -> bool {
        self.write_down_with(account, site, slot, Some(taken))
    }

    #[expect(clippy::inline_always, reason = "without what was taken over, less is to be read")]
    #[inline(always)]
    fn write_down_with(
        &self,
        account: &'static Account,
        site: &'static Site,
        slot: Option<Slot>,
        taken: Option<&TransferredIn>,
    ) -> bool {
        let (own_live_bytes, own_live_blocks) = self.tally.own_live();
        let left = own_live_bytes.wrapping_add(account.net());
        if left != 0 {
            // Whether more is left than the cell, which Tokio frees a moment later.
            let is_more = left > i64::from(self.cell_bytes.load(Ordering::Relaxed));
            end_stamps::note(account, &self.ending(site, is_more));
        }
        let ending = Ending::new(self, account, taken);
        self.fold(ending, site, slot, || account.begin_close(own_live_blocks));
        let is_free = account.finish_close(own_live_bytes);
        if !is_free && transferred::is_in_use() {
            self.add_late(account, site, slot, taken.map_or(0, |taken| taken.bytes));
        }
        is_free
    }

    /// Adds the task to the ended tasks and to the sums of its site. Calls `close` when all but its
    /// number is added.
    #[expect(clippy::inline_always, reason = "without what was taken over, less is to be read")]
    #[inline(always)]
    fn fold(&self, ending: Ending<'_>, site: &Site, slot: Option<Slot>, close: impl FnOnce()) {
        if peak_window::any_is_open() {
            peak_window::note(self.window.load(Ordering::Relaxed), self.tally.peak_bytes());
        }
        // PERF: most tasks are not timed.
        let timed = if self.sampling().is_any() { self.fold_timing(site, slot) } else { 0 };
        if let Some(slot) = slot {
            slot.put(ending, timed);
        }
        // A child that is forked meanwhile can tell how far the end has come: see `finish_ends`.
        site.sums.add(ending, close);
    }

    /// Adds the times of a task that has timed polls. Returns the flags of its row that say so.
    #[inline(never)]
    fn fold_timing(&self, site: &Site, slot: Option<Slot>) -> u8 {
        let timing = self.timing(None);
        if let Some(wait_ns) = timing.wait_ns {
            site.sums.add_wait(wait_ns.get(), self.state());
        }
        slot.map_or(0, |slot| slot.put_timing(&timing))
    }

    /// Adds what the task took over while it ended, besides the bytes that are `counted`. All
    /// transfers up to the close are counted, and no transfer can come after it.
    #[cold]
    #[inline(never)]
    fn add_late(&self, account: &'static Account, site: &Site, slot: Option<Slot>, counted: u64) {
        let Some(taken) = transferred::of(account).map(transferred::Row::read) else { return };
        let late = taken.bytes.saturating_sub(counted);
        if late != 0 && account.id() == self.tally.id() {
            site.sums.add_taken(late);
            if let Some(slot) = slot {
                let is_timed = self.sampling().is_any();
                let timed = if is_timed { slot.put_timing(&self.timing(None)) } else { 0 };
                slot.put(Ending::new(self, account, Some(&taken)), timed);
            }
        }
    }

    /// The end stamp: the task's place among the tasks of its site, and when it ended. If no time
    /// is known, it reads the clock if `is_timed` and timing is on.
    #[inline]
    fn ending(&self, counted_site: &Site, is_timed: bool) -> EndStamp {
        let known_ns =
            if self.sampling().is_any() { self.ended_ns.load(Ordering::Relaxed) } else { 0 };
        let ended_ns = if known_ns == 0 && is_timed { now_if_timing() } else { known_ns };
        EndStamp {
            ordinal: self.ordinal.load(Ordering::Relaxed),
            spawned: counted_site.spawned(),
            ended_ns,
        }
    }
}

/// What has become of a record's task and account.
enum Written {
    NoTask,
    AccountInUse,
    /// Nothing is left: the account has to be given back.
    AllFree(&'static Account),
}

/// The time, or 0 if timing is off.
#[inline(never)]
fn now_if_timing() -> u64 {
    if config::timing() == crate::sampling::Timing::Off { 0 } else { clock::now_ns() }
}
