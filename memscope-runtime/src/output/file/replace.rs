//! Bytes into the place of an old report, whole or not at all, and never into the place of anything
//! else.
//!
//! What is at a path stays what it was, apart from its content: its mode, owner and access control
//! list, a link that leads to it, a second name that it has.
//!
//! | there is | what happens |
//! |---|---|
//! | nothing | a new file, of mode 0600, that takes the name only if it still is free |
//! | a report, or an empty file | a temporary file gets its owner and mode, and then its name |
//! | a report with several names, or one that a rename cannot keep | its content is written anew |
//! | a link | the same, with what it leads to; some links of other users are refused |
//! | a device, a pipe, a descriptor | it is written into |
//! | any other file | it stays |

#[cfg(unix)]
use std::time::{Duration, Instant};
use std::{
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    path::Path,
    time::SystemTime,
};

use super::{
    is_report,
    place::{self, Place},
    temporary::Temporary,
};
#[cfg(unix)]
use super::{place::is_of_another_user, system};

/// A file is new as often as that when others make and remove it all the time.
const MOST_TRIES: usize = 8;
/// A pipe takes as many bytes whole or not at all.
#[cfg(unix)]
const PIPE_BYTES: usize = 4_096;
/// A reader that reads nothing for so long does not get the rest.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells one content of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    file: (u64, u64),
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Identity {
    pub(crate) fn of(file: &Metadata) -> Self {
        #[cfg(unix)]
        let number = {
            use std::os::unix::fs::MetadataExt;
            (file.dev(), file.ino())
        };
        #[cfg(not(unix))]
        let number = (0, 0);
        Self { file: number, bytes: file.len(), modified: file.modified().ok() }
    }
}

/// Why the file that is there stays as it is. A report could take another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    NotReport,
    NotReadable,
    NotWritable,
    #[cfg(unix)]
    OfAnotherUser,
    WrittenMeanwhile,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotReport => "it is there and not a report of memscope",
            Self::NotReadable => "it is there and may not be read: it may be something else",
            Self::NotWritable => "it is there and write-protected",
            #[cfg(unix)]
            Self::OfAnotherUser => "another user put it into a folder for all",
            Self::WrittenMeanwhile => {
                "another process, or another copy of memscope in this one, wrote it meanwhile (`%p` in \
                 the name becomes the process id)"
            }
        })
    }
}

#[derive(Debug)]
pub(crate) enum Refused {
    Taken(Taken),
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// Whether a report that is there may be replaced.
pub(crate) type Rule<'a> = &'a dyn Fn(&Metadata) -> Result<(), Taken>;

/// Writes the bytes to where the path leads. What is there now can be told from other files; a
/// stream cannot.
pub(crate) fn write(
    path: &Path,
    bytes: &[u8],
    rule: Rule<'_>,
) -> Result<Option<Identity>, Refused> {
    for _ in 0..MOST_TRIES {
        let done = match place::find(path)? {
            #[cfg(unix)]
            Place::Descriptor(number) => into(&system::same_file(number)?, bytes).map(|()| None),
            Place::Stream(path) => into(&open_stream(&path)?, bytes).map(|()| None),
            Place::File { path, is_there: false } => {
                check_limit(bytes.len() as u64)?;
                create(&path, bytes).map(Some)
            }
            Place::File { path, is_there: true } => {
                return replace(&path, bytes, rule).map(Some);
            }
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return Ok(done?),
        }
    }
    Err(Refused::Failed(io::ErrorKind::AlreadyExists.into()))
}

/// NOTE: some file systems say only when a file is synced that there is no room for it.
fn fill(mut file: &File, bytes: &[u8]) -> io::Result<Identity> {
    file.write_all(bytes)?;
    say_when(file);
    file.sync_all()?;
    Ok(Identity::of(&file.metadata()?))
}

/// The kernel's own times of files lag by milliseconds, in which another process may start.
fn say_when(file: &File) {
    // Of a file of another user it stays the kernel's.
    drop(file.set_modified(SystemTime::now()));
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<Identity> {
    let temporary = Temporary::beside(path)?;
    let identity = fill(temporary.file(), bytes)?;
    temporary.become_new(path)?;
    Ok(identity)
}

fn replace(path: &Path, bytes: &[u8], rule: Rule<'_>) -> Result<Identity, Refused> {
    let old = open_old(path)?;
    let there = old.metadata()?;
    #[cfg(unix)]
    if is_of_another_user(path, &there)? {
        return Err(Refused::Taken(Taken::OfAnotherUser));
    }
    if !is_report(&head(&old)?) {
        return Err(Refused::Taken(Taken::NotReport));
    }
    rule(&there).map_err(Refused::Taken)?;
    check_limit(bytes.len() as u64)?;
    Ok(replace_old(path, old, &there, bytes)?)
}

#[cfg(unix)]
#[expect(clippy::needless_pass_by_value, reason = "elsewhere it has to be closed first")]
fn replace_old(path: &Path, old: File, there: &Metadata, bytes: &[u8]) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    if there.nlink() > 1 {
        return write_anew(&old, bytes);
    }
    match replace_whole(path, bytes, |new| dress(new, &old, there)) {
        // A folder that may not be written, an owner that cannot be given, a file that is mounted.
        Err(error) if is_beyond_rename(&error) => write_anew(&old, bytes),
        done => done,
    }
}

#[cfg(not(unix))]
fn replace_old(path: &Path, old: File, _: &Metadata, bytes: &[u8]) -> io::Result<Identity> {
    // An open file may not be replaced.
    drop(old);
    replace_whole(path, bytes, |_| Ok(()))
}

/// For reading, and also for writing: a file that may not be written is not replaced either.
fn open_old(path: &Path) -> Result<File, Refused> {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY,
    );
    let is_refused = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match options.read(true).write(true).open(path) {
        Err(error) if is_refused(&error) => {
            let is_readable = options.write(false).open(path).is_ok();
            Err(Refused::Taken(if is_readable { Taken::NotWritable } else { Taken::NotReadable }))
        }
        opened => Ok(opened?),
    }
}

