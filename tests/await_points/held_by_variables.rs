//! The graph of the heap names the variable of a waiting task through which most is held.

use std::{future::pending, hint::black_box, sync::Arc};

use memscope_rs::async_memory::{HeapGraph, HeldBy, RootKind, heap_graph, spawn_tracked};
use memscope_tests::{cells_learned, clear_stack as clear, programs::is_with_variable};
use tokio::{runtime::Runtime, sync::mpsc};

/// The bytes of each buffer, which no other blocks have.
const LOCAL: usize = 101_001;
const ARGUMENT: usize = 102_002;
const HANDED_ON: usize = 103_003;
const BOXED: usize = 104_004;
const SHARED: usize = 105_005;
const BORROWED: usize = 106_006;
const SMALL: usize = 107;
const IN_LARGE: usize = 108_008;
const GUARDED: usize = 59_009;

type Waiting = mpsc::Sender<()>;

async fn has_local(waiting: Waiting) {
    clear();
    let frames = vec![1_u8; LOCAL];
    let few = vec![1_u8; SMALL];
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    drop((black_box(frames), few));
}

async fn has_argument(body: Vec<u8>, waiting: Waiting) {
    clear();
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    drop(black_box(body));
}

/// The words of `request` stay where it was.
async fn hands_on(request: Vec<u8>, waiting: Waiting) {
    clear();
    receives(request, waiting).await;
}

async fn receives(received: Vec<u8>, waiting: Waiting) {
    clear();
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    drop(black_box(received));
}

async fn lends(waiting: Waiting) {
    clear();
    let owned = vec![1_u8; BORROWED];
    borrows(&owned, waiting).await;
    drop(black_box(owned));
}

async fn borrows(lent: &[u8], waiting: Waiting) {
    clear();
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    black_box(lent);
}

/// The guard of the lock, in the innermost function, points into the block of the `Arc`.
#[expect(clippy::large_stack_arrays, reason = "the lock guards it in place")]
async fn locks(waiting: Waiting) {
    clear();
    let state = Arc::new(tokio::sync::Mutex::new([1_u8; GUARDED]));
    with_guard(state.lock().await, waiting).await;
    drop(state);
}

async fn with_guard(guard: tokio::sync::MutexGuard<'_, [u8; GUARDED]>, waiting: Waiting) {
    clear();
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    black_box(&*guard);
}

#[expect(clippy::large_stack_arrays, reason = "a future of that size is what is tested")]
async fn has_large(waiting: Waiting) {
    clear();
    let table = [7_u8; 40_000];
    let rows = vec![1_u8; IN_LARGE];
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    black_box(&table);
    drop(black_box(rows));
}

async fn shares(shared: Arc<Vec<u8>>, waiting: Waiting) {
    clear();
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    drop(black_box(shared));
}

/// The task that has a block of this many bytes on its way down.
fn task(graph: &HeapGraph, bytes: usize) -> &HeldBy {
    let has = |root: &&HeldBy| {
        let mut sizes = root.largest.iter().map(|step| step.own_bytes);
        root.kind == RootKind::Task && sizes.any(|it| it == bytes as u64)
    };
    let mut found = graph.roots.iter().filter(has);
    let task = found.next().unwrap_or_else(|| panic!("no task with {bytes}: {graph:#}"));
    assert!(found.next().is_none(), "{graph:#}");
    task
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn a_task_says_through_which_variable_it_holds_most() {
    if !is_with_variable("MEMSCOPE_HOLDERS", "on") {
        return;
    }
    cells_learned();
    let runtime = runtime();
    let shared = Arc::new(vec![1_u8; SHARED]);
    let (waiting, mut waits) = mpsc::channel(1);
    let graph = runtime.block_on(async {
        let send = || {
            clear();
            waiting.clone()
        };
        tokio::spawn(has_local(send()));
        drop(spawn_tracked(has_argument(vec![1; ARGUMENT], send())));
        tokio::spawn(Box::pin(has_argument(vec![1; BOXED], send())));
        tokio::spawn(hands_on(vec![1; HANDED_ON], send()));
        tokio::spawn(lends(send()));
        tokio::spawn(has_large(send()));
        tokio::spawn(locks(send()));
        for _ in 0..2 {
            tokio::spawn(shares(Arc::clone(&shared), send()));
        }
        for _ in 0..9 {
            waits.recv().await.expect("sent");
        }
        // All wait after that.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tokio::task::spawn_blocking(heap_graph).await.expect("no panic").expect("a graph")
    });
    let alone: u64 = graph.roots.iter().map(|root| root.retained_bytes).sum();
    assert_eq!(graph.bytes, alone + graph.shared_bytes + graph.unreachable_bytes(), "{graph}");
    for (bytes, variable, at) in [
        (LOCAL, "frames", "let frames"),
        (ARGUMENT, "body", "has_argument(body"),
        (HANDED_ON, "received", "receives(received"),
        (BOXED, "body", "has_argument(body"),
        (BORROWED, "owned", "let owned"),
        (IN_LARGE, "rows", "let rows"),
    ] {
        let row = task(&graph, bytes);
        assert_eq!(row.variable.as_deref(), Some(variable), "{bytes}: {row:#?}");
        let file = row.variable_file.as_deref().unwrap_or_default();
        assert!(file.ends_with("tests/await_points/held_by_variables.rs"), "{row:#?}");
        let line = row.variable_line.and_then(|line| usize::try_from(line).ok()).expect("a line");
        let source = include_str!("held_by_variables.rs").lines().nth(line - 1).expect("it has");
        assert!(source.contains(at), "{bytes}: line {line}: {source}");
    }
    let locks = graph.roots.iter().find(|row| row.name.ends_with("::locks")).expect("its row");
    assert_eq!(locks.variable.as_deref(), Some("state"), "{locks:#?}");
    let with_shared = |row: &&HeldBy| row.variable.as_deref() == Some("shared");
    assert_eq!(graph.roots.iter().filter(with_shared).count(), 0, "none holds it alone: {graph}");
    let text = graph.to_string();
    let has_frames = |line: &str| line.contains(" frames ") && line.contains("_variables.rs:");
    assert!(text.lines().any(has_frames), "{text}");
    drop(shared);
}
