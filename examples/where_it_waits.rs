//! Where tasks wait: compares a report about hundreds of tasks at known `.await`s with the truth.
//!
//! `cargo run --features layout --example where_it_waits`, or with `--release` and `debug = 2`.
//! With `-- FILE` it writes a dump of its tasks there, as JSON, and compares nothing.
#![expect(clippy::print_stdout, reason = "the report is its output")]

use std::{
    collections::BTreeMap, env, error::Error, ffi::OsString, fs, future::Future, hint::black_box,
    pin::Pin, sync::Arc, time::Duration,
};

use memscope_rs::{
    Timing,
    analysis::LeakOptions,
    async_memory::{AwaitPoints, MemorySnapshot, get_memory_snapshot, task_dump},
    builder, tracked,
};
use tokio::sync::{Mutex, Notify, Semaphore};

const CONNECTIONS: u32 = 20;

/// The shared state of the service.
struct Service {
    pool: Semaphore,
    index: Mutex<u64>,
    answers: Notify,
}

/// Lines of this file in a backtrace, outermost first, and the number of tasks that wait there.
type Truth = BTreeMap<Vec<u32>, u64>;

const QUERY: u32 = line!() + 4;
/// Waits for an answer, and keeps a buffer that could be on the heap.
async fn query(service: &Service) -> usize {
    let page = [0_u8; 4_096];
    service.answers.notified().await;
    black_box(&page).len()
}

const CONNECTION: u32 = line!() + 3;
/// Waits for one of a few connections.
async fn with_connection(service: &Service) -> usize {
    let connection = service.pool.acquire().await;
    let rows = query(service).await;
    drop(connection);
    rows
}

const HANDLER: u32 = line!() + 5;
#[tracked]
async fn handler(service: Arc<Service>, size: usize) -> usize {
    let body = vec![0_u8; size];
    // All handlers wait below this line: most for a connection, some for an answer.
    with_connection(&service).await + body.len()
}

/// A future of unknown type, as from a plugin.
fn plugin(service: &Service) -> Pin<Box<dyn Future<Output = u64> + Send + '_>> {
    Box::pin(count(service))
}

const COUNT: u32 = line!() + 3;
/// Waits for a lock that another task holds.
async fn count(service: &Service) -> u64 {
    let mut index = service.index.lock().await;
    *index += 1;
    *index
}

const PLUGIN: u32 = line!() + 4;
#[tracked]
async fn with_plugin(service: Arc<Service>) -> u64 {
    let before = vec![0_u8; 2_048];
    plugin(&service).await + before.len() as u64
}

const EITHER: u32 = line!() + 5;
/// Waits for two futures at a time, of which one has a backtrace.
#[tracked]
async fn either(service: Arc<Service>) {
    let (one, other) = (service.answers.notified(), query(&service));
    futures_of_two(one, other).await;
}

const SELECT: u32 = line!() + 3;
/// Polls both in one future, as the macros `select!` and `join!` do.
async fn futures_of_two(one: impl Future<Output = ()>, other: impl Future<Output = usize>) {
    tokio::select! {
        () = one => {}
        _ = other => {}
    }
}

/// Starts the tasks. While the lock is held, each stays where its first poll has brought it.
fn start(service: &Arc<Service>) -> Truth {
    for size in 0..300 {
        tokio::spawn(handler(Arc::clone(service), 1_000 + size));
    }
    for _ in 0..120 {
        tokio::spawn(with_plugin(Arc::clone(service)));
    }
    for _ in 0..80 {
        tokio::spawn(either(Arc::clone(service)));
    }
    [
        (vec![HANDLER, CONNECTION, 0], 300 - u64::from(CONNECTIONS)),
        (vec![HANDLER, CONNECTION + 1, QUERY], u64::from(CONNECTIONS)),
        (vec![PLUGIN, COUNT, 0], 120),
        (vec![EITHER, SELECT, QUERY], 80),
    ]
    .into()
}

/// Takes snapshots until one is right, or half a minute is over. Usually, all tasks have been
/// polled at the first one. A busy machine takes a few more turns.
async fn snapshot_when(is_right: impl Fn(&MemorySnapshot) -> bool) -> MemorySnapshot {
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let snapshot = get_memory_snapshot();
        if is_right(&snapshot) {
            return snapshot;
        }
    }
    get_memory_snapshot()
}

/// Returns the report's rows in the same form. 0 stands for lines of other files.
fn rows(snapshot: &MemorySnapshot) -> Truth {
    let mut rows = Truth::new();
    for point in snapshot.await_points() {
        let line = |file: &str, line| if file.ends_with("where_it_waits.rs") { line } else { 0 };
        let mut lines: Vec<u32> =
            point.frames.iter().map(|frame| line(&frame.file, frame.line)).collect();
        // The number of Tokio's functions above its semaphore may change, so they count as one.
        lines.dedup_by_key(|line| if *line == 0 { u32::MAX } else { *line });
        *rows.entry(lines).or_default() += point.tasks;
    }
    rows
}

/// Writes a dump of all tasks once each of them waits.
async fn dump_into(file: OsString, tasks: u64) -> Result<(), Box<dyn Error>> {
    let polled = |snapshot: &MemorySnapshot| {
        snapshot.tasks().iter().map(|task| u64::from(task.poll_count > 0)).sum::<u64>()
    };
    snapshot_when(|snapshot| polled(snapshot) == tasks).await;
    let dump = tokio::task::spawn_blocking(task_dump).await??;
    fs::write(&file, serde_json::to_vec(&dump)?)?;
    println!("a dump of {tasks} tasks is in {}", file.display());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args_os().nth(1);
    builder().await_points(file.is_none()).timing(Timing::EveryTask).init()?;
    if let (AwaitPoints::Unavailable(why), None) =
        (get_memory_snapshot().await_points_measured(), &file)
    {
        println!("nothing to compare: {why}");
        return Ok(());
    }
    let service = Arc::new(Service {
        pool: Semaphore::new(CONNECTIONS as usize),
        index: Mutex::new(0),
        answers: Notify::new(),
    });
    let held = service.index.lock().await;
    let truth = start(&service);
    let tasks = truth.values().sum();
    if let Some(file) = file {
        return dump_into(file, tasks).await;
    }
    let snapshot = snapshot_when(|snapshot| rows(snapshot) == truth).await;
    drop(held);
    println!("{snapshot}");
    println!("{}", snapshot.leaks_with(&LeakOptions::new().stuck_after(Duration::ZERO)));
    assert_eq!(rows(&snapshot), truth, "\n{:#?}", snapshot.await_points());
    println!("every row equals the truth: {tasks} tasks");
    Ok(())
}
