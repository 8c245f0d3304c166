//! What memscope itself takes for unannotated tasks, in a process that has no others. No event is
//! ever sent there, and a thread gets the memory for its events once, when its first task ends.

use memscope_tests::{alone, conserved, names_found, record_bytes};

use crate::ALLOCATOR;

#[test]
fn ten_thousand_unannotated_tasks_take_a_few_mebibytes_and_a_hundred_thousand_no_more() {
    let _alone = alone();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let run = |times: usize| {
        runtime.block_on(async move {
            for _ in 0..times {
                tokio::spawn(async { drop(Box::new([0u8; 100])) }).await.expect("no panic");
            }
        });
        // The name of their type takes a site.
        names_found();
        record_bytes(&conserved(&ALLOCATOR))
    };
    let few = run(10);
    // More than there are sets of places, so that records are taken away and given to others.
    let many = run(10_000);
    assert!(many - few < 4 << 20, "{few}, then {many}");
    assert_eq!(run(100_000), many);
}
