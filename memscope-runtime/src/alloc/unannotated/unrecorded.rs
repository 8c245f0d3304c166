//! Unannotated tasks without a record, because they have not allocated. They are counted by their
//! cells: the living ones when a report looks at them, the ended ones when their cell is freed.

use super::{away, find, site, usable};
use crate::{
    accounting::{FinishedCells, Site, Unrecorded},
    alloc::cells::{self, CellType, LivingCell},
    config,
    primitives::reserve,
};

/// Counts these tasks by their types. Also counts the cells that finished tasks with an annotated
/// future still have. Must not be called in the allocator.
pub(crate) fn read() -> (Vec<Unrecorded>, FinishedCells) {
    let mut tracked = FinishedCells::default();
    let mut read: Vec<(&'static CellType, Unrecorded)> = Vec::new();
    if !config::unannotated() || are_reported() {
        return (Vec::new(), tracked);
    }
    for kind in (0..).map_while(cells::type_at) {
        let (ended, cancelled) = kind.ends();
        let none = Unrecorded::of(row(kind), kind.future());
        let tasks = Unrecorded { cancelled, ended: ended - cancelled, ..none };
        reserve::push(&mut read, (kind, tasks));
    }
    cells::for_each(|living| {
        let header = &living.header;
        if header.kind.has_tracked() {
            if header.is_finished && usable(header.id).is_some() {
                tracked.add(header.has_handle);
            }
        } else if is_unrecorded(living)
            && let Some((_, tasks)) = read.get_mut(living.header.kind.index as usize)
        {
            count(tasks, living);
        }
    });
    let is_any = |tasks: &Unrecorded| tasks.spawned() != 0;
    let counted = |(kind, tasks): &(&CellType, Unrecorded)| {
        (!kind.has_tracked() && is_any(tasks)).then_some(*tasks)
    };
    (reserve::rows(&read, counted), tracked)
}

/// The site that has the name of the type.
fn row(kind: &CellType) -> &'static Site {
    kind.site().filter(|_| config::names()).unwrap_or_else(site)
}

/// Whether a runtime's hooks report tasks. If so, the tasks without a record are counted by the
/// hooks, or are tracked ones.
fn are_reported() -> bool {
    #[cfg(tokio_unstable)]
    return super::runtime_hooks::are_used();
    #[cfg(not(tokio_unstable))]
    false
}

fn is_unrecorded(living: &LivingCell<'_>) -> bool {
    let Some(id) = usable(living.header.id) else { return false };
    let has_record = || find(id).is_some() || away::is_away(id);
    // The task of a cell that is being freed is counted among the ended ones.
    let kind = living.header.kind;
    if kind.has_tracked() || has_record() || living.was_left() {
        return false;
    }
    if !living.header.is_finished && kind.is_to_be_searched() && living.has_record() {
        kind.note_tracked();
    }
    !kind.has_tracked()
}

fn count(tasks: &mut Unrecorded, living: &LivingCell<'_>) {
    let cell = &living.header;
    match (cell.is_finished, cell.is_cancelled) {
        (false, _) => tasks.alive += 1,
        (true, true) => tasks.cancelled += 1,
        (true, false) => tasks.ended += 1,
    }
    if cell.is_finished {
        *(if cell.has_handle { &mut tasks.unjoined } else { &mut tasks.kept }) += 1;
    }
}
