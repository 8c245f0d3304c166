//! Where snapshots come from: a running program, or a saved report.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::SystemTime,
};

use chrono::{DateTime, SecondsFormat, Utc};
use memscope_runtime::{
    __terminal::visible_path,
    analysis::Leaks,
    async_memory::{HeapGraph, MemorySnapshot, Origin, TaskDump},
};
use serde_json::{Value, json};

use super::quote::{quoted, shown};
use crate::{
    arguments::Mcp,
    commands::{
        report_calls::{self, KnownCalls},
        served,
    },
    error::Error,
};

/// The most bytes of the source's name in an answer.
const SOURCE_BYTES: usize = 120;
const PROGRAM_BYTES: usize = 100;
/// The most bytes of the note on lines that are not known.
const NOTE_BYTES: usize = 200;

/// The program or file that this server is about.
#[derive(Debug)]
pub(super) struct Source {
    from: PathBuf,
    program: Option<PathBuf>,
    debug_files: Vec<PathBuf>,
    last: Mutex<Option<Last>>,
    /// The lines of calls that were looked up so far.
    calls: Mutex<KnownCalls>,
    /// The last file that was read, used again while it is unchanged.
    file: Mutex<Option<ReadFile>>,
}

/// The process and the time of the last snapshot.
#[derive(Clone, Copy, Debug)]
struct Last {
    origin: Origin,
    /// The time by the clock of the process.
    seconds: f64,
    at: SystemTime,
}

/// The contents of a file when it was read.
#[derive(Debug)]
struct ReadFile {
    path: PathBuf,
    written: SystemTime,
    bytes: u64,
    snapshot: MemorySnapshot,
    notes: Vec<String>,
}

/// A snapshot, with its time and its source.
#[derive(Debug)]
pub(super) struct Taken {
    /// The number under which it is kept.
    pub(super) number: u64,
    pub(super) snapshot: MemorySnapshot,
    /// When it was first asked for, by this machine's clock.
    pub(super) at: SystemTime,
    /// Whether it is the same as the snapshot before it. A program takes about one snapshot a
    /// second.
    is_same_look: bool,
    /// When the file was written, or `None` for a running program and for a pipe.
    pub(super) written: Option<SystemTime>,
    pub(super) is_live: bool,
    /// The name of its source, without a token.
    pub(super) from: String,
    /// Whether the snapshot before it came from another process.
    pub(super) is_restarted: bool,
    /// Why some lines of stacks are not known.
    pub(super) notes: Vec<String>,
    /// A dump of all tasks, taken a moment later, if it was asked for.
    pub(super) dump: Option<TaskDump>,
    leaks: OnceLock<Leaks>,
}

