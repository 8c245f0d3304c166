//! Decides when a report takes the graph of the heap: while something looks lost or rises, and not
//! too often.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use super::name::Occasion;
use crate::{
    alloc::warn,
    heap_graph::heap_graph_of_report,
    model::HeapGraph,
    primitives::{clock, start_bits},
    snapshot::MemorySnapshot,
};

/// The least time between two graphs of periodic reports.
const LEAST_PAUSE: Duration = Duration::from_mins(1);
/// The pause is at least this many times as long as the last graph took: a fiftieth of one core.
const PAUSE_TIMES: u64 = 50;
/// The most roots, and kinds of lost blocks, that a report keeps: the largest.
const MOST_ROWS: usize = 64;

/// The time from which on a periodic report may take a graph again.
static NEXT_NS: AtomicU64 = AtomicU64::new(0);

/// Adds the graph of the heap to the snapshot of a report, if the program lists its blocks, and
/// anything looks lost or rises.
///
/// Reports of panics, of signals and near the limit of memory take no graph. There the thread has
/// to go on, the process is about to end, or there is no memory for the copy. `heap_graph` may also
/// refuse.
pub(super) fn add(snapshot: MemorySnapshot, occasion: Occasion) -> MemorySnapshot {
    let now = clock::now_ns();
    let is_due = match occasion {
        Occasion::Exit | Occasion::Guard => true,
        Occasion::Periodic => now >= NEXT_NS.load(Ordering::Relaxed),
        Occasion::Panic | Occasion::Pressure | Occasion::Signal => false,
    };
    if !is_due || !start_bits::is_on() || !snapshot.leaks().concern_live_memory() {
        return snapshot;
    }
    let graph = heap_graph_of_report();
    let taken_ns = graph.as_ref().map_or(0, |graph| graph.taken_ns);
    let least = u64::try_from(LEAST_PAUSE.as_nanos()).unwrap_or(u64::MAX);
    let pause = least.max(taken_ns.saturating_mul(PAUSE_TIMES));
    NEXT_NS.store(now.saturating_add(pause), Ordering::Relaxed);
    match graph {
        Ok(graph) => snapshot.with_heap_graph(largest(graph)),
        Err(error) => {
            static SAID: AtomicBool = AtomicBool::new(false);
            if !SAID.swap(true, Ordering::Relaxed) {
                warn(format_args!("the report does not say what holds the memory: {error}"));
            }
            snapshot
        }
    }
}

/// The graph without its smaller rows.
fn largest(mut graph: HeapGraph) -> HeapGraph {
    graph.roots.truncate(MOST_ROWS);
    graph.unreachable.truncate(MOST_ROWS);
    graph
}
