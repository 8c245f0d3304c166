//! A process of busy threads forks. In the child, which has one of the threads, all of memscope
//! works at once, and its sums are right.
//!
//! A child that waits for a missing thread is killed after [`PATIENCE`], and its test fails.
//! Nothing else here depends on time.
#![cfg(unix)]

use std::{
    fs,
    future::pending,
    hint::black_box,
    io::{PipeReader, Read, Write},
    os::unix::process::CommandExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    process::{Command, id},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use memscope_macros::track_var;
use memscope_rs::{
    MemoryLayer,
    async_memory::{
        AsyncResourceMonitor, MemorySnapshot, TaskState, current_task_id, get_memory_snapshot,
        shared, track,
    },
};
use memscope_tests::{
    WANTED, alone, block_on, conserved, keep_wanted_panics_quiet, panics, poll, wait_once,
};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::ALLOCATOR;

/// How long a child may take: far more than any needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a test forks that looks for a bad moment.
const FORKS: usize = 30;

/// A forked child that works, and then ends without a destructor.
#[derive(Debug)]
struct Child {
    pid: libc::pid_t,
    message: PipeReader,
}

impl Child {
    fn fork(work: impl FnOnce()) -> Self {
        let (message, mut writer) = std::io::pipe().expect("a pipe");
        // SAFETY: what the child does is what is tested; it ends by `_exit`.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "no child");
        if pid != 0 {
            return Self { pid, message };
        }
        let result = catch_unwind(AssertUnwindSafe(work));
        if let Err(payload) = &result {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            drop(writer.write_all(text.unwrap_or("a panic").as_bytes()));
        }
        // SAFETY: ends the process; nothing of it is used afterwards.
        unsafe { libc::_exit(i32::from(result.is_err())) }
    }

    /// Waits for the child, which must come through.
    #[track_caller]
    fn comes_through(mut self) {
        let start = Instant::now();
        let status = loop {
            let mut status = 0;
            // SAFETY: asks for our own child; the status is written to the place given.
            if unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } == self.pid {
                break status;
            }
            if start.elapsed() > PATIENCE {
                // SAFETY: ends our own child.
                unsafe { libc::kill(self.pid, libc::SIGKILL) };
                // SAFETY: as above.
                unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
                panic!("the child waits for ever");
            }
            thread::sleep(Duration::from_micros(200));
        };
        let mut message = String::new();
        if status != 0 {
            // A grandchild may have the pipe as well: not to its end.
            let mut bytes = [0; 4_000];
            let length = self.message.read(&mut bytes).unwrap_or(0);
            message = String::from_utf8_lossy(&bytes[..length]).into_owned();
        }
        assert_eq!(status, 0, "{message}");
    }
}

/// Forks, and waits for the child that does this work.
#[track_caller]
pub(super) fn fork(work: impl FnOnce()) {
    Child::fork(work).comes_through();
}

/// Threads that do something all the time, until this is dropped.
#[derive(Debug)]
struct Busy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    /// Each with tasks of its own that live meanwhile, so that walks over all of them take a while.
    fn with(works: impl IntoIterator<Item = fn()>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let works: Vec<fn()> = works.into_iter().collect();
        let begun = Arc::new(Barrier::new(works.len() + 1));
        let threads = works.into_iter().map(|work| {
            let (stop, begun) = (Arc::clone(&stop), Arc::clone(&begun));
            thread::spawn(move || {
                let mut living: Vec<_> = (0..100).map(|_| Box::pin(lives())).collect();
                for task in &mut living {
                    assert!(poll(task).is_pending());
                }
                begun.wait();
                while !stop.load(Ordering::Relaxed) {
                    work();
                }
            })
        });
        let threads = threads.collect();
        begun.wait();
        Self { stop, threads }
    }

    /// Whatever memscope does.
    fn everywhere() -> Self {
        Self::with([snapshots, monitors, variables, tasks])
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no panic");
        }
    }
}

fn lives() -> impl Future<Output = ()> {
    track(async {
        let held = black_box(vec![1u8; 64]);
        pending::<()>().await;
        drop(held);
    })
    .named("lives")
}

fn snapshots() {
    drop(get_memory_snapshot());
}

fn monitors() {
    let mut monitor = AsyncResourceMonitor::new();
    now(monitor.start_monitoring()).expect("not running");
    now(monitor.stop_monitoring()).expect("running");
}

fn variables() {
    for bytes in 100..200 {
        let variable = black_box(vec![1u8; bytes]);
        track_var!(variable);
        let again = &variable;
        track_var!(again);
        drop(variable);
    }
}

/// Tasks that end: mostly ends, as these have no memory and no other name.
fn tasks() {
    for _ in 0..100 {
        now(track(async {}));
    }
}

/// A future that is ready at once.
pub(super) fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match poll(&mut future) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

