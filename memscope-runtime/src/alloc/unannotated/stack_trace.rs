//! The stack of an unannotated task in one of its polls.

use std::sync::atomic::AtomicUsize;

use super::type_names;
use crate::{
    alloc::{cells::CellType, unannotated},
    primitives::{
        HasLinks, Links, Slab, StaticRef, Zeroed,
        sync::{AtomicU64, Ordering},
        unwind,
    },
};

const FRAMES: usize = 192;
/// The most traces that wait to be named. Further ones are not taken.
const MOST_WAITING: u32 = 64;

/// Return addresses, innermost first.
#[derive(Debug)]
struct Trace {
    /// The id of the record; 0 if there is no trace, or it is being written.
    id: AtomicU64,
    tokio_id: AtomicU64,
    frames: [AtomicUsize; FRAMES],
    /// The functions that the calls name; 0 if a call names none.
    callees: [AtomicUsize; FRAMES],
    /// The type of the task, once its cell was read.
    kind: StaticRef<CellType>,
    links: Links,
}

// SAFETY: atomics and a `StaticRef`, valid when zeroed.
unsafe impl Zeroed for Trace {}

impl HasLinks for Trace {
    fn links(&self) -> &Links {
        &self.links
    }
}

static TRACES: Slab<Trace> = Slab::new();

/// Captures the stack of the thread. Called in the allocator.
#[cold]
#[inline(never)]
pub(crate) fn take(tokio_id: u64, id: u64) {
    let Some(trace) = TRACES.take_up_to(MOST_WAITING) else { return };
    let count = unwind::frames(&trace.frames);
    for (frame, callee) in trace.frames.iter().zip(&trace.callees).take(count) {
        // SAFETY: this thread has just found the address on its stack.
        let function = unsafe { unwind::direct_callee(frame.load(Ordering::Relaxed)) };
        callee.store(function, Ordering::Relaxed);
    }
    if let Some(end) = trace.frames.get(count) {
        end.store(0, Ordering::Relaxed);
    }
    trace.kind.clear();
    trace.tokio_id.store(tokio_id, Ordering::Relaxed);
    // Release: publishes the frames. Pairs with the Acquire in `waiting`.
    trace.id.store(id, Ordering::Release);
}

/// A call on a stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) address: usize,
    /// The function that it names; `None` if it goes through a pointer, or that is not known.
    pub(crate) callee: Option<usize>,
}

impl Trace {
    /// The calls on the stack, innermost first.
    fn calls(&self) -> impl Iterator<Item = Call> {
        let frames = self.frames.iter().map(|frame| frame.load(Ordering::Relaxed));
        let callees = self.callees.iter().map(|callee| callee.load(Ordering::Relaxed));
        frames.zip(callees).take_while(|(frame, _)| *frame != 0).map(|(frame, callee)| Call {
            // A return address is behind its call.
            address: frame - 1,
            callee: (callee != 0).then_some(callee),
        })
    }
}

/// The traces that wait to be named, with the ids of their records.
fn waiting() -> impl Iterator<Item = (u64, &'static Trace)> {
    TRACES.iter().filter_map(|trace| match trace.id.load(Ordering::Acquire) {
        0 => None,
        id => Some((id, trace)),
    })
}

/// Notes the type of the task with this record, if its stack waits to be named.
pub(crate) fn note_type(id: u64, kind: &'static CellType) {
    if let Some((_, trace)) = waiting().find(|(there, _)| *there == id) {
        trace.kind.set(kind);
    }
}

/// How many tasks wait for their names.
pub(crate) fn waiting_count() -> u64 {
    waiting().count() as u64
}

/// Visits the calls in all stacks that wait to be named.
pub(crate) fn each_waiting(visit: impl FnMut(Call)) {
    waiting().flat_map(|(_, trace)| trace.calls()).for_each(visit);
}

/// What the functions of a stack say of its task.
#[derive(Debug)]
pub(crate) enum Named {
    /// They name it. `is_of_type` says whether all tasks of its type run that function.
    By { name: String, is_of_type: bool },
    /// They do not name it.
    Never,
    /// The names of the functions were not looked up yet.
    NotYet,
}

/// Names the tasks whose stacks wait to be named, by the calls on the stack, innermost first. Must
/// not be called in the allocator, and by one thread at a time.
pub(crate) fn name_waiting(name_of: impl Fn(&mut dyn Iterator<Item = Call>) -> Named) {
    for (id, trace) in waiting() {
        match name_of(&mut trace.calls()) {
            Named::NotYet => continue,
            Named::Never => {}
            Named::By { name, is_of_type } => {
                if let Some(kind) = trace.kind.get() {
                    type_names::name_type_of_stack(kind, &name, is_of_type);
                }
                unannotated::rename(trace.tokio_id.load(Ordering::Relaxed), id, &name);
            }
        }
        trace.id.store(0, Ordering::Relaxed);
        TRACES.put(trace);
    }
}
