//! One snapshot serves all clients of one second.

use std::{
    thread,
    time::{Duration, Instant},
};

use memscope_runtime::async_memory::get_memory_snapshot;
use memscope_server::serve;

use crate::support::{events, get};

#[test]
fn however_many_ask_one_snapshot_a_second_is_taken() {
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    // Counts the snapshots that were taken so far.
    let looks = || get_memory_snapshot().tool().looks;
    let (before, begun) = (looks(), Instant::now());
    let clients: Vec<_> = (0..20)
        .map(|client| {
            thread::spawn(move || {
                if client % 4 == 0 {
                    let _ = events(address, |text| text.matches("event: snapshot").count() >= 3);
                    return 3;
                }
                let end = Instant::now() + Duration::from_secs(3);
                let mut asked = 0;
                while Instant::now() < end {
                    let path = ["/metrics", "/snapshot.json", "/debug/pprof/heap"][client % 3];
                    assert_eq!(get(address, path).status, 200);
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    let asked: usize = clients.into_iter().map(|it| it.join().expect("a client")).sum();
    let seconds = begun.elapsed().as_secs() + 1;
    // Without the snapshot that `looks` itself has taken.
    let taken = looks() - before - 1;
    // A snapshot serves 0.9 s.
    assert!(taken <= seconds * 10 / 9 + 1, "{taken} in {seconds} s for {asked} requests");
    assert!(taken >= 2, "{taken}: each second has a new one");
    assert!(asked as u64 > taken, "{asked} requests");
    server.shutdown();
}
