//! `cargo memscope report`: prints a saved report, or that of a running program.

use std::{fmt, io::Write, path::Path};

use memscope_runtime::{
    __terminal::{Ranking, Selected, visible_lines, visible_path},
    async_memory::MemorySnapshot,
};
use serde::Deserialize;

use super::{
    report_calls::{self, KnownCalls},
    report_formats,
    report_sites::{self, Sites},
    served,
};
use crate::{
    arguments::{Report, ReportFormat, Sort},
    error::Error,
    output::naming,
};

impl From<Sort> for Ranking {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Live => Self::Live,
            Sort::Peak => Self::Peak,
            Sort::Allocated => Self::Allocated,
            Sort::Retained => Self::Retained,
        }
    }
}

/// Prints a report with the lines of its call stacks. The text also has the state machines of its
/// futures.
pub(crate) fn run(options: &Report) -> Result<(), Error> {
    check(options)?;
    let (text, mut snapshot) =
        served::snapshot(&options.file).map_err(|error| with_hint(&error, &options.file))?;
    let (program, places) = (options.program.as_deref(), &options.debug_file);
    let mut known = KnownCalls::default();
    let mut notes = report_calls::explain(&mut snapshot, program, places, &mut known)?;
    notes.extend(earlier_filter(&text));
    drop(text);
    let is_match = |title: &str| options.filter.as_ref().is_none_or(|it| it.is_match(title));
    let is_chosen = options.filter.is_some() || options.sort.is_some();
    let selected =
        is_chosen.then(|| Selected::new(&snapshot, options.sort.map(Into::into), is_match));
    if let Some(selected) = selected.as_ref().filter(|it| it.hidden().is_all())
        && options.filter.is_some()
    {
        return Err(matches_nothing(options, &snapshot, selected));
    }
    if report_formats::print(&snapshot, selected.as_ref(), options)? {
        notes.extend(selected.iter().filter_map(|it| filter_note(options, it)));
        for note in notes {
            anstream::eprintln!("{}", visible_lines(&note));
        }
        return Ok(());
    }
    let mut out = anstream::stdout().lock();
    let whole: &dyn fmt::Display = match &selected {
        Some(selected) => selected,
        None => &snapshot,
    };
    if options.full {
        write!(out, "{whole:#}")?;
    } else {
        write!(out, "{}", naming("--full", whole))?;
    }
    // The note on the filter comes first, as the reader has just seen fewer rows than there are.
    let filter_note = selected.as_ref().and_then(|it| filter_note(options, it));
    for note in filter_note.into_iter().chain(notes) {
        writeln!(out, "\n{}", visible_lines(&note))?;
    }
    let rows = selected.as_ref().map_or(&snapshot, Selected::rows);
    let places = report_sites::Places::of(options);
    Sites::of(rows).print(&mut out, places, options.full)?;
    out.flush()?;
    Ok(())
}

/// Returns an error if the format does not use an option that was given.
fn check(options: &Report) -> Result<(), Error> {
    let (name, instead) = match options.format {
        ReportFormat::Text | ReportFormat::Json => return Ok(()),
        ReportFormat::Html => ("html", "the page has every row, and sorts and filters them itself"),
        ReportFormat::Pprof => {
            ("pprof", "a profile has all bytes; `go tool pprof -focus=REGEX` chooses among them")
        }
        ReportFormat::Folded => ("folded", "it has all bytes, one stack a line; `grep` chooses"),
        ReportFormat::Speedscope => ("speedscope", "it has all bytes, and its viewer searches"),
    };
    let given = [
        ("--sort", options.sort.is_some()),
        ("--filter", options.filter.is_some()),
        ("--full", options.full),
    ];
    match given.iter().find(|it| it.1) {
        None => Ok(()),
        Some((option, _)) => Err(Error::new(format!(
            "`{option}` is for `--format text` and `json`, not for `{name}`: {instead}"
        ))),
    }
}

/// Says what was hidden, if a filter was given.
fn filter_note(options: &Report, selected: &Selected<'_>) -> Option<String> {
    let filter = options.filter.as_ref()?;
    Some(format!(
        "`--filter {filter}` hides {}; totals are those of the whole report",
        selected.hidden()
    ))
}

