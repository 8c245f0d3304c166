//! What a service is, and the frame that runs each of them.

use std::{
    env,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use memscope_rs::{
    __private::look_up_names,
    analysis::Leaks,
    async_memory::{MemorySnapshot, get_memory_snapshot, heap_graph, track},
};
use tokio::task::JoinHandle;

use crate::{Fault, SHOW, clock};

/// A small program that runs for ten minutes of its own time.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// What must be found; `None`: it is healthy.
    pub(crate) fault: Option<Fault>,
    pub(crate) run: fn(Mode) -> Pin<Box<dyn Future<Output = Leaks>>>,
}

/// Whether tasks are annotated.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Bare,
    Annotated,
    /// Without annotations, and with the graph of the heap.
    Held,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::Annotated, Self::Held];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Annotated => "annotated",
            Self::Held => "held",
        }
    }

    /// Spawns a task, with a row of this name or without any annotation.
    pub(crate) fn spawn<T: Send + 'static>(
        self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        match self {
            Self::Bare | Self::Held => tokio::spawn(work),
            Self::Annotated => track(work).named(name).spawn(),
        }
    }
}

/// Elsewhere there are no graphs of the heap.
pub(crate) const HAS_GRAPHS: bool = cfg!(all(target_os = "linux", target_pointer_width = "64"));

const ROUNDS: usize = 16;
/// A round is 36 seconds of the service's time, and all of them are nearly ten minutes.
const BEATS: u64 = 60;

/// Does the work of each round, and lets its time go by. It looks in each round, as a periodic
/// report does. At the end the service is at rest.
pub(crate) async fn rounds(mut work: impl AsyncFnMut(usize)) {
    for round in 0..ROUNDS {
        work(round).await;
        clock::pass(BEATS);
        look();
    }
}

/// Takes a snapshot that has the names of all tasks. Memscope's own thread would find them in the
/// machine's time, and until then their bytes are of another site.
fn look() -> MemorySnapshot {
    while look_up_names() != 0 {}
    get_memory_snapshot()
}

/// The findings; with the graph of the heap if it is on.
pub(crate) fn judge() -> Leaks {
    let mut snapshot = look();
    while snapshot.stack_names_pending() != 0 {
        snapshot = look();
    }
    if env::var("MEMSCOPE_HOLDERS").is_ok_and(|it| it == "on") && HAS_GRAPHS {
        snapshot = snapshot.with_heap_graph(heap_graph().expect("a graph"));
    }
    if env::var(SHOW).is_ok() {
        println!("{snapshot}");
    }
    snapshot.leaks()
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
