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

mod copies;
mod name;
mod written;

use std::{
    ffi::CStr,
    mem,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant, SystemTime},
};

use copies::Claim;
use name::{Name, Occasion};
use written::Written;

use crate::{
    background::{self, Background, NoThread},
    clock,
    current::{ENABLED, as_memscope, is_memscope},
    error::Error,
    fork,
    fork_lock::{Lock, Once},
    hooks,
    origin::Origin,
    program,
    report_file::{Format, bytes},
    reserve,
    settings::{self, Environment, say},
    snapshot::for_memscope,
    text::visible_path,
};

const DEFAULT_PATH: &str = "memscope-report.json";
/// A service that panics all the time must not write all the time. The file is this old at most
/// when a panic aborts.
const PANIC_PAUSE_NS: u64 = 1_000_000_000;

#[derive(Debug)]
struct Plan {
    id: u64,
    name: Name,
    /// Shared by the plans of one name.
    claim: Arc<Claim>,
    every: Option<Duration>,
    due: Option<Instant>,
    /// What there was to say the last time: said once, not every ten seconds.
    said: Option<String>,
}

static PLANS: Lock<Vec<Plan>> =
    Lock::new(Vec::new(), |half_written| mem::forget(mem::take(half_written)));
/// The thread of periodic reports, once it runs: it is woken when there is a new plan.
static CLOCK: Once<Thread> = Once::new();
/// One report is written at a time.
static WRITING: Lock<Written> =
    Lock::new(Written::NONE, |half_written| mem::forget(mem::replace(half_written, Written::NONE)));
/// The process that set this up; 0: none yet.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Writes the report when dropped, and also when the process ends before that: see
/// [`report_guard`].
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn serve() {}
/// # #[tokio::main]
/// async fn main() {
///     let _report = memscope_runtime::report_guard().to("memory-%p.txt").every(Duration::from_secs(60));
///     serve().await;
/// }
/// ```
#[derive(Debug)]
#[must_use = "the report is written when the guard is dropped: keep it to the end of `main`"]
pub struct ReportGuard {
    id: u64,
}

/// Has the report written when the guard is dropped, and before that at exit, on a panic, and on
/// SIGINT and SIGTERM.
///
/// It is written to the path in `MEMSCOPE_REPORT`, or else to `memscope-report.json` in the current
/// directory. Where a report cannot be written, one line on stderr says why.
///
/// The file always holds the newest report. One that was written at a signal, on a panic or by a
/// guard is kept when a later one takes its place: in `memscope-report.signal.json`, `.panic.json`
/// or `.guard.json`, the newest of each.
///
/// What is at the path and is neither a report nor empty stays, as does a report that another
/// process has written since this one started: then the report is in `memscope-report.2.json` (up
/// to `.9.json`), and one line on stderr says so. See also
/// [`write_to`](crate::async_memory::MemorySnapshot::write_to).
///
/// No report is written when the process ends without exiting: on SIGKILL, `_exit`, `abort` (a
/// failed allocation aborts, and so does a stack overflow) and `exec`; on a panic, where the
/// program has set a panic hook since that does not call the one before, and the panic aborts; in a
/// process that was forked off by one which writes reports; and on a panic that is caught in a
/// process that was forked off while other threads ran.
///
/// A program that handles SIGINT or SIGTERM itself goes on to do so, and one that blocks them finds
/// them. The guard starts the thread that writes the report on signals, so a program that enters a
/// user namespace or forks makes it afterwards. With tracking compiled out the guard does nothing.
pub fn report_guard() -> ReportGuard {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if ENABLED {
        settings::start();
        let environment = settings::environment();
        let path = environment.report.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        // The environment's path has been checked by now, and the default one needs no check.
        as_memscope(|| add(Plan::new(id, path, environment.every)));
        start_threads();
    }
    ReportGuard { id }
}

impl ReportGuard {
    /// Another path: one that ends in `.json` is written as JSON, any other as the table that
    /// `Display` prints. A relative path starts in today's current directory, also when the program
    /// changes it later.
    ///
    /// `%p` becomes the process id. `%t` becomes the time, such as `20261126T053512Z`, and `%n` a
    /// number from 1 on: with one of them each signal and each panic has a file of its own, as has
    /// the guard's end, and periodic reports have one; from the 16th file on the newest of each
    /// kind is replaced.
    pub fn to(self, path: impl AsRef<Path>) -> Self {
        if ENABLED {
            as_memscope(|| {
                let Plan { name, claim, .. } = Plan::new(self.id, path.as_ref(), None);
                check(name.pattern());
                self.change(|plan| (plan.name, plan.claim) = (name, claim));
            });
        }
        self
    }

    /// Writes the report that often as well, but not more often than every 100 ms. A thread does
    /// so, which is started by this call.
    pub fn every(self, pause: Duration) -> Self {
        let pause = pause.max(Duration::from_millis(100));
        if ENABLED {
            as_memscope(|| self.change(|plan| plan.set_every(Some(pause))));
            IS_PERIODIC.store(true, Ordering::Relaxed);
            start_threads();
        }
        self
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        if let Some(plan) = PLANS.lock().iter_mut().find(|plan| plan.id == self.id) {
            change(plan);
        }
    }
}

impl Drop for ReportGuard {
    fn drop(&mut self) {
        if is_our_process() {
            as_memscope(|| {
                write(Occasion::Guard, &|plan| plan.id == self.id);
                PLANS.lock().retain(|plan| plan.id != self.id);
            });
        }
    }
}

