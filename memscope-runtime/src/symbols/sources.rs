//! Where the addresses come from that are to be looked up.

use std::time::{Duration, Instant};

#[cfg(feature = "tokio")]
use super::task_names;
use super::{names, stack_names, thread};
#[cfg(feature = "tokio")]
use crate::alloc::unannotated;
use crate::{
    alloc::{current::exempt, own_work},
    primitives::{
        Lock, fork,
        sync::{AtomicU8, Ordering},
    },
};

/// Appends addresses of which more is to be known ([`call_at`](super::call_at) says so). It
/// makes room by `reserve::push`, and takes nothing if memory is short.
type Source = fn(&mut Vec<usize>);

/// All that has addresses, in the order of haste.
const SOURCES: &[Source] = &[
    #[cfg(feature = "tokio")]
    task_names::addresses,
    stack_names::addresses,
];

/// How many tasks wait for names. Takes no memory.
fn waiting() -> u64 {
    #[cfg(feature = "tokio")]
    let tasks = task_names::waiting();
    #[cfg(not(feature = "tokio"))]
    let tasks = 0;
    tasks
}

/// Has the thread started if tasks wait for names. Returns how many wait for names that the thread
/// will find. Takes no memory from the program's heap.
///
/// Stacks do not start the thread by themselves: only a report that lacks names of theirs does.
pub(crate) fn want_if_waiting() -> u64 {
    match waiting() {
        0 => 0,
        waiting if thread::want() => waiting,
        // They wait in vain.
        _ => 0,
    }
}

/// Has the thread started if tasks or stacks wait for names, and waits a moment for these. Takes no
/// memory from the program's heap. Returns how many tasks still wait for names that will be found.
pub(crate) fn wait_for_names() -> u64 {
    if are_to_come() {
        thread::wait();
    }
    want_if_waiting()
}

/// Whether tasks or stacks lack names that the thread looks up. Has it started.
fn are_to_come() -> bool {
    (waiting() != 0 || stack_names::is_waiting()) && thread::want()
}

/// Waits for names as [`wait_for_names`] does, the first time that any are lacking.
pub(crate) fn wait_for_names_once() {
    static HAS_WAITED: AtomicU8 = AtomicU8::new(0);
    if are_to_come() && HAS_WAITED.swap(1, Ordering::Relaxed) == 0 {
        thread::wait_for_round();
    }
}

/// How long a report that has no next one looks up names and lines.
pub(crate) const MOST_LOOKING_UP: Duration = Duration::from_millis(300);

/// Looks up all that the sources ask for, now and on this thread: one round, and others until then.
pub(crate) fn look_up_until(end: Instant) {
    while look_up_now() && Instant::now() < end {}
}

/// Looks up the names of tasks, now and on this thread, for [`MOST_LOOKING_UP`] at most.
pub(crate) fn look_up_tasks() {
    let end = Instant::now() + MOST_LOOKING_UP;
    while look_up_now() && waiting() != 0 && Instant::now() < end {}
}

/// Looks up what the sources ask for, now and on this thread. Returns whether it told something,
/// and may tell more the next time.
pub(crate) fn look_up_now() -> bool {
    /// One round at a time.
    static ROUND: Lock<()> = Lock::new(());

    if fork::may_have_foreign_locks() {
        return false;
    }
    exempt(|| {
        let _work = own_work::work();
        // The types of tasks that live are known once their cells were read.
        #[cfg(feature = "tokio")]
        unannotated::observe();
        if waiting() == 0 && !stack_names::is_waiting() {
            return false;
        }
        let Some(_round) = ROUND.lock_for_a_while() else { return false };
        let mut is_more = false;
        // Names of tasks do not wait until those of stacks are read.
        for source in SOURCES {
            let mut addresses = Vec::new();
            source(&mut addresses);
            names::resolve(&addresses);
            is_more |= names::explain(&addresses);
        }
        #[cfg(feature = "tokio")]
        task_names::name_waiting();
        is_more
    })
}
