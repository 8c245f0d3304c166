//! Reports that a process writes by itself: at exit, on a panic, on a signal, every so often.
//!
//! Each [`ReportGuard`] and the variable `MEMSCOPE_REPORT` have a *plan*: a file, and how often it is written. Whatever ends the process, the plans are
//! written once more. A file always holds the newest report.
//!
//! All of this is memscope's: its memory is charged to nobody. A forked child writes nothing, since the files are its
//! parent's.

use std::{
    io, mem,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::{
    clock,
    current::{self, ENABLED, as_memscope, is_memscope},
    fork,
    fork_lock::{self, Lock, Once},
    hooks,
    origin::Origin,
    report_file::{Format, write_snapshot},
    settings::{self, Environment, say},
    snapshot::for_memscope,
};

const DEFAULT_PATH: &str = "memscope-report.json";
/// A service that panics all the time must not write all the time. The file is this old at most when a panic aborts.
const PANIC_PAUSE_NS: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
struct Plan {
    id: u64,
    path: PathBuf,
    every: Option<Duration>,
    due: Option<Instant>,
    /// What went wrong the last time: said once, not every ten seconds.
    wrong: Option<String>,
}

static PLANS: Lock<Vec<Plan>> =
    Lock::new(Vec::new(), |half_written| mem::forget(mem::take(half_written)));
/// The thread of periodic reports, to be woken when there is a new plan. `None`: it was not started, or could not be.
static CLOCK: Once<Option<Thread>> = Once::new();
/// One report is written at a time.
static WRITING: Lock<()> = Lock::new((), fork_lock::as_it_is);
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

/// Has the report written when the guard is dropped, and before that at exit, on a panic, and on SIGINT and SIGTERM.
///
/// It is written to the path in `MEMSCOPE_REPORT`, or else to `memscope-report.json` in the current directory. Where a report cannot be written,
/// one line on stderr says why.
///
/// In a process that was forked off while other threads ran, panics that are caught write none.
///
/// A program that handles SIGINT or SIGTERM itself goes on to do so. With tracking compiled out the guard does nothing.
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
    /// Another path: one that ends in `.json` is written as JSON, any other as the table that `Display` prints. `%p` becomes the process id; a
    /// relative path starts in today's current directory, also when the program changes it later.
    pub fn to(self, path: impl AsRef<Path>) -> Self {
        if ENABLED {
            as_memscope(|| {
                let new = Plan::new(self.id, path.as_ref(), None);
                new.check();
                self.change(|plan| plan.path.clone_from(&new.path));
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
        if let Some(plan) = PLANS.lock().iter_mut().find(|plan| plan.id == self.id) {
            change(plan);
        }
    }
}

impl Drop for ReportGuard {
    fn drop(&mut self) {
        if is_our_process() {
            as_memscope(|| {
                write(&|plan| plan.id == self.id);
                PLANS.lock().retain(|plan| plan.id != self.id);
            });
        }
    }
}

impl Plan {
    fn new(id: u64, path: &Path, every: Option<Duration>) -> Self {
        let path = path.to_str().map_or_else(
            || path.to_owned(),
            |text| PathBuf::from(text.replace("%p", &process::id().to_string())),
        );
        // Without a current directory it stays as it is, and fails when it is written.
        let path = std::path::absolute(&path).unwrap_or(path);
        let mut plan = Self { id, path, every: None, due: None, wrong: None };
        plan.set_every(every);
        plan
    }

    fn set_every(&mut self, every: Option<Duration>) {
        self.every = every;
        self.due = every.and_then(|every| Instant::now().checked_add(every));
    }

    /// Says what can be known beforehand.
    fn check(&self) {
        let path = self.path.display();
        if Format::of(&self.path).is_none() {
            say(format_args!(
                "the report `{path}` will be text: its name ends neither in .json nor in .txt"
            ));
        }
        if let Some(folder) = self.path.parent().filter(|folder| !folder.is_dir()) {
            let folder = folder.display();
            say(format_args!(
                "the report `{path}` cannot be written: there is no folder `{folder}`"
            ));
        }
    }
}

/// Does what the environment asks for.
pub(crate) fn follow(environment: &Environment) {
    as_memscope(|| match &environment.report {
        Some(path) => {
            let plan = Plan::new(0, path, environment.every);
            plan.check();
            add(plan);
        }
        None if environment.every.is_some() => {
            say(format_args!("MEMSCOPE_REPORT_EVERY does nothing without MEMSCOPE_REPORT"));
        }
        None => {}
    });
}

fn add(plan: Plan) {
    static SET_UP: Once<()> = Once::new();
    let is_periodic = plan.every.is_some();
    PLANS.lock().push(plan);
    SET_UP.get_or_init(set_up);
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
        write_all();
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
        write_all();
    }
}

pub(crate) fn write_all() {
    as_memscope(|| write(&|_| true));
}

/// Writes these plans' files, one after the other, from one snapshot.
fn write(is_wanted: &dyn Fn(&Plan) -> bool) {
    let _writing = WRITING.lock();
    let mut plans = PLANS.lock().clone();
    plans.retain(is_wanted);
    if plans.is_empty() {
        return;
    }
    let snapshot = for_memscope();
    for plan in plans {
        let wrong = write_snapshot(&snapshot, &plan.path).err().map(|error| error.to_string());
        if let Some(wrong) = wrong.as_ref().filter(|wrong| plan.wrong.as_ref() != Some(*wrong)) {
            say(format_args!("{wrong}"));
        }
        if let Some(kept) = PLANS.lock().iter_mut().find(|kept| kept.id == plan.id) {
            kept.wrong = wrong;
        }
    }
}

/// Starts the thread of periodic reports, or has it look at the plans again.
fn start_clock() {
    let clock = CLOCK.get_or_init(|| match spawn("memscope-report", Box::new(tick)) {
        Ok(thread) => Some(thread),
        Err(error) => {
            say(format_args!("no periodic reports will be written: {error}"));
            None
        }
    });
    if let Some(clock) = clock {
        clock.unpark();
    }
}

fn tick() {
    loop {
        let now = Instant::now();
        write(&|plan| plan.due.is_some_and(|due| due <= now));
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

/// A thread whose memory is memscope's.
pub(crate) fn spawn(name: &str, work: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
    // As large as the standard library's own, which would look into the environment, and wait for its lock.
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(2 << 20);
    let work = move || {
        as_memscope(|| {
            current::serve();
            work();
        });
    };
    thread.spawn(work).map(|spawned| spawned.thread().clone())
}
