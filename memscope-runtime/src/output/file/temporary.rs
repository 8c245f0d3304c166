//! The temporary file that replaces an old report once it is complete.
//!
//! On Linux it has no name until then, so a process that dies leaves nothing behind. Elsewhere, and
//! on file systems without such files, its name is `.memscope-<process id>-<number>.tmp`. Its
//! writer locks it as long as it lives. So a file with such a name and without a lock is left from
//! a dead process, and is removed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process,
};

#[cfg(any(target_os = "linux", target_os = "android"))]
use super::system::name_it;

/// How many processes with the same id, in containers that share a folder, may write at one time.
const MOST_NAMES: u32 = 64;

/// A temporary file, without a name or with one of its own; removed when dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    file: File,
    folder: PathBuf,
    name: Option<PathBuf>,
}

impl Temporary {
    pub(super) fn beside(path: &Path) -> io::Result<Self> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        left::sweep(&folder);
        if let Some(file) = unnamed(&folder) {
            return Ok(Self { file, folder, name: None });
        }
        Self::named(folder)
    }

    fn named(folder: PathBuf) -> io::Result<Self> {
        let named = Self::take_name(&folder, |name| {
            let mut options = File::options();
            options.read(true).write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let file = options.open(name)?;
            left::lock(&file, name)?;
            Ok(file)
        });
        let (name, file) = named?;
        Ok(Self { file, folder, name: Some(name) })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Returns the first free name of this process, and what `make` made there.
    fn take_name<T>(
        folder: &Path,
        make: impl Fn(&Path) -> io::Result<T>,
    ) -> io::Result<(PathBuf, T)> {
        for number in 0..MOST_NAMES {
            let name = folder.join(format!(".memscope-{}-{number}.tmp", process::id()));
            let file = match make(&name) {
                file if is_taken(&file) && left::remove(&name) => make(&name),
                file => file,
            };
            if !is_taken(&file) {
                return file.map(|file| (name, file));
            }
        }
        Err(io::Error::other(
            "too many temporary files of memscope are there: remove `.memscope-*`",
        ))
    }

    /// Gives the file a new name; fails with `AlreadyExists` if another file has it.
    pub(super) fn become_new(self, path: &Path) -> io::Result<()> {
        let Some(name) = &self.name else { return name_it(&self.file, path) };
        match fs::hard_link(name, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                // NOTE: on a file system without hard links, another file may appear between the
                // two calls.
                if fs::symlink_metadata(path).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                self.replace(path)
            }
            done => done,
        }
    }

    /// Takes the name of an existing file.
    pub(super) fn replace(mut self, path: &Path) -> io::Result<()> {
        if self.name.is_none() {
            left::hold(&self.file);
            let named = Self::take_name(&self.folder, |name| name_it(&self.file, name));
            self.name = Some(named?.0);
        }
        let Some(name) = &self.name else { return Ok(()) };
        fs::rename(name, path)?;
        self.name = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // If that fails too, the file stays.
            drop(fs::remove_file(name));
        }
    }
}

fn is_taken<T>(made: &io::Result<T>) -> bool {
    matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists)
}

