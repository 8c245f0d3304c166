//! Past the limit of names, shared owners fold into `(other)`; nothing is lost.

use memscope_rs::{async_memory::shared, builder};
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[test]
fn names_past_the_limit_share_a_row() {
    builder().site_rows(3).init().expect("settings");
    let held: Vec<Vec<u8>> =
        (0..10).map(|number| shared(&format!("cache {number}"), || vec![0u8; 100])).collect();
    let snapshot = conserved(&ALLOCATOR);
    let mut rows: Vec<(&str, u64, u64)> = snapshot
        .shared()
        .iter()
        .map(|shared| (&*shared.name, shared.live_bytes, shared.live_blocks))
        .collect();
    rows.sort_unstable();
    let one = |name| (name, 100, 1);
    assert_eq!(rows, [("(other)", 700, 7), one("cache 0"), one("cache 1"), one("cache 2")]);
    assert_eq!(snapshot.process().shared_bytes, 1_000);
    drop(held);
    assert_eq!(conserved(&ALLOCATOR).process().shared_bytes, 0);
}
