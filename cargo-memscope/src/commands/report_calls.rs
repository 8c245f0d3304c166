//! The lines of a saved report's call stacks: joins their addresses with the debug information of
//! the program and its libraries, by build id.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use memscope_layout::{Frame, Symbolizer, Symbols};
use memscope_runtime::{
    __terminal::{explain_calls, same_function, visible_path},
    async_memory::{MemorySnapshot, Origin, StackFrame},
};

use super::builds::{REPORT, another_build, build_id, not_in_folder, without_deleted_suffix};
use crate::error::Error;

/// A file with calls of the report: `None` for the program, or the path of a library.
type Library = Option<String>;

/// The calls in one file: the offset of each, and the function that the report has there.
type Calls = BTreeMap<u64, String>;

/// The most calls of a process that are remembered.
const MOST_KNOWN: usize = 100_000;

/// The calls of one process that were looked up so far. Calls do not change, so only new calls of a
/// later snapshot are looked up.
#[derive(Debug, Default)]
pub(crate) struct KnownCalls {
    of: Option<Origin>,
    frames: HashMap<(Library, u64), Vec<Frame>>,
    /// The files with moved debug information in which some calls were found.
    used: Vec<PathBuf>,
    notes: Vec<String>,
}

/// Adds functions, files and lines to the calls in the report's stacks, those that were inlined
/// included. Returns notes on calls that have no line.
///
/// `asked` is the program, and `places` is debug information that was moved, if the command line
/// names them. A file of another build is not used. It is an error if the command line names this
/// file.
pub(crate) fn explain(
    snapshot: &mut MemorySnapshot,
    asked: Option<&Path>,
    places: &[PathBuf],
    known: &mut KnownCalls,
) -> Result<Vec<String>, Error> {
    // An old report does not name its process.
    let origin = Some(snapshot.origin()).filter(|origin| origin.pid != 0);
    if origin.is_none() || known.of != origin || known.frames.len() > MOST_KNOWN {
        *known = KnownCalls { of: origin, ..KnownCalls::default() };
    }
    let mut notes = Vec::new();
    let mut replaced = Vec::new();
    for (library, mut calls) in calls_of(snapshot) {
        calls.retain(|offset, _| !known.frames.contains_key(&(library.clone(), *offset)));
        if calls.is_empty() {
            continue;
        }
        let opened = match &library {
            None => program(snapshot, asked, places, &calls),
            Some(path) => self::library(snapshot, path, places),
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if library.is_none() && asked.is_some() => return Err(error),
            Err(error) if library.is_none() => {
                notes.push(format!(
                    "lines of stacks: not shown, as {error}\n`--program PATH` names the program where it is now"
                ));
                continue;
            }
            Err(_) => {
                // The code that the kernel maps into each process is in no file.
                replaced.extend(library.filter(|path| path.contains('/')));
                continue;
            }
        };
        known.used.extend(file.debug_file().map(Path::to_owned));
        let addresses: Vec<u64> =
            calls.keys().map(|it| it.saturating_add(file.base_address())).collect();
        for (offset, frames) in calls.keys().zip(file.frames_of(&addresses)) {
            known.frames.insert((library.clone(), *offset), frames);
        }
        if library.is_none() && !file.has_debug_information() {
            known.notes = vec!["lines of stacks: not known, as the program has no debug information; `debug = \"line-tables-only\"` is enough for them, and `--debug-file PATH` names it if it was moved".to_owned()];
        }
    }
    if !replaced.is_empty() {
        notes.push(format!(
            "lines of stacks: not shown in libraries that are not here, or are other builds: {}",
            replaced.join(", ")
        ));
    }
    notes.extend(known.notes.iter().cloned());
    let is_used = |folder: &&PathBuf| known.used.iter().any(|file| file.starts_with(folder));
    for folder in places.iter().filter(|it| it.is_dir()).filter(|it| !is_used(it)) {
        notes.push(nothing_in(folder, snapshot));
    }
    if let Some(unused) = places.iter().find(|it| !it.is_dir() && !known.used.contains(it)) {
        return Err(unfit(unused));
    }
    explain_calls(snapshot, |call| {
        let key = (call.library.as_deref().map(str::to_owned), call.offset?);
        let frames = known.frames.get(&key).filter(|it| !it.is_empty())?;
        Some(frames.iter().map(|frame| joined(call, frame)).collect())
    });
    Ok(notes)
}

