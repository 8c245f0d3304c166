//! What a service of the corpus is, and the frame that runs each of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use memscope_rs::{
    analysis::{LeakKind, LeakOptions, Leaks},
    async_memory::{get_memory_snapshot, track},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// A small program that runs for about a second.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    /// What must be found; `None`: it is healthy.
    pub(crate) sickness: Option<Sickness>,
    pub(crate) run: fn() -> Pin<Box<dyn Future<Output = Leaks>>>,
}

/// The one finding that is right.
pub(crate) struct Sickness {
    pub(crate) kind: LeakKind,
    pub(crate) site: &'static str,
    pub(crate) variables: &'static [&'static str],
}

/// Snapshots that each service takes before the one that is judged.
pub(crate) const ROUNDS: usize = 12;
/// How long a round is at least.
const ROUND: Duration = Duration::from_millis(60);
const KIB: usize = 1024;

/// The same for all: everything as it is by default, but in a hurry.
fn options() -> LeakOptions {
    LeakOptions::new().patience(Duration::from_millis(300))
}

/// Does the work of each round, waits until its time is over, and takes a snapshot.
pub(crate) async fn rounds(mut work: impl AsyncFnMut(usize)) {
    for round in 0..ROUNDS {
        let end = Instant::now() + ROUND;
        work(round).await;
        sleep_until(end).await;
        get_memory_snapshot();
    }
}

/// Lets some time pass, with a look at it now and then.
pub(crate) async fn quiet(looks: usize) {
    for _ in 0..looks {
        sleep_until(Instant::now() + ROUND).await;
        get_memory_snapshot();
    }
}

pub(crate) fn judge() -> Leaks {
    get_memory_snapshot().leaks_with(&options())
}

/// Starts a task with a row.
pub(crate) fn start<T: Send + 'static>(
    name: &'static str,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    track(work).named(name).spawn()
}

/// Runs this many requests, eight at a time, each in a task of its own.
pub(crate) async fn requests<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    count: usize,
    mut request: impl FnMut(usize) -> F,
) {
    let mut first = 0;
    while first < count {
        let some: Vec<_> =
            (first..count.min(first + 8)).map(|number| start(name, request(number))).collect();
        first += some.len();
        for request in some {
            request.await.expect("no panic");
        }
    }
}

/// The harmless part of a request: it makes a page of about this size, waits for a moment, and
/// drops it.
pub(crate) async fn passing_work(kib: usize) {
    let page = vec![1u8; kib * KIB];
    tokio::task::yield_now().await;
    assert_eq!(page.len(), kib * KIB);
}

pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The generator of Sebastiano Vigna's `splitmix64`: the same requests every time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) >> 33).unwrap_or(0) % limit
    }
}
