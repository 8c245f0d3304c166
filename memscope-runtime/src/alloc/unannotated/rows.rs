//! The rows of unannotated tasks, and the records of tasks without a name.
//!
//! A task's name is known when its cell is read. If cells tell all ends, a task is counted then.
//! The row of unnamed tasks is kept meanwhile, and readers add the tasks that are not counted yet.

use super::ends;
use crate::{
    accounting::{FutureType, Key, NewTask, PLAIN_COLUMN, Record, Site, UNNAMED, registry},
    model::{TaskState, TaskType},
    primitives::StaticRef,
    sampling::Sampling,
};

/// The site of all unannotated tasks whose name and place are not known.
#[inline]
pub(crate) fn site() -> &'static Site {
    SITE.get().unwrap_or_else(make_site)
}

static SITE: StaticRef<Site> = StaticRef::none();

#[cold]
#[inline(never)]
fn make_site() -> &'static Site {
    let site = Site::of_bounded(key(UNNAMED, "", 0));
    // Without room for the row, its tasks are counted at once, in `(other)`.
    if !site.is_other() {
        let _ = site.keep_row();
    }
    SITE.set(site);
    site
}

/// The site of unannotated tasks whose future has this name.
#[cfg(feature = "symbols")]
pub(super) fn named(name: &str) -> &'static Site {
    Site::of(key(name, "", 0))
}

/// The key of a site of unannotated tasks.
pub(super) fn key<'k>(name: &'k str, file: &'static str, line: u32) -> Key<'k> {
    Key { name, task_type: TaskType::Unspecified, file, line, column: PLAIN_COLUMN }
}

pub(super) fn open(site: &'static Site) -> Option<&'static Record> {
    let (row, ordinal) = site.admit(FutureType::not_known());
    let state = if ends::are_exact() { TaskState::Running } else { TaskState::Unknown };
    let record = open_counted(site, Some(row), ordinal, state);
    if record.is_none() {
        row.retract();
    }
    record
}

/// Opens the record of a task whose name is not known.
#[inline]
pub(super) fn open_unnamed() -> Option<&'static Record> {
    let site = site();
    // The task's cell will name it later.
    if ends::are_exact() && site.keeps_row() {
        open_counted(site, None, 0, TaskState::Running)
    } else {
        open(site)
    }
}

#[inline]
fn open_counted(
    site: &'static Site,
    counted_site: Option<&'static Site>,
    ordinal: u64,
    state: TaskState,
) -> Option<&'static Record> {
    registry::open_task(&NewTask {
        site,
        counted_site,
        future: FutureType::not_known(),
        parent: 0,
        sampling: Sampling::NONE,
        ordinal,
        state,
        is_annotated: false,
    })
}
