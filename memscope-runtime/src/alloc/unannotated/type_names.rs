//! The names of unannotated tasks, looked up once for each type of task.
//!
//! The symbol of a type's poll function names the future, where the mangling keeps type parameters
//! (v0). Otherwise the stack of one of its tasks does, taken in a poll: the outermost function that
//! Tokio calls. If the type may be a box that holds different futures, a stack names its own task
//! alone. A task gets the name of its type when its cell is read: at a report, or when the
//! cell is freed.

#[cfg(feature = "symbols")]
use super::key;
use super::site;
#[cfg(feature = "symbols")]
use super::stack_trace;
#[cfg(feature = "symbols")]
use crate::primitives::sync::{AtomicU32, Ordering};
use crate::{
    accounting::{Record, Site},
    alloc::cells::CellType,
    config,
};

/// How many more stacks are taken, at the next peaks of tasks that were not traced.
#[cfg(feature = "symbols")]
static STACKS: AtomicU32 = AtomicU32::new(FIRST_STACKS);
#[cfg(feature = "symbols")]
const FIRST_STACKS: u32 = 32;
/// How many are taken for a type that asks.
#[cfg(feature = "symbols")]
const MORE_STACKS: u32 = 4;

/// Returns whether a stack is to be taken.
#[cfg(feature = "symbols")]
#[inline]
pub(super) fn takes_stacks() -> bool {
    STACKS.load(Ordering::Relaxed) != 0 && config::names()
}

/// A stack is taken.
#[cfg(feature = "symbols")]
pub(super) fn note_stack() {
    let left = STACKS.load(Ordering::Relaxed);
    STACKS.store(left.saturating_sub(1), Ordering::Relaxed);
}

/// Names a type by the symbol of its poll function.
#[cfg(feature = "symbols")]
pub(crate) fn name_type(kind: &CellType, name: &str) {
    kind.name(Site::of(key(name, "", 0)));
}

/// Names a type by the stack of one of its tasks, unless others may have other names.
#[cfg(feature = "symbols")]
pub(super) fn name_type_of_stack(kind: &CellType, name: &str) {
    if kind.has_one_name() {
        name_type(kind, name);
    }
}

/// Gives a task the name of its type, or the type that of the task. The caller keeps the task from
/// ending meanwhile.
pub(super) fn settle(record: &'static Record, kind: &'static CellType) {
    if !config::names() {
        return;
    }
    let common = |there: &Site| std::ptr::eq(there, site());
    let Some(own) = record.site() else { return };
    match kind.site() {
        Some(named) if common(own) => record.rename(named),
        Some(_) => {}
        // A stack has named the task. Hooks name it by its place, which is no name of the type.
        None if !common(own) => {
            if own.file.is_empty() && kind.has_one_name() {
                kind.name(own);
            }
        }
        None => ask(record, kind),
    }
}

/// Has a stack taken of a task of this type.
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
