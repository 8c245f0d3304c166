//! Snapshots as files: written as a whole or not at all, and read back.
//!
//! A JSON report is the snapshot as serde writes it, after two more fields: the version of the
//! format and that of the crate.

pub(crate) mod page;
mod place;
mod replace;
#[cfg(unix)]
mod system;
mod temporary;

use std::{
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, error::Category};

use super::input;
use crate::{
    alloc::own_work,
    model::{Error, Unreadable, human::cell, text},
    output::text::Buffer,
    primitives::reserve,
    snapshot::MemorySnapshot,
};

pub(crate) use replace::{Content, Identity, Refused, Taken, identity, is_stream, write};

/// Raised when a field without a default is added, or a field changes its meaning.
const FORMAT: u32 = 1;
/// The most bytes of a JSON parser's message that are kept.
const MOST_SAID: usize = 1_024;
/// The first field of each JSON report.
const FIRST_FIELD: &str = "\"memscope_format\"";
/// The first words of the first two lines of each text report.
const FIRST_WORDS: [&str; 2] = ["live memory: ", "tasks: "];

/// The format of a file, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text,
    /// Text, if the program is built without the page.
    Page,
}

impl Format {
    /// Returns `None` if the name does not tell; the file is then text.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        let formats = [("json", Self::Json), ("txt", Self::Text), ("html", Self::Page)];
        let is_its = |(name, _): &(&str, Self)| extension.eq_ignore_ascii_case(name);
        formats.into_iter().find(is_its).map(|(_, format)| format)
    }
}

#[derive(Serialize)]
struct Written<'a> {
    memscope_format: u32,
    memscope_version: &'static str,
    #[serde(flatten)]
    snapshot: &'a MemorySnapshot,
}

/// The fields that every version has and will have.
#[derive(Deserialize)]
struct Head {
    memscope_format: Option<Value>,
    memscope_version: Option<Value>,
}

impl MemorySnapshot {
    /// Writes the snapshot to a file: as JSON if its name ends in `.json`, else as the table that
    /// `Display` prints.
    ///
    /// An existing report is replaced as a whole or not at all: a temporary file beside it is
    /// written, and then takes its name, mode and owner. A new file is for its owner alone (mode
    /// 0600). Links are followed and stay. Devices and pipes are written into; a pipe without a
    /// reader is an error, not a wait.
    ///
    /// # Errors
    ///
    /// When the file cannot be written: no such folder, no permission, a full disk. The previous
    /// content is then still there.
    ///
    /// Also when the existing file is neither a report of memscope nor empty. It stays: remove it
    /// first, or choose another name.
    pub fn write_to(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let failed = |error: io::Error| Error::file(path, "write the report", &error);
        let bytes = bytes(self, path).map_err(failed)?;
        // The program's code names the file, so what other processes wrote there is replaced.
        let content = Content { bytes: &bytes, is_synced: true };
        write(path, content, &|_| Ok(())).map(drop).map_err(|refused| match refused {
            Refused::Failed(error) => failed(error),
            Refused::Taken(why) => failed(io::Error::other(format!(
                "{why}, so it stays: remove it or choose another name"
            ))),
        })
    }

    /// Reads a snapshot from a JSON file that [`write_to`](Self::write_to), `report_guard` or
    /// `MEMSCOPE_REPORT` wrote.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, and as for [`from_json`](Self::from_json).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let bytes = input::read(path, input::MOST_BYTES, Some(b'{'))
            .map_err(|error| Error::file(path, "read the report", &error))?;
        as_text(&bytes).and_then(Self::from_json).map_err(|error| error.in_file(path))
    }

    /// Reads a snapshot from the text of a JSON report.
    ///
    /// # Errors
    ///
    /// When it is empty, cut off, not JSON, not a report, damaged, or of another version of the
    /// format. The error says which.
    ///
    /// ```
    /// use memscope_runtime::async_memory::MemorySnapshot;
    ///
    /// let error = MemorySnapshot::from_json("{\"memscope_format\":1,").unwrap_err();
    /// assert!(error.to_string().contains("ends after byte 21"), "{error}");
    /// ```
    // PERF: for build times. Reading is a fifth of all code, and few programs read reports.
    #[inline]
    pub fn from_json(text: &str) -> Result<Self, Error> {
        from_json(text).map_err(Error::unreadable)
    }
}

#[inline]
fn as_text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        // Without a length, the text ends inside a character.
        let is_cut = error.error_len().is_none();
        Error::unreadable(if is_cut {
            Unreadable::Cut { at: bytes.len() }
        } else {
            Unreadable::NotText { at }
        })
    })
}

