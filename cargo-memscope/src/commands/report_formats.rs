//! Prints a saved report in the formats of other tools.

use std::io::{self, IsTerminal, Write};

use memscope_export::{PprofKind, folded_of, pprof, speedscope};
use memscope_runtime::async_memory::MemorySnapshot;

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

/// Prints the report as it is, byte by byte: these formats are no text for a terminal.
pub(super) fn print(snapshot: &MemorySnapshot, format: Format, kind: Kind) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    if format == Format::Pprof && out.is_terminal() {
        return Err(Error::new("a profile is binary: write it to a file, such as `> heap.pb.gz`"));
    }
    let bytes = match format {
        Format::Text => snapshot.to_string().into_bytes(),
        Format::Json => {
            let json = serde_json::to_vec_pretty(snapshot);
            let mut json = json.map_err(|error| Error::new(format!("cannot write: {error}")))?;
            json.push(b'\n');
            json
        }
        Format::Pprof => pprof(snapshot, kind.into()),
        Format::Folded => folded_of(snapshot, kind.into()).into_bytes(),
        Format::Speedscope => speedscope(snapshot).into_bytes(),
    };
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(())
}
