//! The picture, and what is read in it.
#![allow(
    clippy::cast_possible_truncation,
    reason = "addresses have 64 bits here, and `child` checks that nodes have 32"
)]

mod wire;
mod threads;
mod bits;
mod blocks;
mod task_cells;
mod typed;
mod plan;
mod graph;
mod holdings;
mod leaks;
mod inquiry;
mod child;
#[cfg(all(feature = "layout", feature = "tokio"))]
mod variables;
mod rows;

use std::time::Instant;

use plan::Plan;

#[cfg(feature = "tokio")]
use crate::alloc::cells;
use crate::{
    alloc::own_work,
    model::{Error, HeapGraph},
    picture::{self, Asker, Channel, Picture},
    primitives::start_bits,
    snapshot::Sharing,
    symbols,
};

/// Callers that wait look about every millisecond: until a picture is done or given up.
static PICTURE: Sharing<Result<HeapGraph, Error>> = Sharing::patient(60_000);

pub(super) fn heap_graph(reads_layouts: bool) -> Result<HeapGraph, Error> {
    picture::shared(&PICTURE, if reads_layouts { || take(true) } else { || take(false) })
}

/// Memory of the copy for each block.
const BYTES_PER_BLOCK: u64 = 100;

fn refuse(why: impl Into<String>) -> Error {
    Error::no_heap_graph(why.into())
}

#[inline(never)]
fn take(reads_layouts: bool) -> Result<HeapGraph, Error> {
    if !start_bits::is_on() {
        return Err(refuse(
            "it is not turned on: set MEMSCOPE_HOLDERS=on, or call `builder().holders(true)`",
        ));
    }
    picture::may_take(Error::no_heap_graph)?;
    let _work = own_work::work();
    let begun = Instant::now();
    // The copy knows the types of cells that were seen before, and their names.
    #[cfg(feature = "tokio")]
    cells::for_each(|_| {});
    symbols::look_up_tasks();
    #[cfg(all(feature = "layout", feature = "tokio"))]
    let asks = if reads_layouts { variables::prepare() } else { variables::are_known() };
    #[cfg(not(all(feature = "layout", feature = "tokio")))]
    let (asks, _) = (false, reads_layouts);
    let channel = if asks { Channel::Socket } else { Channel::Pipe };
    // What is in use on this stack lies above this variable: the registers that callees must keep
    // were pushed before it.
    let on_stack = 0u8;
    let stack = (&raw const on_stack).addr();
    let plan = Plan::make(stack).ok_or_else(|| refuse("/proc/self/task cannot be read"))?;
    let needed = picture::BYTES_ALWAYS + child::live().0.saturating_mul(BYTES_PER_BLOCK);
    let taken = Picture::take(&plan, child::run, channel, needed);
    let picture = taken.map_err(|why| refuse(why.to_string()))?;
    plan.threads.compare();
    let pause = picture.pause;
    let heard = rows::hear(&mut Asker::new(&picture), &plan, asks);
    let Some(told) = heard.map_err(|why| refuse(why.to_string()))? else {
        return Err(refuse("the copy of the process had no memory for the graph"));
    };
    // The copy ends before names are looked up, which takes longest: as long as it lives, each page
    // that the process writes is copied.
    let copy_bytes = picture.end().map_err(|why| refuse(why.to_string()))?;
    let mut graph = told.named(&plan);
    graph.pause_ns = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
    graph.copy_bytes = copy_bytes;
    graph.running_threads = plan.threads.running() as u64;
    graph.unreachable.sort_by_key(|leak| std::cmp::Reverse(leak.bytes));
    graph.taken_ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    Ok(graph)
}