/// Each task is counted once: those of a site that are not among its ended ones have a row. Only
/// one that another thread was just creating has none.
#[track_caller]
fn every_task_is_counted_once(snapshot: &MemorySnapshot) {
    for site in snapshot.sites().iter().filter(|site| site.is_annotated) {
        let rows = snapshot.tasks().iter().filter(|task| task.name == site.name);
        let living = rows.filter(|task| !is_over(task.state)).count() as u64;
        let (active, busy) = (site.active, 5);
        assert!(
            (living..=living + busy).contains(&active),
            "{active} active of {} ({} completed), {living} living rows of `{}`: {:?}",
            site.spawned,
            site.completed,
            site.name,
            snapshot
                .tasks()
                .iter()
                .filter(|task| task.name == site.name)
                .take(20)
                .map(|task| (task.id, task.state, task.poll_count))
                .collect::<Vec<_>>()
        );
    }
}

pub(super) fn is_over(state: TaskState) -> bool {
    matches!(state, TaskState::Completed | TaskState::Cancelled | TaskState::Panicked)
}

#[test]
fn a_child_runs_a_monitor_while_the_parent_opened_one() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    for _ in 0..FORKS {
        fork(|| {
            let mut monitor = AsyncResourceMonitor::new();
            now(monitor.start_monitoring()).expect("not running");
            now(track(async { drop(black_box(vec![0u8; 3 << 20])) }));
            let analysis = now(monitor.stop_monitoring()).expect("running");
            assert!(analysis.is_still, "nothing ends in the child");
            assert_eq!((analysis.task_count, analysis.completed_count), (1, 1));
            assert!((analysis.peak_memory_per_task_mb - 3.0).abs() < f64::EPSILON);
        });
    }
}

#[test]
fn a_window_that_was_opened_before_the_fork_goes_on_in_the_child() {
    let _alone = alone();
    let _busy = Busy::with([monitors as fn(), tasks]);
    for _ in 0..FORKS {
        let mut monitor = AsyncResourceMonitor::new();
        now(monitor.start_monitoring()).expect("not running");
        now(track(async { drop(black_box(vec![0u8; 5 << 20])) }));
        fork(|| {
            let analysis = now(monitor.stop_monitoring()).expect("running");
            assert!((analysis.peak_memory_per_task_mb - 5.0).abs() < f64::EPSILON);
        });
        let analysis = now(monitor.stop_monitoring()).expect("running");
        assert!((analysis.peak_memory_per_task_mb - 5.0).abs() < f64::EPSILON);
    }
}

#[test]
fn snapshots_of_a_child_stand_still_and_have_a_history() {
    let _alone = alone();
    let _busy = Busy::with([snapshots as fn(), snapshots, tasks, tasks, tasks]);
    for _ in 0..FORKS {
        fork(|| {
            for _ in 0..5 {
                let snapshot = get_memory_snapshot();
                // Else it was read again and again, for an end that never comes.
                assert!(snapshot.is_still(), "nothing ends in the child");
                // Else it waited for a second, for a thread that is not there.
                assert!(!snapshot.timeline().process.is_empty(), "no history");
            }
            let snapshot = get_memory_snapshot();
            every_task_is_counted_once(&snapshot);
            let text = snapshot.to_string();
            assert!(text.contains("lives"), "{text}");
        });
    }
}

#[test]
fn a_child_follows_variables() {
    let _alone = alone();
    let _busy = Busy::with([variables as fn(), variables, variables, variables]);
    for _ in 0..FORKS {
        fork(|| {
            let variable = black_box(vec![1u8; 1234]);
            track_var!(variable);
            let handle = &variable;
            track_var!(handle);
            let registered = || {
                get_memory_snapshot()
                    .variables()
                    .iter()
                    .any(|it| it.name == "variable" && it.heap_bytes == 1234)
            };
            assert!(registered());
            drop(variable);
            let snapshot = get_memory_snapshot();
            let site =
                snapshot.variable_sites().iter().find(|site| site.name == "handle").expect("a row");
            assert_eq!(site.ended, 1);
            // What was being written when the process was forked does not keep the row from being
            // written.
            let last = snapshot
                .variables()
                .iter()
                .find(|it| it.name == "variable" && it.heap_bytes == 1234);
            assert!(last.is_some(), "its end is noted");
        });
    }
}

#[test]
fn a_child_runs_tasks_and_counts_them() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    for _ in 0..FORKS {
        fork(|| {
            for _ in 0..100 {
                let made =
                    now(track(async { shared("cache", || black_box(vec![1u8; 100])) })
                        .named("child"));
                drop(made);
            }
            let snapshot = get_memory_snapshot();
            let site = snapshot.sites_named("child").next().expect("a row");
            assert_eq!((site.spawned, site.completed, site.live_bytes), (100, 100, 0));
            every_task_is_counted_once(&snapshot);
        });
    }
}

