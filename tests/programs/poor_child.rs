//! Reaches the end of its memory with very many tasks, and then asks memscope for everything.
//! `poor_child TASKS NAME_BYTES FREE_BYTES HOW`
//!
//! It prints what it got. The test is that it ends by itself.

use std::{fmt, hint::black_box, io::Write, pin::Pin, process::ExitCode, task::Poll};

use memscope_rs::{
    TrackingAllocator,
    analysis::AsyncAnalyzer,
    async_memory::{MemorySnapshot, get_memory_snapshot, track},
    get_global_tracker,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

/// No more address space than there is now, and this.
#[cfg(unix)]
fn limit(more: u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = pages.split(' ').next().and_then(|it| it.parse().ok()).expect("pages");
    let limit = libc::rlimit { rlim_cur: pages * 4096 + more, rlim_max: pages * 4096 + more };
    // SAFETY: a valid structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

/// Takes all memory that there is, in ever smaller pieces, down to the smallest that the program
/// itself asks for.
fn fill(smallest: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::with_capacity(1 << 16);
    let mut size = 1 << 20;
    while size >= smallest {
        let mut piece = Vec::new();
        if all.len() < all.capacity() && piece.try_reserve_exact(size).is_ok() {
            all.push(black_box(piece));
        } else {
            size /= 2;
        }
    }
    all
}

/// Counts what is shown, and keeps nothing.
struct Count(usize, bool);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        self.1 |= text.contains("want of memory") || text.contains("no memory");
        Ok(())
    }
}

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn shown(value: &dyn fmt::Display, is_long: bool) -> Count {
    let mut count = Count(0, false);
    let written = if is_long {
        fmt::write(&mut count, format_args!("{value:#}"))
    } else {
        fmt::write(&mut count, format_args!("{value}"))
    };
    written.expect("a report never fails");
    count
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}

/// A line without memory: the output's own buffer is there already.
fn say(what: &str, numbers: [u64; 3]) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what} {} {} {}", numbers[0], numbers[1], numbers[2]).expect("the test reads");
    out.flush().expect("the test reads");
}

fn main() -> ExitCode {
    if std::env::args().nth(4).is_some_and(|how| how == "thread") {
        // Another thread has another part of the C library's heap.
        return std::thread::spawn(run).join().expect("no panic");
    }
    run()
}

fn run() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|it| it.parse::<usize>().ok()).expect("a number");
    let (tasks, name_bytes, free) = (number(), number(), number());
    let how = arguments.next().unwrap_or_default();
    memscope_rs::init();
    let name = "n".repeat(name_bytes);
    let mut living = Vec::with_capacity(tasks);
    for task in 0..tasks {
        let mut future = Box::pin(
            track(async {
                let held = vec![0_u8; 64];
                std::future::pending::<()>().await;
                drop(held);
            })
            .named(if task % 8 == 0 {
                format!("{name}{}", task % 512)
            } else {
                name.clone()
            }),
        );
        assert!(poll(future.as_mut()).is_pending());
        living.push(future);
    }
    // A thread that starts needs memory of the standard library's: the collector's has started.
    std::thread::sleep(std::time::Duration::from_millis(50));
    say("ready", [0; 3]);
    #[cfg(unix)]
    limit(free as u64);
    let filler = if how == "some" { Vec::new() } else { fill(16) };
    if how == "exit" {
        // The report is written at the end of `main`.
        std::mem::forget((living, filler));
        return ExitCode::SUCCESS;
    }
    let first = get_memory_snapshot();
    for snapshot in [&first, &get_memory_snapshot()] {
        look_at(snapshot);
    }
    let diff = get_memory_snapshot().diff(&first);
    say("diff", [shown(&diff, true).0 as u64, diff.rows_left_out, 0]);
    drop(filler);
    std::mem::forget(living);
    ExitCode::SUCCESS
}

fn look_at(snapshot: &MemorySnapshot) {
    let process = snapshot.process();
    say(
        "snapshot",
        [process.tracked_bytes, snapshot.active_task_count() as u64, snapshot.tool().rows_left_out],
    );
    assert_eq!(process.tracked_bytes + process.untracked_bytes, process.whole_bytes);
    let mut json = Count(0, false);
    serde_json::to_writer(&mut json, snapshot).expect("plain data");
    say("json", [json.0 as u64, 0, 0]);
    for is_long in [false, true] {
        let text = shown(snapshot, is_long);
        say("text", [text.0 as u64, u64::from(text.1), 0]);
    }
    say(
        "rows",
        [
            snapshot.tasks().len() as u64,
            snapshot.sites().len() as u64,
            snapshot.tool().rows_left_out,
        ],
    );
    let leaks = snapshot.leaks();
    say(
        "leaks",
        [leaks.len() as u64, u64::from(shown(&leaks, true).1), leaks.not_judged().len() as u64],
    );
    let allocations = snapshot.allocations();
    say(
        "allocations",
        [
            allocations.len() as u64,
            u64::from(get_global_tracker().get_active_allocations().is_ok()),
            0,
        ],
    );
    if snapshot.tool().rows_left_out == 0 {
        let report = AsyncAnalyzer::new().analyze_future_states(&allocations);
        say("analysis", [shown(&report, true).0 as u64, 0, 0]);
    }
}
