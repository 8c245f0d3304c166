//! What it costs to look up the names of 61 functions in the symbol table of a program: time, heap
//! and resident memory, at the first time and at later ones.
//!
//! ```text
//! cargo build --example web_service
//! cargo run --release -p memscope-benches --features names --bin names -- \
//!     target/debug/examples/web_service
//! ```
#![expect(clippy::print_stdout, reason = "the figures are its output")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    env, fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use memscope_layout::Symbols;

/// As many addresses as twelve stacks of a service have.
const ADDRESSES: usize = 61;
const ROUNDS: usize = 21;

/// The system's allocator, with the bytes that are live and the most that were.
struct Counted;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// KiB of this process that are resident, without the program's own file.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    field("VmRSS:")
}

/// Looks up the names as the runtime does: opens the file, checks it, reads the table, closes it.
fn look_up(path: &str, addresses: &[u64], names: &mut Vec<String>) -> Option<u64> {
    let symbols = Symbols::open(path).ok()?;
    symbols.build_id()?;
    symbols.loaded();
    symbols.find(addresses, |_, name| names.push(name.to_owned())).ok()?;
    Some(resident_kib())
}

/// Addresses of functions, from all of the program.
fn addresses(path: &str) -> Option<Vec<u64>> {
    let symbols = Symbols::open(path).ok()?;
    let candidates: Vec<u64> = symbols
        .loaded()
        .iter()
        .flat_map(|(start, size)| {
            let step = usize::try_from(size / 1_000 + 1).unwrap_or(1);
            (*start..start + size).step_by(step)
        })
        .collect();
    let mut named = Vec::new();
    symbols.find(&candidates, |index, _| named.push(index)).ok()?;
    named.sort_unstable();
    let chosen = (0..ADDRESSES).filter_map(|at| named.get(at * named.len() / ADDRESSES));
    Some(chosen.filter_map(|index| candidates.get(*index).copied()).collect())
}

fn main() {
    let Some(path) = env::args().nth(1) else {
        return println!("name a program whose functions are to be named");
    };
    let Some(addresses) = addresses(&path) else {
        return println!("{path} has no build id, or is no program");
    };
    let size = fs::metadata(&path).map_or(0, |file| file.len());
    println!("{path}: {} MB, {} addresses", size / 1_000_000, addresses.len());
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let mut names = Vec::with_capacity(ADDRESSES);
        let (live, resident) = (LIVE.load(Ordering::Relaxed), resident_kib());
        MOST.store(live, Ordering::Relaxed);
        let start = Instant::now();
        let Some(meanwhile) = look_up(&path, &addresses, &mut names) else {
            return println!("{path} cannot be read");
        };
        times.push(start.elapsed());
        if round == 0 {
            let text: usize = names.iter().map(String::len).sum();
            println!("named: {}, {text} bytes of text", names.len());
            println!("heap: at most {} bytes", MOST.load(Ordering::Relaxed) - live);
            println!(
                "resident KiB: {resident} before, {meanwhile} while the file is mapped, {} after",
                resident_kib()
            );
        }
    }
    let first = times[0];
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "time: {:.2} ms at first, {:.2} ms median of {ROUNDS}",
        ms(first),
        ms(times[ROUNDS / 2])
    );
}
