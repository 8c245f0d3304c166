//! The threads that reports need, and when they start.

use std::{
    ffi::CStr,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use super::{PLANS, is_our_process, write};
use crate::{
    alloc::{
        Background,
        own_threads::{self, NoThread},
        warn,
    },
    output::{auto_report::name::Occasion, os_hooks, pressure},
    primitives::Once,
};

/// The thread of periodic reports, once it runs. A new job wakes it.
static CLOCK: Once<Thread> = Once::new();

pub(super) static START_THREADS: fn() = start_threads;

/// If the system cannot start a thread, `start_threads` tries again later, and warns.
pub(super) static START_PERIODIC: fn() = try_to_start_periodic;

fn try_to_start_periodic() {
    let _later = start_periodic();
}

/// Whether a job asks for periodic reports.
pub(super) static IS_PERIODIC: AtomicBool = AtomicBool::new(false);

/// Starts the threads that reports need and that are not yet started. Must not be called in the
/// allocator.
pub(super) fn start_threads() {
    if !is_our_process() {
        return;
    }
    #[cfg(unix)]
    match OnSignals::start_once() {
        Ok(()) => os_hooks::note_thread(),
        Err(error) => {
            warn(format_args!("no report will be written by a thread on signals: {error}"));
        }
    }
    if let Err(error) = start_periodic() {
        warn(format_args!("no periodic reports will be written: {error}"));
    }
    pressure::start_if_limited();
    if let Some(clock) = CLOCK.get() {
        clock.unpark();
    }
}

/// Starts the thread of periodic reports if a job asks for it and it is not yet started. May be
/// called in the allocator.
fn start_periodic() -> Result<(), NoThread> {
    let is_wanted = IS_PERIODIC.load(Ordering::Relaxed) && is_our_process();
    if is_wanted { Periodic::start_once() } else { Ok(()) }
}

/// A thread that reports need, once in each process.
trait StartOnce: Background + Sized {
    /// Returns whether the thread has been started.
    fn is_started() -> &'static AtomicBool;

    fn start_once() -> Result<(), NoThread> {
        if Self::is_started().swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        own_threads::spawn::<Self>(0)
            .inspect_err(|_| Self::is_started().store(false, Ordering::Relaxed))
    }
}

/// The stack size of a thread that writes reports: the standard library's default.
const STACK_BYTES: usize = 2 << 20;

#[cfg(unix)]
struct OnSignals;

#[cfg(unix)]
impl Background for OnSignals {
    const NAME: &'static CStr = c"memscope-signal";
    const STACK_BYTES: usize = STACK_BYTES;

    fn run(_: u32) {
        os_hooks::answer_signals();
    }
}

#[cfg(unix)]
impl StartOnce for OnSignals {
    fn is_started() -> &'static AtomicBool {
        static IS_STARTED: AtomicBool = AtomicBool::new(false);
        &IS_STARTED
    }
}

struct Periodic;

impl Background for Periodic {
    const NAME: &'static CStr = c"memscope-report";
    const STACK_BYTES: usize = STACK_BYTES;

    fn run(_: u32) {
        tick();
    }
}

impl StartOnce for Periodic {
    fn is_started() -> &'static AtomicBool {
        static IS_STARTED: AtomicBool = AtomicBool::new(false);
        &IS_STARTED
    }
}

/// Runs the thread of periodic reports.
fn tick() {
    CLOCK.get_or_init(thread::current);
    loop {
        let now = Instant::now();
        write(Occasion::Periodic, &|plan| plan.due.is_some_and(|due| due <= now));
        let mut plans = PLANS.lock();
        for plan in &mut *plans {
            if plan.due.is_some_and(|due| due <= now) {
                // Counted from now: reports that a slow disk delays are not made up for.
                plan.set_every(plan.every);
            }
        }
        let pause =
            plans.iter().filter_map(|plan| plan.due).min().map(|due| {
                due.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
            });
        drop(plans);
        match pause {
            Some(pause) => thread::park_timeout(pause),
            None => thread::park(),
        }
    }
}
