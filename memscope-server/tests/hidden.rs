//! The server is memscope's: no row of the program's has its tasks or bytes, and the sums hold.

use std::{
    env,
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use memscope_runtime::async_memory::{MemorySnapshot, track};
use memscope_server::serve;
use memscope_tests::{alone_without_names, conserved};

use crate::{
    ALLOCATOR,
    support::{LONG, connect, events, get},
};

/// The variable that holds the address for the client. The client is another process, so that it
/// does not allocate in this one.
const CLIENT_OF: &str = "CLIENT_OF";

const PATHS: [&str; 12] = [
    "/",
    "/snapshot.json",
    "/report.txt",
    "/report.html",
    "/metrics",
    "/debug/pprof/heap",
    "/debug/pprof/allocs",
    "/flamegraph.svg",
    "/holders.json",
    "/tasks.json",
    "/tasks.txt",
    "/health",
];

/// The client's process asks for everything, for two seconds.
#[test]
fn as_a_client() {
    let Ok(address) = env::var(CLIENT_OF) else { return };
    let address: SocketAddr = address.parse().expect("an address");
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        for path in PATHS {
            assert!([200, 503].contains(&get(address, path).status), "{path}");
        }
        let _ = events(address, |text| text.contains("event: snapshot"));
    }
}

fn ask_from_outside(address: SocketAddr) {
    let mut client = Command::new(env::current_exe().expect("this program"));
    client.args(["--exact", "hidden::as_a_client"]).env(CLIENT_OF, address.to_string());
    assert!(client.output().expect("a process").status.success());
}

/// The names of all sites and how many tasks they had.
fn sites(snapshot: &MemorySnapshot) -> Vec<(String, u64)> {
    let mut sites: Vec<_> =
        snapshot.sites().iter().map(|site| (site.name.clone(), site.spawned)).collect();
    sites.sort();
    sites
}

#[test]
fn no_row_has_the_tasks_or_bytes_of_the_server_and_the_sums_hold() {
    let _alone = alone_without_names();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for size in [10_000, 20_000] {
        let holds = move || async move {
            let held = vec![1_u8; size];
            std::future::pending::<()>().await;
            drop(held);
        };
        drop(runtime.spawn(track(holds())));
        drop(runtime.spawn(holds()));
    }
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    // Now all is allocated that starting a process and reading a snapshot keep.
    ask_from_outside(address);
    drop(conserved(&ALLOCATOR));
    let before = conserved(&ALLOCATOR);
    ask_from_outside(address);
    let after = conserved(&ALLOCATOR);
    assert_eq!(sites(&after), sites(&before), "no site and no task is new");
    assert_eq!(after.tasks().len(), before.tasks().len());
    let outside = |snapshot: &MemorySnapshot| snapshot.process().untracked_allocated_bytes;
    let allocated = outside(&after) - outside(&before);
    // Some thousand bytes are this test's own. One answer alone would exceed the limit.
    assert!(allocated < 100_000, "{allocated} bytes were charged outside of tasks");
    assert!(after.tool().heap_bytes > 100_000, "the server's are memscope's: {:?}", after.tool());
    let held = before.tool().heap_bytes;
    drop((before, after));
    server.shutdown();
    // The runtime of the server goes with its thread.
    let start = Instant::now();
    while conserved(&ALLOCATOR).tool().heap_bytes >= held {
        assert!(start.elapsed() < LONG, "the server's memory stays");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_sums_hold_while_clients_are_connected() {
    let _alone = alone_without_names();
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    // These clients are silent, so the server holds something for each of them.
    let idle: Vec<_> = (0..20).map(|_| connect(address)).collect();
    for path in PATHS {
        let _ = get(address, path);
        drop(conserved(&ALLOCATOR));
    }
    drop(idle);
    server.shutdown();
    drop(conserved(&ALLOCATOR));
}
