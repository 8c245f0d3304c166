//! Caches the futures of programs until their files change, as reading takes seconds.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use crate::{error::Error, model::Futures};

/// How many programs are kept.
const MOST_PROGRAMS: usize = 4;
/// The most futures of all programs together. One program is kept in any case.
const MOST_FUTURES: usize = 200_000;

/// The identity of a file when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    path: PathBuf,
    bytes: u64,
    changed: SystemTime,
    /// The file's inode and its last change of any kind. Another build may have the same time and
    /// length.
    #[cfg(unix)]
    inode: [i128; 4],
}

impl Identity {
    /// Returns `None` if this is not a regular file, or if the system does not say when it was
    /// changed.
    fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let about = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            path,
            bytes: about.len(),
            changed: about.modified().ok()?,
            #[cfg(unix)]
            inode: {
                use std::os::unix::fs::MetadataExt as _;
                let (seconds, ns) = (about.ctime(), about.ctime_nsec());
                [about.dev().into(), about.ino().into(), seconds.into(), ns.into()]
            },
        })
    }
}

/// The futures of the programs that were read last.
#[derive(Debug, Default)]
pub(super) struct FuturesKept {
    /// The newest last.
    programs: Mutex<VecDeque<(Identity, Arc<Futures>)>>,
}

impl FuturesKept {
    /// Returns the futures of a program. Reads them if the file has changed.
    pub(super) fn read(&self, path: &Path) -> Result<Arc<Futures>, Error> {
        self.read_by(path, Futures::read)
    }

    fn read_by(
        &self,
        path: &Path,
        read: impl FnOnce(&Path) -> Result<Futures, Error>,
    ) -> Result<Arc<Futures>, Error> {
        let before = Identity::of(path);
        let kept = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &before
            && let Some((_, futures)) = kept().iter().find(|it| it.0 == *file)
        {
            return Ok(Arc::clone(futures));
        }
        let futures = Arc::new(read(path)?);
        // Futures are not kept if debug information is missing, as it may be there at the next
        // call, or if the file changed while it was read.
        let is_same = before.is_some() && before == Identity::of(path);
        if let Some(file) = before.filter(|_| is_same && futures.missing_files == 0) {
            let mut programs = kept();
            programs.retain(|it| it.0.path != file.path);
            programs.push_back((file, Arc::clone(&futures)));
            let total = |all: &VecDeque<(_, Arc<Futures>)>| -> usize {
                all.iter().map(|it| it.1.all.len()).sum()
            };
            while programs.len() > MOST_PROGRAMS
                || programs.len() > 1 && total(&programs) > MOST_FUTURES
            {
                programs.pop_front();
            }
        }
        Ok(futures)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const JSON: &str = r#"{"memscope_futures":1,"program":"a","build_id":null,"futures":[]}"#;

    /// A file of this test alone.
    fn file(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("memscope-kept-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, "a program").unwrap();
        path
    }

    #[test]
    fn a_file_that_stays_is_read_once_and_one_that_changes_again() {
        let (kept, path, reads) = (FuturesKept::default(), file("stays"), Cell::new(0));
        let read = || {
            let count = |_: &Path| {
                reads.set(reads.get() + 1);
                Ok(Futures { missing_files: 0, ..Futures::from_json(JSON).unwrap() })
            };
            kept.read_by(&path, count).unwrap()
        };
        let first = read();
        assert!(Arc::ptr_eq(&first, &read()));
        assert_eq!(reads.get(), 1);
        fs::write(&path, "another program").unwrap();
        assert!(!Arc::ptr_eq(&first, &read()), "it is longer");
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, "ANOTHER PROGRAM").unwrap();
        let later = changed + std::time::Duration::from_secs(2);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        read();
        assert_eq!(reads.get(), 3, "it is newer");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_lacks_debug_files_is_read_again_and_only_the_latest_programs_are_kept() {
        let (kept, path, reads) = (FuturesKept::default(), file("lacks"), Cell::new(0));
        let read = |path: &Path, missing_files| {
            let count = |_: &Path| {
                reads.set(reads.get() + 1);
                Ok(Futures { missing_files, ..Futures::from_json(JSON).unwrap() })
            };
            kept.read_by(path, count).map(drop).unwrap();
        };
        read(&path, 1);
        read(&path, 1);
        assert_eq!(reads.get(), 2);
        for at in 0..=MOST_PROGRAMS {
            read(&file(&format!("program {at}")), 0);
        }
        read(&file("program 0"), 0);
        assert_eq!(reads.get(), 2 + MOST_PROGRAMS + 2, "the first was forgotten");
        assert_eq!(kept.programs.lock().unwrap().len(), MOST_PROGRAMS);
        for name in (0..=MOST_PROGRAMS).map(|at| format!("program {at}")).chain(["lacks".into()]) {
            fs::remove_file(file(&name)).unwrap();
        }
    }
}
