//! The end of a task, and then of its future: its counts are added to the sums of its site.

use super::{Record, read::Kind};
use crate::{
    accounting::{
        account::Account,
        end_stamps::{self, EndStamp},
        ended_tasks::{self, SlotWriter},
        peak_window, registry,
        site::Site,
        stream_items,
        thread_ring::EndInProgress,
        transferred::{self, TransferredIn},
    },
    config,
    model::{EventKind, TaskState},
    primitives::{SlabItem, clock, sync::Ordering},
};

impl Record {
    /// Ends the task: it will not be polled any more, but its future may still hold memory.
    /// `known_ns` is the time of the end, 0 if the caller has not read the clock.
    #[inline(never)]
    pub(super) fn end(&self, state: TaskState, known_ns: u64) {
        self.state.store(state as u8, Ordering::Relaxed);
        let (mut ended_ns, mut lived_ns) = (0, 0);
        let first_poll_ns = self.first_poll_ns.load(Ordering::Relaxed);
        if first_poll_ns != 0 {
            ended_ns = if known_ns == 0 { clock::now_ns() } else { known_ns };
            lived_ns = ended_ns.saturating_sub(first_poll_ns);
            self.ended_ns.store(ended_ns, Ordering::Relaxed);
            if let Some(counted_site) = self.counted_site.get() {
                counted_site.note_life(lived_ns);
            }
        }
        registry::count_end();
        if self.polls.load(Ordering::Relaxed) == 0 {
            self.emit(EventKind::Spawned, 0, 0);
        }
        let kind = match state {
            TaskState::Panicked => EventKind::Panicked,
            TaskState::Cancelled => EventKind::Cancelled,
            _ => EventKind::Completed,
        };
        self.emit(kind, ended_ns, lived_ns);
    }

    /// Ends the future: adds all counts to the site and the ended tasks, and gives the record back.
    pub(crate) fn close(&'static self) {
        if !self.state().is_ended() && self.state() != TaskState::Unknown {
            self.end(TaskState::Cancelled, 0);
        }
        self.archive(true, false);
    }

    /// Ends a task as completed, between two polls, unless it has ended. Only the record's single
    /// writer calls this.
    #[cfg(feature = "tower")]
    pub(crate) fn complete_unless_ended(&self) {
        if !self.state().is_ended() {
            self.end(TaskState::Completed, 0);
        }
    }

    /// Ends a span: adds all its counts, but keeps the record until [`give_back`](Self::give_back).
    #[cfg(feature = "tracing")]
    pub(crate) fn complete(&'static self) {
        self.end(TaskState::Completed, 0);
        self.write_down(true, false);
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
        let has_ended = self.state().is_ended() && !goes_on;
        if !has_ended {
            // This record will not tell how the task ends.
            self.state.store(TaskState::Unknown as u8, Ordering::Relaxed);
        }
        self.archive(has_ended || !self.holds_nothing(), goes_on);
    }

    /// Ends an unannotated task whose cell is freed. It gets a row only if it left something.
    #[cfg(feature = "tokio")]
    pub(crate) fn end_with_cell(&'static self, state: TaskState, parent: u64) {
        self.state.store(state as u8, Ordering::Relaxed);
        self.set_parent(parent);
        self.archive(!self.holds_nothing(), false);
    }

    /// Writes down what stays of the task, and gives the record back. `goes_on` says that the task
    /// has not ended.
    fn archive(&'static self, gets_row: bool, goes_on: bool) {
        if self.write_down(gets_row, goes_on) {
            registry::give_back_record(self);
        }
    }

    /// Writes down what stays of the task, in its own row if `gets_row`. Returns false if there was
    /// no task.
    fn write_down(&self, gets_row: bool, goes_on: bool) -> bool {
        let (Some(account), Some(kind)) = (self.tally.account(), self.kind()) else { return false };
        {
            let _folding = EndInProgress::begin();
            if goes_on {
                kind.counted_site.note_split();
            }
            let written = if gets_row { ended_tasks::next() } else { None };
            self.fold_into_site(account, kind, written.as_ref());
        }
        self.tally.close();
        true
    }

    /// Adds the task to the ended tasks and to the sums of its site, and closes its account.
    #[inline]
    fn fold_into_site(&self, account: &'static Account, kind: Kind, written: Option<&SlotWriter>) {
        let counted_site = kind.counted_site;
        let id = self.tally.id();
        let taken = transferred::of(account);
        let tally = self.tally.read().with(taken);
        // PERF: comes first, so that fewer values stay alive across this call.
        if peak_window::any_is_open() {
            peak_window::note(self.window.load(Ordering::Relaxed), tally.peak_bytes);
        }
        let left = tally.own_live_bytes.wrapping_add(account.net());
        if left != 0 {
            // Whether more is left than the cell, which Tokio frees a moment later.
            let is_more = left > i64::from(self.cell_bytes.load(Ordering::Relaxed));
            end_stamps::note(account, &self.ending(counted_site, is_more));
        }
        let reading = self.read_ended(kind, taken, None);
        let items = stream_items::of(self);
        if let Some(written) = written {
            written.put(id, account.index(), &tally, &reading, items.as_ref());
        }
        // A child that is forked meanwhile can tell how far the end has come: see `finish_ends`.
        let close = || account.begin_close(tally.own_live_blocks);
        counted_site.sums.add(self.index(), &tally, &reading, items.as_ref(), close);
        if account.finish_close(tally.own_live_bytes) {
            registry::give_back(account);
            return;
        }
        // All transfers up to the close are counted, and no transfer can come after it.
        let Some(taken) = transferred::of(account).map(transferred::Row::read) else { return };
        let late = taken.bytes.saturating_sub(tally.counters.transferred_bytes);
        if late != 0 && account.id() == id {
            counted_site.sums.add_taken(late);
            if let Some(written) = written {
                self.rewrite(account, kind, written, &taken);
            }
        }
    }

    /// Writes the task's row again, with what was transferred meanwhile.
    // PERF: reads all values again, so that the caller need not keep them.
    #[cold]
    #[inline(never)]
    fn rewrite(&self, account: &Account, kind: Kind, written: &SlotWriter, taken: &TransferredIn) {
        let tally = self.tally.read().with_all(taken);
        let reading = self.read_ended(kind, None, None).with(taken);
        let items = stream_items::of(self);
        written.put(self.tally.id(), account.index(), &tally, &reading, items.as_ref());
    }

    /// The end stamp: the task's place among the tasks of its site, and when it ended. If no time
    /// is known, it reads the clock if `is_timed` and timing is on.
    #[inline]
    fn ending(&self, counted_site: &Site, is_timed: bool) -> EndStamp {
        let ended_ns = match self.ended_ns.load(Ordering::Relaxed) {
            0 if is_timed => now_if_timing(),
            ended => ended,
        };
        EndStamp {
            ordinal: self.ordinal.load(Ordering::Relaxed),
            spawned: counted_site.spawned(),
            ended_ns,
        }
    }
}

/// The time, or 0 if timing is off.
#[inline(never)]
fn now_if_timing() -> u64 {
    if config::timing() == crate::sampling::Timing::Off { 0 } else { clock::now_ns() }
}
