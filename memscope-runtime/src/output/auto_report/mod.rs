//! Reports that a process writes by itself: at exit, on a panic, on a signal, every so often.
//!
//! Each [`ReportGuard`] and the variable `MEMSCOPE_REPORT` have a *plan*: a file, and how often it
//! is written. Whatever ends the process, the plans are written once more. A file always holds the
//! newest report; one of a signal, a panic or a guard that another follows is kept beside it.
//!
//! No thread is started before `main`: [`background`] says when, and what a signal does without
//! one.
//!
//! All of this is memscope's: its memory is charged to no task or thread. A forked child writes
//! nothing, since the files are its parent's.

pub(crate) mod threads;
mod guard;
pub(crate) mod copies;
mod name;
mod written;

use std::{
    mem,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self},
    time::{Duration, Instant, SystemTime},
};

use super::{
    auto_report::{
        copies::Claim,
        name::{Name, Occasion},
        threads::{IS_PERIODIC, START_PERIODIC, START_THREADS},
        written::Written,
    },
    file::{Format, bytes},
    os_hooks,
};
use crate::{
    alloc::{
        current::{exempt, is_exempt},
        own_work, warn,
    },
    await_points::image,
    environment::Environment,
    model::{Error, Origin, text::visible_path},
    primitives::{Lock, Once, Pending, clock, fork, pending_starts, reserve},
    snapshot::for_memscope,
};

pub use guard::{ReportGuard, report_guard};

/// A service that panics all the time must not write all the time. The file is this old at most
/// when a panic aborts.
const PANIC_PAUSE_NS: u64 = 1_000_000_000;

#[derive(Debug)]
struct ReportJob {
    id: u64,
    name: Name,
    /// Shared by the plans of one name.
    claim: Arc<Claim>,
    every: Option<Duration>,
    due: Option<Instant>,
    /// What there was to say the last time: said once, not every ten seconds.
    said: Option<String>,
}

static PLANS: Lock<Vec<ReportJob>> =
    Lock::new(Vec::new(), |half_written| mem::forget(mem::take(half_written)));

/// One report is written at a time.
static WRITING: Lock<Written> =
    Lock::new(Written::NONE, |half_written| mem::forget(mem::replace(half_written, Written::NONE)));
/// The process that set this up; 0: none yet.
static PROCESS: AtomicU32 = AtomicU32::new(0);

impl ReportJob {
    fn new(id: u64, path: &Path, every: Option<Duration>) -> Self {
        let name = Name::new(path);
        let known = PLANS
            .lock()
            .iter()
            .find(|plan| plan.name.pattern() == name.pattern())
            .map(|plan| Arc::clone(&plan.claim));
        let claim = known.unwrap_or_else(|| Arc::new(Claim::of(name.pattern())));
        let mut plan = Self { id, name, claim, every: None, due: None, said: None };
        plan.set_every(every);
        plan
    }

    fn set_every(&mut self, every: Option<Duration>) {
        self.every = every;
        self.due = every.and_then(|every| Instant::now().checked_add(every));
    }
}

/// Says what can be known beforehand.
fn check(path: &Path) {
    let is_device = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    let shown = visible_path(path);
    if Format::of(path).is_none() && !is_device {
        warn(format_args!(
            "the report `{shown}` will be text: its name ends neither in .json nor in .txt"
        ));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        let folder = visible_path(folder);
        warn(format_args!("the report `{shown}` cannot be written: there is no folder `{folder}`"));
    }
}

/// Does what the environment asks for.
pub(crate) fn start_from_env(environment: &Environment) {
    exempt(|| match &environment.report {
        Some(path) => {
            let plan = ReportJob::new(0, path, environment.every);
            check(plan.name.pattern());
            let is_periodic = plan.every.is_some();
            add(plan);
            // Before `main` there is no thread: it starts with the first task.
            pending_starts::want(Pending::Reports, &START_THREADS);
            if is_periodic {
                pending_starts::want(Pending::Periodic, &START_PERIODIC);
            }
        }
        None if environment.every.is_some() => {
            warn(format_args!("MEMSCOPE_REPORT_EVERY does nothing without MEMSCOPE_REPORT"));
        }
        None => {}
    });
}