impl Plan {
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
        say(format_args!(
            "the report `{shown}` will be text: its name ends neither in .json nor in .txt"
        ));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        let folder = visible_path(folder);
        say(format_args!("the report `{shown}` cannot be written: there is no folder `{folder}`"));
    }
}

/// Does what the environment asks for.
pub(crate) fn follow(environment: &Environment) {
    as_memscope(|| match &environment.report {
        Some(path) => {
            let plan = Plan::new(0, path, environment.every);
            check(plan.name.pattern());
            let is_periodic = plan.every.is_some();
            add(plan);
            // Before `main` there is no thread: it starts with the first task.
            background::want(if is_periodic {
                background::REPORTS | background::PERIODIC
            } else {
                background::REPORTS
            });
        }
        None if environment.every.is_some() => {
            say(format_args!("MEMSCOPE_REPORT_EVERY does nothing without MEMSCOPE_REPORT"));
        }
        None => {}
    });
}

fn add(plan: Plan) {
    static SET_UP: Once<()> = Once::new();
    if plan.every.is_some() {
        IS_PERIODIC.store(true, Ordering::Relaxed);
    }
    PLANS.lock().push(plan);
    // While there is memory: the report may be written when there is none.
    reserve::hold();
    SET_UP.get_or_init(set_up);
    if !is_our_process() {
        say(format_args!(
            "no report will be written: this process was forked off by one that writes its own"
        ));
    }
}

fn set_up() {
    PROCESS.store(process::id(), Ordering::Relaxed);
    Origin::here();
    // As long as `/proc` can be read: a program may change its root, or forbid it.
    program::here();
    if !hooks::at_exit() {
        say(format_args!("no report will be written at exit: `atexit` takes no more functions"));
    }
    if fork::may_have_foreign_locks() {
        // One of them, in the middle of a panic, may hold the lock of the hook.
        say(format_args!(
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
    hooks::install_signals();
}

/// A plan asks for periodic reports.
static IS_PERIODIC: AtomicBool = AtomicBool::new(false);

/// Starts the threads that reports need and that are not there. Must not be called in the
/// allocator.
pub(crate) fn start_threads() {
    if !is_our_process() {
        return;
    }
    #[cfg(unix)]
    match OnSignals::start_once() {
        Ok(()) => hooks::note_thread(),
        Err(error) => {
            say(format_args!("no report will be written by a thread on signals: {error}"));
        }
    }
    if let Err(error) = start_periodic() {
        say(format_args!("no periodic reports will be written: {error}"));
    }
    if let Some(clock) = CLOCK.get() {
        clock.unpark();
    }
}

/// Starts the thread of periodic reports if it is asked for and not there. May be called in the
/// allocator.
pub(crate) fn start_periodic() -> Result<(), NoThread> {
    let is_wanted = IS_PERIODIC.load(Ordering::Relaxed) && is_our_process();
    if is_wanted { Periodic::start_once() } else { Ok(()) }
}

/// A thread that reports need: one in each process.
trait StartOnce: Background + Sized {
    /// Whether the thread has been started.
    fn is_started() -> &'static AtomicBool;

    fn start_once() -> Result<(), NoThread> {
        if Self::is_started().swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        background::spawn::<Self>(0)
            .inspect_err(|_| Self::is_started().store(false, Ordering::Relaxed))
    }
}

/// The stack on which reports are written: that of the standard library's threads.
const STACK_BYTES: usize = 2 << 20;

#[cfg(unix)]
struct OnSignals;

#[cfg(unix)]
impl Background for OnSignals {
    const NAME: &'static CStr = c"memscope-signal";
    const STACK_BYTES: usize = STACK_BYTES;

    fn run(_: u32) {
        hooks::answer_signals();
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

/// A child that was forked off is another process.
pub(crate) fn is_our_process() -> bool {
    PROCESS.load(Ordering::Relaxed) == process::id()
}

pub(crate) fn exiting() {
    if is_our_process() {
        as_memscope(|| write(Occasion::Exit, &|_| true));
    }
}

fn panicked() {
    /// When the last one was written; 0: never.
    static LAST_NS: AtomicU64 = AtomicU64::new(0);
    // NOTE: memscope's own code may hold what a report needs.
    if !is_our_process() || is_memscope() {
        return;
    }
    let (last, now) = (LAST_NS.load(Ordering::Relaxed), clock::now_ns());
    let is_due = last == 0 || now.saturating_sub(last) >= PANIC_PAUSE_NS;
    if is_due && LAST_NS.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        as_memscope(|| write(Occasion::Panic, &|_| true));
    }
}

/// Writes all files, at a signal.
#[cfg(unix)]
pub(crate) fn write_all() {
    as_memscope(|| write(Occasion::Signal, &|_| true));
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
    WRITER.load(Ordering::Relaxed) == hooks::this_thread()
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
        WRITER.store(hooks::this_thread(), Ordering::Relaxed);
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
fn write(occasion: Occasion, is_wanted: &dyn Fn(&Plan) -> bool) {
    let _work = reserve::work();
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
            say(format_args!("{line}"));
        }
    }
}

/// The thread of periodic reports.
fn tick() {
    CLOCK.get_or_init(thread::current);
    loop {
        let now = Instant::now();
        write(Occasion::Periodic, &|plan| plan.due.is_some_and(|due| due <= now));
        let mut plans = PLANS.lock();
        for plan in &mut *plans {
            if plan.due.is_some_and(|due| due <= now) {
                // From now on: a disk that is slower than the clock is not made to catch up.
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