#[inline]
fn from_json(text: &str) -> Result<MemorySnapshot, Unreadable> {
    if text.trim_ascii().is_empty() {
        return Err(Unreadable::Empty);
    }
    let head: Head = serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Eof => Unreadable::Cut { at: text.len() },
        Category::Data => Unreadable::NotReport,
        Category::Syntax | Category::Io => Unreadable::NotJson(text::said(&error, MOST_SAID)),
    })?;
    // Serde also accepts an array, with the fields in their order.
    let is_object = text.trim_ascii_start().starts_with('{');
    let format = head.memscope_format.filter(|_| is_object).ok_or(Unreadable::NotReport)?;
    if format != FORMAT {
        let shown = |value: &Value| match value {
            Value::String(text) => cell(text, 20),
            other => cell(&text::said(other, MOST_SAID), 20),
        };
        return Err(Unreadable::OtherFormat {
            format: shown(&format),
            version: head.memscope_version.as_ref().map_or_else(|| "?".to_owned(), shown),
            ours: FORMAT,
        });
    }
    serde_json::from_str(text).map_err(|error| Unreadable::Damaged(text::said(&error, MOST_SAID)))
}

/// The approximate size of the text of a site's row.
const SITE_BYTES: usize = 2 << 10;
/// A report is trimmed as if it had at least this many sites. So a report with few sites keeps
/// about ten stacks.
const LEAST_SITES: usize = 160;

/// Returns the bytes of a file with this name. If there is no memory for all rows, the file has
/// those of the largest sites and few that say more of these. It also says how many rows are
/// missing.
pub(crate) fn bytes(snapshot: &MemorySnapshot, path: &Path) -> io::Result<Vec<u8>> {
    let _work = own_work::work();
    // Each try may take as much memory as the one before; the last one takes little.
    reserve::renew_bound();
    // A small number of sites leaves room for other rows.
    let mut most = snapshot.sites().len().max(LEAST_SITES).min(reserve::room_for(SITE_BYTES));
    let mut written = bytes_of(snapshot, path);
    while written.is_err() && most != 0 {
        reserve::renew_bound();
        written = bytes_of(&snapshot.of_largest_sites(most), path);
        most /= 4;
    }
    written.or_else(|_| {
        let _bound = reserve::bound(usize::MAX);
        bytes_of(&snapshot.of_largest_sites(0), path)
    })
}

/// Returns the bytes of a JSON report.
///
/// # Errors
///
/// Fails if there is no memory for them.
pub fn json(snapshot: &MemorySnapshot) -> io::Result<Vec<u8>> {
    bytes(snapshot, Path::new("report.json"))
}

fn bytes_of(snapshot: &MemorySnapshot, path: &Path) -> io::Result<Vec<u8>> {
    let mut buffer = Buffer::default();
    match (Format::of(path), page::write()) {
        (Some(Format::Page), Some(write)) => write(snapshot, &mut buffer)?,
        (Some(Format::Json), _) => {
            let written = Written {
                memscope_format: FORMAT,
                memscope_version: env!("CARGO_PKG_VERSION"),
                snapshot,
            };
            serde_json::to_writer(&mut buffer, &written)?;
            writeln!(buffer)?;
        }
        (Some(Format::Text | Format::Page) | None, _) => write!(buffer, "{snapshot}")?,
    }
    Ok(buffer.into_bytes())
}

/// Returns whether a file with this beginning is empty, or a report of any version.
fn is_report(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\n');
    let is_text = FIRST_WORDS
        .iter()
        .all(|words| lines.next().is_some_and(|line| line.starts_with(words.as_bytes())));
    let is_json = || {
        let object = head.trim_ascii_start().strip_prefix(b"{")?;
        object.trim_ascii_start().strip_prefix(FIRST_FIELD.as_bytes())
    };
    let is_page = head.starts_with(page::FIRST_LINES.as_bytes());
    head.is_empty() || is_text || is_page || is_json().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::get_memory_snapshot;

    #[test]
    fn what_memscope_writes_is_known_again_and_nothing_else_is() {
        let snapshot = get_memory_snapshot();
        for name in ["report.json", "report.txt", "report"] {
            let bytes = bytes(&snapshot, Path::new(name)).expect("plain data");
            assert!(is_report(&bytes[..bytes.len().min(512)]), "{name}");
        }
        assert!(is_report(page::FIRST_LINES.as_bytes()));
        assert!(is_report(b"") && is_report(b"{\n  \"memscope_format\": 7,"));
        for other in [
            "\n",
            "old",
            "{}",
            "{\"name\":\"memscope_format\"}",
            "[{\"memscope_format\":1}]",
            "live memory: of our town",
            "live memory: 3 KiB in tasks\nnotes",
            "<!doctype html>\n<html lang=\"en\">\n",
            "\nlive memory: 3 KiB\ntasks: 1",
        ] {
            assert!(!is_report(other.as_bytes()), "{other}");
        }
    }
}
