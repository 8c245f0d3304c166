//! Prints a saved report in the formats of other tools.

use std::io::{self, IsTerminal, Write};

use memscope_export::{PprofKind, folded_of, pprof, speedscope};
use memscope_runtime::{__terminal::json, async_memory::MemorySnapshot};

use crate::{
    arguments::{Format, Kind},
    error::Error,
};

impl From<Kind> for PprofKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Live => Self::Live,
            Kind::Allocated => Self::Allocated,
        }
    }
}

/// Prints a report byte by byte: these formats are no text for a terminal.
pub(super) fn print(snapshot: &MemorySnapshot, format: Format, kind: Kind) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    if format == Format::Pprof && out.is_terminal() {
        return Err(Error::new("a profile is binary: write it to a file, such as `> heap.pb.gz`"));
    }
    let bytes = match format {
        Format::Text => snapshot.to_string().into_bytes(),
        Format::Json => json(snapshot)?,
        Format::Pprof => pprof(snapshot, kind.into()),
        Format::Folded => folded_of(snapshot, kind.into()).into_bytes(),
        Format::Speedscope => speedscope(snapshot).into_bytes(),
    };
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(())
}
