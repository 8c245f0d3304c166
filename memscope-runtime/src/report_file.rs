//! Snapshots as files: written whole or not at all, and read back.
//!
//! A file of a report is the snapshot as serde writes it, with two fields before it: the version of the format and that of the crate.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, error::Category};

use crate::{
    error::{Error, Unreadable},
    input, reserve,
    snapshot::{Left, MemorySnapshot},
    table::cell,
    text::{self, Buffer},
};

/// Raised when a field is added that has no default, or one changes its meaning.
const FORMAT: u32 = 1;
/// Bytes that are kept of what the JSON parser says.
const MOST_SAID: usize = 1_024;

/// What a file's name says about what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text,
}

impl Format {
    /// `None`: the name says nothing; the file is text.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?;
        if extension.eq_ignore_ascii_case("json") {
            Some(Self::Json)
        } else {
            extension.eq_ignore_ascii_case("txt").then_some(Self::Text)
        }
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
    /// Writes the snapshot to a file: as JSON where its name ends in `.json`, else as the table that `Display` prints.
    ///
    /// The file is replaced as a whole or not at all: a temporary one beside it is written and takes its name.
    ///
    /// # Errors
    ///
    /// When the file cannot be written: no such folder, no permission, a full disk. What was there before then still is.
    pub fn write_to(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        write_snapshot(self, path.as_ref())
    }

    /// The snapshot that a file holds which [`write_to`](Self::write_to), `report_guard` or `MEMSCOPE_REPORT` wrote as JSON.
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

    /// The same, of a file's text.
    ///
    /// # Errors
    ///
    /// When it is empty, cut off, not JSON, not a report, damaged, or of another version of the format. The error says which.
    ///
    /// ```
    /// use memscope_runtime::async_memory::MemorySnapshot;
    ///
    /// let error = MemorySnapshot::from_json("{\"memscope_format\":1,").unwrap_err();
    /// assert!(error.to_string().contains("ends after byte 21"), "{error}");
    /// ```
    // PERF: of builds: reading is a fifth of all code, and few programs read reports.
    #[inline]
    pub fn from_json(text: &str) -> Result<Self, Error> {
        from_json(text).map_err(Error::unreadable)
    }
}

#[inline]
fn as_text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        // No length: the text ends inside a character.
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
    // Serde takes an array for fields in their order.
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

pub(crate) fn write_snapshot(snapshot: &MemorySnapshot, path: &Path) -> Result<(), Error> {
    bytes(snapshot, path)
        .and_then(|bytes| replace(path, &bytes))
        .map_err(|error| Error::file(path, "write the report", &error))
}

/// The snapshot as it is in a file of this name; without rows, and with their number, where there is no memory for them.
pub(crate) fn bytes(snapshot: &MemorySnapshot, path: &Path) -> io::Result<Vec<u8>> {
    let _work = reserve::work();
    bytes_of(snapshot, path)
        .or_else(|_| bytes_of(&snapshot.without_rows(Left::Sites), path))
        .or_else(|_| bytes_of(&snapshot.without_rows(Left::Nothing), path))
}

fn bytes_of(snapshot: &MemorySnapshot, path: &Path) -> io::Result<Vec<u8>> {
    let mut buffer = Buffer::default();
    match Format::of(path) {
        Some(Format::Json) => {
            let written = Written {
                memscope_format: FORMAT,
                memscope_version: env!("CARGO_PKG_VERSION"),
                snapshot,
            };
            serde_json::to_writer(&mut buffer, &written)?;
            writeln!(buffer)?;
        }
        Some(Format::Text) | None => write!(buffer, "{snapshot}")?,
    }
    Ok(buffer.into_bytes())
}

/// Puts these bytes in the place of the file, all of them or none.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link stays, and what it leads to is replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(path) {
        Ok(there) if is_device(&there) => {
            return OpenOptions::new().write(true).open(path)?.write_all(bytes);
        }
        Ok(there) if !there.is_file() => {
            return Err(io::Error::other("it is there, and not a file"));
        }
        Ok(_) | Err(_) => {}
    }
    #[cfg(unix)]
    if bytes.len() as u64 > crate::hooks::file_size_limit() {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let temporary = temporary_beside(path);
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing to be done if that fails as well.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// NOTE: some file systems say only when a file is synced that there is no room for it.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name that nobody else uses: containers that share a folder may have the same process ids.
fn temporary_beside(path: &Path) -> PathBuf {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    path.with_file_name(format!(".memscope-{}-{now:x}.tmp", process::id()))
}

/// Whether this is a terminal, `/dev/null` or the like, which must not be replaced.
#[cfg(unix)]
fn is_device(file: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_char_device(&file.file_type())
}

#[cfg(not(unix))]
fn is_device(_: &fs::Metadata) -> bool {
    false
}
