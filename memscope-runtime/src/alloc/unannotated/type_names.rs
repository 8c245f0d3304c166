//! The names of unannotated tasks, looked up once for each type of task.
//!
//! Where the mangling keeps type parameters (v0), the symbol of a type's poll function names the
//! future. Otherwise stacks name it that are taken in polls of its tasks: by the outermost function
//! that Tokio calls. They name the type if several of them agree, and if no call on the way goes
//! through a pointer, as for a trait object. Otherwise a stack names only its own task. A task gets
//! the name of its type when its cell is read: at a report, or when the cell is freed.

use super::site;
#[cfg(feature = "symbols")]
use super::{rows, stack_trace};
#[cfg(feature = "symbols")]
use crate::primitives::sync::{AtomicU32, Ordering};
use crate::{accounting::Record, alloc::cells::CellType, config};

/// How many more stacks are taken, each at the next peak of a task that was not traced.
#[cfg(feature = "symbols")]
static STACKS: AtomicU32 = AtomicU32::new(FIRST_STACKS);
#[cfg(feature = "symbols")]
const FIRST_STACKS: u32 = 32;
/// How many stacks are taken for a type that asks.
#[cfg(feature = "symbols")]
const MORE_STACKS: u32 = 4;

/// Returns whether a stack is to be taken.
#[cfg(feature = "symbols")]
#[inline]
pub(super) fn takes_stacks() -> bool {
    STACKS.load(Ordering::Relaxed) != 0 && config::names()
}

/// Notes that a stack is taken.
#[cfg(feature = "symbols")]
pub(super) fn note_stack() {
    let left = STACKS.load(Ordering::Relaxed);
    STACKS.store(left.saturating_sub(1), Ordering::Relaxed);
}

/// Names a type.
#[cfg(feature = "symbols")]
pub(crate) fn name_type(kind: &CellType, name: &str) {
    kind.name(rows::named(name));
}

/// Names a type by the stacks of its tasks, once several of them agree. `is_of_type` says whether
/// all tasks of the type run what this stack names.
#[cfg(feature = "symbols")]
pub(super) fn name_type_of_stack(kind: &CellType, name: &str, is_of_type: bool) {
    if is_of_type {
        kind.propose(rows::named(name));
    }
}

/// Gives a task the name of its type, and what is known of its future. The caller keeps the task
/// from ending meanwhile.
pub(super) fn settle(record: &'static Record, kind: &'static CellType) {
    record.note_future(kind.future());
    if !config::names() {
        return;
    }
    let Some(own) = record.site() else { return };
    match kind.site() {
        Some(named) if std::ptr::eq(own, site()) || own.stands_in() => record.rename(named),
        // The task's stack may have named it before the type had a name, by the calls that the
        // compiler has left. A name from hooks has a place beside it.
        Some(named)
            if kind.is_named_by_symbol() && own.file.is_empty() && !std::ptr::eq(own, named) =>
        {
            record.rename(named);
        }
        None if std::ptr::eq(own, site()) => {
            // If the name is found later, the task has it then, even if it has ended.
            record.rename(kind.site_or_stand_in(own));
            ask(record, kind);
        }
        None if own.stands_in() => ask(record, kind),
        // A stack has named the task, or hooks have.
        _ => {}
    }
}

/// Requests a stack of a task of this type.
#[cfg(feature = "symbols")]
fn ask(record: &Record, kind: &'static CellType) {
    // PERF: few tasks are traced, and all traces are searched.
    if record.is_traced() {
        stack_trace::note_type(record.tally().id(), kind);
    }
    if STACKS.load(Ordering::Relaxed) == 0 && kind.asks_for_stack() {
        STACKS.store(MORE_STACKS, Ordering::Relaxed);
    }
}

#[cfg(not(feature = "symbols"))]
fn ask(_: &Record, _: &'static CellType) {}
