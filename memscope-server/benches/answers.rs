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
    env, fs,
    hint::spin_loop,
    net::SocketAddr,
    process::Command,
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
const TASKS: usize = 10_000;
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

/// How long it takes to answer one request from a new snapshot, for each request.
#[derive(Debug, Default)]
struct Times {
    /// The time that a client waits, in milliseconds.
    wall: Vec<f64>,
    /// The CPU time of the server's thread, in milliseconds.
    cpu: Vec<f64>,
}

/// The median and the worst.
fn summary(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() - 1])
}

fn timed(address: SocketAddr, path: &str) -> Times {
    let mut times = Times::default();
    for _ in 0..9 {
        thread::sleep(Duration::from_secs(1));
        let (start, cpu) = (Instant::now(), cpu_ms());
        assert_eq!(get(address, path).status, 200);
        times.wall.push(start.elapsed().as_secs_f64() * 1e3);
        times.cpu.push(cpu_ms() - cpu);
    }
    times
}

fn print(address: SocketAddr, paths: &[&str], when: &str) {
    for path in paths {
        let mut times = timed(address, path);
        let ((median, worst), (cpu, _)) = (summary(&mut times.wall), summary(&mut times.cpu));
        println!("{path:<20} {when:<18} {median:8.2} ms, at most {worst:.2} ms; CPU {cpu:.2} ms");
    }
}

/// How long the server's thread has run, in milliseconds; 0 where the system does not say.
fn cpu_ms() -> f64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_server = threads.filter(|thread| {
        let name = fs::read_to_string(thread.path().join("comm"));
        name.is_ok_and(|name| name.trim() == "memscope-serve")
    });
    let nanoseconds = of_server.filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e6
}

/// Spawns a task of each site.
fn spawn_tasks(runtime: &tokio::runtime::Runtime) {
    for number in 0..SITES {
        drop(runtime.spawn(track(holds(1_000 + number)).named(format!("GET /orders/{number}"))));
    }
}

/// Prints what a page costs that watches for ten updates.
fn watched(address: SocketAddr) {
    let before = cpu_ms();
    let start = Instant::now();
    events(address, |text| text.matches("event: snapshot").count() >= 11);
    let (cpu, seconds) = (cpu_ms() - before, start.elapsed().as_secs_f64());
    let share = cpu / seconds / 10.0;
    println!("with a page that watches: {:.2} ms an update, {share:.2} % of a core", cpu / 11.0);
}

/// Resident memory of this process in KiB; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|it| it.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

const CLIENT: &str = "ANSWERS_CLIENT_OF";

/// Asks for everything, and watches. It runs in a process of its own, so that its memory is not
/// measured.
fn be_client(address: SocketAddr) {
    for path in ["/", "/metrics", "/snapshot.json", "/debug/pprof/heap"] {
        assert_eq!(get(address, path).status, 200);
    }
    events(address, |text| text.matches("event: snapshot").count() >= 3);
}

/// Prints the memory that a server takes before the first request, and after its clients have left.
fn memory(heap: impl Fn() -> u64) -> memscope_server::Server {
    // The first snapshot makes what all others share.
    let (_, heap_before, resident_before) = (heap(), heap(), resident_kib());
    let server = serve("127.0.0.1:0").expect("a server");
    let say = |when: &str| {
        thread::sleep(Duration::from_secs(6));
        let resident = resident_kib().saturating_sub(resident_before);
        let heap = heap().saturating_sub(heap_before);
        println!("{when}: {resident} KiB resident, of it {heap} B of its heap");
    };
    say("a server that no client has asked");
    let client = Command::new(env::current_exe().expect("this program"))
        .env(CLIENT, server.local_address().to_string())
        .status();
    assert!(client.expect("a client").success());
    say("a server whose clients have gone");
    server
}

fn main() {
    if let Ok(address) = env::var(CLIENT) {
        return be_client(address.parse().expect("an address"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .expect("a runtime");
    spawn_tasks(&runtime);
    thread::sleep(Duration::from_secs(1));
    let server = memory(|| get_memory_snapshot().tool().heap_bytes);
    let address = server.local_address();

    print(address, &["/", "/metrics", "/snapshot.json", "/debug/pprof/heap"], "");
    let stream = events(address, |text| text.matches("\n\n\r\n").count() >= 2);
    let update = stream.split("event: snapshot").nth(1).map_or(0, str::len);
    println!(
        "an update of {SITES} sites: {update} B; /snapshot.json: {} B",
        get(address, "/snapshot.json").body.len()
    );

    thread::sleep(Duration::from_secs(6));
    let before = cpu_ms();
    thread::sleep(Duration::from_secs(10));
    println!("without a client, in 10 s: CPU {:.3} ms", cpu_ms() - before);
    watched(address);
    println!("with {TASKS} tasks");
    for _ in 1..TASKS / SITES {
        spawn_tasks(&runtime);
    }
    print(address, &["/metrics"], "");
    watched(address);

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
