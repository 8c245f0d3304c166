//! What a picture of the heap costs, in a process of its own for each size.
//!
//! ```text
//! cargo run --release -p memscope-benches --features memscope-rs/symbols --bin heap_graph
//! ```
//!
//! With the feature `jemalloc` or `mimalloc` it runs over that allocator.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the figures are its output")]

#[cfg(not(any(feature = "jemalloc", feature = "mimalloc")))]
use std::alloc::System as Inner;
use std::{
    collections::BTreeMap,
    env, fs,
    hint::black_box,
    process::{Command, ExitCode},
};

use memscope_rs::{TrackingAllocator, async_memory::heap_graph, builder};
#[cfg(feature = "mimalloc")]
use mimalloc::MiMalloc as Inner;
#[cfg(feature = "jemalloc")]
use tikv_jemallocator::Jemalloc as Inner;

#[global_allocator]
static ALLOCATOR: TrackingAllocator<Inner> = TrackingAllocator::new(Inner);

/// MiB of the heap, and the bytes of a block.
const CASES: [(usize, usize); 5] =
    [(10, 3_600), (100, 3_600), (1_024, 3_600), (1_024, 512), (640, 64)];
const ROUNDS: usize = 5;

/// Resident bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) << 10
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn case(megabytes: usize, block: usize) {
    builder().holders(true).init().expect("settings");
    let count = (megabytes << 20) / block;
    let map: BTreeMap<usize, Vec<u8>> = (0..count).map(|key| (key, vec![7; block])).collect();
    let mut pauses = Vec::new();
    for _ in 0..ROUNDS {
        match heap_graph() {
            Ok(graph) => {
                pauses.push((graph.pause_ns, graph.taken_ns, graph.copy_bytes, graph.blocks));
            }
            Err(error) => return eprintln!("{error}"),
        }
    }
    pauses.sort_unstable();
    let (pause, taken, copy, blocks) = pauses[ROUNDS / 2];
    println!(
        "{megabytes} MiB, {blocks} blocks: pause {:.1} ms, all {:.0} ms, copy {:.0} MiB ({} B a block), resident {:.0} MiB",
        ms(pause),
        ms(taken),
        mib(copy),
        copy / blocks.max(1),
        mib(resident()),
    );
    drop(black_box(map));
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1).filter_map(|it| it.parse().ok());
    if let (Some(megabytes), Some(block)) = (arguments.next(), arguments.next()) {
        case(megabytes, block);
        return ExitCode::SUCCESS;
    }
    let Ok(program) = env::current_exe() else { return ExitCode::FAILURE };
    for (megabytes, block) in CASES {
        let arguments = [megabytes.to_string(), block.to_string()];
        let ended = Command::new(&program).args(arguments).status();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("{megabytes} MiB of {block} B failed");
        }
    }
    ExitCode::SUCCESS
}
