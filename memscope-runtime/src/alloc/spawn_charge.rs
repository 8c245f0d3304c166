//! What is allocated for a task while its spawner hands it to the executor.

use std::cell::Cell;
#[cfg(feature = "tokio")]
use std::ptr;

#[cfg(all(feature = "symbols", feature = "tokio"))]
use super::cells;
#[cfg(feature = "tokio")]
use super::current::{ModeGuard, SPAWNING, tally};
use super::{
    charge::{charge_for, charge_to},
    current::{HERE, is_untracked},
    outside::untracked_at,
};
use crate::accounting::{Account, LARGE_BLOCK, Owner, Record, Tally};

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
    _mode: ModeGuard,
}

#[cfg(feature = "tokio")]
impl Spawning {
    #[inline]
    pub(crate) fn new(record: &'static Record, future_size: usize) -> Self {
        let spawn = Spawn { record, id: record.tally().id(), future_size, is_boxed: false };
        let outer = HERE.with(|here| here.spawn.get());
        HERE.with(|here| here.spawn.set(Some(spawn)));
        Self { outer, _mode: ModeGuard::put(&SPAWNING) }
    }
}

#[cfg(feature = "tokio")]
impl Drop for Spawning {
    #[inline]
    fn drop(&mut self) {
        HERE.with(|here| here.spawn.set(self.outer));
    }
}

/// Whether a task is being handed to the executor, and has no cell yet.
#[cfg(feature = "tokio")]
#[inline]
pub(super) fn is_spawning() -> bool {
    ptr::eq(tally(), &raw const SPAWNING)
}

/// Charges a new block inside [`Spawning`] to the new task; at the cell, leaves the mode.
///
/// The cell holds the future, so it is larger. Tokio boxes a large future first: that block is as
/// large as the future, and the next block, of any size, is the cell.
#[inline(never)]
pub(super) fn charge_spawned(block: *const u8, bytes: usize) -> Owner {
    let spawn = HERE.with(|here| here.spawn.get());
    // NOTE: a failed spawn has dropped the future, and with it the task. Its record may already
    // serve another task.
    let spawn = spawn.filter(|spawn| spawn.record.tally().id() == spawn.id);
    let Some((spawn, account)) =
        spawn.and_then(|spawn| Some((spawn, spawn.record.tally().account()?)))
    else {
        return charge_underlying(bytes);
    };
    let tally = spawn.record.tally();
    if tally.count(bytes) && !tally.raise() || bytes >= LARGE_BLOCK {
        return settle_and_place(spawn, account, block, bytes);
    }
    place(spawn, account, block, bytes)
}

/// [`charge_spawned`] of a large block, or where others have done something to the new task.
// PERF: out of line, so that `charge_spawned` saves no registers.
#[cold]
#[inline(never)]
fn settle_and_place(
    spawn: Spawn,
    account: &'static Account,
    block: *const u8,
    bytes: usize,
) -> Owner {
    let tally = spawn.record.tally();
    tally.settle(account);
    if bytes >= LARGE_BLOCK {
        tally.note_large_block(account, bytes);
    }
    place(spawn, account, block, bytes)
}

/// Returns the owner of a new block that was charged to a new task. At the cell, leaves the mode.
#[inline]
fn place(spawn: Spawn, account: &'static Account, block: *const u8, bytes: usize) -> Owner {
    if !spawn.is_boxed && bytes <= spawn.future_size {
        HERE.with(|here| here.spawn.is_boxed.set(bytes == spawn.future_size));
        return Owner::account(account);
    }
    leave_spawning();
    account.add_cell();
    spawn.record.note_cell(bytes, spawn.is_boxed.then_some(spawn.future_size));
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    if !cells::note_spawned(account, block) {
        return note_first(account, block);
    }
    #[cfg(not(all(feature = "symbols", feature = "tokio")))]
    let _ = block;
    Owner::of_cell(account)
}

/// Notes the first cell of an account, and returns the cell's owner.
// PERF: a tail call, as above.
#[cfg(all(feature = "symbols", feature = "tokio"))]
#[cold]
#[inline(never)]
fn note_first(account: &'static Account, block: *const u8) -> Owner {
    cells::note_first_spawned(account, block);
    Owner::of_cell(account)
}

/// Leaves the mode `SPAWNING`, and charges a new block to the underlying owner.
#[cold]
fn charge_underlying(bytes: usize) -> Owner {
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
