//! Saved reports.

use std::{fs, io::Write};

use memscope_runtime::async_memory::MemorySnapshot;

use crate::{arguments::Report, error::Error, sites::Sites};

/// Prints a report that a program saved, and the state machines of its futures.
pub(crate) fn run(options: &Report) -> Result<(), Error> {
    let file = options.file.display();
    // Once: a pipe, such as `<(command)`, gives each byte once.
    let text = fs::read_to_string(&options.file)
        .map_err(|error| Error::new(format!("cannot read {file}: {error}")))?;
    let snapshot =
        MemorySnapshot::from_json(&text).map_err(|error| Error::new(format!("{file}: {error}")))?;
    let mut out = anstream::stdout().lock();
    if options.full {
        write!(out, "{snapshot:#}")?;
    } else {
        write!(out, "{snapshot}")?;
    }
    Sites::of(&snapshot).print(&mut out, options.program.as_deref(), options.full)?;
    out.flush()?;
    Ok(())
}
