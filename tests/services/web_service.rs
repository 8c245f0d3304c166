//! The web service of the examples, smaller. Each row of its report is compared with what its
//! clients did and what it kept.

use std::{collections::HashMap, sync::Arc};

use memscope_rs::async_memory::{MemorySnapshot, SiteProfile, TaskType};
use memscope_tests::{annotated, conserved};

#[expect(dead_code, reason = "the example's main is not called")]
#[path = "../../examples/web_service.rs"]
mod example;

use example::{
    Shop,
    clients::{Visit, visit},
    run,
};

use crate::ALLOCATOR;

const REQUESTS: usize = 1_000;
const CONNECTIONS: usize = 16;
const KIB: u64 = 1024;

#[test]
fn every_row_is_what_the_clients_did_and_what_the_service_kept() {
    let shop = Arc::new(Shop::default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    // To print a backtrace takes tens of megabytes, which would be the panicking task's.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (snapshot, [sessions, rates]) =
        runtime.block_on(run(&shop, REQUESTS, CONNECTIONS)).expect("all answers are as expected");
    std::panic::set_hook(hook);
    drop(runtime);

    let mut visits: HashMap<Visit, u64> = HashMap::new();
    (0..REQUESTS).for_each(|n| *visits.entry(visit(n)).or_default() += 1);
    let visits = |wanted: &str| {
        let is_wanted = |visit: &Visit| match visit {
            Visit::Get(path, _) => path.starts_with(wanted),
            other => format!("{other:?}") == wanted,
        };
        visits.iter().filter(|(visit, _)| is_wanted(visit)).map(|(_, count)| count).sum::<u64>()
    };
    let (logins, exports, hang_ups) = (visits("/login"), visits("Export"), visits("HangUp"));
    assert!(
        [logins, exports, hang_ups, visits("Nonsense")].iter().all(|count| *count >= 2),
        "all kinds are there"
    );

    // While the service was up, with only the background task alive.
    let ended = |name| {
        let site = site(&snapshot, name);
        assert_eq!(
            site.spawned,
            site.completed + site.cancelled + site.panicked,
            "{name}\n{snapshot}"
        );
        (site.completed, site.cancelled, site.panicked)
    };
    assert_eq!(ended("GET /page"), (visits("/page"), 0, 0));
    assert_eq!(ended("GET /report"), (visits("/report"), 0, 0));
    assert_eq!(ended("GET /login"), (logins, 0, 0));
    assert_eq!(ended("GET /stock"), (visits("/stock"), 0, visits("Nonsense")));
    assert_eq!(ended("GET /search"), (0, hang_ups, 0));
    assert_eq!(ended("GET /export"), (exports, 0, 0));
    assert_eq!(ended("GET /export, body"), (exports, 0, 0));
    assert_eq!((snapshot.active_task_count(), site(&snapshot, "exchange rates").active), (1, 1));
    assert_eq!(snapshot.spawned_task_count(), REQUESTS as u64 + exports + 1);
    assert!(
        (CONNECTIONS..=2 * CONNECTIONS + 1).contains(&snapshot.peak_concurrent_tasks()),
        "{snapshot}"
    );

    // Each handler held what it says, and a few strings.
    for (name, bytes) in
        [("GET /page", 16 * KIB), ("GET /report", 2048 * KIB), ("GET /stock", 4 * KIB)]
    {
        let peak = site(&snapshot, name).peak_bytes;
        assert!((bytes..bytes + KIB).contains(&peak), "{name} held {peak}");
    }
    let search = site(&snapshot, "GET /search");
    assert_eq!((search.peak_bytes, search.allocated_bytes), (256 * KIB, hang_ups * 256 * KIB));
    // The body is 512 KiB long, but the connection never holds all of it.
    let body = site(&snapshot, "GET /export, body");
    assert!(body.allocated_bytes >= exports * 512 * KIB, "{body:#?}");
    assert!((16 * KIB..512 * KIB).contains(&body.peak_bytes), "{body:#?}");
    assert_eq!(snapshot.get_task_metrics(TaskType::Streaming).task_count, exports);

    // What is left is the leak and the cache, to the byte.
    assert_eq!(site(&snapshot, "GET /login").retained_bytes, sessions);
    assert_eq!(site(&snapshot, "exchange rates").live_bytes, rates);
    assert_eq!(site(&snapshot, "exchange rates").retained_bytes, 0);
    assert_eq!(held_by_handlers(&snapshot), sessions + rates, "{snapshot}");

    let report = snapshot.to_string();
    let findings = report.split_once("what stands out").expect("something does").1;
    for finding in [
        "retained   GET /login: ",
        "cancelled  GET /search: ",
        "panicked   GET /stock: ",
        "largest    exchange rates ",
    ] {
        assert_eq!(findings.matches(finding).count(), 1, "{finding}\n{report}");
    }

    // The service is gone, its data are not.
    let after = conserved(&ALLOCATOR);
    let of_list = |capacity: usize| (capacity * size_of::<Vec<u8>>()) as u64;
    let left = {
        let (sessions, rates) =
            (shop.sessions.lock().expect("whole"), shop.rates.lock().expect("whole"));
        assert_eq!(sessions.len() as u64, logins);
        [
            (sessions.len() as u64 * KIB + of_list(sessions.capacity()), logins + 1),
            (rates.len() as u64 * 8 * KIB + of_list(rates.capacity()), rates.len() as u64 + 1),
        ]
    };
    for (name, left) in ["GET /login", "exchange rates"].into_iter().zip(left) {
        let site = site(&after, name);
        assert_eq!((site.retained_bytes, site.live_blocks), left, "{name}");
        assert_eq!(site.live_bytes, site.retained_bytes, "{name}");
    }
    assert_eq!(site(&after, "exchange rates").cancelled, 1);
    assert_eq!(
        (after.active_task_count(), held_by_handlers(&after)),
        (0, left[0].0 + left[1].0),
        "{after}"
    );

    drop(shop);
    assert_eq!(held_by_handlers(&conserved(&ALLOCATOR)), 0);
}

/// Hyper's connections, which are unannotated tasks, have rows of their own.
fn held_by_handlers(snapshot: &MemorySnapshot) -> u64 {
    annotated(snapshot).iter().map(|task| task.live_bytes).sum()
}

#[track_caller]
fn site<'a>(snapshot: &'a MemorySnapshot, name: &str) -> &'a SiteProfile {
    let site = snapshot.sites().iter().find(|site| site.name == name);
    site.unwrap_or_else(|| panic!("no row for {name}\n{snapshot}"))
}
