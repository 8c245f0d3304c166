//! Reports that a process writes by itself: at exit, on a panic, on a signal, and periodically.
//!
//! Each [`ReportGuard`] and the variable `MEMSCOPE_REPORT` have a report job: a file, and how often
//! it is written. At the end of the process, whatever ends it, all jobs are written once more. A
//! file always holds the newest report. A report of a signal, a panic or a guard is kept beside it
//! when another one follows.
//!
//! No thread is started before `main`. [`threads`] says when they start, and `os_hooks` what a
//! signal does before that.
//!
//! All of this is memscope's own work: its memory is charged to no task or thread. A forked child
//! writes nothing, because the files belong to its parent.

pub(crate) mod threads;
mod guard;
pub(crate) mod copies;
mod holders;
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
        name::{Name, Occasion, with_word},
        threads::{IS_PERIODIC, START_PERIODIC, START_THREADS},
        written::Written,
    },
    file::{Format, bytes, is_stream, page},
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
    primitives::{Guard, Lock, Once, Pending, Renew, clock, fork, pending_starts, reserve},
    resident::{self, Asked},
    snapshot::{MemorySnapshot, for_memscope},
    symbols,
};

pub use guard::{ReportGuard, report_guard};

/// The least time between two reports on panics: a service may panic all the time. So the file is
/// at most this old when a panic aborts.
const PANIC_PAUSE_NS: u64 = 1_000_000_000;

#[derive(Debug)]
struct ReportJob {
    id: u64,
    name: Name,
    /// Shared by the jobs with the same name.
    claim: Arc<Claim>,
    every: Option<Duration>,
    due: Option<Instant>,
    /// The last message, so that the same one is not printed at each report.
    said: Option<String>,
}

static PLANS: Lock<Vec<ReportJob>> = Lock::new(Vec::new());

/// The lock that is held while a report is written, one at a time.
static WRITING: Lock<Written> = Lock::new(Written::NONE);

/// The lock for a report near the limit, which may be written beside another one.
static NEAR_LIMIT: Lock<Written> = Lock::new(Written::NONE);

impl Renew for Written {
    fn renew(&mut self) {
        mem::forget(mem::replace(self, Self::NONE));
    }
}

/// The process that set this up; 0 before that.
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

/// Warns about problems that can be known beforehand.
fn check(path: &Path) {
    let is_device = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    let shown = visible_path(path);
    if Format::of(path).is_none() && !is_device {
        warn(format_args!(
            "the report `{shown}` will be text: its name ends neither in .json, .txt nor .html"
        ));
    }
    // Elsewhere the order of what runs before `main` is not known.
    let is_known = cfg!(target_os = "linux");
    if is_known && Format::of(path) == Some(Format::Page) && page::write().is_none() {
        warn(format_args!(
            "the report `{shown}` will be text: pages need memscope's feature `html`"
        ));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        let folder = visible_path(folder);
        warn(format_args!("the report `{shown}` cannot be written: there is no folder `{folder}`"));
    }
}

/// Sets up the reports that the environment asks for.
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
    #[cfg(feature = "tokio")]
    crate::alloc::unannotated::expect_report();
    if plan.every.is_some() {
        IS_PERIODIC.store(true, Ordering::Relaxed);
    }
    PLANS.lock().push(plan);
    super::pressure::want_reports();
    // Must be called while there is memory: the report may be written when there is none.
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
    // Must be called while `/proc` can be read: a program may change its root, or forbid it.
    image::here();
    if !os_hooks::at_exit() {
        warn(format_args!("no report will be written at exit: `atexit` takes no more functions"));
    }
    if fork::may_have_foreign_locks() {
        // Another thread of the parent may hold the lock of the hook, in the middle of a panic.
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

/// Returns `false` in a forked child, which is another process.
pub(crate) fn is_our_process() -> bool {
    PROCESS.load(Ordering::Relaxed) == process::id()
}

pub(crate) fn exiting() {
    if is_our_process() {
        exempt(|| write(Occasion::Exit, &|_| true));
    }
}

fn panicked() {
    /// When the last report on a panic was written; 0 if never.
    static LAST_NS: AtomicU64 = AtomicU64::new(0);
    // NOTE: memscope's own code, in `exempt`, may hold what a report needs.
    if !is_our_process() || is_exempt() {
        return;
    }
    let (last, now) = (LAST_NS.load(Ordering::Relaxed), clock::now_ns());
    let is_due = last == 0 || now.saturating_sub(last) >= PANIC_PAUSE_NS;
    if is_due && LAST_NS.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        exempt(|| write(Occasion::Panic, &|_| true));
    }
}

