//! The files that this copy of memscope has written, and what may replace them.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::name::{Occasion, with_word};
use crate::{
    model::{Error, Origin, text::visible_path},
    output::file::{Content, Identity, Refused, Taken, identity, is_stream, write},
};

/// The last of `report.json`, `report.2.json` … `report.9.json`.
const MOST_NUMBERS: u32 = 9;
/// How many files are remembered. A forgotten one counts as written by another process.
const MOST_FILES: usize = 64;

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    content: Identity,
    occasion: Occasion,
}

/// The written files, under the lock that lets one report be written at a time.
#[derive(Debug)]
pub(super) struct Written {
    files: Vec<Kept>,
    /// Whether the process is exiting and has written its last report.
    pub(super) is_over: bool,
}

impl Written {
    pub(super) const NONE: Self = Self { files: Vec::new(), is_over: false };

    /// Writes the bytes to the path, or beside it if the name is taken. `others` is the number of
    /// other copies of memscope that write there, and use as many names. Returns a line for stderr,
    /// if there is something to say.
    pub(super) fn put(
        &mut self,
        path: &Path,
        others: u32,
        bytes: &[u8],
        occasion: Occasion,
    ) -> Result<Option<String>, Error> {
        self.put_content(path, others, content(bytes, occasion), occasion)
    }

    fn put_content(
        &mut self,
        path: &Path,
        others: u32,
        content: Content<'_>,
        occasion: Occasion,
    ) -> Result<Option<String>, Error> {
        let failed = |path: &Path, error: &io::Error| Error::file(path, "write the report", error);
        // Several copies can write into a stream, one after the other.
        let others = if others != 0 && is_stream(path) { 0 } else { others };
        let mut why =
            (others != 0).then(|| "another copy of memscope in this process writes it".to_owned());
        for number in others.saturating_add(1)..=MOST_NUMBERS {
            let name = match number {
                1 => path.to_owned(),
                _ => with_word(path, &number.to_string()),
            };
            let aside = self.set_aside(&name, occasion)?;
            match write(&name, content, &|there| self.may_be_replaced(&name, there)) {
                Ok(identity) => {
                    if let Some(content) = identity {
                        self.keep(Kept { path: name.clone(), content, occasion });
                    }
                    let elsewhere = why.map(|why| {
                        let [path, name] = [path, &name].map(visible_path);
                        format!("the report is in `{name}`; `{path}` is left alone: {why}")
                    });
                    return Ok(elsewhere.or(aside));
                }
                Err(Refused::Taken(taken)) => {
                    why.get_or_insert_with(|| taken.to_string());
                }
                Err(Refused::Failed(error)) => return Err(failed(&name, &error)),
            }
        }
        let why = why.unwrap_or_default();
        let last = with_word(path, &MOST_NUMBERS.to_string());
        let last = visible_path(&last);
        let error = format!("{why}, and all names up to `{last}` are taken: choose another name");
        Err(failed(path, &io::Error::other(error)))
    }

    /// Copies a report of a signal, a panic or a guard to a name of its own, before a later one
    /// replaces it. The copy replaces the previous one of its kind.
    fn set_aside(&mut self, path: &Path, occasion: Occasion) -> Result<Option<String>, Error> {
        let kept = self.files.iter().find(|kept| kept.path == path);
        let Some((kept, word)) = kept.and_then(|kept| Some((kept, kept.occasion.word()?))) else {
            return Ok(None);
        };
        if kept.occasion == occasion || identity(path) != Some(kept.content) {
            return Ok(None);
        }
        let kept = kept.occasion;
        let bytes = fs::read(path).map_err(|error| Error::file(path, "read the report", &error))?;
        // The copy delays the report that follows it, so it is synced only if that one is.
        self.put_content(&with_word(path, word), 0, content(&bytes, occasion), kept)
    }

    /// Returns an error unless the file may be replaced: reports of earlier runs may, and what this
    /// copy wrote. A file that is newer than the start of the process belongs to another process,
    /// or another copy.
    fn may_be_replaced(&self, path: &Path, there: &Metadata) -> Result<(), Taken> {
        let is_own = || {
            let mut own = self.files.iter().filter(|kept| kept.path == path);
            own.any(|kept| kept.content == Identity::of(there))
        };
        let started = UNIX_EPOCH + Duration::from_nanos(Origin::here().started_unix_ns);
        let modified = there.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        // An empty file is meant for a report: `mktemp` made it, or its reader emptied it.
        if there.len() == 0 || modified <= started || is_own() {
            Ok(())
        } else {
            Err(Taken::WrittenMeanwhile)
        }
    }

    fn keep(&mut self, file: Kept) {
        self.files.retain(|kept| kept.path != file.path);
        if self.files.len() == MOST_FILES {
            self.files.remove(0);
        }
        self.files.push(file);
    }
}

/// A report near the limit is not synced: not the machine but the process may end, and the next
/// report is due before a busy disk has this one.
fn content(bytes: &[u8], occasion: Occasion) -> Content<'_> {
    Content { bytes, is_synced: occasion != Occasion::Pressure }
}
