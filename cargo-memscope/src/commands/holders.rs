//! `cargo memscope holders`: prints a graph of what holds a program's memory.

use std::io::Write;

use memscope_runtime::{
    __terminal::{said, visible_path},
    async_memory::HeapGraph,
};

use super::served;
use crate::{arguments::Holders, error::Error};

/// The most bytes of the parser's error that are printed.
const MOST_WHY: usize = 300;

/// Prints a graph that a program serves or has saved, as text or as JSON.
pub(crate) fn run(options: &Holders) -> Result<(), Error> {
    let file = visible_path(&options.file);
    let bytes = served::bytes(&options.file, "holders.json")?;
    let graph: HeapGraph = serde_json::from_slice(&bytes).map_err(|error| {
        let why = said(&error, MOST_WHY);
        Error::new(format!("{file} is no graph that `heap_graph()` has made: {why}"))
    })?;
    let mut out = anstream::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &graph).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if options.full {
        write!(out, "{graph:#}")?;
    } else {
        write!(out, "{graph}")?;
    }
    out.flush()?;
    Ok(())
}
