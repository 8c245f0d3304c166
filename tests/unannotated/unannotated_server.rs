//! The example of a server without annotations. Each connection's row is compared with the body
//! that its handler holds.

use memscope_tests::{conserved, workers};

use crate::ALLOCATOR;

#[path = "../../examples/unannotated.rs"]
#[expect(dead_code, reason = "the example's `main` is not run here")]
mod server;

/// What hyper and axum need for a connection beside the body: buffers, the request, the future of
/// the handler.
const AROUND: u64 = 40 * 1024;

#[test]
fn each_connection_is_a_task_with_its_body_in_it() {
    memscope_rs::builder().name_tasks_from(64 * 1024).init().expect("good settings");
    let runtime = workers(4);
    let snapshot = runtime.block_on(server::run()).expect("it serves");
    let mut held: Vec<u64> = snapshot
        .tasks()
        .iter()
        .filter(|task| !task.is_annotated && task.live_bytes >= 100 * 1024)
        .map(|task| task.live_bytes)
        .collect();
    held.sort_unstable();
    assert_eq!(held.len(), 12, "{snapshot}");
    for (connection, held) in held.iter().enumerate() {
        let body = server::body_of(connection) as u64;
        assert!((body..body + AROUND).contains(held), "connection {connection}: {body} {held}");
    }
    let named = snapshot.tasks().iter().filter(|task| task.live_bytes >= 100 * 1024);
    assert!(
        named.clone().all(|task| task.name.contains("hyper") || task.name.contains("axum")),
        "{snapshot:#}"
    );
    let of_tasks: u64 = snapshot.tasks().iter().map(|task| task.live_bytes).sum();
    let unnamed = snapshot.tool().unnamed_bytes;
    assert!(unnamed * 20 <= of_tasks, "{unnamed} bytes of {of_tasks} have no name\n{snapshot:#}");
    let is_odd = |name: &str| ["Condvar", "parking_lot", "Map<"].iter().any(|it| name.contains(it));
    assert!(!snapshot.sites().iter().any(|site| is_odd(&site.name)), "{snapshot:#}");
    drop(runtime);
    let after = conserved(&ALLOCATOR);
    assert!(after.tasks().iter().all(|task| task.live_bytes < 100 * 1024), "{after}");
}
