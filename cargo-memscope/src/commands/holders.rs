//! `cargo memscope holders`: prints a graph of what holds a program's memory.

use std::path::Path;

use memscope_runtime::async_memory::HeapGraph;

use super::served;
use crate::{arguments::Holders, error::Error};

/// Prints a graph that a program serves or has saved, or what changed since another one, as text or
/// as JSON.
pub(crate) fn run(options: &Holders) -> Result<(), Error> {
    let read = |from: &Path| -> Result<HeapGraph, Error> {
        served::value(from, "holders.json", "graph that `heap_graph()`")
    };
    // The file is read first, so that an error comes before a picture is taken.
    let earlier = options.since.as_deref().map(read).transpose()?;
    let graph = read(&options.file)?;
    match earlier {
        Some(earlier) => served::print(&graph.diff(&earlier), options.json, options.full),
        None => served::print(&graph, options.json, options.full),
    }
}