/// As much as tells a report from other files.
fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(512).read_to_end(&mut head)?;
    Ok(head)
}

fn replace_whole(
    path: &Path,
    bytes: &[u8],
    dress: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<Identity> {
    let temporary = Temporary::beside(path)?;
    dress(temporary.file())?;
    let identity = fill(temporary.file(), bytes)?;
    temporary.replace(path)?;
    Ok(identity)
}

/// Gives the new file what the old one has.
#[cfg(unix)]
fn dress(new: &File, old: &File, there: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let now = new.metadata()?;
    if (now.uid(), now.gid()) != (there.uid(), there.gid()) {
        fchown(new, Some(there.uid()), Some(there.gid()))?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    system::copy_attributes(old, new)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = old;
    // Last: another owner takes bits away, and an access control list changes those of the group.
    new.set_permissions(there.permissions())
}

#[cfg(unix)]
fn is_beyond_rename(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy | Unsupported)
}

/// Writes the same file anew. What needs more room is written first, so that a full disk is found
/// before anything is lost; a failure after that puts the old content back.
///
/// NOTE: the one way in which a report can be seen half written, or stay so if the machine fails.
#[cfg(unix)]
fn write_anew(mut file: &File, bytes: &[u8]) -> io::Result<Identity> {
    use std::{io::Seek, os::unix::fs::FileExt};
    let modified = file.metadata()?.modified();
    let mut old = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut old)?;
    let (over, more) = bytes.split_at(bytes.len().min(old.len()));
    let written = file
        .write_all_at(more, old.len() as u64)
        .and_then(|()| file.sync_all())
        .and_then(|()| file.write_all_at(over, 0))
        .and_then(|()| file.set_len(bytes.len() as u64))
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        file.set_len(old.len() as u64)?;
        file.write_all_at(&old, 0)?;
        if let Ok(modified) = modified {
            drop(file.set_modified(modified));
        }
        return Err(error);
    }
    say_when(file);
    Ok(Identity::of(&file.metadata()?))
}

/// Past this limit a write ends the process by a signal.
#[cfg(unix)]
fn check_limit(end: u64) -> io::Result<()> {
    if end > crate::output::os_hooks::file_size_limit() {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_limit(_: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn open_stream(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // A pipe that no process reads is not waited for.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let opened = File::options().append(true).custom_flags(flags).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ENXIO) => io::Error::other("no process reads this pipe"),
        _ => error,
    })
}

#[cfg(not(unix))]
fn open_stream(path: &Path) -> io::Result<File> {
    File::options().append(true).open(path)
}

/// Writes on from where the file stands, and waits for a slow reader, but not for ever.
#[cfg(unix)]
fn into(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::Seek;
    let there = file.metadata()?;
    let at_once = if there.is_file() {
        // It may be open for appending.
        let from = file.stream_position()?.max(there.len());
        check_limit(from.saturating_add(bytes.len() as u64))?;
        bytes.len()
    } else {
        PIPE_BYTES
    };
    let (mut rest, mut last) = (bytes, Instant::now());
    while !rest.is_empty() {
        let left = PATIENCE.saturating_sub(last.elapsed());
        let part = &rest[..rest.len().min(at_once)];
        let written = match system::takes_bytes(file, left) {
            Ok(true) => file.write(part),
            Ok(false) => return Err(io::Error::other("its reader does not read")),
            Err(error) => Err(error),
        };
        match written {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => (rest, last) = (&rest[count..], Instant::now()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It has room, but not for all of this.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !left.is_zero() => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn into(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}

/// Whether what is written there comes after what was, and replaces nothing.
pub(crate) fn is_stream(path: &Path) -> bool {
    place::find(path).is_ok_and(|place| !matches!(place, Place::File { .. }))
}

/// What is there now, to be compared with what was written.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(|file| Identity::of(&file))
}