/// Opens a file that vanishes with its last descriptor. Returns `None` if the file system has none.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unnamed(folder: &Path) -> Option<File> {
    use std::os::{fd::AsRawFd, unix::fs::OpenOptionsExt};
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o600);
    let file = options.open(folder).ok()?;
    // The file gets its name through this path.
    let is_seen = fs::symlink_metadata(format!("/proc/self/fd/{}", file.as_raw_fd())).is_ok();
    is_seen.then_some(file)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unnamed(_: &Path) -> Option<File> {
    None
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn name_it(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// On other platforms a lock would keep readers out, so what a dead process left stays.
#[cfg(not(unix))]
mod left {
    use std::{fs::File, io, path::Path};

    pub(super) fn sweep(_: &Path) {}

    pub(super) fn remove(_: &Path) -> bool {
        false
    }

    pub(super) fn lock(_: &File, _: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn hold(_: &File) {}
}

/// The temporary files that dead processes have left behind.
#[cfg(unix)]
mod left {
    use std::{
        fs::{self, File, TryLockError},
        io,
        os::unix::fs::{MetadataExt, OpenOptionsExt},
        path::{Path, PathBuf},
    };

    use crate::{alloc::current::exempt, output::file::system::effective_user, primitives::Lock};

    /// How many swept folders this process remembers. Beyond this number it sweeps them again.
    const MOST_FOLDERS: usize = 64;
    /// Limits the work in a huge folder.
    const MOST_ENTRIES: usize = 10_000;

    static SWEPT: Lock<Vec<PathBuf>> = Lock::new(Vec::new());

    /// Removes the left files in a folder, once for each folder.
    pub(super) fn sweep(folder: &Path) {
        // `exempt`, because the list stays allocated, and a task may be current here.
        exempt(|| sweep_once(folder));
    }

    fn sweep_once(folder: &Path) {
        let mut swept = SWEPT.lock();
        if swept.iter().any(|known| known == folder) {
            return;
        }
        if swept.len() == MOST_FOLDERS {
            swept.clear();
        }
        swept.push(folder.to_owned());
        drop(swept);
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.take(MOST_ENTRIES).flatten() {
            if entry.file_name().to_str().is_some_and(is_name) {
                remove(&entry.path());
            }
        }
    }

    /// Returns whether the name is `.memscope-<process id>-<number>.tmp`.
    fn is_name(name: &str) -> bool {
        let is_number = |text: &str| {
            !text.is_empty() && text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        name.strip_prefix(".memscope-")
            .and_then(|rest| rest.strip_suffix(".tmp"))
            .and_then(|rest| rest.split_once('-'))
            .is_some_and(|(pid, number)| is_number(pid) && is_number(number))
    }

    /// Removes the file if it is certainly left from a dead process of this user. Returns whether
    /// it did.
    pub(super) fn remove(path: &Path) -> bool {
        is_left(path) && fs::remove_file(path).is_ok()
    }

    fn is_left(path: &Path) -> bool {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let Ok(file) = options.open(path) else { return false };
        let Ok(there) = file.metadata() else { return false };
        there.is_file()
            && there.nlink() == 1
            && there.uid() == effective_user()
            && file.try_lock().is_ok()
            && is_still(&file, path)
    }

    /// Locks a new file. Fails if another process has found and removed it before.
    pub(super) fn lock(file: &File, path: &Path) -> io::Result<()> {
        let is_ours = match file.try_lock() {
            // NOTE: on a file system without locks, no process removes the files of another.
            Err(TryLockError::Error(_)) => true,
            Err(TryLockError::WouldBlock) => false,
            Ok(()) => is_still(file, path),
        };
        if is_ours { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    /// Locks a file that has no name yet.
    pub(super) fn hold(file: &File) {
        // On a file system without locks, as above.
        drop(file.try_lock());
    }

    fn is_still(file: &File, path: &Path) -> bool {
        let [Ok(file), Ok(there)] = [file.metadata(), fs::symlink_metadata(path)] else {
            return false;
        };
        (file.dev(), file.ino()) == (there.dev(), there.ino())
    }

    #[cfg(test)]
    mod tests {
        use super::is_name;

        #[test]
        fn only_whole_names_of_temporary_files_are_taken_for_such() {
            assert!(is_name(".memscope-1-0.tmp") && is_name(".memscope-4194304-63.tmp"));
            for other in [
                "memscope-1-0.tmp",
                ".memscope-1.tmp",
                ".memscope-1-.tmp",
                ".memscope-1-0.tmp~",
                ".memscope-x-0.tmp",
                ".memscope-1-0-0.tmp",
                ".memscope--0.tmp",
                ".memscope-12345678901-0.tmp",
            ] {
                assert!(!is_name(other), "{other}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("memscope-{name}-{}", process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0)
                .expect("a folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
            let mut names: Vec<_> = entries.collect();
            names.sort();
            names
        }

        fn temporary(&self, is_named: bool) -> Temporary {
            let temporary = if is_named {
                Temporary::named(self.0.clone())
            } else {
                Temporary::beside(&self.0.join("report"))
            };
            let temporary = temporary.expect("a file");
            temporary.file().write_all(b"new").expect("room");
            temporary
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn with_or_without_a_name_a_file_takes_a_free_name_or_an_old_files() {
        for is_named in [true, false] {
            let folder = Folder::new("take");
            let path = folder.0.join("report");
            folder.temporary(is_named).become_new(&path).expect("free");
            assert_eq!(fs::read(&path).expect("there"), b"new");
            fs::write(&path, "old").expect("there");
            let error = folder.temporary(is_named).become_new(&path).expect_err("taken");
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read(&path).expect("there"), b"old");
            folder.temporary(is_named).replace(&path).expect("a folder");
            assert_eq!(fs::read(&path).expect("there"), b"new");
            drop(folder.temporary(is_named));
            assert_eq!(folder.names(), ["report"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_is_taken_again_when_its_process_is_dead_and_not_before() {
        for is_named in [true, false] {
            let folder = Folder::new("again");
            let name = |number| format!(".memscope-{}-{number}.tmp", process::id());
            // The names of a process with the same id in another container; one such process is
            // dead.
            let [dead, alive] = [0, 1].map(|number| folder.0.join(name(number)));
            fs::write(&alive, "alive").expect("a folder");
            let of_another = File::open(&alive).expect("there");
            of_another.lock().expect("a file system with locks");
            fs::write(&dead, "dead").expect("a folder");
            let first = Temporary::named(folder.0.clone()).expect("a file");
            let second = folder.temporary(true);
            assert_eq!(folder.names(), [name(0), name(1), name(2)]);
            assert_eq!(fs::read(&alive).expect("there"), b"alive");
            drop((first, second));
            folder.temporary(is_named).replace(&folder.0.join("report")).expect("a folder");
            assert_eq!(folder.names(), [name(1), "report".to_owned()]);
        }
    }
}
