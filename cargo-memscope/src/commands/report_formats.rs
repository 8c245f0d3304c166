//! Prints a saved report in the formats of other tools.

use std::io::{self, IsTerminal, Write};

use memscope_export::{PprofKind, folded_of, pprof, speedscope};
use memscope_runtime::{__terminal::json, async_memory::MemorySnapshot};

use crate::{
    arguments::{Kind, Report, ReportFormat},
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

/// Prints a report in a format that is no text for a terminal, byte by byte. Returns whether it
/// did.
pub(super) fn print(snapshot: &MemorySnapshot, options: &Report) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    if options.format == ReportFormat::Pprof && out.is_terminal() {
        return Err(Error::new("a profile is binary: write it to a file, such as `> heap.pb.gz`"));
    }
    let kind = options.kind.into();
    let bytes = match options.format {
        ReportFormat::Text => return Ok(false),
        ReportFormat::Json => json(snapshot)?,
        ReportFormat::Pprof => pprof(snapshot, kind),
        ReportFormat::Folded => folded_of(snapshot, kind).into_bytes(),
        ReportFormat::Speedscope => speedscope(snapshot).into_bytes(),
    };
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(true)
}
