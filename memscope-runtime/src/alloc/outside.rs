//! The owner outside of tracked tasks: an unannotated task or the thread.

#[cfg(feature = "tokio")]
use super::unannotated;
use super::{
    current::{EXITING, SwitchedTask, asks_tokio, thread},
    recent::{RECENT, Recent},
};
use crate::accounting::{Record, Tally};
#[cfg(feature = "tokio")]
use crate::config;

/// Returns the tally to charge outside of tracked tasks: the unannotated task's or the thread's.
pub(super) fn outside() -> &'static Tally {
    RECENT.with(Recent::charged).map_or_else(asked_outside, Ok).unwrap_or_else(find_outside)
}

/// [`outside`], where the thread has switched tasks.
pub(super) fn find_outside(other: SwitchedTask) -> &'static Tally {
    if let Some(task) = other.find() {
        return task.tally();
    }
    let Some(thread) = thread() else { return &EXITING };
    #[cfg(feature = "tokio")]
    if other.is_no_task() {
        unannotated::charge_thread(thread);
    }
    thread.tally()
}

/// Returns the tally to charge in this mode, which is one outside of tracked tasks.
pub(super) fn untracked_at(mode: &'static Tally) -> &'static Tally {
    if asks_tokio(mode) { outside() } else { thread().map_or(&EXITING, Record::tally) }
}

/// Returns the tally to charge outside of tracked tasks, if its owner is still the one that this
/// thread charged last. Asks Tokio which task is current. Where unannotated tasks are turned off,
/// the tally is the thread's.
#[inline]
pub(super) fn asked_outside() -> Result<&'static Tally, SwitchedTask> {
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        return unannotated::cached_task().map(Record::tally);
    }
    thread().map(Record::tally).ok_or(SwitchedTask::NO_TASK)
}
