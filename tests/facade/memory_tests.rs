//! Tests that hold their memory to limits, as a program that depends on the facade writes them.
#![forbid(unsafe_code)]
#![deny(warnings)]
#![allow(clippy::unused_async, reason = "examples are short")]

// The guide's example begins.
async fn load(kib: usize) -> Vec<u8> {
    let file = vec![0_u8; 4 * kib * 1024];
    file[..kib * 1024].to_vec()
}

#[memscope_rs::test(peak = "64KiB", allocations = 10, leaks = 0)]
async fn a_small_file_takes_little() {
    let file = load(10).await;
    assert_eq!(file.len(), 10 * 1024);
}
// The guide's example ends.

#[test]
fn the_example_of_the_guide_is_a_test_that_runs() {
    let (own, guide) = (include_str!("memory_tests.rs"), include_str!("../../docs/TESTING.md"));
    let example = own.split("// The guide's example begins.\n").nth(1).expect("the example");
    let example = example.split("// The guide's example ends.").next().expect("its end");
    assert!(guide.contains(&format!("```rust\n{example}```")), "{example}");
}

#[memscope_rs::test(peak = 3_000, allocations = 2, leaks = 0)]
async fn the_attribute_runs_a_test_on_a_runtime_of_its_own() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    let (bytes, profile) = memscope_rs::testing::measure(async { vec![1_u8; 3_000] }).await;
    memscope_rs::assert_memory!(profile, live_bytes == 3_000, allocation_count <= 1);
    drop(bytes);
}

#[memscope_rs::test(peak = "5KiB", leaks = 0)]
#[tokio::test]
async fn the_attribute_stands_above_tokios() {
    drop(load(1).await);
}

#[memscope_rs::test(leaks = 0)]
#[should_panic(expected = "leaks: 100 B in 1 block, limit 0 B")]
fn a_sync_test_that_leaks_fails() {
    std::mem::forget(vec![1_u8; 100]);
}
