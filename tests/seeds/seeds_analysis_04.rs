//! Each item of a stream is a variable; a thousand of them are one row.

use memscope_rs::async_memory::VariableSiteProfile;
use memscope_tests::conserved;

use crate::ALLOCATOR;

#[path = "../../examples/items_of_a_stream.rs"]
mod seed;

#[test]
fn a_thousand_items_are_one_row_and_all_of_them_end() {
    seed::main();
    let snapshot = conserved(&ALLOCATOR);

    let site = |name: &str| -> VariableSiteProfile {
        let mut sites = snapshot.variable_sites().iter().filter(|site| site.name == name);
        let site = sites.next().unwrap_or_else(|| panic!("no `{name}`\n{snapshot:#}"));
        assert!(sites.next().is_none(), "one row\n{snapshot:#}");
        site.clone()
    };
    let (items, data) = (site("item_data"), site("stream_data"));
    assert_eq!((items.registered, items.ended, items.live), (1_000, 1_000, 0));
    assert_eq!((items.repeated, items.unfollowed), (0, 0), "each has a block of its own");
    assert_eq!((items.largest_bytes, items.live_bytes), (400, 0), "100 numbers of four bytes");
    assert_eq!((data.registered, data.ended), (1, 1));
    assert!(data.largest_bytes >= 24_000, "room for 1,000 vectors: {data:#?}");
    assert!(snapshot.variables().iter().all(|variable| !variable.live));
}
