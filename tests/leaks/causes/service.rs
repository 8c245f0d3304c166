//! What a service is, and the frame that runs each of them.

use std::{
    env,
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use memscope_rs::{
    analysis::{LeakOptions, Leaks},
    async_memory::{get_memory_snapshot, heap_graph, track},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use crate::{Fault, SHOW};

/// A small program that runs for about a second.
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
const ROUND: Duration = Duration::from_millis(60);

/// Does the work of each round and waits until its time is over. It looks in each round, as a
/// periodic report does.
pub(crate) async fn rounds(mut work: impl AsyncFnMut(usize)) {
    for round in 0..ROUNDS {
        let end = Instant::now() + ROUND;
        work(round).await;
        sleep_until(end).await;
        get_memory_snapshot();
    }
}

/// The findings, in a time in which 100 ms are a minute; with the graph of the heap if it is on.
pub(crate) fn judge() -> Leaks {
    let mut snapshot = get_memory_snapshot();
    if env::var("MEMSCOPE_HOLDERS").is_ok_and(|it| it == "on") && HAS_GRAPHS {
        snapshot = snapshot.with_heap_graph(heap_graph().expect("a graph"));
    }
    if env::var(SHOW).is_ok() {
        println!("{snapshot}");
    }
    snapshot.leaks_with(&LeakOptions::new().patience(Duration::from_millis(100)))
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
