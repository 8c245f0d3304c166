//! The ends of unannotated tasks, by their cells.
//!
//! Tokio frees a task's cell when the last reference to the task is gone. From then on Tokio never
//! reports its id again, and all that threads did for the task happened before. So the freeing
//! thread may take the record, even if another thread's hazard slot still has the id.
//!
//! Another thread may be changing the slot at this moment: it gives the record up because the table
//! is full, or it renames the task. Then the freeing thread notes the end in the slot, and the
//! other one finds it there when it has unlocked the slot.

use super::{Place, away, find, open, type_names, usable};
use crate::{
    accounting::{EndInProgress, Owner, OwnerKind, Site, stacks::Sample},
    alloc::cells::{self, CellHeader, CellType},
    config,
    model::TaskState,
    primitives::sync::{Ordering, fence},
};

/// Whether every task that gets a record now ends when its cell is freed.
#[inline]
pub(crate) fn are_exact() -> bool {
    cells::learned() && cells::refused() == 0
}

/// Flag in [`Place::freed`]: the task was cancelled. No id has this bit.
const CANCELLED: u64 = 1 << 62;

/// Whether the task with this id lost its record, so that what it holds is not known. Takes no
/// memory.
#[allow(dead_code, reason = "for pictures of the process, which are taken on Linux alone")]
pub(crate) fn has_lost_record(id: u64) -> bool {
    away::is_away(id)
}

/// The id of the task that spawned another one, which is the owner of its cell; 0 if no task did.
pub(crate) fn parent(owner: Owner) -> u64 {
    let owner = owner.sample().map_or(owner, Sample::covered);
    match owner.read() {
        OwnerKind::Account(account) => account.id(),
        _ => 0,
    }
}

/// How a task ended, as far as Tokio's cells tell: they do not tell a panic.
fn end_state(is_cancelled: bool) -> TaskState {
    if is_cancelled { TaskState::Cancelled } else { TaskState::Ended }
}

/// The end of a task whose cell is being freed.
#[derive(Debug)]
pub(crate) struct CellEnd {
    cell: CellHeader,
    place: Option<&'static Place>,
    /// Held while readers find the task neither by its cell nor among the ended ones.
    _unrecorded: Option<EndInProgress>,
}

impl CellEnd {
    /// Begins the end of the task. Must be called while readers still find the cell. Returns `None`
    /// if the cell has no credible id.
    #[inline]
    pub(crate) fn of(cell: CellHeader) -> Option<Self> {
        let place = find(usable(cell.id)?);
        Some(Self {
            cell,
            place,
            _unrecorded: if place.is_none() { Some(EndInProgress::begin()) } else { None },
        })
    }

    /// Ends the task. `owner` is the owner of the cell's block, which is still charged with the
    /// block.
    #[inline]
    pub(crate) fn finish(self, owner: Owner) {
        let CellHeader { id, kind, is_cancelled, .. } = self.cell;
        match self.place {
            Some(place) => place.end(id, kind, is_cancelled, owner),
            None if away::is_away(id) => end_without_place(id, is_cancelled),
            None => kind.count_end(is_cancelled),
        }
    }
}

/// Must be called when a task gets a record. Keeps a task that had a record before from being
/// counted again.
pub(super) fn note_return(id: u64) {
    if let Some(site) = away::come_back(id) {
        site.note_return();
    }
}

/// Ends a task that has lost its record.
fn end_without_place(id: u64, is_cancelled: bool) {
    if let Some(site) = away::come_back(id) {
        count_end(site, is_cancelled);
    }
}

#[cold]
#[inline(never)]
fn count_end(site: &'static Site, is_cancelled: bool) {
    site.note_return();
    if let Some(record) = open(site) {
        record.end_with_cell(end_state(is_cancelled), 0);
    }
}

impl Place {
    /// Ends the task in this slot.
    #[inline]
    fn end(&self, id: u64, kind: &'static CellType, is_cancelled: bool, owner: Owner) {
        #[cfg(tokio_unstable)]
        if self.reported.is_reported() {
            // The hooks report the end.
            return;
        }
        let parent = parent(owner);
        if !self.try_end(id, is_cancelled, parent, Some(kind)) {
            let end = if is_cancelled { id | CANCELLED } else { id };
            self.freed_parent.store(parent, Ordering::Relaxed);
            // Release; pairs with the Acquire in `settle`: the parent is there.
            self.freed.store(end, Ordering::Release);
            // The end is noted before the slot is tried again. Pairs with the fence in `settle`: at
            // least one of the two threads finds what the other did.
            fence(Ordering::SeqCst);
            if !self.try_end(id, is_cancelled, parent, Some(kind)) && !self.guard.is_of(id) {
                end_without_place(id, is_cancelled);
            }
        }
    }

