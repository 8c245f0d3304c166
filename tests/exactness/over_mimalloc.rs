//! The workload is counted exactly over mimalloc too.

mod workload;

memscope_tests::install!(mimalloc::MiMalloc, mimalloc::MiMalloc);

#[test]
fn a_mixed_workload_on_four_workers_is_exact_over_mimalloc() {
    workload::check(&ALLOCATOR);
}
