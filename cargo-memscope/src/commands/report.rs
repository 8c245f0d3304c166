//! `cargo memscope report`: prints a saved report.

use std::{fmt::Display, io::Write};

use memscope_runtime::{
    __terminal::{MOST_BYTES, read, visible_path},
    async_memory::MemorySnapshot,
};

use super::{report_formats, report_sites::Sites};
use crate::{
    arguments::{Report, ReportFormat},
    error::Error,
};

/// Prints a report that a program saved. As text, with the state machines of its futures.
pub(crate) fn run(options: &Report) -> Result<(), Error> {
    let file = visible_path(&options.file);
    let cannot = |why: &dyn Display| Error::new(format!("cannot read {file}: {why}"));
    let bytes = read(&options.file, MOST_BYTES, Some(b'{')).map_err(|error| cannot(&error))?;
    let text = str::from_utf8(&bytes).map_err(|error| cannot(&error))?;
    let snapshot =
        MemorySnapshot::from_json(text).map_err(|error| Error::new(format!("{file}: {error}")))?;
    if report_formats::print(&snapshot, options)? {
        return Ok(());
    }
    let mut out = anstream::stdout().lock();
    if options.format == ReportFormat::Json {
        out.write_all(&bytes)?;
        out.flush()?;
        return Ok(());
    }
    if options.full {
        write!(out, "{snapshot:#}")?;
    } else {
        write!(out, "{snapshot}")?;
    }
    Sites::of(&snapshot).print(&mut out, options.program.as_deref(), options.full)?;
    out.flush()?;
    Ok(())
}