    /// Takes the record from the task and ends it. Returns `false` if another thread is changing
    /// the slot, or the slot is not the task's any more. `kind` is the type of the task, if it is
    /// known here.
    fn try_end(
        &self,
        id: u64,
        is_cancelled: bool,
        parent: u64,
        kind: Option<&'static CellType>,
    ) -> bool {
        let is_taken = self.guard.try_take(id);
        if is_taken {
            if let Some(record) = self.record.get() {
                if let Some(kind) = kind {
                    type_names::settle(record, kind);
                }
                record.end_with_cell(end_state(is_cancelled), parent);
                self.record.clear();
            }
            self.guard.stay_empty();
        }
        is_taken
    }

    /// Takes the record from a task whose end is counted.
    #[cold]
    fn forget(&self, id: u64) {
        if self.guard.try_take(id) {
            if let Some(record) = self.record.get() {
                record.abandon(true);
                self.record.clear();
            }
            self.guard.stay_empty();
        }
    }

    /// Ends the task whose cell was freed while this thread had locked the slot. Must be called
    /// after the slot was unlocked.
    #[inline]
    pub(super) fn settle(&self) {
        // Pairs with the fence in `end`.
        fence(Ordering::SeqCst);
        let end = self.freed.load(Ordering::Acquire);
        if end != 0 {
            self.settle_end(end);
        }
    }

    #[cold]
    #[inline(never)]
    fn settle_end(&self, end: u64) {
        let parent = self.freed_parent.load(Ordering::Relaxed);
        let is_ours =
            self.freed.compare_exchange(end, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_ours {
            let (id, is_cancelled) = (end & !CANCELLED, end & CANCELLED != 0);
            if !self.try_end(id, is_cancelled, parent, None) {
                end_without_place(id, is_cancelled);
            }
        }
    }
}

/// Evicts a task by calling `end`. Returns whether `end` succeeded, and whether the task goes on
/// and stays counted although it has no record.
pub(super) fn leave(place: &Place, id: u64, end: impl FnOnce() -> bool) -> (bool, bool) {
    let counted_site = || {
        let record = place.record.get();
        // Hooks report no poll of a blocking task, but its end.
        #[cfg(tokio_unstable)]
        let is_reported = place.reported.is_reported() || super::runtime_hooks::has_ended(id);
        #[cfg(tokio_unstable)]
        let record = record
            .filter(|_| is_reported || are_exact())
            .filter(|record| !record.state().is_ended() || !is_reported);
        #[cfg(not(tokio_unstable))]
        let record = record.filter(|_| are_exact());
        record.and_then(crate::accounting::Record::counted_site)
    };
    // Must come before `end`: the task may be polled again at once, and must find that it is
    // counted.
    let noted = counted_site().is_some_and(|row| away::leave(id, row));
    let is_free = end();
    let goes_on = is_free && counted_site().is_some();
    if noted && !goes_on && away::come_back(id).is_none() && !is_free {
        // The task's cell was freed meanwhile, and its end is counted.
        place.forget(id);
    }
    (is_free, noted && goes_on)
}

/// The record of the task with this Tokio id, if it has one. Takes no memory.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) fn record_of(id: u64) -> Option<&'static crate::accounting::Record> {
    find(usable(id)?)?.record.get()
}

/// Notes what the cells of living tasks say of them. Must not be called in the allocator.
pub(crate) fn observe() {
    if !config::unannotated() {
        return;
    }
    super::context::learn_for_report();
    cells::for_each(|living| {
        let cell = &living.header;
        let Some(place) = usable(cell.id).and_then(find) else { return };
        #[cfg(tokio_unstable)]
        if place.reported.is_reported() {
            return;
        }
        if place.guard.try_lock() {
            if place.guard.is_of(cell.id)
                && let Some(record) = place.record.get()
            {
                let state = match (cell.is_finished, cell.is_running) {
                    (true, _) => end_state(cell.is_cancelled),
                    (false, true) => TaskState::Running,
                    (false, false) => TaskState::Idle,
                };
                record.observe(state, cell.has_handle);
                let parent = parent(living.owner);
                if !living.was_left() {
                    record.set_parent(parent);
                }
                type_names::settle(record, cell.kind);
            }
            place.guard.unlock();
            place.settle();
        }
    });
}