fn joined(call: &StackFrame, frame: &Frame) -> StackFrame {
    let function = match &frame.function {
        Some(name) => name.clone().into(),
        None if frame.is_inlined => "".into(),
        None => call.function.clone(),
    };
    StackFrame {
        function,
        file: frame.file.clone().map(Into::into),
        line: frame.line,
        is_inlined: frame.is_inlined,
        ..call.clone()
    }
}

/// Returns all calls with a known place, by file.
fn calls_of(snapshot: &MemorySnapshot) -> BTreeMap<Library, Calls> {
    let mut files: BTreeMap<Library, Calls> = BTreeMap::new();
    for call in snapshot.stacks().iter().flat_map(|stack| &stack.frames) {
        if let (Some(offset), false) = (call.offset, call.is_inlined) {
            let library = call.library.as_deref().map(str::to_owned);
            files.entry(library).or_default().insert(offset, call.function.to_string());
        }
    }
    files
}

/// Opens the program that wrote the report.
fn program(
    snapshot: &MemorySnapshot,
    asked: Option<&Path>,
    places: &[PathBuf],
    calls: &Calls,
) -> Result<Symbolizer, Error> {
    let own = snapshot.program();
    let id = own.and_then(|it| it.build_id.as_deref());
    let path = match (asked, own) {
        (Some(asked), _) => asked.to_owned(),
        (None, Some(own)) => without_deleted_suffix(Path::new(&own.path)),
        (None, None) => {
            return Err(Error::new("the report does not say which program wrote it"));
        }
    };
    let opened = Symbolizer::open_with(&path, places).map_err(Error::from);
    let opened = opened.and_then(|file| match (id, file.build_id()) {
        (Some(own), Some(its)) if own != its => Err(another_build(&path, its, own, REPORT)),
        (Some(_), Some(_)) => Ok(file),
        _ if has_these_names(&file, calls) => Ok(file),
        _ => Err(Error::new(format!(
            "{} or the report has no build id, and the names of functions do not say either that they belong together; \
             the linker's option `--build-id` gives programs one",
            visible_path(&path)
        ))),
    });
    match (opened, id) {
        // The file may be another program by now, and the debug information elsewhere.
        (Err(error), Some(id)) if asked.is_none() => Symbolizer::of_build(id, places).ok_or(error),
        (opened, _) => opened,
    }
}

/// Whether the report names functions at addresses, and the file has each of them at its address.
fn has_these_names(file: &Symbolizer, calls: &Calls) -> bool {
    let named: Vec<_> = calls.iter().filter(|it| !it.1.is_empty()).collect();
    let addresses: Vec<_> =
        named.iter().map(|it| it.0.saturating_add(file.base_address())).collect();
    let frames = file.frames_of(&addresses);
    let is_same = |(frames, call): (&Vec<Frame>, &(&u64, &String))| {
        let name = frames.last().and_then(|frame| frame.function.as_deref());
        name.is_some_and(|name| same_function(name, call.1))
    };
    !named.is_empty() && frames.iter().zip(&named).all(is_same)
}

/// Opens a library of the program.
fn library(snapshot: &MemorySnapshot, path: &str, places: &[PathBuf]) -> Result<Symbolizer, Error> {
    let own = snapshot.libraries().iter().find(|it| it.path == path);
    let Some(id) = own.and_then(|it| it.build_id.as_deref()) else {
        return Err(Error::new("it has no build id"));
    };
    let opened = Symbolizer::open_with(path, places);
    let opened = opened.ok().filter(|file| file.build_id() == Some(id));
    opened
        .or_else(|| Symbolizer::of_build(id, places))
        .ok_or_else(|| Error::new("it is not here, or another build"))
}

/// Returns the note that a folder on the command line has no debug information of the report.
fn nothing_in(folder: &Path, snapshot: &MemorySnapshot) -> String {
    let id = snapshot.program().and_then(|it| it.build_id.as_deref());
    id.and_then(|id| not_in_folder(folder, id)).unwrap_or_else(|| {
        format!(
            "{} has no debug information of the program: the report has no build id to find it by; `--debug-file FILE` names the file",
            visible_path(folder)
        )
    })
}

/// Returns the error that a file on the command line belongs to no file in the report.
fn unfit(path: &Path) -> Error {
    let symbols = match Symbols::open(path) {
        Ok(symbols) => symbols,
        Err(error) => return error.into(),
    };
    let id = build_id(&symbols)
        .map_or_else(|| "it has no build id".to_owned(), |id| format!("its build id is {id}"));
    Error::new(format!(
        "{} is not the debug information of the program that wrote the report, nor of a library of its: {id}",
        visible_path(path)
    ))
}
