//! An analyser in the program finds what memscope's own finds.

use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/custom_analyser.rs"]
mod seed;

#[test]
fn seven_state_machines_and_one_variable_that_is_none() {
    seed::main();
    let snapshot = conserved(&ALLOCATOR);
    let sites = snapshot.sites().iter().filter(|site| site.is_annotated);
    let mut machines: Vec<(u64, u64)> =
        sites.map(|site| (site.future_size_bytes, site.spawned)).collect();
    machines.sort_unstable();
    // `Pending` has no size. The page is in the future that waits with it, and there is the state
    // itself.
    assert_eq!(machines, [(0, 1), (1, 3), (4_097, 3)], "{snapshot}");
}
