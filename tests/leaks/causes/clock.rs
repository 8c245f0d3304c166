//! The time of a service. It goes by in beats, each of them once nothing of the service runs.
//!
//! So what happens in a minute of this time does not depend on the machine and its load.

use std::{
    future::{Future, poll_fn},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    thread,
    time::Duration,
};

use memscope_rs::__private::advance_clock;
use tokio::runtime::Handle;

use crate::service::lock;

/// What a beat is to memscope, whose clock is set forward by it.
const BEAT: Duration = Duration::from_millis(600);
/// No service has so many sleepers, so the list takes no memory while a service runs.
const MOST_SLEEPERS: usize = 256;

struct Clock {
    now: u64,
    sleepers: Vec<Sleeper>,
    parked_workers: usize,
    /// The service's own threads.
    threads: usize,
}

/// A task or a thread that waits for a beat.
struct Sleeper {
    until: u64,
    waker: Waker,
    is_thread: bool,
}

static CLOCK: Mutex<Clock> =
    Mutex::new(Clock { now: 0, sleepers: Vec::new(), parked_workers: 0, threads: 0 });
/// Told when a worker parks, and when a thread sleeps or ends.
static RESTS: Condvar = Condvar::new();

/// Must be called before the runtime is built.
pub(crate) fn start() {
    lock(&CLOCK).sleepers.reserve(MOST_SLEEPERS);
}

pub(crate) fn worker_parks() {
    lock(&CLOCK).parked_workers += 1;
    RESTS.notify_one();
}

pub(crate) fn worker_runs() {
    lock(&CLOCK).parked_workers -= 1;
}

/// Sleeps in a task.
pub(crate) async fn sleep(beats: u64) {
    until_later(beats, false).await;
}

/// Sleeps in a thread that [`spawn_thread`] started.
pub(crate) fn sleep_in_thread(beats: u64) {
    futures::executor::block_on(until_later(beats, true));
}

fn until_later(beats: u64, is_thread: bool) -> impl Future<Output = ()> {
    let until = lock(&CLOCK).now + beats;
    let mut is_listed = false;
    poll_fn(move |context| {
        let mut clock = lock(&CLOCK);
        if clock.now >= until {
            return Poll::Ready(());
        }
        if !is_listed {
            is_listed = true;
            clock.sleepers.push(Sleeper { until, waker: context.waker().clone(), is_thread });
            RESTS.notify_one();
        }
        Poll::Pending
    })
}

/// Starts a thread. The time stands still while it runs.
pub(crate) fn spawn_thread(work: impl FnOnce() + Send + 'static) {
    lock(&CLOCK).threads += 1;
    thread::spawn(move || {
        work();
        lock(&CLOCK).threads -= 1;
        RESTS.notify_one();
    });
}

/// Lets this many beats go by. Must be called by the thread of `block_on`, which is no worker. At
/// the end nothing of the service runs.
pub(crate) fn pass(beats: u64) {
    for _ in 0..beats {
        let mut clock = rest();
        clock.now += 1;
        advance_clock(BEAT);
        let now = clock.now;
        clock.sleepers.retain(|sleeper| {
            let sleeps = sleeper.until > now;
            if !sleeps {
                sleeper.waker.wake_by_ref();
            }
            sleeps
        });
    }
    drop(rest());
}

/// Waits until every worker is parked, no task is due, and every thread sleeps.
///
/// NOTE: a worker that is woken counts as parked until it runs. But it runs before it takes the
/// task out of the queue, and a task wakes others on its own worker.
fn rest() -> MutexGuard<'static, Clock> {
    let runtime = Handle::current().metrics();
    let works = |clock: &mut Clock| {
        let sleeping = clock.sleepers.iter().filter(|sleeper| sleeper.is_thread).count();
        runtime.global_queue_depth() != 0
            || clock.parked_workers != runtime.num_workers()
            || sleeping != clock.threads
    };
    RESTS.wait_while(lock(&CLOCK), works).unwrap_or_else(PoisonError::into_inner)
}
