//! Prints a saved report in the formats of other tools.

use std::io::{self, IsTerminal, Write};

use memscope_export::{PprofKind, folded_of, pprof, speedscope, write_html};
use memscope_runtime::{
    __terminal::{Selected, json},
    async_memory::MemorySnapshot,
};
use serde_json::{Map, Value, json as value};

use crate::{
    arguments::{Kind, Report, ReportFormat},
    error::Error,
};

/// The field of JSON that says which rows a filter has hidden.
pub(super) const SELECTION: &str = "\"selection\"";

impl From<Kind> for PprofKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Live => Self::Live,
            Kind::Allocated => Self::Allocated,
        }
    }
}

/// Prints a report in a format that must not be escaped for a terminal. Returns false if the format
/// is text.
pub(super) fn print(
    snapshot: &MemorySnapshot,
    selected: Option<&Selected<'_>>,
    options: &Report,
) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    if options.format == ReportFormat::Pprof && out.is_terminal() {
        return Err(Error::new("a profile is binary: write it to a file, such as `> heap.pb.gz`"));
    }
    let kind = options.kind.into();
    let bytes = match options.format {
        ReportFormat::Text => return Ok(false),
        ReportFormat::Json => match selected {
            None => json(snapshot)?,
            Some(selected) => selection(selected, options)?,
        },
        ReportFormat::Html => {
            // A page is as large as the report, so it is written in pieces.
            let mut out = io::BufWriter::new(out);
            write_html(snapshot, &mut out)?;
            out.flush()?;
            return Ok(true);
        }
        ReportFormat::Pprof => pprof(snapshot, kind),
        ReportFormat::Folded => folded_of(snapshot, kind).into_bytes(),
        ReportFormat::Speedscope => speedscope(snapshot).into_bytes(),
    };
    out.write_all(&bytes)?;
    out.flush()?;
    Ok(true)
}

/// Returns the selected rows as JSON, with the number of all rows. A file without some of its rows
/// must not look complete.
fn selection(selected: &Selected<'_>, options: &Report) -> Result<Vec<u8>, Error> {
    let mut bytes = json(selected.rows())?;
    let Some(filter) = &options.filter else { return Ok(bytes) };
    let hidden: Map<String, Value> = selected
        .hidden()
        .rows()
        .map(|(what, all, hidden)| {
            (what.replace(' ', "_"), value!({ "all": all, "hidden": hidden }))
        })
        .collect();
    let selection = value!({ "filter": filter.as_str(), "rows": hidden });
    // The snapshot is one JSON object. The field is added before its end.
    while bytes.pop_if(|it| it.is_ascii_whitespace() || *it == b'}').is_some_and(|it| it != b'}') {}
    writeln!(bytes, ",{SELECTION}:{selection}}}")?;
    Ok(bytes)
}
