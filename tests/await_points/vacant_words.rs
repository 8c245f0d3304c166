//! In the graph of the heap, a waiting task holds what is alive in its future's state, and not what
//! its old words point to.

use std::{
    future::pending,
    hint::black_box,
    pin::Pin,
    sync::{Arc, Mutex},
};

use memscope_rs::async_memory::{HeapGraph, HeldBy, RootKind, heap_graph, spawn_tracked, track};
use memscope_tests::{cells_learned, clear_stack, programs::is_with_variable};
use tokio::{runtime::Runtime, sync::mpsc, task::JoinHandle};

/// The bytes of each buffer that a task gives away, which no other blocks have.
const PLAIN: usize = 201_001;
const TRACKED: usize = 202_002;
const BOXED: usize = 203_003;
const OBJECT: usize = 204_004;
const BELOW: usize = 205_005;
const OVER: usize = 206_006;
const LEFT: usize = 207_007;
const ALL: [usize; 7] = [PLAIN, TRACKED, BOXED, OBJECT, BELOW, OVER, LEFT];
/// The bytes that each task keeps.
const KEPT: usize = 50_050;

static GIVEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static HANDLES: Mutex<Vec<JoinHandle<usize>>> = Mutex::new(Vec::new());

type Waiting = mpsc::Sender<()>;

fn give(buffer: Vec<u8>) {
    GIVEN.lock().expect("no panic").push(buffer);
}

/// Has a buffer across an `.await`, gives it away, and waits once more. The words of the buffer
/// stay where they were, as nothing else is there in the last state.
async fn gives_away(bytes: usize, waiting: Waiting) {
    let kept = vec![2_u8; KEPT];
    {
        let buffer = vec![1_u8; bytes];
        tokio::task::yield_now().await;
        give(buffer);
    }
    waiting.send(()).await.expect("received");
    pending::<()>().await;
    drop(black_box(kept));
}

async fn calls(bytes: usize, waiting: Waiting) {
    gives_away(bytes, waiting).await;
}

async fn is_over(bytes: usize, waiting: Waiting) -> usize {
    {
        let buffer = vec![1_u8; bytes];
        tokio::task::yield_now().await;
        give(buffer);
    }
    waiting.send(()).await.expect("received");
    7
}

/// Its last state has no `.await` that keeps anything, but an enum that leads to two futures.
async fn left_or_right(is_left: bool, bytes: usize, waiting: Waiting) {
    let future = gives_away(bytes, waiting);
    if is_left { future.await } else { pending().await }
}

/// The argument leaves the address of its box behind, which is freed at the first `.await`.
async fn runs_a_box(job: Pin<Box<dyn Future<Output = ()> + Send>>, waiting: Waiting) {
    job.await;
    waiting.send(()).await.expect("received");
    pending::<()>().await;
}

/// A future of as many bytes as a list of [`BOXES`] addresses. It is over at once.
fn job() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async {
        let words = [7_usize; BOXES];
        tokio::task::yield_now().await;
        black_box(&words);
    })
}

/// The addresses in a list, and the bytes of what each leads to.
const BOXES: usize = 40;
const BOXED_EACH: usize = 3_003;

static LISTS: Mutex<Vec<Vec<Arc<[u8; BOXED_EACH]>>>> = Mutex::new(Vec::new());

/// The runtime of a test, in the process with blocks listed from its first one on.
fn listed() -> Option<Runtime> {
    if !is_with_variable("MEMSCOPE_HOLDERS", "on") {
        return None;
    }
    cells_learned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Some(runtime.expect("a runtime"))
}

async fn graph() -> HeapGraph {
    tokio::task::spawn_blocking(heap_graph).await.expect("no panic").expect("a graph")
}

#[test]
fn a_block_that_takes_the_place_of_a_boxed_future_holds_what_it_leads_to() {
    let Some(runtime) = listed() else { return };
    let (waiting, mut waits) = mpsc::channel(1);
    let graph = runtime.block_on(async {
        for _ in 0..6 {
            tokio::spawn(runs_a_box(job(), waiting.clone()));
        }
        for _ in 0..6 {
            waits.recv().await.expect("sent");
        }
        // As large as those that were freed, so that the allocator gives these.
        let size = size_of_val(&*job());
        for _ in 0..6 {
            let mut list = Vec::with_capacity(size / size_of::<usize>());
            list.extend((0..BOXES).map(|_| Arc::new([1_u8; BOXED_EACH])));
            LISTS.lock().expect("no panic").push(list);
        }
        clear_stack();
        graph().await
    });
    let lists = graph.roots.iter().find(|root| root.name.ends_with("::LISTS"));
    let lists = lists.unwrap_or_else(|| panic!("{graph:#}"));
    let expected = (6 * BOXES * BOXED_EACH) as u64;
    assert!(lists.reachable_bytes >= expected, "{lists:?} of {expected}: {graph:#}");
    let lost = graph.unreachable.iter().filter(|leak| leak.bytes >= BOXED_EACH as u64);
    assert_eq!(lost.count(), 0, "{graph:#}");
}

/// The roots that lead to a block of this many bytes, as far as they show their way down.
fn roots_with(graph: &HeapGraph, bytes: usize) -> Vec<&HeldBy> {
    let has = |root: &&HeldBy| root.largest.iter().any(|step| step.own_bytes == bytes as u64);
    graph.roots.iter().filter(has).collect()
}

#[test]
fn a_waiting_task_does_not_hold_what_it_gave_away() {
    let Some(runtime) = listed() else { return };
    let (waiting, mut waits) = mpsc::channel(1);
    let graph = runtime.block_on(async {
        let send = || {
            clear_stack();
            waiting.clone()
        };
        tokio::spawn(gives_away(PLAIN, send()));
        drop(spawn_tracked(gives_away(TRACKED, send())));
        tokio::spawn(track(Box::pin(gives_away(BOXED, send()))));
        let object: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(calls(OBJECT, send()));
        tokio::spawn(object);
        tokio::spawn(calls(BELOW, send()));
        let over = tokio::spawn(is_over(OVER, send()));
        HANDLES.lock().expect("no panic").push(over);
        tokio::spawn(left_or_right(true, LEFT, send()));
        for _ in ALL {
            waits.recv().await.expect("sent");
        }
        // All wait after that, or are over.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        clear_stack();
        graph().await
    });
    let given = graph.roots.iter().find(|root| root.name.ends_with("::GIVEN"));
    let given = given.unwrap_or_else(|| panic!("{graph:#}"));
    let expected: usize = ALL.iter().sum();
    assert!(given.retained_bytes >= expected as u64, "{given:?} of {expected}: {graph:#}");
    for bytes in ALL {
        let holders = roots_with(&graph, bytes);
        assert!(holders.iter().all(|root| root.name == given.name), "{bytes}: {holders:#?}");
    }
    let tasks = graph.roots.iter().filter(|root| root.kind == RootKind::Task);
    let keepers = tasks.filter(|task| task.retained_bytes >= KEPT as u64);
    assert_eq!(keepers.clone().count(), ALL.len() - 1, "what is alive is held: {graph:#}");
    for task in keepers {
        assert!(task.reachable_bytes < 100_000, "{task:?}");
    }
    let handles = graph.roots.iter().find(|root| root.name.ends_with("::HANDLES"));
    assert!(handles.is_some_and(|root| root.reachable_bytes < 10_000), "{handles:?}");
}