/// Writes all files, near the limit of memory. The lists of the report may take `most_bytes`, and
/// the text of each file as much again.
///
/// A report that is being written may wait for a busy disk or look up names, longer than the
/// process lives. So this report does not wait for it. It gets the name under which it would be
/// kept when another one replaces it. Only a stream takes one report after the other.
pub(crate) fn write_near_limit(most_bytes: usize) {
    if !is_our_process() {
        return;
    }
    let _bound = reserve::bound(most_bytes);
    if let Some(written) = WRITING.try_lock() {
        return write_to(written, false, Occasion::Pressure, &|_| true);
    }
    let is_stream = |plan: &ReportJob| is_stream(plan.name.pattern());
    write_to(NEAR_LIMIT.lock(), true, Occasion::Pressure, &|plan| !is_stream(plan));
    let has_streams = PLANS.lock().iter().any(is_stream);
    if has_streams {
        write(Occasion::Pressure, &is_stream);
    }
}

/// Writes all files, at a signal.
#[cfg(unix)]
pub(crate) fn write_all() {
    exempt(|| write(Occasion::Signal, &|_| true));
}

/// [`write_all`] in a copy of the process, which has no other thread. Does nothing if a report was
/// being written when the copy was made.
#[cfg(target_os = "linux")]
pub(crate) fn write_in_copy() {
    resident::in_copy();
    let is_free = WRITING.try_lock().is_some();
    if is_free {
        write_all();
    }
}

/// Returns whether this thread is writing reports. May be called in a signal handler.
#[cfg(unix)]
pub(crate) fn writes_here() -> bool {
    WRITER.load(Ordering::Relaxed) == os_hooks::this_thread()
}

/// The thread that writes reports; 0 if none does.
#[cfg(unix)]
static WRITER: AtomicUsize = AtomicUsize::new(0);

/// Marks this thread as the one that writes reports, until dropped.
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

/// How often names are looked up for one report, because new code allocates meanwhile.
const MOST_LOOK_UPS: u32 = 3;

/// Takes the snapshot of a report, with the names of what it shows.
fn read(occasion: Occasion) -> MemorySnapshot {
    // The threads that write the other reports have to go on with their own work.
    if matches!(occasion, Occasion::Exit | Occasion::Periodic | Occasion::Guard) {
        let end = Instant::now() + symbols::MOST_LOOKING_UP;
        for _ in 1..MOST_LOOK_UPS {
            symbols::look_up_until(end);
            let snapshot = for_memscope(Asked::Yes);
            if !snapshot.lacks_names() {
                return snapshot;
            }
        }
        symbols::look_up_until(end);
    }
    // A signal may have interrupted the allocator.
    for_memscope(if occasion == Occasion::Signal { Asked::No } else { Asked::Yes })
}

/// Writes the files of these jobs, after the report that is being written.
fn write(occasion: Occasion, is_wanted: &dyn Fn(&ReportJob) -> bool) {
    write_to(WRITING.lock(), false, occasion, is_wanted);
}

/// Writes the files of these jobs, one after the other, from one snapshot. `is_beside` says whether
/// another report is being written to their names.
fn write_to(
    mut written: Guard<'_, Written>,
    is_beside: bool,
    occasion: Occasion,
    is_wanted: &dyn Fn(&ReportJob) -> bool,
) {
    let _work = own_work::work();
    if written.is_over {
        return;
    }
    // The thread that watches the limit takes no signals.
    #[cfg(unix)]
    let _here = (!is_beside).then(WritesHere::new);
    // The end of the process could cut off any report after the one at exit.
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
    let snapshot = holders::add(read(occasion), occasion);
    for (id, path, others) in wanted {
        let path = match occasion.word() {
            Some(word) if is_beside => with_word(&path, word),
            _ => path,
        };
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