/// Blocks that the thread keeps, and others that it frees for a task.
fn blocks() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for bytes in (1..40).map(|n| n * 40) {
        kept.push(now(track(async move { black_box(vec![1u8; bytes]) })));
    }
    drop(kept);
}

#[test]
fn what_was_allocated_before_the_fork_is_in_the_child_to_the_byte() {
    let _alone = alone();
    drop(conserved(&ALLOCATOR));
    let _busy = Busy::with([blocks as fn(), blocks, tasks, tasks]);
    let mut kept = Box::pin(track(async {
        let held = black_box(vec![1u8; 77_777]);
        wait_once().await;
        drop(held);
    }));
    let id = kept.id().expect("an id");
    assert!(poll(&mut kept).is_pending());
    for _ in 0..FORKS {
        // No other thread is inside of the allocator; tasks without memory end meanwhile.
        let stopped = ALLOCATOR.stop();
        let child = Child::fork(|| {
            ALLOCATOR.forked();
            drop(stopped);
            for _ in 0..2 {
                let snapshot = conserved(&ALLOCATOR);
                assert_eq!(snapshot.task(id).expect("a row").live_bytes, 77_777);
                blocks();
            }
            // The parent's task goes on.
            assert!(poll(&mut kept).is_ready());
            let snapshot = conserved(&ALLOCATOR);
            assert_eq!(snapshot.task(id).expect("a row").live_bytes, 0);
            every_task_is_counted_once(&snapshot);
        });
        child.comes_through();
    }
}

/// Threads that have polled a task, and are there until `work` is done.
fn with_workers<T>(count: usize, work: impl FnOnce() -> T) -> T {
    let (there, over) = (Arc::new(Barrier::new(count + 1)), Arc::new(Barrier::new(count + 1)));
    let workers: Vec<_> = (0..count)
        .map(|_| {
            let (there, over) = (Arc::clone(&there), Arc::clone(&over));
            thread::spawn(move || {
                now(track(async {}));
                there.wait();
                over.wait();
            })
        })
        .collect();
    there.wait();
    let result = catch_unwind(AssertUnwindSafe(work));
    over.wait();
    for worker in workers {
        worker.join().expect("no panic");
    }
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn threads_of_the_parent_are_no_workers_of_the_child_and_their_rings_go_on() {
    const WORKERS: usize = 32;
    let _alone = alone();
    with_workers(WORKERS, || {
        fork(|| {
            now(track(async {}));
            let own = || {
                let snapshot = get_memory_snapshot();
                (snapshot.runtime().worker_threads, snapshot.tool().own_bytes)
            };
            let (workers, before) = own();
            assert_eq!(workers, 1, "the one that goes on");
            for _ in 0..3 {
                let (workers, _) = with_workers(WORKERS, own);
                assert_eq!(workers, 1 + WORKERS as u64);
                assert_eq!(own().0, 1);
            }
            // They take what those had: one ring alone takes 64 KiB.
            let grown = own().1 - before;
            assert!(grown < (WORKERS as u64 / 4) * (64 << 10), "{grown} bytes");
        });
    });
}

#[test]
fn children_of_children_come_through() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    for _ in 0..FORKS / 6 {
        fork(|| {
            let _busy = Busy::everywhere();
            for _ in 0..3 {
                fork(|| {
                    monitors();
                    variables();
                    tasks();
                    assert!(get_memory_snapshot().is_still());
                });
            }
        });
    }
}

#[test]
fn a_child_goes_on_inside_of_the_task_that_forked() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    for _ in 0..FORKS / 3 {
        let mut task = Box::pin(track(async {
            let mut held = black_box(vec![1u8; 1000]);
            let own = current_task_id();
            fork(move || {
                assert_eq!(current_task_id(), own);
                held.extend_from_slice(&[1; 3000]);
                let snapshot = get_memory_snapshot();
                let row = snapshot.task(own.expect("an id")).expect("a row");
                assert_eq!(row.state, TaskState::Running);
                assert_eq!(row.live_bytes, held.capacity() as u64);
                monitors();
            });
        }));
        assert!(poll(&mut task).is_ready());
    }
}

/// What a thread of a C library forks, which memscope has never seen.
extern "C" fn foreign(_: *mut libc::c_void) -> *mut libc::c_void {
    for _ in 0..FORKS / 3 {
        fork(|| {
            drop(black_box(vec![1u8; 100]));
            monitors();
            variables();
            tasks();
            assert!(get_memory_snapshot().is_still());
        });
    }
    std::ptr::null_mut()
}

