//! Which roots hold which blocks: the heap as a graph, read in a copy of the process.
//!
//! `on_linux` looks for the roots (`plan`, `threads`), has the process copied (`picture`), and
//! reads what the copy tells (`wire`, `rows`). The copy (`child`) finds all blocks (`blocks`),
//! searches them from the roots (`graph`), sums up what each root holds (`holdings`) and what none
//! reaches (`leaks`). It is then asked through which variables tasks hold most (`inquiry`,
//! `variables`). `docs/HOLDERS.md` says how to read the result.

#[cfg(all(
    feature = "enabled",
    feature = "symbols",
    target_os = "linux",
    target_pointer_width = "64"
))]
mod on_linux;

use crate::model::{Error, HeapGraph};

/// Says which statics, thread-locals, tasks and stacks hold which blocks of the heap, and which
/// blocks nothing holds any more.
///
/// [`Builder::holders`](crate::Builder::holders) or `MEMSCOPE_HOLDERS=on` must be on. The process
/// is copied (`fork`), which stops it for some milliseconds: [`HeapGraph::pause_ns`]. The copy then
/// reads its memory, which takes about a second a GiB, while the process goes on. Calls at the same
/// time share one picture. The call blocks its thread, so async code calls it in
/// `tokio::task::spawn_blocking`.
///
/// With the feature `layout`, the first call reads the program's debug information and keeps what
/// it says of futures, for [`HeldBy::variable`](crate::async_memory::HeldBy::variable).
///
/// # Errors
///
/// Returns an error if it is not turned on, if the system is not Linux on a 64-bit processor, if
/// the pause or the memory of the copy would be too large, and if the system refuses the copy.
pub fn heap_graph() -> Result<HeapGraph, Error> {
    graph(true)
}

/// [`heap_graph`] for a report that the process writes by itself: it reads no debug information for
/// that, and names variables only if layouts are known.
#[cfg(feature = "report-file")]
pub(crate) fn heap_graph_of_report() -> Result<HeapGraph, Error> {
    graph(false)
}

/// `reads_layouts`: the layouts of futures are read if they are not known.
fn graph(reads_layouts: bool) -> Result<HeapGraph, Error> {
    #[cfg(all(
        feature = "enabled",
        feature = "symbols",
        target_os = "linux",
        target_pointer_width = "64"
    ))]
    return on_linux::heap_graph(reads_layouts);
    #[cfg(not(all(
        feature = "enabled",
        feature = "symbols",
        target_os = "linux",
        target_pointer_width = "64"
    )))]
    {
        let _ = reads_layouts;
        Err(Error::no_heap_graph(
            "it needs Linux on a 64-bit processor, and memscope's features `enabled` and `symbols`"
                .to_owned(),
        ))
    }
}
