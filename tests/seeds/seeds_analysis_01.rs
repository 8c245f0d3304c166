//! Variables of an async function: two names of one block.

use memscope_rs::async_memory::Extent;
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/variables_of_a_function.rs"]
mod seed;

#[test]
fn the_five_numbers_lived_under_two_names_until_main_was_over() {
    seed::main();
    let snapshot = conserved(&ALLOCATOR);

    let [data, result] = ["data", "result"].map(|name| {
        let mut rows = snapshot.variables().iter().filter(|variable| variable.name == name);
        rows.next().unwrap_or_else(|| panic!("no `{name}`\n{snapshot:#}"))
    });
    for variable in [data, result] {
        assert_eq!(
            (variable.heap_bytes, variable.stack_bytes),
            (20, 24),
            "five numbers of four bytes"
        );
        assert_eq!((variable.extent, variable.live), (Extent::Whole, false), "over");
        assert_eq!((variable.task, variable.freed_by), (None, None), "no task was tracked");
        assert_eq!(variable.type_name, "alloc::vec::Vec<i32>");
    }
    // The sleep is between the two registrations; they end with the same free.
    assert!(data.lifetime_ns >= result.lifetime_ns + 100_000_000, "{data:#?} {result:#?}");
    assert!(data.line > result.line && data.file.ends_with("variables_of_a_function.rs"));
    let sites: Vec<_> = snapshot
        .variable_sites()
        .iter()
        .map(|site| (site.registered, site.ended, site.live, site.largest_bytes))
        .collect();
    assert_eq!(sites, [(1, 1, 0, 20); 2]);
}
