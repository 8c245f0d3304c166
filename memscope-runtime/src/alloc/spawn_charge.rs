//! What is allocated for a task while its spawner hands it to the executor.

use std::cell::Cell;

#[cfg(feature = "tokio")]
use super::current::{ModeGuard, SPAWNING};
use super::{
    charge::{charge_for, charge_to},
    current::{HERE, is_untracked},
    outside::untracked_at,
};
use crate::accounting::{Owner, Record, Tally};

/// A task that its spawner is handing to the executor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spawn {
    record: &'static Record,
    id: u64,
    future_size: usize,
    is_boxed: bool,
}

/// A cell for one [`Spawn`].
///
/// PERF: stored field by field. A copy of the whole struct would load words of 16 bytes, which wait
/// until the preceding stores of 8 bytes have reached the cache.
#[derive(Debug)]
pub(super) struct SpawnCell {
    record: Cell<Option<&'static Record>>,
    id: Cell<u64>,
    future_size: Cell<usize>,
    is_boxed: Cell<bool>,
}

impl SpawnCell {
    pub(super) const fn new() -> Self {
        Self {
            record: Cell::new(None),
            id: Cell::new(0),
            future_size: Cell::new(0),
            is_boxed: Cell::new(false),
        }
    }

    #[inline]
    pub(super) fn get(&self) -> Option<Spawn> {
        let Self { record, id, future_size, is_boxed } = self;
        let record = record.get()?;
        let (id, future_size, is_boxed) = (id.get(), future_size.get(), is_boxed.get());
        Some(Spawn { record, id, future_size, is_boxed })
    }

    #[inline]
    pub(super) fn set(&self, spawn: Option<Spawn>) {
        self.record.set(spawn.map(|spawn| spawn.record));
        if let Some(Spawn { id, future_size, is_boxed, .. }) = spawn {
            self.id.set(id);
            self.future_size.set(future_size);
            self.is_boxed.set(is_boxed);
        }
    }
}

/// Charges the new task with what is allocated up to its Tokio cell, the first block larger than
/// the future.
///
/// The task cannot run before its cell exists, so its tally still has one writer. Later allocations
/// (a run queue that grows, a worker that is woken) are the spawner's.
#[cfg(feature = "tokio")]
#[derive(Debug)]
pub(crate) struct Spawning {
    outer: Option<Spawn>,
    _behind: ModeGuard,
}

#[cfg(feature = "tokio")]
impl Spawning {
    #[inline]
    pub(crate) fn new(record: &'static Record, future_size: usize) -> Self {
        let spawn = Spawn { record, id: record.tally().id(), future_size, is_boxed: false };
        let outer = HERE.with(|here| here.spawn.get());
        HERE.with(|here| here.spawn.set(Some(spawn)));
        Self { outer, _behind: ModeGuard::put(&SPAWNING) }
    }
}

#[cfg(feature = "tokio")]
impl Drop for Spawning {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| here.spawn.set(self.outer));
    }
}

/// Charges a new block inside [`Spawning`] to the new task; at the cell, leaves the mode.
///
/// The cell holds the future, so it is larger. Tokio boxes a large future first: that block is as
/// large as the future, and the next block, of any size, is the cell.
#[inline(never)]
pub(super) fn charge_spawned(bytes: usize) -> Owner {
    let spawn = HERE.with(|here| here.spawn.get());
    // NOTE: a failed spawn has dropped the future, and with it the task. Its record may already
    // serve another task.
    let spawn = spawn.filter(|spawn| spawn.record.tally().id() == spawn.id);
    let Some((spawn, account)) =
        spawn.and_then(|spawn| Some((spawn, spawn.record.tally().account()?)))
    else {
        return charge_behind(bytes);
    };
    spawn.record.tally().charge(account, bytes);
    if spawn.is_boxed || bytes > spawn.future_size {
        leave_spawning();
        account.add_cell();
        spawn.record.note_cell(bytes, spawn.is_boxed.then_some(spawn.future_size));
        Owner::of_cell(account)
    } else {
        HERE.with(|here| here.spawn.is_boxed.set(bytes == spawn.future_size));
        Owner::account(account)
    }
}

/// Leaves the mode `SPAWNING`, and charges a new block to the underlying owner.
#[cold]
fn charge_behind(bytes: usize) -> Owner {
    let underlying = leave_spawning();
    if is_untracked(underlying) {
        charge_to(untracked_at(underlying), bytes)
    } else {
        charge_for(underlying, bytes)
    }
}

/// Leaves the mode `SPAWNING`, and returns the underlying tally, which is current again.
#[inline]
pub(super) fn leave_spawning() -> &'static Tally {
    HERE.with(|here| {
        here.spawn.set(None);
        let underlying = here.underlying.get();
        here.current.set(underlying);
        underlying
    })
}
