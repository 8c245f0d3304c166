//! What a service is, and the frame that runs each of them.

use std::{
    env,
    future::Future,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use memscope_rs::{
    __private::look_up_names,
    analysis::{Leak, Leaks, Severity},
    async_memory::{MemorySnapshot, get_memory_snapshot, heap_graph, track},
};
use tokio::task::JoinHandle;

use crate::{Fault, SHOW, clock};

/// A small program that runs for ten minutes of its own time.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// What must be found; `None`: it is healthy.
    pub(crate) fault: Option<Fault>,
    /// How it is run.
    pub(crate) modes: &'static [Mode],
    pub(crate) run: fn(Mode) -> Pin<Box<dyn Future<Output = Leaks>>>,
}

/// The services of a module that have a fault, each a function of it: what it is, what must be found
/// at which site, the cause and words of its cure, and of what holds it.
macro_rules! faults {
    ($all:ident in $module:literal, $modes:expr; $($run:ident: $name:literal, $($kind:ident)|+ at $site:literal, $($cause:ident)|+: $cure:literal, $holder:literal;)*) => {
        pub(crate) const $all: &[$crate::service::Service] = &[$($crate::service::Service {
            name: $name,
            fault: Some($crate::Fault {
                kinds: &[$(::memscope_rs::analysis::LeakKind::$kind),+],
                site: $site,
                code: concat!($module, "::", stringify!($run)),
                source: include_str!(concat!($module, ".rs")),
                causes: &[$(::memscope_rs::analysis::LeakCause::$cause),+],
                cure: $cure,
                holder: $holder,
            }),
            modes: &$modes,
            run: |mode| Box::pin($run(mode)),
        },)*];
    };
}
pub(crate) use faults;

/// The services of a module that are healthy, each a function of it.
macro_rules! healthy {
    ($all:ident, $modes:expr; $($run:ident: $name:literal;)*) => {
        pub(crate) const $all: &[$crate::service::Service] = &[$($crate::service::Service {
            name: $name,
            fault: None,
            modes: &$modes,
            run: |mode| Box::pin($run(mode)),
        },)*];
    };
}
pub(crate) use healthy;

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

/// Whether the service that runs has no fault.
pub(crate) static IS_HEALTHY: AtomicBool = AtomicBool::new(false);
/// What was found above *low* in a healthy service, after any of its rounds.
pub(crate) static ALARMS: Mutex<Vec<Leak>> = Mutex::new(Vec::new());

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
        if IS_HEALTHY.load(Ordering::Relaxed) {
            // It is healthy at any length of observation.
            let alarms = named().leaks().into_iter().filter(|leak| leak.severity > Severity::Low);
            lock(&ALARMS).extend(alarms);
        }
    }
}

/// Has tasks of three sites run one after the other, 50 of each in a round. Each gets its number.
pub(crate) async fn three_sites<L, S, O>(
    mode: Mode,
    login: impl Fn(usize) -> L,
    search: impl Fn(usize) -> S,
    order: impl Fn(usize) -> O,
) where
    L: Future<Output = ()> + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
    O: Future<Output = ()> + Send + 'static,
{
    rounds(async |round| {
        for number in 0..50 {
            let number = 3 * (50 * round + number);
            mode.spawn("login", login(number)).await.expect("no panic");
            mode.spawn("search", search(number + 1)).await.expect("no panic");
            mode.spawn("order", order(number + 2)).await.expect("no panic");
        }
    })
    .await;
}

/// Takes a snapshot that has the names of all tasks. Memscope's own thread would find them in the
/// machine's time, and until then their bytes are of another site.
fn look() -> MemorySnapshot {
    while look_up_names() != 0 {}
    get_memory_snapshot()
}

/// Takes a snapshot that has the names of all functions as well.
fn named() -> MemorySnapshot {
    let mut snapshot = look();
    while snapshot.stack_names_pending() != 0 {
        snapshot = look();
    }
    snapshot
}

/// The findings; with the graph of the heap if it is on.
pub(crate) fn judge() -> Leaks {
    let mut snapshot = named();
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
