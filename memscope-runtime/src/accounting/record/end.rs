//! The end of a task, and then of its future: what it counted goes into the sums of its site.

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
    primitives::{clock, sync::Ordering},
};

impl Record {
    /// The task's end: it will not be polled any more, but its future may still hold memory.
    /// `known_ns`: when that is, if somebody has just looked.
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

    /// The end of the future: folds all into the site and the history and gives the record back.
    pub(crate) fn close(&'static self) {
        if !self.state().is_ended() && self.state() != TaskState::Unknown {
            self.end(TaskState::Cancelled, 0);
        }
        self.archive(true, false);
    }

    /// The end of a span: all is folded away, but the record stays this span's until
    /// [`give_back`](Self::give_back).
    #[cfg(feature = "tracing")]
    pub(crate) fn complete(&'static self) {
        self.end(TaskState::Completed, 0);
        self.write_down(true, false);
    }

    /// Gives the record of a span back that has [completed](Self::complete).
    #[cfg(feature = "tracing")]
    pub(crate) fn give_back(&'static self) {
        registry::give_back_record(self);
    }

    /// The end of an unannotated task, as far as anybody knows: the caller keeps others out. If
    /// that was not told by the runtime, it gets a row only if it left something. `goes_on`: it has
    /// not ended, and is not counted anew when it gets another record.
    #[cfg(feature = "tokio")]
    pub(crate) fn abandon(&'static self, goes_on: bool) {
        let has_ended = self.state().is_ended();
        if !has_ended {
            // Nobody will say how it ends.
            self.state.store(TaskState::Unknown as u8, Ordering::Relaxed);
        }
        self.archive(has_ended || !self.holds_nothing(), goes_on);
    }

    /// Writes down what stays of the task, and gives the record back. `goes_on`: the task has not
    /// ended.
    fn archive(&'static self, gets_row: bool, goes_on: bool) {
        if self.write_down(gets_row, goes_on) {
            registry::give_back_record(self);
        }
    }

    /// Writes down what stays of the task, in a row of its own if it `gets_row`. Returns false
    /// where there was no task.
    fn write_down(&self, gets_row: bool, goes_on: bool) -> bool {
        let (Some(account), Some(kind)) = (self.tally.account(), self.kind()) else { return false };
        {
            let _folding = EndInProgress::begin();
            #[cfg(tokio_unstable)]
            if goes_on {
                kind.counted_site.note_split();
            }
            #[cfg(not(tokio_unstable))]
            let _ = goes_on;
            let written = if gets_row { ended_tasks::next() } else { None };
            self.fold(account, kind, written.as_ref());
        }
        self.tally.close();
        true
    }

    /// Puts the task into the history and the sums of its site, and closes its account.
    #[inline]
    fn fold(&self, account: &'static Account, kind: Kind, written: Option<&SlotWriter>) {
        let counted_site = kind.counted_site;
        let id = self.tally.id();
        let taken = transferred::of(account);
        let tally = self.tally.read().with(taken);
        // PERF: first, so that what comes now need not be kept meanwhile.
        if peak_window::any_is_open() {
            peak_window::note(self.window.load(Ordering::Relaxed), tally.peak_bytes);
        }
        let left = tally.own_live_bytes.wrapping_add(account.net());
        if left != 0 {
            // More than the cell, which Tokio frees a moment later.
            let is_more = left > i64::from(self.cell_bytes.load(Ordering::Relaxed));
            end_stamps::note(account, &self.ending(counted_site, is_more));
        }
        let reading = self.read_ended(kind, taken, None);
        let items = stream_items::of(self);
        if let Some(written) = written {
            written.put(id, account.index(), &tally, &reading, items.as_ref());
        }
        // NOTE: counted and closed in one breath, so that a child which is forked meanwhile can
        // tell: see `finish_ends`.
        let close = || account.begin_close(tally.own_live_blocks);
        counted_site.sums.add(&tally, &reading, items.as_ref(), close);
        if account.finish_close(tally.own_live_bytes) {
            registry::give_back(account);
            return;
        }
        // What was transferred up to the close is counted, and since then nothing could be.
        let Some(taken) = transferred::of(account).map(transferred::Row::read) else { return };
        let late = taken.bytes.saturating_sub(tally.counters.transferred_bytes);
        if late != 0 && account.id() == id {
            counted_site.sums.add_taken(late);
            if let Some(written) = written {
                self.rewrite(account, kind, written, &taken);
            }
        }
    }

    /// Writes its row once more.
    // PERF: all of it is read again, so that nothing has to be kept for this.
    #[cold]
    #[inline(never)]
    fn rewrite(&self, account: &Account, kind: Kind, written: &SlotWriter, taken: &TransferredIn) {
        let tally = self.tally.read().with_all(taken);
        let reading = self.read_ended(kind, None, None).with(taken);
        let items = stream_items::of(self);
        written.put(self.tally.id(), account.index(), &tally, &reading, items.as_ref());
    }

    /// Its place among the tasks of its site, and when it ended if that is wanted and a clock may
    /// be read.
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

/// 0 where no clock may be read.
#[inline(never)]
fn now_if_timing() -> u64 {
    if config::timing() == crate::sampling::Timing::Off { 0 } else { clock::now_ns() }
}
