//! When there are more names than rows, the surplus shares a row, and nothing is lost.

use memscope_rs::async_memory::{MemorySnapshot, track};
use memscope_tests::{conserved, poll, record_bytes};

use crate::ALLOCATOR;

const NAMES: u64 = 5_000;

#[test]
fn names_past_the_limit_share_one_row_and_the_sums_stay_whole() {
    // A name that looks like the shared row's is a name like any other.
    drop(track(async {}).named("(other)"));
    let before = conserved(&ALLOCATOR);
    let sum = |snapshot: &MemorySnapshot| {
        snapshot.sites().iter().fold((0, 0, 0, 0), |sum, site| {
            (
                sum.0 + site.spawned,
                sum.1 + site.completed,
                sum.2 + site.allocated_bytes,
                sum.3 + site.peak_sum_bytes,
            )
        })
    };
    let mut kept = Vec::new();
    for name in 0..NAMES {
        let mut task = Box::pin(track(async { vec![0u8; 100] }).named(format!("name {name}")));
        let std::task::Poll::Ready(block) = poll(&mut task) else { panic!("ready") };
        if name >= NAMES - 10 {
            kept.push(block);
        }
    }
    let after = conserved(&ALLOCATOR);
    assert_eq!(after.sites().len(), 4_096 + 1, "4,096 rows and `(other)`");
    let (before, now) = (sum(&before), sum(&after));
    assert_eq!(
        (now.0 - before.0, now.1 - before.1, now.2 - before.2, now.3 - before.3),
        (NAMES, NAMES, 100 * NAMES, 100 * NAMES)
    );
    let other = after
        .sites()
        .iter()
        .filter(|site| site.name == "(other)" && site.line == 0)
        .collect::<Vec<_>>();
    let [other] = other[..] else { panic!("one row") };
    assert_eq!(
        (other.spawned, other.completed),
        (after.tool().tasks_in_other, after.tool().tasks_in_other)
    );
    assert!(other.spawned >= NAMES - 4_096 && other.retained_bytes == 1_000, "{other:#?}");
    assert!(after.to_string().contains("(other)"), "{after}");
    let shown = format!("{after:#}");
    assert!(shown.lines().count() > 4_096 + 4_096);
    let json = serde_json::to_string(&after).expect("plain data");
    assert_eq!(serde_json::from_str::<MemorySnapshot>(&json).expect("the same"), after);
    // Ever new names cost no more memory once the room is full.
    for name in 0..20_000 {
        drop(track(async {}).named(format!("yet another {name}")));
    }
    let full = record_bytes(&conserved(&ALLOCATOR));
    for name in 0..20_000 {
        drop(track(async {}).named(format!("and yet another {name}")));
    }
    assert_eq!(record_bytes(&conserved(&ALLOCATOR)), full);
    drop(kept);
    let after = conserved(&ALLOCATOR);
    assert!(after.sites().iter().all(|site| site.retained_bytes == 0));
}
