//! The guard that a program holds: it writes a report when it is dropped.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::{
    PLANS, ReportJob, add, check, is_our_process,
    threads::{IS_PERIODIC, start_threads},
    write,
};
use crate::{
    alloc::current::exempt,
    config::ENABLED,
    output::{auto_report::name::Occasion, start},
};

const DEFAULT_PATH: &str = "memscope-report.json";

/// Writes the report when dropped, and also if the process ends before that: see [`report_guard`].
///
/// ```no_run
/// use std::time::Duration;
///
/// # async fn serve() {}
/// # #[tokio::main]
/// async fn main() {
///     let _report = memscope_runtime::report_guard()
///         .to("memory-%p.txt")
///         .every(Duration::from_secs(60));
///     serve().await;
/// }
/// ```
#[derive(Debug)]
#[must_use = "the report is written when the guard is dropped: keep it to the end of `main`"]
pub struct ReportGuard {
    id: u64,
}

/// Makes a guard that writes the report when it is dropped, and before that at exit, on a panic,
/// and on SIGINT and SIGTERM.
///
/// The report is written to the path in `MEMSCOPE_REPORT`, or else to `memscope-report.json` in the
/// current directory. If a report cannot be written, one line on stderr says why.
///
/// The file always holds the newest report. A report of a signal, a panic or a guard is kept when a
/// later one replaces it. It is then in `memscope-report.signal.json`, `.panic.json` or
/// `.guard.json`; each has the newest of its kind.
///
/// An existing file that is neither a report nor empty stays. So does a report that another process
/// has written since this process started. The new report is then in `memscope-report.2.json` (up
/// to `.9.json`), and one line on stderr says so. See also
/// [`write_to`](crate::async_memory::MemorySnapshot::write_to).
///
/// No report is written when the process ends without exiting, in these cases:
///
/// - on SIGKILL, `_exit`, `exec` and `abort` (a failed allocation aborts, and so does a stack
///   overflow);
/// - on a panic that aborts, if the program has since set a panic hook that does not call the
///   previous one;
/// - in a process that was forked off by one which writes reports;
/// - on a panic that is caught in a process that was forked off while other threads ran.
///
/// A program that handles SIGINT or SIGTERM itself still does so, and one that blocks them still
/// receives them. The guard starts the thread that writes the report on signals. So a program that
/// enters a user namespace or forks should make the guard afterwards. With tracking compiled out
/// the guard does nothing.
pub fn report_guard() -> ReportGuard {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    if ENABLED {
        start::start();
        let environment = start::environment();
        let path = environment.report.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        // `start` has checked the environment's path, and the default one needs no check.
        exempt(|| add(ReportJob::new(id, path, environment.every)));
        start_threads();
    }
    ReportGuard { id }
}

impl ReportGuard {
    /// Sets another path. One that ends in `.json` is written as JSON, any other as the table that
    /// `Display` prints. A relative path is resolved now, and stays so if the program changes its
    /// current directory later.
    ///
    /// `%p` becomes the process id. `%t` becomes the time, such as `20261126T053512Z`, and `%n` a
    /// number from 1 on. With `%t` or `%n`, each signal and each panic has a file of its own. The
    /// report at the guard's end has one too, and all periodic reports share one. From the 16th
    /// file on, the newest of each kind is replaced.
    pub fn to(self, path: impl AsRef<Path>) -> Self {
        if ENABLED {
            exempt(|| {
                let ReportJob { name, claim, .. } = ReportJob::new(self.id, path.as_ref(), None);
                check(name.pattern());
                self.change(|plan| (plan.name, plan.claim) = (name, claim));
            });
        }
        self
    }

    /// Also writes the report periodically, at most every 100 ms. This call starts a thread for it.
    pub fn every(self, pause: Duration) -> Self {
        let pause = pause.max(Duration::from_millis(100));
        if ENABLED {
            exempt(|| self.change(|plan| plan.set_every(Some(pause))));
            IS_PERIODIC.store(true, Ordering::Relaxed);
            start_threads();
        }
        self
    }

    fn change(&self, change: impl FnOnce(&mut ReportJob)) {
        if let Some(plan) = PLANS.lock().iter_mut().find(|plan| plan.id == self.id) {
            change(plan);
        }
    }
}

impl Drop for ReportGuard {
    fn drop(&mut self) {
        if is_our_process() {
            exempt(|| {
                write(Occasion::Guard, &|plan| plan.id == self.id);
                PLANS.lock().retain(|plan| plan.id != self.id);
            });
        }
    }
}
