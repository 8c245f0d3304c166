//! All workers of the program are stuck, and the server answers.

use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use memscope_runtime::async_memory::{MemorySnapshot, track};
use memscope_server::serve;

use crate::support::{LONG, events, get};

const WORKERS: usize = 2;
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

/// Keeps its worker until the test ends it.
#[expect(clippy::unused_async, reason = "it never waits: that is why the worker is stuck")]
async fn stuck() -> usize {
    let held = vec![7_u8; 1 << 20];
    RUNNING.fetch_add(1, Ordering::SeqCst);
    while !STOP.load(Ordering::Relaxed) {
        spin_loop();
        thread::yield_now();
    }
    held.len()
}

#[test]
fn the_page_and_the_profiles_answer_while_every_worker_is_stuck() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = serve("127.0.0.1:0").expect("a server");
    let tasks: Vec<_> =
        (0..WORKERS).map(|_| runtime.spawn(track(stuck()).named("stuck"))).collect();
    let start = Instant::now();
    while RUNNING.load(Ordering::SeqCst) < WORKERS {
        assert!(start.elapsed() < LONG, "the workers do not start");
        thread::yield_now();
    }
    // This task does not run, as no worker is free.
    let waits = runtime.spawn(async {});
    let address = server.local_address();
    for path in ["/", "/debug/pprof/heap", "/debug/pprof/allocs", "/metrics", "/report.txt"] {
        let answer = get(address, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.is_empty(), "{path}");
    }
    let snapshot = get(address, "/snapshot.json");
    let snapshot = MemorySnapshot::from_json(snapshot.text()).expect("a report");
    let row = snapshot.sites_named("stuck").next().expect("a row");
    assert_eq!((row.active, row.live_bytes >= WORKERS as u64 * (1 << 20)), (2, true), "{row:?}");
    let stream = events(address, |text| text.matches("event: snapshot").count() >= 2);
    assert!(stream.contains("\"stuck\""));
    assert!(!waits.is_finished(), "a worker was free");
    STOP.store(true, Ordering::SeqCst);
    for task in tasks {
        assert_eq!(runtime.block_on(task).expect("it ends"), 1 << 20);
    }
    server.shutdown();
}

/// Signals that the program handles must go to the program's own threads.
#[cfg(target_os = "linux")]
#[test]
fn the_servers_thread_takes_no_signal() {
    let server = serve("127.0.0.1:0").expect("a server");
    // An answer proves that the thread runs, under its name.
    assert_eq!(get(server.local_address(), "/health").status, 200);
    let threads = std::fs::read_dir("/proc/self/task").expect("threads");
    let status = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("status"));
    let own = threads
        .filter_map(|thread| status(thread.ok()?).ok())
        .find(|status| status.starts_with("Name:\tmemscope-serve\n"))
        .expect("the thread");
    let blocked = own.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).expect("a mask");
    let blocked = u64::from_str_radix(blocked, 16).expect("a mask");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGCHLD] {
        assert!(blocked & 1 << (signal - 1) != 0, "signal {signal}: {blocked:x}");
    }
    server.shutdown();
}
