//! The workload is counted exactly over jemalloc too.

mod workload;

memscope_tests::install!(tikv_jemallocator::Jemalloc, tikv_jemallocator::Jemalloc);

#[test]
fn a_mixed_workload_on_four_workers_is_exact_over_jemalloc() {
    workload::check(&ALLOCATOR);
}
