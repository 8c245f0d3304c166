//! The example `tower_service`: its report has a row for each route, with what its clients did.

use memscope_rs::async_memory::{SiteProfile, TaskType};
use memscope_tests::workers;

#[expect(dead_code, reason = "the example's main is not called")]
#[path = "../../examples/tower_service.rs"]
mod example;

use example::{LOGINS, ORDERS, run};

const KIB: u64 = 1024;

#[test]
fn each_route_has_a_row_with_what_its_clients_did() {
    let snapshot = workers(2).block_on(run()).expect("all are answered");
    let of = |name: &str| {
        let mut sites = snapshot.sites_named(name);
        let site = sites.next().unwrap_or_else(|| panic!("no {name} in {snapshot}"));
        assert!(sites.next().is_none(), "{name} is one row");
        site
    };
    let ends = |it: &SiteProfile| [it.spawned, it.completed, it.cancelled, it.panicked];
    let (orders, logins) = (ORDERS as u64, LOGINS as u64);
    for (name, truth) in [
        ("GET /shop/orders/{id}", [orders, orders, 0, 0]),
        ("POST /login", [logins, logins, 0, 0]),
        ("GET /shop/export", [1, 1, 0, 0]),
        ("GET /events", [1, 0, 1, 0]),
        ("GET (no route)", [3, 3, 0, 0]),
        ("read_rows", [orders, orders, 0, 0]),
    ] {
        assert_eq!(ends(of(name)), truth, "{name}");
    }
    assert_eq!(snapshot.sites().iter().filter(|it| it.is_annotated).count(), 6);

    assert_eq!(of("POST /login").live_bytes, logins * KIB, "the sessions");
    let rows: u64 = (0..orders).map(|id| 16 * KIB + id).sum();
    let read_rows = of("read_rows");
    assert_eq!((read_rows.allocated_bytes, read_rows.live_bytes), (rows, 0));
    assert_eq!(read_rows.task_type, TaskType::Unspecified);
    let export = of("GET /shop/export");
    assert!(export.allocated_bytes >= 5 * 64 * KIB, "{}", export.allocated_bytes);
    assert_eq!((export.live_bytes, of("GET /shop/orders/{id}").live_bytes), (0, 0));
}
