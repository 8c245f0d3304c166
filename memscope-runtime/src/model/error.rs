//! The one opaque error for what can fail outside the allocator.

use std::{any::Any, fmt};
#[cfg(feature = "report-file")]
use std::{io, path::Path, path::PathBuf};

use super::{Measured, task::TaskId, text::visible_lines};
#[cfg(feature = "report-file")]
use super::{human::cell, text::visible_path};

/// Columns for a message of the system or of the JSON parser, which repeats what it has read.
#[cfg(feature = "report-file")]
const MOST_WHY: usize = 300;

/// Why a call of memscope failed. Its `Display` says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Setting {
        name: &'static str,
        value: u64,
        most: u64,
    },
    Feature {
        setting: &'static str,
        feature: &'static str,
    },
    Share(&'static str),
    MonitorNotStarted,
    MonitorRunning,
    #[cfg(feature = "report-file")]
    File {
        path: PathBuf,
        what: &'static str,
        why: String,
    },
    #[cfg(feature = "report-file")]
    Report {
        path: Option<PathBuf>,
        why: Unreadable,
    },
    /// This many rows were left out.
    NoMemory(u64),
    NotMeasured(Measured),
    TaskIsOver(TaskId),
    NoHeapGraph(String),
    NoTaskDump(String),
}

/// Why a text is not a report that memscope can read.
#[cfg(feature = "report-file")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Empty,
    /// It ends, after this many bytes, before it is complete.
    Cut {
        at: usize,
    },
    NotText {
        at: usize,
    },
    /// The parser's message, which ends with line and column.
    NotJson(String),
    NotReport,
    OtherFormat {
        format: String,
        version: String,
        ours: u32,
    },
    /// Its head is that of a report, but a field is missing or has the wrong type.
    Damaged(String),
}

impl Error {
    pub(crate) fn setting(name: &'static str, value: u64, most: u64) -> Self {
        Self { kind: Kind::Setting { name, value, most } }
    }

    pub(crate) fn share(setting: &'static str) -> Self {
        Self { kind: Kind::Share(setting) }
    }

    pub(crate) fn feature(setting: &'static str, feature: &'static str) -> Self {
        Self { kind: Kind::Feature { setting, feature } }
    }

    pub(crate) fn monitor_not_started() -> Self {
        Self { kind: Kind::MonitorNotStarted }
    }

    pub(crate) fn monitor_running() -> Self {
        Self { kind: Kind::MonitorRunning }
    }

    /// `what` could not be done with the file.
    #[cfg(feature = "report-file")]
    pub(crate) fn file(path: &Path, what: &'static str, why: &io::Error) -> Self {
        Self { kind: Kind::File { path: path.to_owned(), what, why: why.to_string() } }
    }

    #[cfg(feature = "report-file")]
    pub(crate) fn unreadable(why: Unreadable) -> Self {
        Self { kind: Kind::Report { path: None, why } }
    }

    /// Adds the file from which the text was read.
    #[cfg(feature = "report-file")]
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        if let Kind::Report { path, .. } = &mut self.kind {
            *path = Some(file.to_owned());
        }
        self
    }

    pub(crate) fn no_memory(rows: u64) -> Self {
        Self { kind: Kind::NoMemory(rows) }
    }

    pub(crate) fn not_measured(why: Measured) -> Self {
        Self { kind: Kind::NotMeasured(why) }
    }

    pub(crate) fn no_heap_graph(why: String) -> Self {
        Self { kind: Kind::NoHeapGraph(why) }
    }

    pub(crate) fn no_task_dump(why: String) -> Self {
        Self { kind: Kind::NoTaskDump(why) }
    }

    pub(crate) fn task_is_over(task: TaskId) -> Self {
        Self { kind: Kind::TaskIsOver(task) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Setting { name, value, most } => {
                write!(f, "`{name}` is {value}, expected a number from 1 to {most}")
            }
            Kind::Share(name) => {
                write!(f, "`{name}` takes shares above 0 and up to 1, such as 0.95")
            }
            Kind::Feature { setting, feature } => {
                write!(f, "`{setting}` needs memscope's feature `{feature}`")
            }
            Kind::MonitorNotStarted => f.write_str(
                "the monitor is not running: call `start_monitoring` before `stop_monitoring`",
            ),
            Kind::MonitorRunning => f.write_str(
                "the monitor is already running: call `stop_monitoring` before starting it again",
            ),
            #[cfg(feature = "report-file")]
            Kind::File { path, what, why } => {
                write!(f, "cannot {what} `{}`: {}", visible_path(path), cell(why, MOST_WHY))
            }
            #[cfg(feature = "report-file")]
            Kind::Report { path, why } => {
                match path {
                    None => f.write_str("the text ")?,
                    Some(path) => write!(f, "`{}` ", visible_path(path))?,
                }
                write!(f, "{why}")
            }
            Kind::NoMemory(rows) => write!(
                f,
                "there was no memory for {rows} rows: free some, or read the sums of `sites()` instead"
            ),
            Kind::NoHeapGraph(why) => write!(f, "there is no heap graph: {why}"),
            Kind::NoTaskDump(why) => write!(f, "there is no dump of the tasks: {why}"),
            Kind::NotMeasured(why) => write!(f, "sizes are not measured: {}", why.reason()),
            Kind::TaskIsOver(task) => write!(
                f,
                "task #{task} is over or never was: transfer to a task whose future still exists"
            ),
        }
    }
}

#[cfg(feature = "report-file")]
impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Cut { at } => write!(f, "is cut off: it ends after byte {at}, before it is complete"),
            Self::NotText { at } => write!(f, "is not UTF-8 text: see byte {at}"),
            Self::NotJson(why) => write!(f, "is not JSON: {}", cell(why, MOST_WHY)),
            Self::NotReport => f.write_str(
                "is JSON but not a memscope report: it has no `memscope_format` (a snapshot that was written by serde \
                 alone is read by serde alone)",
            ),
            Self::OtherFormat { format, version, ours } => write!(
                f,
                "has format {format}, written by memscope {version}; this is memscope {}, which reads format {ours}",
                env!("CARGO_PKG_VERSION"),
            ),
            Self::Damaged(why) => {
                write!(f, "is a damaged memscope report: {}", cell(why, MOST_WHY))
            },
        }
    }
}

impl std::error::Error for Error {}

/// Why the future of [`create_tracked`](crate::async_memory::create_tracked) returned no output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// It panicked, with this message.
    Panicked(String),
}

impl TaskError {
    /// From the payload that `std::panic::catch_unwind` returned.
    pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&'static str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(message.unwrap_or("a value that is not a string").to_owned())
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Panicked(message) = self;
        write!(f, "the task panicked: {}", visible_lines(message))
    }
}

impl std::error::Error for TaskError {}
