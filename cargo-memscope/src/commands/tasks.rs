//! `cargo memscope tasks`: prints every task of a program, and where it waits.

use std::io::Write;

use memscope_runtime::{
    __terminal::{said, visible_path},
    async_memory::TaskDump,
};

use super::served;
use crate::{arguments::Tasks, error::Error};

/// The most bytes of the parser's error that are printed.
const MOST_WHY: usize = 300;

/// Prints a dump that a program serves or has saved, as text or as JSON.
pub(crate) fn run(options: &Tasks) -> Result<(), Error> {
    let bytes = served::bytes(&options.from, "tasks.json")?;
    let dump: TaskDump = serde_json::from_slice(&bytes).map_err(|error| {
        let (from, why) = (visible_path(&options.from), said(&error, MOST_WHY));
        Error::new(format!("{from} is no dump that `task_dump()` has made: {why}"))
    })?;
    let mut out = anstream::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &dump).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if options.full {
        write!(out, "{dump:#}")?;
    } else {
        write!(out, "{dump}")?;
    }
    out.flush()?;
    Ok(())
}