impl Source {
    pub(super) fn new(options: &Mcp) -> Self {
        let (program, debug_files) = (options.program.clone(), options.debug_file.clone());
        Self {
            from: options.from.clone(),
            program,
            debug_files,
            last: Mutex::default(),
            calls: Mutex::default(),
            file: Mutex::default(),
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.from.to_str().is_some_and(|it| it.starts_with("http://"))
    }

    pub(super) fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    /// The source's name, without a token.
    pub(super) fn name(&self) -> String {
        shown(&without_token(&visible_path(&self.from).to_string()), SOURCE_BYTES)
    }

    /// Takes a snapshot now. Lines are added to its stacks from the program's debug information.
    pub(super) fn take(&self, number: u64) -> Result<Taken, Error> {
        let mut taken = self.read(&self.from, number).map_err(|error| self.missing(&error))?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        taken.come_after(*last);
        let (origin, seconds) = (taken.snapshot.origin(), taken.snapshot.observed_seconds());
        *last = Some(Last { origin, seconds, at: taken.at });
        Ok(taken)
    }

    /// Reads a saved report beside the source.
    pub(super) fn file(&self, path: &Path, number: u64) -> Result<Taken, Error> {
        self.read(path, number)
    }

    fn read(&self, from: &Path, number: u64) -> Result<Taken, Error> {
        let is_live = from.to_str().is_some_and(|it| it.starts_with("http://"));
        let at = SystemTime::now();
        let about = fs::metadata(from).ok().filter(|it| it.is_file() && !is_live);
        let about = about.and_then(|it| Some((it.modified().ok()?, it.len())));
        // No lock is held here, as a program may take long to answer, and other calls must not wait
        // for it.
        let (snapshot, notes) = match about {
            Some((written, bytes)) => self.unchanged(from, written, bytes)?,
            None => self.explained(from)?,
        };
        let name = without_token(&visible_path(from).to_string());
        Ok(Taken {
            number,
            snapshot,
            at,
            written: about.map(|(written, _)| written),
            is_same_look: false,
            is_live,
            from: shown(&name, SOURCE_BYTES),
            is_restarted: false,
            notes,
            dump: None,
            leaks: OnceLock::new(),
        })
    }

    /// Returns the snapshot in a file. Reads the file again only if it has changed.
    fn unchanged(
        &self,
        path: &Path,
        written: SystemTime,
        bytes: u64,
    ) -> Result<(MemorySnapshot, Vec<String>), Error> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same =
            |it: &&ReadFile| it.path == path && (it.written, it.bytes) == (written, bytes);
        if let Some(read) = file.as_ref().filter(is_same) {
            return Ok((read.snapshot.clone(), read.notes.clone()));
        }
        let (snapshot, notes) = self.explained(path)?;
        let (path, kept) = (path.to_owned(), (snapshot.clone(), notes.clone()));
        *file = Some(ReadFile { path, written, bytes, snapshot, notes });
        Ok(kept)
    }

    /// Returns a snapshot with the lines of its stacks, and notes on lines that are not known.
    fn explained(&self, from: &Path) -> Result<(MemorySnapshot, Vec<String>), Error> {
        let (_, mut snapshot) = served::snapshot(from)?;
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let (program, places) = (self.program.as_deref(), &self.debug_files);
        let explained = report_calls::explain(&mut snapshot, program, places, &mut calls);
        let notes = explained.unwrap_or_else(|error| vec![error.to_string()]);
        Ok((snapshot, notes))
    }

    /// Returns every task of the process. For this picture the process stands still for some
    /// milliseconds.
    pub(super) fn dump(&self) -> Result<TaskDump, Error> {
        if !self.is_live() {
            return Err(Error::new(format!(
                "{} is a saved report: it has the tasks that memscope tracks and no dump of all \
                 tasks. Start this server with the address of the running program \
                 (`MEMSCOPE_SERVE=127.0.0.1:6071`, feature `server`), or use `of`: \
                 \"await_points\"",
                quoted(&self.name(), SOURCE_BYTES)
            )));
        }
        let made = "dump that `task_dump()`";
        served::value(&self.from, "tasks.json", made).map_err(|error| self.missing(&error))
    }

    /// Returns what holds the heap. This is a picture too, for which the process stands still.
    pub(super) fn graph(&self) -> Result<HeapGraph, Error> {
        if !self.is_live() {
            return Err(Error::new(
                "this saved report has no graph of the heap: a program that runs with \
                 `MEMSCOPE_HOLDERS=on` writes one into its reports while something looks lost, and \
                 serves one if this server is started with its address",
            ));
        }
        let made = "graph that `heap_graph()`";
        served::value(&self.from, "holders.json", made).map_err(|error| self.missing(&error))
    }

    /// Adds advice to an error, and removes a token from it.
    fn missing(&self, error: &Error) -> Error {
        let error = error.to_string();
        let whole = visible_path(&self.from).to_string();
        let query = whole.split_once('?').map_or("", |(_, query)| query);
        let error = if query.is_empty() { error } else { error.replace(query, "…") };
        Error::new(if self.is_live() && error.contains("does not answer") {
            format!(
                "{error}. Nothing is known of the program now; what was answered before is of \
                 before. Is it still running, with `MEMSCOPE_SERVE` and the feature `server`? The \
                 next call asks it again"
            )
        } else {
            error
        })
    }
}

