//! How long answers take while every worker of the program is stuck, and what the server costs.
//!
//! ```text
//! cargo bench -p memscope-server --bench answers
//! ```
#![expect(clippy::print_stdout, reason = "a bench prints")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    alloc::System,
    fs,
    hint::spin_loop,
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use memscope_runtime::{
    TrackingAllocator,
    async_memory::{get_memory_snapshot, track},
};
use memscope_server::serve;
use support::{events, get};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

const WORKERS: usize = 2;
const SITES: usize = 1_000;
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

#[expect(clippy::unused_async, reason = "it never waits: that is why the worker is stuck")]
async fn stuck() {
    RUNNING.fetch_add(1, Ordering::SeqCst);
    while !STOP.load(Ordering::Relaxed) {
        spin_loop();
    }
}

async fn holds(bytes: usize) {
    let held = vec![1_u8; bytes];
    std::future::pending::<()>().await;
    drop(held);
}

/// The time of one answer from a snapshot of its own, in milliseconds: the median and the worst.
fn timed(address: SocketAddr, path: &str) -> (f64, f64) {
    let mut times: Vec<f64> = (0..9)
        .map(|_| {
            thread::sleep(Duration::from_secs(1));
            let start = Instant::now();
            assert_eq!(get(address, path).status, 200);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

fn print(address: SocketAddr, paths: &[&str], when: &str) {
    for path in paths {
        let (median, worst) = timed(address, path);
        println!("{path:<20} {when:<18} {median:8.2} ms, at most {worst:.2} ms");
    }
}

/// The clock ticks that threads of this name have run for.
fn ticks(name: &str) -> Option<u64> {
    let mut ticks = 0;
    for thread in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        if before.ends_with(name) {
            let fields = after.split(' ').skip(11).take(2);
            ticks += fields.filter_map(|it| it.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Some(ticks)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    let heap = || get_memory_snapshot().tool().heap_bytes;
    let resident = || get_memory_snapshot().resident().resident_bytes.unwrap_or(0);
    for number in 0..SITES {
        drop(runtime.spawn(track(holds(1_000 + number)).named(format!("GET /orders/{number}"))));
    }
    thread::sleep(Duration::from_secs(1));
    let (heap_before, resident_before) = (heap(), resident());
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    thread::sleep(Duration::from_millis(100));
    println!("heap of a server that no client has asked: {} B", heap() - heap_before);
    println!("resident with it: {} KiB more", resident().saturating_sub(resident_before) >> 10);
    assert_eq!(get(address, "/").status, 200);
    thread::sleep(Duration::from_secs(6));
    println!("heap after the page was asked for: {} B", heap() - heap_before);

    print(address, &["/", "/metrics", "/snapshot.json", "/debug/pprof/heap"], "");
    let stream = events(address, |text| text.matches("\n\n\r\n").count() >= 2);
    let update = stream.split("event: snapshot").nth(1).map_or(0, str::len);
    println!(
        "an update of {SITES} sites: {update} B; /snapshot.json: {} B",
        get(address, "/snapshot.json").body.len()
    );

    thread::sleep(Duration::from_secs(6));
    if let Some(before) = ticks("memscope-serve") {
        thread::sleep(Duration::from_secs(10));
        let ticks = ticks("memscope-serve").unwrap_or(0) - before;
        println!("without a client, in 10 s: {ticks} ticks of 10 ms");
        let watcher = thread::spawn(move || {
            events(address, |text| text.matches("event: snapshot").count() >= 11)
        });
        let before = self::ticks("memscope-serve").unwrap_or(0);
        drop(watcher.join().expect("a client"));
        let ticks = self::ticks("memscope-serve").unwrap_or(0) - before;
        println!("with a page that watches, in 10 s: {ticks} ticks of 10 ms");
    }

    for _ in 0..WORKERS {
        drop(runtime.spawn(stuck()));
    }
    while RUNNING.load(Ordering::SeqCst) < WORKERS {
        thread::yield_now();
    }
    let paths = ["/", "/metrics", "/debug/pprof/heap", "/debug/pprof/allocs", "/report.txt"];
    print(address, &paths, "all workers stuck");
    STOP.store(true, Ordering::SeqCst);
    server.shutdown();
}
