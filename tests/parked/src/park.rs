//! Spawns the tasks of the cases, and keeps which task is which case.

use std::{
    future::{Future, pending},
    panic::Location,
    sync::{Mutex, PoisonError, mpsc},
    thread,
};

use memscope_rs::async_memory::spawn_tracked;
use tokio::task::{Id, LocalSet, spawn_local};

/// A task that is parked, and where its case stands.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    /// The number that Tokio has given the task.
    pub(crate) task: u64,
    /// Whether the task was spawned as a tracked one.
    pub(crate) is_tracked: bool,
}

static PARKED: Mutex<Vec<Parked>> = Mutex::new(Vec::new());

fn add(name: &'static str, at: &Location<'static>, task: Id, is_tracked: bool) {
    let task = task.to_string().parse().expect("a number");
    let parked = Parked { name, file: at.file(), line: at.line(), task, is_tracked };
    PARKED.lock().unwrap_or_else(PoisonError::into_inner).push(parked);
}

/// The cases that were registered so far.
pub(crate) fn all() -> Vec<Parked> {
    PARKED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A case whose task is this future, in a plain `tokio::spawn`. Without `inline(never)` the
/// functions that spawn the cases take minutes to compile.
#[track_caller]
#[inline(never)]
pub(crate) fn parks<F>(name: &'static str, future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    add(name, Location::caller(), tokio::spawn(future).id(), false);
}

/// A case whose task is this future, in `spawn_tracked`.
#[track_caller]
#[inline(never)]
pub(crate) fn tracked<F>(name: &'static str, future: F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    add(name, Location::caller(), spawn_tracked(future).id(), true);
}

/// A case whose task is this future, in `spawn_local`.
#[track_caller]
#[inline(never)]
pub(crate) fn local<F>(name: &'static str, future: F)
where
    F: Future + 'static,
    F::Output: 'static,
{
    add(name, Location::caller(), spawn_local(future).id(), false);
}

/// A case whose task has this id.
#[track_caller]
pub(crate) fn is(name: &'static str, task: Id) {
    add(name, Location::caller(), task, false);
}

/// A case whose task calls this: one that a library has spawned, or that another case is about.
#[track_caller]
pub(crate) fn here(name: &'static str) {
    add(name, Location::caller(), tokio::task::id(), false);
}

/// Runs the function in the local set of a thread, and returns when it has spawned its tasks. The
/// thread goes on with the tasks.
pub(crate) fn on_local_set(spawn: impl FnOnce() + Send + 'static) {
    on_thread(move |started| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        LocalSet::new().block_on(&runtime.expect("a runtime"), async {
            spawn();
            started.send(()).expect("the other thread waits");
            pending::<()>().await;
        });
    });
}

/// Runs the function on a thread, and returns when it has sent something.
pub(crate) fn on_thread(run: impl FnOnce(mpsc::Sender<()>) + Send + 'static) {
    let (started, is_started) = mpsc::channel();
    thread::spawn(move || run(started));
    is_started.recv().expect("the thread starts");
}

/// Waits for ever, for anything.
pub(crate) async fn leaf<T>() -> T {
    pending().await
}
/// The line at which [`leaf`] waits.
pub(crate) const LEAF: u32 = line!() - 3;

/// Is pending once.
pub(crate) async fn turn() {
    tokio::task::yield_now().await;
}
