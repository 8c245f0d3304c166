//! What a test says that takes too much memory: the largest holders, their stacks and lines, in at
//! most 25 lines.

#![allow(unnameable_test_items, reason = "tests that fail are called by tests")]

use std::{hint::black_box, panic::catch_unwind};

use memscope_rs::{
    TrackingAllocator, assert_memory,
    async_memory::track,
    testing::{measure, measure_sync},
};

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(std::alloc::System);

const MOST_LINES: usize = 25;

#[track_caller]
fn complaint(work: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(work).expect_err("it fails");
    let text = payload.downcast::<String>().map_or_else(|_| "no text".to_owned(), |text| *text);
    assert!(text.lines().count() <= MOST_LINES, "{} lines:\n{text}", text.lines().count());
    assert!(!text.contains('\u{1b}'), "{text}");
    text
}

#[inline(never)]
fn fill_cache() -> Vec<Vec<u8>> {
    (0..64).map(|_| vec![black_box(1_u8); 32 << 10]).collect()
}

/// Called by tests, and never run as one.
#[memscope_macros::test(peak = "64KiB", allocations = 10, leaks = 0)]
#[ignore = "it fails"]
fn keeps_a_cache() {
    let cache = fill_cache();
    memscope_macros::track_var!(deep: cache);
    std::mem::forget(cache);
}

#[test]
fn a_leak_has_its_variable_and_the_line_that_allocated_it() {
    // Where the test stands, as its failures say.
    let line = 36;
    let text = complaint(keeps_a_cache);
    let first = format!("`keeps_a_cache` (tests/reports/limits_of_tests.rs:{line}) is over");
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("\n  allocations: 65, limit 10\n"), "{text}");
    let leak = "\n  leaks: 2.0 MiB (2,098,688 bytes) in 65 blocks, limit 0 B\n";
    assert!(text.contains(leak), "{text}");
    let variable = format!("`cache` (tests/reports/limits_of_tests.rs:{}): 2.0 MiB", line + 2);
    assert!(text.contains(&variable), "{text}");
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        assert!(text.contains(" live, ") && text.contains("::fill_cache"), "{text}");
        assert!(text.contains("::keeps_a_cache"), "the caller: {text}");
        assert!(text.contains("reports/limits_of_tests.rs:30)"), "{text}");
        let call = format!("reports/limits_of_tests.rs:{})\n", line + 1);
        assert!(format!("{text}\n").contains(&call), "the line of the call: {text}");
    }
}

/// The text without what differs from run to run: numbers of lines, and samples.
fn settled(text: &str) -> Vec<String> {
    let lines = text.lines().take_while(|line| !line.starts_with("the code that allocates"));
    let settle = |line: &str| {
        let mut line = line.to_owned();
        if let Some((start, rest)) = line.split_once(".rs:")
            && let Some((_, end)) = rest.split_once(')')
        {
            line = format!("{start}.rs:…){end}");
        }
        line
    };
    lines.map(settle).collect()
}

#[test]
fn the_documentation_shows_a_real_text() {
    let guide = include_str!("../../docs/TESTING.md");
    let shown = guide.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    let shown = shown.expect("the first text of the guide");
    assert_eq!(settled(shown), settled(&complaint(keeps_a_cache)));
    assert!(shown.contains("≈ ") && shown.contains("::fill_cache ("), "{shown}");
}

#[test]
fn a_peak_has_the_code_that_allocated_although_nothing_lives() {
    #[memscope_macros::test(peak = "64KiB")]
    async fn passes_by() {
        drop(std::future::ready(fill_cache()).await);
    }
    let text = complaint(passes_by);
    assert!(text.contains("\n  peak: 2.0 MiB (2,098,688 bytes), limit 64.0 KiB (65,536 bytes)\n"));
    assert!(!text.contains("live variables"), "{text}");
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        assert!(text.contains("fill_cache") && text.contains(" allocated, "), "{text}");
    }
}

#[test]
fn what_parallel_tests_allocate_is_not_in_the_text() {
    let beside = std::thread::spawn(|| {
        measure_sync(|| {
            let cache: Vec<_> = (0..64).map(|_| vec![black_box(1_u8); 32 << 10]).collect();
            memscope_macros::track_var!(deep: cache);
            cache
        })
    });
    let (cache, _) = beside.join().expect("it ends");
    let (_, profile) = measure_sync(|| vec![1_u8; 10].len());
    let text = complaint(|| assert_memory!(profile, allocation_count <= 0));
    assert!(!text.contains("cache"), "{text}");
    assert!(text.contains("MEMSCOPE_STACKS=64"), "it has no sample: {text}");
    drop(cache);
}

#[test]
fn hostile_names_and_many_holders_fit() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let name = "\u{1b}[31mred\nand\n".repeat(1_000);
    let work = async {
        let mut kept = Vec::new();
        for _ in 0..20 {
            let one = vec![1_u8; 40 << 10];
            memscope_macros::track_var!(one);
            kept.push(one);
            let child = async { vec![1_u8; 50 << 10] };
            kept.push(track(child).named("child\n".repeat(100)).await);
        }
        kept
    };
    let (kept, profile) = runtime.block_on(async {
        let (both, _) = measure(async { measure(work).await }).await;
        both
    });
    let renamed = memscope_rs::async_memory::TaskMemoryProfile {
        name: name.clone(),
        file: name.into(),
        ..profile
    };
    let text = complaint(|| {
        assert_memory!(
            renamed,
            live_bytes <= 0,
            peak_bytes <= 0,
            allocated_bytes <= 0,
            allocation_count <= 0,
            live_blocks <= 0,
            future_size_bytes <= 0,
        );
    });
    assert!(text.lines().all(|line| line.chars().count() <= 200), "{text}");
    assert!(text.contains("… and 2 more"), "conditions: {text}");
    assert!(text.contains("… and 18 more"), "tasks: {text}");
    assert!(text.contains("… and 17 more"), "variables: {text}");
    drop(kept);
}
