//! What a snapshot itself costs in resident memory, in a process of its own for each case.
//!
//! ```text
//! cargo run --release -p memscope-benches --features memscope-rs/symbols --bin snapshot_cost
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are its output")]

use std::{
    alloc::System,
    env, fs,
    pin::Pin,
    process::{Command, ExitCode},
    sync::Barrier,
    thread,
};

use memscope_benches::pending;
use memscope_rs::{
    TrackingAllocator,
    async_memory::{get_memory_snapshot, track},
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

/// Living tasks, tasks that have ended, and threads that take a report at one time.
const CASES: [(usize, usize, usize); 5] =
    [(0, 0, 1), (0, 0, 4), (1_000, 0, 1), (1_000, 0, 4), (1_000, 10_000, 4)];
const ROUNDS: usize = 20;

/// Anonymous resident bytes: without the pages of files, which are code.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

fn reports(threads: usize) {
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                start.wait();
                let text = get_memory_snapshot().to_string();
                // All are held at one time, as by four clients that ask for a report.
                start.wait();
                drop(text);
            });
        }
    });
}

fn case(living: usize, ended: usize, threads: usize) {
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for index in 0..living + ended {
        let mut task = Box::pin(
            track(async {
                let bytes = vec![0_u8; 100];
                pending().await;
                drop(bytes);
            })
            .named("waits"),
        );
        let _ = task.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        if index < living {
            tasks.push(task);
        }
    }
    // The threads' stacks and allocator arenas are not the snapshot's.
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                drop(std::hint::black_box(vec![0_u8; 1_000]));
                start.wait();
            });
        }
    });
    let before = resident();
    reports(threads);
    let first = resident();
    for _ in 1..ROUNDS {
        reports(threads);
    }
    let last = resident();
    println!(
        "| {living} | {ended} | {threads} | {before} | {} | {} |",
        first.saturating_sub(before),
        last.saturating_sub(before),
    );
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    if let Some(Ok(index)) = arguments.next().map(|index| index.parse::<usize>()) {
        let Some((living, ended, threads)) = CASES.get(index).copied() else {
            eprintln!("there is no case {index}");
            return ExitCode::FAILURE;
        };
        case(living, ended, threads);
        return ExitCode::SUCCESS;
    }
    println!(
        "| tasks alive | ended | reports at one time | KiB before | more after the first | after {ROUNDS} |"
    );
    println!("|---|---|---|---|---|---|");
    let Ok(program) = env::current_exe() else { return ExitCode::FAILURE };
    for index in 0..CASES.len() {
        if !Command::new(&program).arg(index.to_string()).status().is_ok_and(|end| end.success()) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