fn add(plan: ReportJob) {
    static SET_UP: Once<()> = Once::new();
    if plan.every.is_some() {
        IS_PERIODIC.store(true, Ordering::Relaxed);
    }
    PLANS.lock().push(plan);
    // While there is memory: the report may be written when there is none.
    reserve::hold();
    SET_UP.get_or_init(set_up);
    if !is_our_process() {
        warn(format_args!(
            "no report will be written: this process was forked off by one that writes its own"
        ));
    }
}

fn set_up() {
    PROCESS.store(process::id(), Ordering::Relaxed);
    Origin::here();
    // As long as `/proc` can be read: a program may change its root, or forbid it.
    image::here();
    if !os_hooks::at_exit() {
        warn(format_args!("no report will be written at exit: `atexit` takes no more functions"));
    }
    if fork::may_have_foreign_locks() {
        // One of them, in the middle of a panic, may hold the lock of the hook.
        warn(format_args!(
            "no report will be written on a panic that is caught: this process was forked off while other threads ran"
        ));
    } else if !thread::panicking() {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            previous(panic);
            panicked();
        }));
    }
    #[cfg(unix)]
    os_hooks::install_signals();
}

/// A child that was forked off is another process.
pub(crate) fn is_our_process() -> bool {
    PROCESS.load(Ordering::Relaxed) == process::id()
}

pub(crate) fn exiting() {
    if is_our_process() {
        exempt(|| write(Occasion::Exit, &|_| true));
    }
}

fn panicked() {
    /// When the last one was written; 0: never.
    static LAST_NS: AtomicU64 = AtomicU64::new(0);
    // NOTE: memscope's own code may hold what a report needs.
    if !is_our_process() || is_exempt() {
        return;
    }
    let (last, now) = (LAST_NS.load(Ordering::Relaxed), clock::now_ns());
    let is_due = last == 0 || now.saturating_sub(last) >= PANIC_PAUSE_NS;
    if is_due && LAST_NS.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        exempt(|| write(Occasion::Panic, &|_| true));
    }
}

/// Writes all files, at a signal.
#[cfg(unix)]
pub(crate) fn write_all() {
    exempt(|| write(Occasion::Signal, &|_| true));
}

/// [`write_all`] in a copy of the process, which no other thread is in: unless a report was being
/// written when it was made.
#[cfg(target_os = "linux")]
pub(crate) fn write_in_copy() {
    let is_free = WRITING.try_lock().is_some();
    if is_free {
        write_all();
    }
}

/// Whether this thread is writing reports. May be called in a signal handler.
#[cfg(unix)]
pub(crate) fn writes_here() -> bool {
    WRITER.load(Ordering::Relaxed) == os_hooks::this_thread()
}

/// The thread that writes reports; 0: none.
#[cfg(unix)]
static WRITER: AtomicUsize = AtomicUsize::new(0);

/// This thread writes reports until this is dropped.
#[cfg(unix)]
struct WritesHere;

#[cfg(unix)]
impl WritesHere {
    fn new() -> Self {
        WRITER.store(os_hooks::this_thread(), Ordering::Relaxed);
        Self
    }
}

#[cfg(unix)]
impl Drop for WritesHere {
    fn drop(&mut self) {
        WRITER.store(0, Ordering::Relaxed);
    }
}

/// Writes these plans' files, one after the other, from one snapshot.
fn write(occasion: Occasion, is_wanted: &dyn Fn(&ReportJob) -> bool) {
    let _work = own_work::work();
    let mut written = WRITING.lock();
    if written.is_over {
        return;
    }
    #[cfg(unix)]
    let _here = WritesHere::new();
    // From now on a report could be cut off by the end of the process.
    written.is_over = occasion == Occasion::Exit;
    let now = SystemTime::now();
    let wanted: Vec<_> = PLANS
        .lock()
        .iter_mut()
        .filter(|plan| is_wanted(plan))
        .map(|plan| (plan.id, plan.name.at(occasion, now), plan.claim.others))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let snapshot = for_memscope();
    for (id, path, others) in wanted {
        let done = bytes(&snapshot, &path)
            .map_err(|error| Error::file(&path, "write the report", &error))
            .and_then(|bytes| written.put(&path, others, &bytes, occasion));
        let line = done.unwrap_or_else(|error| Some(error.to_string()));
        let said = PLANS
            .lock()
            .iter_mut()
            .find(|plan| plan.id == id)
            .and_then(|plan| mem::replace(&mut plan.said, line.clone()));
        if let Some(line) = line.filter(|line| said.as_ref() != Some(line)) {
            warn(format_args!("{line}"));
        }
    }
}