#[test]
fn a_thread_that_memscope_does_not_know_forks() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    let mut thread = std::mem::MaybeUninit::uninit();
    // SAFETY: a function without an argument; the thread's name is written to the place given.
    let made = unsafe {
        libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), foreign, std::ptr::null_mut())
    };
    assert_eq!(made, 0);
    // SAFETY: written by the call that made it.
    let thread = unsafe { thread.assume_init() };
    // SAFETY: a thread that was not joined yet.
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
}

#[test]
fn the_collector_runs_again_in_a_child_as_soon_as_something_happens() {
    let _alone = alone();
    memscope_rs::init();
    tasks();
    assert!(get_memory_snapshot().tool().collector_is_running, "in the parent");
    let _busy = Busy::everywhere();
    for _ in 0..FORKS / 6 {
        fork(|| {
            assert!(!get_memory_snapshot().tool().collector_is_running, "it is not there");
            tasks();
            assert!(get_memory_snapshot().tool().collector_is_running, "it was started");
            // It takes the events out of the rings by itself, while no snapshot does.
            let taken = || get_memory_snapshot().tool().ring_events;
            assert!(taken() > 0);
        });
    }
}

#[test]
fn a_span_that_another_thread_was_in_ends_in_the_child() {
    let _alone = alone();
    let subscriber = tracing_subscriber::Registry::default().with(MemoryLayer::new());
    tracing::dispatcher::with_default(&subscriber.into(), || {
        let span = tracing::info_span!("entered elsewhere");
        let (begun, over) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let holder = thread::spawn({
            let (span, begun, over) = (span.clone(), Arc::clone(&begun), Arc::clone(&over));
            move || {
                span.in_scope(|| {
                    begun.wait();
                    over.wait();
                });
            }
        });
        begun.wait();
        fork(|| {
            // The turn of the thread that is gone is free.
            span.in_scope(|| drop(black_box(vec![1u8; 5000])));
            let rows = || {
                let snapshot = get_memory_snapshot();
                let rows = snapshot.tasks().iter().filter(|task| task.name == "entered elsewhere");
                rows.map(|task| (task.state, task.allocated_bytes)).collect::<Vec<_>>()
            };
            assert_eq!(rows(), [(TaskState::Idle, 5000)], "no thread is inside");
        });
        over.wait();
        holder.join().expect("no panic");
    });
}

/// A file in the folder for temporary ones, removed in the end.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("memscope-forks-{}-{name}.json", id())))
    }

    fn read(&self) -> Option<MemorySnapshot> {
        MemorySnapshot::read(&self.0).ok()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// Panics all the time, and each time takes a while to say so.
fn panicking() {
    panics(|| panic!("{WANTED} by a busy thread"));
}

#[test]
fn a_guard_of_a_child_writes_its_report_while_the_parents_threads_panic() {
    let _alone = alone();
    keep_wanted_panics_quiet();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // As long as printing where it was.
        thread::sleep(Duration::from_micros(500));
        print(panic);
    }));
    let _busy = Busy::with([panicking as fn(), panicking, panicking, monitors]);
    let file = File::new("guard");
    for _ in 0..FORKS / 3 {
        fork(|| {
            let guard = memscope_rs::report_guard().to(&file.0);
            now(track(async { std::mem::forget(black_box(vec![1u8; 4321])) }).named("the child's"));
            drop(guard);
        });
        let report = file.read().expect("a report");
        assert_eq!(
            report.sites_named("the child's").map(|site| site.live_bytes).sum::<u64>(),
            4321
        );
        fs::remove_file(&file.0).expect("it was there");
    }
}

#[test]
fn a_daemon_reports_every_so_often() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    let file = File::new("daemon");
    fork(|| {
        // SAFETY: only makes a session of its own.
        unsafe { libc::setsid() };
        fork(|| {
            let guard = memscope_rs::report_guard().to(&file.0).every(Duration::from_millis(100));
            let held = now(track(async { black_box(vec![1u8; 12_345]) }).named("the daemon's"));
            let live = || {
                let report = file.read()?;
                Some(report.sites_named("the daemon's").map(|site| site.live_bytes).sum::<u64>())
            };
            // By a thread of the daemon's.
            while live() != Some(12_345) {
                thread::sleep(Duration::from_millis(5));
            }
            drop(held);
            drop(guard);
            assert_eq!(live(), Some(0));
        });
    });
}

#[test]
fn programs_are_started_as_ever() {
    let _alone = alone();
    let _busy = Busy::everywhere();
    for _ in 0..FORKS / 3 {
        assert!(Command::new("true").status().expect("it starts").success());
    }
    let mut forked = Command::new("true");
    // SAFETY: the closure does nothing, so that it may run between `fork` and `exec`.
    unsafe { forked.pre_exec(|| Ok(())) };
    let forked = forked.status();
    assert!(forked.expect("it starts").success());
    assert!(block_on(async { track(async { get_memory_snapshot() }).await }).measured().is_yes());
}
