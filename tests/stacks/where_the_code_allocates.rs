//! A program that leaks in a plain thread, and in a task that is not annotated: the report names
//! both functions, and how sure it is.

use std::{
    hint::black_box,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use memscope_rs::{
    Stacks,
    async_memory::{MemorySnapshot, StackProfile, StacksState, get_memory_snapshot},
    builder,
};
use memscope_tests::conserved;

use crate::ALLOCATOR;

static LEAKED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Small blocks, so that the estimate comes from samples as in a real program.
#[inline(never)]
fn leak_in_a_thread() {
    for _ in 0..64 << 10 {
        let block = black_box(vec![1_u8; 1 << 10]);
        LEAKED.lock().expect("the list").push(block);
    }
}

#[inline(never)]
fn leak_in_a_task() {
    for _ in 0..32 << 10 {
        let block = black_box(vec![2_u8; 1 << 10]);
        LEAKED.lock().expect("the list").push(block);
    }
}

#[inline(never)]
async fn handle_request() {
    leak_in_a_task();
    tokio::task::yield_now().await;
}

fn of<'a>(snapshot: &'a MemorySnapshot, function: &str) -> Vec<&'a StackProfile> {
    let calls =
        |stack: &StackProfile| stack.frames.iter().any(|frame| frame.function.contains(function));
    snapshot.stacks().iter().filter(|stack| calls(stack)).collect()
}

/// The live bytes by estimate, and how many samples they are made of.
fn live(stacks: &[&StackProfile]) -> (u64, u64) {
    let bytes = stacks.iter().map(|stack| stack.live_bytes).sum();
    (bytes, stacks.iter().map(|stack| stack.live_samples).sum())
}

/// The true bytes are within three times the 95 % bound, which holds in all but one of a million
/// runs.
#[track_caller]
fn is_near((estimate, samples): (u64, u64), truth: u64) {
    assert!(samples > 20, "{samples} samples");
    #[expect(clippy::cast_precision_loss, reason = "a bound is not exact")]
    let (estimate, truth, bound) = (estimate as f64, truth as f64, 6.0 / (samples as f64).sqrt());
    let error = (estimate - truth).abs();
    assert!(error < bound * estimate, "{estimate} of {truth}: {samples} samples");
}

#[test]
fn the_functions_that_leak_are_named() {
    builder().stacks(Stacks::EveryBytes(512 << 10)).init().expect("the settings are right");
    let before = get_memory_snapshot();
    if before.stacks_measured() == StacksState::Unsupported {
        return assert!(before.to_string().contains("where the code allocates: not measured"));
    }
    LEAKED.lock().expect("the list").reserve(200 << 10);
    thread::spawn(leak_in_a_thread).join().expect("it ends");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async { tokio::spawn(handle_request()).await.expect("it ends") });

    let first = conserved(&ALLOCATOR);
    assert!(!first.stacks().is_empty() && first.stack_interval_bytes() >= 512 << 10);
    let lines = first.to_string();
    assert!(
        first.stack_names_pending() == 0 || lines.contains("being looked up; the next report has"),
        "{lines}"
    );
    // The names are found by memscope's own thread.
    let end = Instant::now() + Duration::from_mins(1);
    let mut snapshot = first.clone();
    while snapshot.stack_names_pending() != 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
        snapshot = get_memory_snapshot();
    }
    assert_eq!(snapshot.stack_names_pending(), 0);

    let (in_thread, in_task) = (of(&snapshot, "leak_in_a_thread"), of(&snapshot, "leak_in_a_task"));
    is_near(live(&in_thread), 64 << 20);
    is_near(live(&in_task), 32 << 20);
    assert!(in_thread.iter().all(|stack| stack.is_untracked && stack.site.is_none()));
    for stack in &in_task {
        let site = stack.site.and_then(|site| snapshot.sites().get(site));
        assert!(site.is_some_and(|site| !site.is_annotated), "{stack:?}");
    }

    let text = snapshot.to_string();
    let line = |function: &str| {
        text.lines().find(|line| line.contains(function)).unwrap_or_else(|| panic!("{text}"))
    };
    let thread = line("where_the_code_allocates::leak_in_a_thread");
    assert!(thread.contains("≈ ") && thread.contains("(no task)"), "{thread}");
    let task = line("where_the_code_allocates::leak_in_a_task");
    assert!(task.contains("where_the_code_allocates::handle_request"), "{task}");
    for stack in in_thread.iter().chain(&in_task) {
        let first = stack.frames.first().expect("a frame");
        assert!(first.function.contains("alloc::"), "{first}");
    }

    // What was read is written and read back.
    let json = serde_json::to_string(&snapshot).expect("plain data");
    let back: MemorySnapshot = serde_json::from_str(&json).expect("its own JSON");
    assert_eq!(back.stacks(), snapshot.stacks());

    // The comparison with the state before names the same functions.
    let diff = snapshot.diff(&before);
    let grown: u64 = diff
        .stacks
        .iter()
        .filter(|row| row.frames.iter().any(|frame| frame.function.contains("leak_in_a_")))
        .map(|row| u64::try_from(row.live_bytes).expect("it grew"))
        .sum();
    assert_eq!(grown, live(&in_thread).0 + live(&in_task).0, "{diff}");

    // What is freed is not live any more.
    drop(std::mem::take(&mut *LEAKED.lock().expect("the list")));
    let after = conserved(&ALLOCATOR);
    for function in ["leak_in_a_thread", "leak_in_a_task"] {
        assert_eq!(live(&of(&after, function)).0, 0);
    }
}
