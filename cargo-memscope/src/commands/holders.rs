//! `cargo memscope holders`: prints a saved graph of what holds a program's memory.

use std::{fmt::Display, io::Write};

use memscope_runtime::{
    __terminal::{MOST_BYTES, read, said, visible_path},
    async_memory::HeapGraph,
};

use crate::{arguments::Holders, error::Error};

/// The most bytes of the parser's error that are printed.
const MOST_WHY: usize = 300;

/// Prints a graph that a program saved, as text or as JSON.
pub(crate) fn run(options: &Holders) -> Result<(), Error> {
    let file = visible_path(&options.file);
    let cannot = |why: &dyn Display| Error::new(format!("cannot read {file}: {why}"));
    let bytes = read(&options.file, MOST_BYTES, Some(b'{')).map_err(|error| cannot(&error))?;
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
