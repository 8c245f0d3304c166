//! `cargo memscope futures`: finds the program, selects futures, prints them, and checks their
//! sizes.

use std::{
    collections::HashSet,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use memscope_runtime::__terminal::visible_path;
use serde::Serialize;

use super::cargo_build;
use crate::{
    arguments,
    byte_size::ByteSize,
    error::Error,
    model::{Future, Futures, Origin, relative_path, size_changes},
    output::{BAD, List, SourceFiles, Width, diff_view, escape_future, head, tree_view},
};

/// The exit code if a future exceeds the size limit.
const TOO_LARGE: u8 = 1;

/// Runs the command.
pub(crate) fn run(options: &arguments::Futures) -> Result<ExitCode, Error> {
    let mut out = io::BufWriter::new(anstream::stdout().lock());
    let width = Width::of_output();
    let is_shown = |it: &Future| {
        (options.all || it.origin == Origin::Own)
            && options.filter.as_ref().is_none_or(|text| matches(it, text))
    };
    let has_match;
    let futures = if let Some([before, after]) = options.diff.as_deref() {
        let (before, after) = (Futures::read(before)?, Futures::read(after)?);
        has_match = [&before, &after].iter().any(|it| it.all.iter().any(is_shown));
        let changes = size_changes(&before, &after, is_shown);
        if options.json {
            json(&mut out, &changes.changes)?;
        } else {
            diff_view::print(&mut out, width, &changes, options.limit)?;
        }
        after
    } else {
        let (path, mut futures) = match &options.path {
            Some(path) => (path.clone(), Futures::read(path)?),
            None => built(options)?,
        };
        has_match = futures.all.iter().any(is_shown);
        if options.json {
            let (shown, others): (Vec<_>, Vec<_>) =
                std::mem::take(&mut futures.all).into_iter().partition(is_shown);
            futures.all = shown;
            json(&mut out, &futures)?;
            futures.all.extend(others);
        } else {
            print(&mut out, width, options, &futures, &path, is_shown)?;
        }
        futures
    };
    out.flush()?;
    let Some(limit) = options.max_size else { return Ok(ExitCode::SUCCESS) };
    if let Some(filter) = options.filter.as_ref().filter(|_| !has_match) {
        return Err(matches_nothing(filter, options.all, &futures.all));
    }
    let shown: Vec<&Future> = futures.all.iter().filter(|it| is_shown(it)).collect();
    Ok(check_sizes(&shown, limit)?)
}

/// Builds the program and reads it.
fn built(options: &arguments::Futures) -> Result<(PathBuf, Futures), Error> {
    let cargo_build::Built { path, packages } = cargo_build::build(&options.build)?;
    match Futures::of_build(&path, &packages) {
        Ok(futures) => Ok((path, futures)),
        Err(error) if error.lacks_own_debug_info() => {
            Err(cargo_build::without_debug_info(&options.build, &path))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns the error that no future was there for `--max-size` to check.
fn matches_nothing(filter: &str, all: bool, futures: &[Future]) -> Error {
    let is_own = |it: &&Future| it.origin == Origin::Own;
    let own = futures.iter().filter(is_own).count();
    let elsewhere = futures.iter().filter(|it| !is_own(it) && matches(it, filter)).count();
    let hint = if !all && elsewhere > 0 {
        format!("; {elsewhere} of dependencies match it: `--all` has them judged")
    } else {
        String::new()
    };
    Error::new(format!(
        "`--max-size` has judged nothing: `--filter {filter}` matches none of {} futures, {own} of them of your own code{hint}",
        futures.len()
    ))
}

fn matches(future: &Future, filter: &str) -> bool {
    future.name.contains(filter) || future.path.contains(filter)
}

fn json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

fn print(
    out: &mut impl Write,
    width: Width,
    options: &arguments::Futures,
    futures: &Futures,
    path: &Path,
    is_shown: impl Fn(&Future) -> bool,
) -> io::Result<()> {
    let all = futures.all.len();
    let matching: Vec<&Future> = futures.all.iter().filter(|it| is_shown(it)).collect();
    let shown: Vec<Future> =
        matching.iter().take(options.limit).map(|it| escape_future(it)).collect();
    if options.tree {
        tree_view::print(out, width, &shown)?;
    } else {
        let (source, seen) = (SourceFiles::default(), HashSet::new());
        List { width, source, shown: seen }.print(out, &shown)?;
    }
    let (shown, matching) = (shown.len(), matching.len());
    let what = if options.filter.is_some() { "that match" } else { "of your own code" };
    let has_others = futures.all.iter().any(|it| it.origin != Origin::Own);
    let rest = if shown < matching {
        format!("; `--limit {matching}` shows the rest")
    } else if has_others && !options.all {
        "; `--all` shows those of dependencies as well".to_owned()
    } else {
        String::new()
    };
    let of = if options.all && options.filter.is_none() {
        String::new()
    } else {
        format!("{matching} {what}, of ")
    };
    writeln!(out, "{shown} of {of}{all} futures in {}{rest}", visible_path(&relative_path(path)))?;
    if shown > 0 {
        writeln!(
            out,
            "What is alive across an await is an upper bound: an argument keeps its place when its value has moved on."
        )?;
    }
    if futures.missing_files > 0 {
        let missing = futures.missing_files;
        writeln!(
            out,
            "{missing} files of split debug information were not found: build again where they are, or futures are missing here."
        )?;
    }
    Ok(())
}

/// Prints the futures that exceed the limit to standard error, so that JSON on standard output
/// stays complete.
fn check_sizes(futures: &[&Future], limit: ByteSize) -> io::Result<ExitCode> {
    let offenders: Vec<&Future> = futures.iter().copied().filter(|it| it.size > limit.0).collect();
    if offenders.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = anstream::stderr().lock();
    let (count, are) = match offenders.len() {
        1 => ("1 future".to_owned(), "is"),
        several => (format!("{several} futures"), "are"),
    };
    writeln!(out, "{BAD}{count} {are} larger than {limit}:{BAD:#}")?;
    for future in offenders {
        head(&mut out, Width::of_output(), &escape_future(future))?;
    }
    Ok(ExitCode::from(TOO_LARGE))
}
