//! What runs when a thread ends, and what a forked child does for the threads that it does not
//! have.

#[cfg(feature = "tracing")]
use super::span_entries;
#[cfg(feature = "tokio")]
use super::{cells, unannotated};
use super::{
    current::{EXITING, HERE, thread},
    recent::RECENT,
};
use crate::{
    accounting::{Record, cross_frees, registry, thread_ring, variable, variable_site},
    primitives::this_thread,
};

thread_local! {
    /// Its destructor runs when the thread ends.
    static RETIRE: Retire = const { Retire };
}

/// Makes the end of the thread call [`retire`]. Returns `false` if the thread's destructors have
/// already run.
#[inline(never)]
pub(super) fn register() -> bool {
    let registers = RETIRE.try_with(|_| ()).is_ok();
    #[cfg(all(feature = "enabled", target_os = "linux"))]
    if registers {
        super::thread_places::note();
    }
    registers
}

#[derive(Debug)]
struct Retire;

impl Drop for Retire {
    fn drop(&mut self) {
        retire();
    }
}

/// Ends the thread's accounting: later allocations are charged to the orphans.
fn retire() {
    HERE.with(|here| {
        here.current.set(&EXITING);
        here.underlying.set(&EXITING);
    });
    #[cfg(feature = "tracing")]
    span_entries::retire();
    give_all_back();
}

/// Returns the thread's record; the next thread that starts gets it.
pub(super) fn give_record_back() {
    HERE.with(|here| here.is_retired.set(true));
    this_thread::set_registered(false);
    if let Some(record) = HERE.with(|here| here.thread.take()) {
        record.leave_worker();
        registry::give_back_thread(record);
    }
}

/// Returns the thread's record, ring, magazines and hazard; the next thread that starts gets them.
fn give_all_back() {
    give_record_back();
    #[cfg(all(feature = "enabled", target_os = "linux"))]
    super::thread_places::retire();
    registry::empty_magazines();
    #[cfg(feature = "tokio")]
    {
        cells::retire();
        unannotated::retire();
    }
    variable::empty_magazines();
    RECENT.with(|recent| recent.pair.retire());
    // Must come last: the calls above may push events.
    thread_ring::retire();
}

/// Repairs the state of threads that a fork has left behind. Must be called in the child, on its
/// only thread. Returns how many of these threads were the program's.
#[cfg(unix)]
pub(crate) fn forked() -> u32 {
    cross_frees::forked();
    #[cfg(all(feature = "enabled", target_os = "linux"))]
    super::thread_places::forked();
    #[cfg(feature = "tokio")]
    {
        cells::forked();
        unannotated::forked();
    }
    #[cfg(feature = "tracing")]
    span_entries::forked();
    variable_site::forked();
    if thread_ring::forked() {
        Record::finish_ends();
    }
    registry::forked(thread())
}
