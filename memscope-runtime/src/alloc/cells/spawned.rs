//! Where the cells are of tasks that `Tracked::spawn` has spawned. These cells are not in the
//! table.

use crate::{
    accounting::Account,
    primitives::{
        Arena, Zeroed,
        sync::{AtomicUsize, Ordering},
    },
};

/// The address of the cell that an account's task was spawned into, under the account's index.
///
/// Valid as long as the account says that the cell was not freed.
static CELLS: Arena<CellAddress> = Arena::new();

#[derive(Debug)]
struct CellAddress(AtomicUsize);

// SAFETY: an atomic, which is valid when zeroed and needs no drop.
unsafe impl Zeroed for CellAddress {}

/// Notes the cell of a task, if a cell of this account or its neighbours was noted before. Returns
/// whether it was. The spawner calls this before the task can run.
#[inline]
pub(crate) fn note_spawned(account: &Account, cell: *const u8) -> bool {
    let place = CELLS.get(account.index());
    if let Some(place) = place {
        place.0.store(cell.addr(), Ordering::Relaxed);
    }
    place.is_some()
}

/// [`note_spawned`] where that returns `false`.
pub(crate) fn note_first_spawned(account: &Account, cell: *const u8) {
    if let Some(place) = CELLS.get_or_make(account.index()) {
        place.0.store(cell.addr(), Ordering::Relaxed);
    }
}

/// The address of the cell of this account's task; 0 if it is not known.
pub(crate) fn spawned_cell(account: &Account) -> usize {
    CELLS.get(account.index()).map_or(0, |place| place.0.load(Ordering::Relaxed))
}
