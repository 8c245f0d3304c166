//! What tasks hold: each its own, whatever links tasks to each other, and none once it is over.

use std::{
    collections::HashSet,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use memscope_rs::async_memory::{
    HeapGraph, HeldBy, RootKind, get_memory_snapshot, heap_graph, spawn_tracked, track,
};
use memscope_tests::{cells_learned, clear_stack, programs::is_with_variable};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Whether this is the process with blocks listed from its first one on.
fn is_listed() -> bool {
    let is_listed = is_with_variable("MEMSCOPE_HOLDERS", "on");
    if is_listed {
        cells_learned();
    }
    is_listed
}

fn graph() -> HeapGraph {
    let graph = heap_graph().expect("a graph");
    let alone: u64 = graph.roots.iter().map(|root| root.retained_bytes).sum();
    assert_eq!(graph.bytes, alone + graph.shared_bytes + graph.unreachable_bytes(), "{graph}");
    graph
}

fn tasks(graph: &HeapGraph) -> impl Iterator<Item = &HeldBy> {
    graph.roots.iter().filter(|root| root.kind == RootKind::Task)
}

/// Tasks whose way down has a block of this size.
fn tasks_with(graph: &HeapGraph, bytes: u64) -> Vec<&HeldBy> {
    let has = |root: &&HeldBy| root.largest.iter().any(|step| step.own_bytes == bytes);
    tasks(graph).filter(has).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("it")
}

async fn session(bytes: usize, shared: Arc<Vec<u8>>, waits: mpsc::Sender<()>) {
    clear_stack();
    let buffer = vec![7_u8; bytes];
    waits.send(()).await.expect("received");
    tokio::time::sleep(Duration::from_hours(1)).await;
    drop((buffer, shared));
}

#[test]
fn each_task_holds_its_own_and_none_holds_another() {
    if !is_listed() {
        return;
    }
    let runtime = runtime();
    let shared = Arc::new(vec![1_u8; 5_000_000]);
    let (waits, mut is_waiting) = mpsc::channel(1);
    for number in 0..40 {
        clear_stack();
        let future = session(60_000, Arc::clone(&shared), waits.clone());
        if number % 2 == 0 {
            runtime.spawn(future);
        } else {
            runtime.block_on(async { drop(spawn_tracked(future)) });
        }
    }
    let held = Arc::downgrade(&shared);
    drop(shared);
    runtime.block_on(async {
        for _ in 0..40 {
            is_waiting.recv().await.expect("sent");
        }
    });
    let graph = graph();
    let sessions = tasks_with(&graph, 60_000);
    assert_eq!(sessions.len(), 40, "{graph:#}");
    for task in &sessions {
        assert!((60_000..62_000).contains(&task.retained_bytes), "{task:?}");
        assert!(task.reachable_bytes >= 5_060_000, "{task:?}");
    }
    let known = sessions.iter().filter(|task| task.task.is_some());
    assert_eq!(known.count(), 40, "all tasks have their ids");
    assert!(graph.shared.iter().any(|step| step.retained_bytes >= 5_000_000), "{graph}");
    assert_eq!(held.strong_count(), 40);
    drop(runtime);
}

/// What both kinds of tasks share is the runtime, and that holds none of theirs.
#[test]
fn a_runtime_is_a_root_and_each_task_has_its_id_and_name() {
    if !is_listed() {
        return;
    }
    let runtime = runtime();
    let shared = Arc::new(Vec::new());
    let (waits, mut is_waiting) = mpsc::channel(1);
    for number in 0..20_u32 {
        clear_stack();
        let future = session(123_456, Arc::clone(&shared), waits.clone());
        if number % 2 == 0 {
            runtime.spawn(future);
        } else {
            runtime.block_on(async { drop(track(future).named("session").spawn()) });
        }
        runtime.block_on(is_waiting.recv()).expect("sent");
    }
    let graph = graph();
    let runtimes = graph.roots.iter().filter(|root| root.kind == RootKind::Runtime);
    assert_eq!(runtimes.clone().count(), 1, "{graph}");
    assert!(runtimes.map(|root| root.reachable_bytes).sum::<u64>() < 123_456, "{graph}");
    let holders = || tasks(&graph).filter(|task| task.retained_bytes >= 123_456);
    let ids: HashSet<_> = holders().filter_map(|task| task.task).collect();
    assert_eq!((holders().count(), ids.len()), (20, 20), "{graph:#}");
    let snapshot = get_memory_snapshot();
    for root in holders() {
        let row = root.task.and_then(|task| snapshot.task(task)).expect("it lives");
        assert!(row.live_bytes >= 123_456, "{row:?}");
        assert!(root.name == row.name || root.name.starts_with("Tokio task"), "{root:?} {row:?}");
    }
    drop(runtime);
}

#[test]
fn a_finished_task_holds_nothing_and_its_handle_holds_its_output() {
    static HANDLE: Mutex<Option<JoinHandle<Vec<u8>>>> = Mutex::new(None);
    if !is_listed() {
        return;
    }
    let runtime = runtime();
    let handle = runtime.spawn(async { vec![9_u8; 3_210_000] });
    while !handle.is_finished() {
        std::thread::yield_now();
    }
    *HANDLE.lock().expect("no panic") = Some(handle);
    let graph = graph();
    assert_eq!(tasks_with(&graph, 3_210_000).len(), 0, "{graph}");
    assert!(tasks(&graph).all(|task| task.reachable_bytes < 3_210_000), "{graph}");
    // Not alone, maybe: what the worker has moved may have old words of the output.
    let holder = graph.roots.iter().find(|root| root.name.ends_with("::HANDLE"));
    assert!(holder.is_some_and(|root| root.reachable_bytes >= 3_210_000), "{graph}");
    drop(HANDLE.lock().expect("no panic").take());
}

#[test]
fn a_future_on_a_stack_is_held_by_the_stack() {
    if !is_listed() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it");
    let local = async {
        let state = vec![4_u8; 2_345_678];
        let graph = graph();
        assert_eq!(state.len(), 2_345_678);
        graph
    };
    let graph = runtime.block_on(local);
    let has = |root: &HeldBy| root.largest.iter().any(|step| step.own_bytes == 2_345_678);
    let root = graph.roots.iter().find(|root| has(root)).unwrap_or_else(|| panic!("{graph:#}"));
    assert_eq!(root.kind, RootKind::Stack);
}

#[test]
fn what_is_in_a_channel_is_held_by_the_task_that_receives() {
    if !is_listed() {
        return;
    }
    let runtime = runtime();
    let (into, mut from) = mpsc::unbounded_channel::<Vec<u8>>();
    let (polled, is_polled) = oneshot::channel();
    runtime.spawn(track(async move {
        polled.send(()).expect("received");
        pending::<()>().await;
        let _ = from.recv().await;
    }));
    runtime.block_on(is_polled).expect("sent");
    (0..100).for_each(|_| into.send(vec![3; 11_111]).expect("open"));
    // The sender would hold the channel as well.
    drop(into);
    let graph = graph();
    let holders = tasks(&graph).filter(|task| task.retained_bytes >= 1_111_100);
    assert_eq!(holders.count(), 1, "{graph:#}");
}
