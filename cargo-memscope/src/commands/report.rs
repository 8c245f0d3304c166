//! `cargo memscope report`: prints a saved report.

use std::{fmt::Display, io::Write};

use memscope_runtime::{
    __terminal::{MOST_BYTES, read, visible_lines, visible_path},
    async_memory::MemorySnapshot,
};

use super::{report_calls, report_formats, report_sites::Sites};
use crate::{arguments::Report, error::Error};

/// Prints a report that a program saved, with the lines of its call stacks. As text, with the state
/// machines of its futures.
pub(crate) fn run(options: &Report) -> Result<(), Error> {
    let file = visible_path(&options.file);
    let cannot = |why: &dyn Display| Error::new(format!("cannot read {file}: {why}"));
    let bytes = read(&options.file, MOST_BYTES, Some(b'{')).map_err(|error| cannot(&error))?;
    let text = str::from_utf8(&bytes).map_err(|error| cannot(&error))?;
    let mut snapshot =
        MemorySnapshot::from_json(text).map_err(|error| Error::new(format!("{file}: {error}")))?;
    let notes = report_calls::explain(&mut snapshot, options)?;
    if report_formats::print(&snapshot, options)? {
        for note in notes {
            anstream::eprintln!("{}", visible_lines(&note));
        }
        return Ok(());
    }
    let mut out = anstream::stdout().lock();
    if options.full {
        write!(out, "{snapshot:#}")?;
    } else {
        write!(out, "{snapshot}")?;
    }
    for note in notes {
        writeln!(out, "\n{}", visible_lines(&note))?;
    }
    Sites::of(&snapshot).print(&mut out, options.program.as_deref(), options.full)?;
    out.flush()?;
    Ok(())
}