impl Taken {
    /// Notes whether this snapshot has the process and the time of the one before it.
    fn come_after(&mut self, last: Option<Last>) {
        let Some(last) = last else { return };
        self.is_restarted = last.origin != self.snapshot.origin();
        let is_same_moment = last.seconds.total_cmp(&self.snapshot.observed_seconds()).is_eq();
        if self.is_live && !self.is_restarted && is_same_moment {
            (self.is_same_look, self.at) = (true, last.at);
        }
    }

    pub(super) fn leaks(&self) -> &Leaks {
        self.leaks.get_or_init(|| self.snapshot.leaks())
    }

    /// Adds the graph of what holds the heap.
    pub(super) fn with_graph(mut self, graph: HeapGraph) -> Self {
        self.snapshot = self.snapshot.with_heap_graph(graph);
        self.leaks = OnceLock::new();
        self
    }

    #[cfg(test)]
    pub(super) fn of(snapshot: MemorySnapshot) -> Self {
        Self {
            number: 1,
            snapshot,
            at: SystemTime::now(),
            written: None,
            is_same_look: false,
            is_live: true,
            from: "http://127.0.0.1:6071".to_owned(),
            is_restarted: false,
            notes: Vec::new(),
            dump: None,
            leaks: OnceLock::new(),
        }
    }

    /// Returns the line that names the time, the process and the source of the figures. `is_new`
    /// says whether the snapshot was taken for this answer.
    pub(super) fn line(&self, is_new: bool) -> String {
        let ago = self.at.elapsed().unwrap_or_default().as_secs();
        let number = self.number;
        let when = match (self.is_live, self.written) {
            (true, _) if is_new && self.is_same_look => format!(
                "taken in this second, {}: the same as the one before it, as a program is looked \
                 at about once a second",
                time(self.at)
            ),
            (true, _) if is_new => format!("taken now, {}", time(self.at)),
            (true, _) => format!("taken {ago} s ago, {}: not of now", time(self.at)),
            (false, Some(written)) => format!("a file written {}: nothing later", time(written)),
            (false, None) => "a file that does not say when it was written".to_owned(),
        };
        let pid = match self.snapshot.origin().pid {
            0 => "a process that is not named".to_owned(),
            pid => format!("process {pid}"),
        };
        let program = self.program();
        let program =
            program.map_or_else(String::new, |it| format!(" {}", quoted(&it, PROGRAM_BYTES)));
        let uptime = self.snapshot.observed_seconds();
        let from = quoted(&self.from, SOURCE_BYTES);
        let mut line =
            format!("snapshot {number}, {when}; {pid}{program}, up {uptime:.3} s, {from}");
        if self.is_restarted {
            line += "; another run than that of the snapshot before: the program was restarted";
        }
        if !self.snapshot.is_still() {
            line += "; tasks ended while it was read, so sums may lack those";
        }
        line
    }

    /// Returns the facts of [`line`](Self::line) as data.
    pub(super) fn data(&self) -> Value {
        let at = if self.is_live { Some(self.at) } else { self.written };
        json!({
            "number": self.number,
            "live": self.is_live,
            "from": self.from,
            "taken_at": at.map(time),
            "age_seconds": at.and_then(|it| it.elapsed().ok()).map(|it| it.as_secs()),
            "uptime_seconds": self.snapshot.observed_seconds(),
            "pid": self.snapshot.origin().pid,
            "program": self.program(),
            "restarted": self.is_restarted,
            "consistent": self.snapshot.is_still(),
        })
    }

    fn program(&self) -> Option<String> {
        let program = self.snapshot.program()?;
        let name = program.path.rsplit('/').next().unwrap_or(&program.path);
        Some(shown(name, PROGRAM_BYTES))
    }

    /// Says in one line why lines of stacks are missing. The text is empty if none is.
    pub(super) fn note(&self) -> String {
        self.notes.first().map_or_else(String::new, |note| {
            let note = note.replace('\n', "; ");
            format!("note: {}", quoted(&note, NOTE_BYTES))
        })
    }
}

fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn without_token(address: &str) -> String {
    let base = address.split('?').next().filter(|_| address.starts_with("http://"));
    base.unwrap_or(address).to_owned()
}