fn matches_nothing(options: &Report, snapshot: &MemorySnapshot, selected: &Selected<'_>) -> Error {
    const MOST_NAMES: usize = 3;
    let filter = options.filter.as_ref().map_or("", |it| it.as_str());
    let there = selected.hidden().rows().filter(|(_, all, _)| *all != 0);
    let there: Vec<String> = there.map(|(what, all, _)| format!("{all} {what}")).collect();
    if there.is_empty() {
        return Error::new(format!(
            "`--filter {filter}` matches nothing: the report has no rows at all"
        ));
    }
    let titles = snapshot.sites().iter().take(MOST_NAMES);
    let titles: Vec<String> =
        titles.map(|it| format!("`{} ({}:{})`", it.name, it.file, it.line)).collect();
    let such_as = if titles.is_empty() {
        String::new()
    } else {
        format!("; it is compared with titles such as {}", titles.join(", "))
    };
    Error::new(format!(
        "`--filter {filter}` matches none of {}{such_as}; `(?i)` in front ignores case",
        there.join(", ")
    ))
}

/// The field of a file that was written with a filter.
#[derive(Debug, Deserialize)]
struct Filtered {
    selection: Option<Selection>,
}

#[derive(Debug, Deserialize)]
struct Selection {
    filter: String,
}

/// Says that rows are missing, if the report itself was written with a filter.
fn earlier_filter(text: &str) -> Option<String> {
    if !text.contains(report_formats::SELECTION) {
        return None;
    }
    let filter = serde_json::from_str::<Filtered>(text).ok()?.selection?.filter;
    Some(format!(
        "this file was written with `--filter {filter}`: rows that it does not match are missing"
    ))
}

/// Adds advice to the error about a file that is of memscope but not a report.
fn with_hint(error: &Error, file: &Path) -> Error {
    let hint = served::beginning(file).and_then(|start| hint(&start));
    let Some(hint) = hint else { return Error::new(error.to_string()) };
    Error::new(format!("{error}\n{} {hint}", visible_path(file)))
}

/// Says what kind of file begins like this, and what to do with it.
fn hint(start: &str) -> Option<&'static str> {
    let start = start.trim_start();
    let has = |field: &str| start.contains(&format!("\"{field}\""));
    let hint = if start.get(..9).is_some_and(|it| it.eq_ignore_ascii_case("<!doctype")) {
        "is a page: open it in a browser; `MEMSCOPE_REPORT=report.json` saves a report to read here"
    } else if start.starts_with("live memory: ") {
        "is a report as text: read it as it is; `MEMSCOPE_REPORT=report.json` saves one to read here"
    } else if start.starts_with("\u{1f}\u{8b}") || start.starts_with("\u{1f}\u{fffd}") {
        "is compressed: unpack it, as by `gzip -dc FILE | cargo memscope report /dev/stdin`"
    } else if has("memscope_format") {
        return None;
    } else if has("memscope_futures") {
        "has futures: `cargo memscope futures FILE` prints them"
    } else if has("pause_ns") && has("roots") {
        "is a graph of the heap: `cargo memscope holders FILE` prints it"
    } else if has("pause_ns") && has("tasks") {
        "is a dump of tasks: `cargo memscope tasks FILE` prints it"
    } else {
        return None;
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_memscope_writes_is_told_apart() {
        let of = |start: &str| hint(start).unwrap_or_default();
        assert!(of("<!DOCTYPE html>\n<html>").contains("browser"));
        assert!(of("live memory: 1 B untracked = 1 B").contains("as text"));
        assert!(of("{\"memscope_futures\":1}").contains("cargo memscope futures"));
        assert!(of("{\"pause_ns\":1,\"roots\":[]}").contains("cargo memscope holders"));
        assert!(of("{\"pause_ns\":1,\"tasks\":[]}").contains("cargo memscope tasks"));
        assert!(of("\u{1f}\u{fffd}\u{8}").contains("gzip"));
        assert_eq!(hint("{\"memscope_format\":1,\"memscope_futures\":1}"), None);
        assert_eq!(hint("ä"), None);
    }
}
