//! What holds the heap, asked over HTTP.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]

use std::{sync::Mutex, thread};

use memscope_runtime::{async_memory::HeapGraph, builder};
use memscope_server::serve;

use crate::support::get;

static SESSIONS: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

#[test]
fn the_graph_names_the_static_and_one_client_at_a_time_gets_it() {
    builder().holders(true).init().expect("settings");
    SESSIONS.lock().expect("no panic").push(vec![1; 5 << 20]);
    let server = serve("127.0.0.1:0").expect("a server");
    let address = server.local_address();
    let clients: Vec<_> =
        (0..8).map(|_| thread::spawn(move || get(address, "/holders.json"))).collect();
    // Meanwhile the server answers other requests.
    assert_eq!(get(address, "/health").status, 200);
    let answers: Vec<_> = clients.into_iter().map(|it| it.join().expect("a client")).collect();
    let (graphs, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert!(!graphs.is_empty());
    for answer in busy {
        assert!(answer.text().contains("Another client asks"), "{}", answer.text());
    }
    for answer in graphs {
        let graph: HeapGraph = serde_json::from_str(answer.text()).expect("a graph");
        let held = graph.roots.iter().find(|root| root.name.contains("SESSIONS"));
        assert!(held.expect("the static").retained_bytes >= 5 << 20, "{graph}");
    }
    server.shutdown();
}
