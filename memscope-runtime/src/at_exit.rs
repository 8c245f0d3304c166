//! Reports that a process writes by itself: at exit, on a panic, on a signal, every so often.
//!
//! Each [`ReportGuard`] and the variable `MEMSCOPE_REPORT` have a *plan*: a file, and how often it
//! is written. Whatever ends the process, the plans are written once more. A file always holds the
//! newest report; one of a signal, a panic or a guard that another follows is kept beside it.
//!
//! All of this is memscope's: its memory is charged to nobody. A forked child writes nothing, since
//! the files are its parent's.

mod copies;
mod name;
mod written;

use std::{
    io,
    path::Path,
    process,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use copies::Claim;
use name::{Name, Occasion};
use written::Written;

use crate::{
    clock,
    current::{ENABLED, as_memscope, is_memscope},
    error::{Error, shown},
    hooks,
    origin::Origin,
    report_file::{Format, bytes},
    settings::{self, Environment, say},
    snapshot::for_memscope,
};

const DEFAULT_PATH: &str = "memscope-report.json";
/// A service that panics all the time must not write all the time. The file is this old at most when a panic aborts.
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

static PLANS: Mutex<Vec<Plan>> = Mutex::new(Vec::new());
/// Wakes the thread of periodic reports: there is a new plan.
static CHANGED: Condvar = Condvar::new();
/// One report is written at a time.
static WRITING: Mutex<Written> = Mutex::new(Written::NONE);
/// The process that set this up; 0: none yet.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Writes the report when dropped, and also when the process ends before that: see [`report_guard`].
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
/// program has set a panic hook since that does not call the one before, and the panic aborts; and
/// in a process that was forked off by one which writes reports.
///
/// A program that handles SIGINT or SIGTERM itself goes on to do so. With tracking compiled out the
/// guard does nothing.
pub fn report_guard() -> ReportGuard {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if ENABLED {
        settings::start();
        let environment = settings::environment();
        let path = environment.report.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        // The environment's path has been checked by now, and the default one needs no check.
        as_memscope(|| add(Plan::new(id, path, environment.every)));
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

    /// Writes the report that often as well, but not more often than every 100 ms.
    pub fn every(self, pause: Duration) -> Self {
        let pause = pause.max(Duration::from_millis(100));
        if ENABLED {
            as_memscope(|| {
                self.change(|plan| plan.set_every(Some(pause)));
                start_clock();
            });
        }
        self
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        if let Some(plan) = lock(&PLANS).iter_mut().find(|plan| plan.id == self.id) {
            change(plan);
        }
    }
}

impl Drop for ReportGuard {
    fn drop(&mut self) {
        if is_our_process() {
            as_memscope(|| {
                write(Occasion::Guard, &|plan| plan.id == self.id);
                lock(&PLANS).retain(|plan| plan.id != self.id);
            });
        }
    }
}

impl Plan {
    fn new(id: u64, path: &Path, every: Option<Duration>) -> Self {
        let name = Name::new(path);
        let known = lock(&PLANS)
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
    if Format::of(path).is_none() && !is_device {
        say(format_args!(
            "the report `{}` will be text: its name ends neither in .json nor in .txt",
            shown(path)
        ));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        say(format_args!(
            "the report `{}` cannot be written: there is no folder `{}`",
            shown(path),
            shown(folder)
        ));
    }
}

/// Does what the environment asks for.
pub(crate) fn follow(environment: &Environment) {
    as_memscope(|| match &environment.report {
        Some(path) => {
            let plan = Plan::new(0, path, environment.every);
            check(plan.name.pattern());
            add(plan);
        }
        None if environment.every.is_some() => {
            say(format_args!("MEMSCOPE_REPORT_EVERY does nothing without MEMSCOPE_REPORT"));
        }
        None => {}
    });
}

fn add(plan: Plan) {
    static SET_UP: Once = Once::new();
    let is_periodic = plan.every.is_some();
    lock(&PLANS).push(plan);
    SET_UP.call_once(set_up);
    if !is_our_process() {
        say(format_args!(
            "no report will be written: this process was forked off by one that writes its own"
        ));
    }
    if is_periodic {
        start_clock();
    }
}

fn set_up() {
    PROCESS.store(process::id(), Ordering::Relaxed);
    Origin::here();
    if !hooks::at_exit() {
        say(format_args!("no report will be written at exit: `atexit` takes no more functions"));
    }
    if !thread::panicking() {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            previous(panic);
            panicked();
        }));
    }
    #[cfg(unix)]
    if let Err(error) = hooks::install_signals() {
        say(format_args!("no report will be written on signals: {error}"));
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

/// Writes these plans' files, one after the other, from one snapshot.
fn write(occasion: Occasion, is_wanted: &dyn Fn(&Plan) -> bool) {
    let mut written = lock(&WRITING);
    if written.is_over {
        return;
    }
    // From now on a report could be cut off by the end of the process.
    written.is_over = occasion == Occasion::Exit;
    let now = SystemTime::now();
    let wanted: Vec<_> = lock(&PLANS)
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
        let said = lock(&PLANS)
            .iter_mut()
            .find(|plan| plan.id == id)
            .and_then(|plan| std::mem::replace(&mut plan.said, line.clone()));
        if let Some(line) = line.filter(|line| said.as_ref() != Some(line)) {
            say(format_args!("{line}"));
        }
    }
}

/// Starts the thread of periodic reports, or has it look at the plans again.
fn start_clock() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        if let Err(error) = spawn("memscope-report", Box::new(tick)) {
            say(format_args!("no periodic reports will be written: {error}"));
        }
    });
    CHANGED.notify_one();
}

fn tick() {
    loop {
        let now = Instant::now();
        write(Occasion::Periodic, &|plan| plan.due.is_some_and(|due| due <= now));
        let mut plans = lock(&PLANS);
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
        match pause {
            Some(pause) => drop(CHANGED.wait_timeout(plans, pause)),
            None => drop(CHANGED.wait(plans)),
        }
    }
}

/// A thread whose memory is memscope's.
pub(crate) fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(move || as_memscope(work)).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
