//! A program that keeps a block from each of several places, and prints which function each stack
//! leads to. `tests/stacks/stacks_of_programs.rs` starts it, changed in some way; `ci/stacks.sh`
//! builds it with other flags.

#![expect(clippy::print_stdout, reason = "that is how it talks to the test")]

#[cfg(target_os = "linux")]
mod hide_proc;

use std::{
    hint::black_box,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use memscope_rs::{
    Stacks, TrackingAllocator,
    async_memory::{MemorySnapshot, get_memory_snapshot},
    builder,
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

/// Each place keeps a block of its own size.
const BY_MAIN: usize = 100_001;
const BY_THREAD: usize = 100_002;
const BY_RECURSION: usize = 100_003;
const BY_EXITING_THREAD: usize = 100_004;
const BY_DROP_IN_PANIC: usize = 100_005;

static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn keep(size: usize) {
    let block = black_box(vec![1_u8; size]);
    KEPT.lock().expect("the list").push(block);
}

#[inline(never)]
fn kept_by_main() {
    keep(BY_MAIN);
    black_box(());
}

#[inline(never)]
fn kept_by_thread() {
    keep(BY_THREAD);
    black_box(());
}

#[inline(never)]
fn kept_by_recursion(levels: u32) -> u32 {
    if levels == 0 {
        keep(BY_RECURSION);
        return black_box(0);
    }
    black_box(kept_by_recursion(levels - 1)) + 1
}

struct KeepsAtExit;

impl Drop for KeepsAtExit {
    #[inline(never)]
    fn drop(&mut self) {
        keep(BY_EXITING_THREAD);
        black_box(());
    }
}

thread_local!(static AT_EXIT: KeepsAtExit = const { KeepsAtExit });

struct KeepsInPanic;

impl Drop for KeepsInPanic {
    #[inline(never)]
    fn drop(&mut self) {
        keep(BY_DROP_IN_PANIC);
        black_box(());
    }
}

fn main() {
    builder().stacks(Stacks::EveryBytes(1)).init().expect("good settings");
    KEPT.lock().expect("the list").reserve(16);
    kept_by_main();
    thread::spawn(|| {
        kept_by_thread();
        AT_EXIT.with(|it| _ = black_box(it));
    })
    .join()
    .expect("no panic");
    kept_by_recursion(1_000);
    if cfg!(panic = "unwind") {
        let thread = thread::spawn(|| {
            let _keeps = KeepsInPanic;
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(thread.join().is_err());
    }
    #[cfg(target_os = "linux")]
    if std::env::args().nth(1).as_deref() == Some("hide-proc") {
        hide_proc::hide_proc();
    }
    println!("ready");
    // The test changes the file meanwhile.
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    let snapshot = named_snapshot();
    println!("{:?}", snapshot.stacks_measured());
    for (place, size) in [
        ("main", BY_MAIN),
        ("thread", BY_THREAD),
        ("recursion", BY_RECURSION),
        ("exiting thread", BY_EXITING_THREAD),
        ("drop in panic", BY_DROP_IN_PANIC),
    ] {
        println!("{place}: {}", found(&snapshot, size));
    }
    let process = snapshot.process();
    assert!(process.untracked_bytes >= 300_000 && snapshot.tool().stacks_dropped < 100);
}

/// A snapshot for which all names were looked up.
fn named_snapshot() -> MemorySnapshot {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let snapshot = get_memory_snapshot();
        if snapshot.stack_names_pending() == 0 || Instant::now() > end {
            return snapshot;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What is said of the stack of the block of this size.
fn found(snapshot: &MemorySnapshot, size: usize) -> String {
    let stack = snapshot.stacks().iter().find(|stack| stack.live_bytes == size as u64);
    let Some(stack) = stack else { return "no stack".to_owned() };
    let functions: Vec<_> = stack.frames.iter().map(|frame| frame.function.as_ref()).collect();
    let own = |name: &&&str| name.contains("::kept_by_") || name.contains("::Keeps");
    let cut = if stack.is_cut { ", cut" } else { "" };
    match functions.iter().find(own) {
        Some(name) => format!("{name}{cut}"),
        None if functions.iter().all(|name| name.is_empty()) => format!("no name{cut}"),
        None => format!("no name of its own{cut}"),
    }
}
