//! The end of a thread, and what a forked child does for threads that are not there.

use super::current::{EXITING, HERE, thread};
#[cfg(feature = "tracing")]
use super::span_entries;
#[cfg(feature = "tokio")]
use super::unannotated;
use crate::{
    accounting::{Record, cross_frees, registry, thread_ring, variable, variable_site},
    primitives::this_thread,
};

thread_local! {
    /// Runs when the thread ends.
    static RETIRE: Retire = const { Retire };
}

/// Has the thread's end call [`retire`]. Returns false where the thread's destructors have run.
#[inline(never)]
pub(super) fn register() -> bool {
    RETIRE.try_with(|_| ()).is_ok()
}

#[derive(Debug)]
struct Retire;

impl Drop for Retire {
    fn drop(&mut self) {
        retire();
    }
}

/// The thread ends: what comes later is charged to the orphans.
fn retire() {
    HERE.with(|here| {
        here.current.set(&EXITING);
        here.underlying.set(&EXITING);
    });
    #[cfg(feature = "tracing")]
    span_entries::retire();
    give_all_back();
}

/// Hands the thread's record on to the next thread that starts.
pub(super) fn give_record_back() {
    HERE.with(|here| here.is_retired.set(true));
    this_thread::set_registered(false);
    if let Some(record) = HERE.with(|here| here.thread.take()) {
        record.leave_worker();
        registry::give_back_thread(record);
    }
}

/// Hands the thread's record, and all else that it has, on to the next thread that starts.
fn give_all_back() {
    give_record_back();
    registry::empty_spares();
    #[cfg(feature = "tokio")]
    unannotated::retire();
    variable::empty_spares();
    cross_frees::retire();
    // Last: what comes before may have something to say.
    thread_ring::retire();
}

/// In a forked child, on its only thread: puts in order what the others left behind. Returns how
/// many threads of the program those were.
#[cfg(unix)]
pub(crate) fn forked() -> u32 {
    cross_frees::forked();
    #[cfg(feature = "tokio")]
    unannotated::forked();
    #[cfg(feature = "tracing")]
    span_entries::forked();
    variable_site::forked();
    if thread_ring::forked() {
        Record::finish_ends();
    }
    registry::forked(thread())
}
