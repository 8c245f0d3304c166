//! Saved reports.

use std::io::Write;

use memscope_runtime::async_memory::MemorySnapshot;

use crate::{arguments::Report, error::Error};

/// Prints a report that a program saved.
pub(crate) fn run(options: &Report) -> Result<(), Error> {
    let snapshot = MemorySnapshot::read(&options.file)?;
    let mut out = anstream::stdout().lock();
    if options.full {
        write!(out, "{snapshot:#}")?;
    } else {
        write!(out, "{snapshot}")?;
    }
    out.flush()?;
    Ok(())
}
