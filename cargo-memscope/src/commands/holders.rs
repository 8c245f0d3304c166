//! `cargo memscope holders`: prints a graph of what holds a program's memory.

use memscope_runtime::async_memory::HeapGraph;

use super::served;
use crate::{arguments::Holders, error::Error};

/// Prints a graph that a program serves or has saved, as text or as JSON.
pub(crate) fn run(options: &Holders) -> Result<(), Error> {
    let made = "graph that `heap_graph()`";
    let value: HeapGraph = served::value(&options.file, "holders.json", made)?;
    served::print(&value, options.json, options.full)
}
