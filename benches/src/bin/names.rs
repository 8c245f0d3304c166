//! What it costs to look up the names of 61 functions in the symbol table of a program, and then
//! the functions that are inlined there, in its debug information: time, heap and resident memory,
//! at the first time and at later ones.
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

use memscope_layout::{Frame, Symbols};

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

/// KiB of this process that are resident, and the most that were since `begin_peak`.
fn resident_kib() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Has the system forget the most that were resident.
fn begin_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}

/// As much debug information as the runtime reads at a time.
const MOST_DEBUG_BYTES: u64 = 8 << 20;

/// How names are looked up. Adds the names.
type LookUp = fn(&str, &[u64], &mut Vec<String>) -> Option<()>;

/// Looks up the names as the runtime does: opens the file, checks it, reads the table, closes it.
fn symbols(path: &str, addresses: &[u64], names: &mut Vec<String>) -> Option<()> {
    let symbols = Symbols::open(path).ok()?;
    symbols.build_id()?;
    symbols.loaded();
    symbols.find(addresses, |_, name| names.push(name.to_owned())).ok()
}

/// Reads debug information as the runtime does.
fn inlined(path: &str, addresses: &[u64], names: &mut Vec<String>) -> Option<()> {
    let symbols = Symbols::open(path).ok()?;
    symbols.build_id()?;
    symbols.loaded();
    let add =
        |_, frames: &[Frame]| names.extend(frames.iter().filter_map(|it| it.function.clone()));
    symbols.find_frames(addresses, MOST_DEBUG_BYTES, add).ok()
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
    for (what, look_up) in
        [("symbols", symbols as LookUp), ("debug information", inlined as LookUp)]
    {
        println!("{what}:");
        if measure(&path, &addresses, look_up).is_none() {
            println!("  cannot be read");
        }
    }
}

fn measure(path: &str, addresses: &[u64], look_up: LookUp) -> Option<()> {
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let mut names = Vec::with_capacity(ADDRESSES);
        let (live, resident) = (LIVE.load(Ordering::Relaxed), resident_kib().0);
        MOST.store(live, Ordering::Relaxed);
        begin_peak();
        let start = Instant::now();
        look_up(path, addresses, &mut names)?;
        times.push(start.elapsed());
        if round == 0 {
            let (after, most) = resident_kib();
            let text: usize = names.iter().map(String::len).sum();
            println!("  named: {}, {text} bytes of text", names.len());
            println!("  heap: at most {} bytes", MOST.load(Ordering::Relaxed) - live);
            println!("  resident KiB: {resident} before, {most} at most, {after} after");
        }
    }
    let first = times[0];
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    println!(
        "  time: {:.2} ms at first, {:.2} ms median of {ROUNDS}",
        ms(first),
        ms(times[ROUNDS / 2])
    );
    Some(())
}
