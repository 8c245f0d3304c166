//! The same work for each executor, and what its row says at each step.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures::channel::oneshot;
use memscope_rs::async_memory::{MemorySnapshot, TaskId, TaskState, Tracked};
use memscope_tests::{Columns, Meter, conserved_when, cost_of_a_panic, row};
use pin_project_lite::pin_project;

use super::ALLOCATOR;

const HELD: u64 = 10_000;
const PASSING: u64 = 70_000;

/// The row of [`hold`] while it waits.
pub(crate) const WAITING: Columns = Columns {
    state: TaskState::Idle,
    poll_count: 1,
    live_bytes: HELD,
    live_blocks: 1,
    peak_bytes: HELD + PASSING,
    allocated_bytes: HELD + PASSING,
    allocation_count: 2,
    freed_bytes: PASSING,
    freed_elsewhere_bytes: 0,
};

/// The row of [`hold`] when it has freed all it had.
pub(crate) fn ended(state: TaskState, poll_count: u64) -> Columns {
    Columns {
        state,
        poll_count,
        live_bytes: 0,
        live_blocks: 0,
        freed_bytes: WAITING.allocated_bytes,
        ..WAITING
    }
}

pub(crate) fn completed() -> Columns {
    ended(TaskState::Completed, 2)
}

pub(crate) fn cancelled() -> Columns {
    ended(TaskState::Cancelled, 1)
}

/// The row of [`panic_after`]: the code that catches the panic frees the panic's own memory.
pub(crate) fn panicked() -> Columns {
    let panic = cost_of_a_panic(|| panic!("wanted: on an executor"));
    Columns {
        allocated_bytes: WAITING.allocated_bytes + panic.allocated_bytes,
        allocation_count: WAITING.allocation_count + panic.allocations,
        freed_bytes: WAITING.allocated_bytes + panic.allocated_bytes,
        freed_elsewhere_bytes: panic.allocated_bytes,
        ..ended(TaskState::Panicked, 2)
    }
}

pub(crate) type Gate = oneshot::Sender<()>;

/// Opens the gate of a task that waits.
pub(crate) fn open(gate: Gate) {
    gate.send(()).expect("a task waits");
}

/// Has held 80,000 bytes and holds 10,000 while it waits.
pub(crate) fn hold() -> (Gate, impl Future<Output = usize> + Send + 'static) {
    let (gate, opened) = oneshot::channel();
    let future = async move {
        let held = vec![1u8; usize::try_from(HELD).expect("small")];
        drop(vec![1u8; usize::try_from(PASSING).expect("small")]);
        opened.await.ok();
        held.len()
    };
    (gate, future)
}

/// [`hold`] that must stay on its thread.
pub(crate) fn hold_here() -> (Gate, impl Future<Output = usize> + 'static) {
    let (gate, holding) = hold();
    // Made outside of the task, so that it is not the task's.
    let polls = Rc::new(Cell::new(0));
    let mut holding = Box::pin(holding);
    let future = std::future::poll_fn(move |context| {
        polls.set(polls.get() + 1);
        holding.as_mut().poll(context)
    });
    (gate, future)
}

/// [`hold`] that panics in the end.
pub(crate) fn panic_after() -> (Gate, impl Future<Output = usize> + Send + 'static) {
    let (gate, holding) = hold();
    let future = async move {
        holding.await;
        panic!("wanted: on an executor");
    };
    (gate, future)
}

pub(crate) fn id_of<F>(task: &Tracked<F>) -> TaskId {
    task.id().expect("an id")
}

/// Waits until the task is in this state after this many polls, and compares its row.
#[track_caller]
pub(crate) fn becomes(id: TaskId, truth: Columns) -> MemorySnapshot {
    let snapshot = conserved_when(&ALLOCATOR, |snapshot| {
        let row = row(snapshot, id);
        (row.state, row.poll_count) == (truth.state, truth.poll_count)
    });
    assert_eq!(Columns::of(row(&snapshot, id)), truth);
    snapshot
}

pin_project! {
    /// Counts what its thread allocates and frees in its polls: the truth for a task that works
    /// with things of unknown size.
    pub(crate) struct Metered<F> {
        #[pin]
        future: F,
        spent: Spent,
    }
}

/// Bytes and blocks allocated.
pub(crate) type Spent = Arc<Mutex<(u64, u64)>>;

pub(crate) fn metered<F>(future: F) -> (Spent, Metered<F>) {
    let spent = Spent::default();
    (Arc::clone(&spent), Metered { future, spent })
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let (meter, poll) = Meter::of(|| this.future.poll(context));
        let mut spent = this.spent.lock().expect("no panic");
        spent.0 += meter.allocated_bytes;
        spent.1 += meter.allocations;
        poll
    }
}

/// What a row says of the same.
pub(crate) fn spent(snapshot: &MemorySnapshot, id: TaskId) -> (u64, u64) {
    let row = row(snapshot, id);
    (row.allocated_bytes, row.allocation_count)
}
