//! Every option of `#[memscope_rs::test]`, and `assert_memory!`, under strict lints.

#![forbid(unsafe_code)]
#![deny(warnings)]

use memscope_rs::{
    assert_memory,
    testing::{measure, measure_sync},
};

#[memscope_rs::test]
fn without_options() {}

#[rustfmt::skip]
#[memscope_rs::test(peak = "64KiB", allocations = 10, leaks = 0,)]
#[should_panic(expected = "words")]
fn panics() {
    panic!("words");
}

#[memscope_rs::test(peak = 65_536, leaks = "1KiB", crate = ::memscope_rs)]
#[ignore = "it is slow"]
async fn with_result() -> Result<(), std::num::ParseIntError> {
    std::future::ready("1").await.parse::<u8>().map(drop)
}

#[test]
fn conditions() {
    let (_, profile) = measure_sync(|| 1 + 1);
    assert_memory!(profile, peak_bytes <= 64 * 1024, allocation_count == 0);
    assert_memory!(&profile, live_bytes < u64::from(u8::MAX));
    let _unpolled = measure(async {});
}
