//! The workload is counted exactly over jemalloc too.

mod workload;

memscope_tests::install!(tikv_jemallocator::Jemalloc, tikv_jemallocator::Jemalloc);

#[test]
fn a_mixed_workload_on_four_workers_is_exact_over_jemalloc() {
    workload::check(&ALLOCATOR);
    let (kept, profile) = memscope_rs::testing::measure_sync(|| {
        drop(vec![1_u8; 5_000]);
        vec![1_u8; 3_000]
    });
    memscope_rs::assert_memory!(profile, peak_bytes == 5_000, live_bytes == 3_000);
    memscope_rs::assert_memory!(profile, allocation_count == 2, live_blocks == 1);
    drop(kept);
}
