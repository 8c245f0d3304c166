//! `cargo memscope diff`: compares two reports, and fails if memory grew too much.

use std::{io::Write, path::Path, process::ExitCode};

use memscope_runtime::{__terminal::visible_path, async_memory::MemorySnapshot};

use super::served;
use crate::{
    arguments::{Diff, DiffFormat},
    error::Error,
    model::{
        aligned::aligned,
        growth::{Growth, growth},
    },
    output::{growth_view, naming},
};

/// The exit code if something grew by more than the limit.
const OVER: u8 = 1;

/// Prints what changed. Returns the exit code of the verdict.
pub(crate) fn run(options: &Diff) -> Result<ExitCode, Error> {
    let (before_text, before) = served::snapshot(&options.before)?;
    let (after_text, after) = served::snapshot(&options.after)?;
    for (from, snapshot) in [(&options.before, &before), (&options.after, &after)] {
        check(from, snapshot)?;
    }
    let before = aligned(&before_text, &after_text).unwrap_or(before);
    let sites = options.site.as_ref();
    let growth = growth(&before, &after, options.fail_over, &options.growth_of, sites);
    if sites.is_some_and(|sites| !has_site(&before, sites) && !has_site(&after, sites)) {
        return Err(Error::new("`--site` matches no site of the two reports"));
    }
    print(&growth, if options.json { DiffFormat::Json } else { options.format })?;
    Ok(if growth.within { ExitCode::SUCCESS } else { ExitCode::from(OVER) })
}

/// Returns an error if sizes are not measured, as they cannot be compared then.
fn check(from: &Path, snapshot: &MemorySnapshot) -> Result<(), Error> {
    let measured = snapshot.measured();
    if measured.is_yes() {
        return Ok(());
    }
    let why = measured.reason();
    Err(Error::new(format!("{}: sizes are not measured: {why}", visible_path(from))))
}

fn has_site(snapshot: &MemorySnapshot, sites: &regex::Regex) -> bool {
    snapshot.sites().iter().any(|it| {
        let title = format!("{} ({}:{})", it.name, it.file, it.line);
        sites.is_match(&title)
    })
}

fn print(growth: &Growth, format: DiffFormat) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    match format {
        DiffFormat::Json => {
            serde_json::to_writer_pretty(&mut out, growth).map_err(std::io::Error::from)?;
            writeln!(out)?;
        }
        DiffFormat::Markdown => write!(out, "{}", growth_view::markdown(growth))?,
        DiffFormat::Text => {
            let mut text = String::new();
            // Writing to a `String` does not fail.
            let _ = growth_view::verdict(growth, &mut text);
            if !text.is_empty() {
                writeln!(out, "{text}")?;
            }
            write!(out, "{}", naming("--format json", &growth.diff))?;
        }
    }
    out.flush()?;
    Ok(())
}
