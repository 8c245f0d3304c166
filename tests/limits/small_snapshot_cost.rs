//! What a snapshot of a small program allocates. It has a process of its own: what other tests left
//! in the records would be in it.

use memscope_rs::async_memory::get_memory_snapshot;
use memscope_tests::{Meter, alone};

#[test]
fn a_snapshot_of_a_small_program_allocates_less_than_100_kib() {
    let _alone = alone();
    // The first one reads which program this is.
    drop(get_memory_snapshot());
    let (meter, snapshot) = Meter::of(get_memory_snapshot);
    // A block of 64 KiB is among them, which makes room and is not written to.
    assert!(meter.allocated_bytes < 100 << 10, "{meter:?}");
    let held = snapshot.tool().heap_bytes;
    drop(snapshot);
    assert_eq!(get_memory_snapshot().tool().heap_bytes, held, "all of it was given back");
}
