//! Replaces an old report as a whole or not at all, and never replaces any other file.
//!
//! Only the content at a path changes. Its mode, owner and access control list stay, and so do a
//! link that leads to it and other names of the file.
//!
//! | at the path | what happens |
//! |---|---|
//! | nothing | a new file, of mode 0600, takes the name only if it is still free |
//! | a report, or an empty file | a temporary file gets its owner and mode, and then its name |
//! | a report with several names, or one that cannot be renamed over | it is rewritten in place |
//! | a link | the same, with its target; some links of other users are refused |
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

/// How often to try again while other processes keep making and removing the file.
const MOST_TRIES: usize = 8;
/// The most bytes that a pipe takes as a whole or not at all.
#[cfg(unix)]
const PIPE_BYTES: usize = 4_096;
/// A reader that reads nothing for this long does not get the rest.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(5);

/// Identifies a file together with its content.
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

/// Why the existing file stays. The report may be written under another name.
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

/// Decides whether an existing report may be replaced.
pub(crate) type Rule<'a> = &'a dyn Fn(&Metadata) -> Result<(), Taken>;

/// The bytes of a report, and whether they must reach the disk.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) bytes: &'a [u8],
    /// Whether the file gets its name only when the disk has its bytes. The file is then whole even
    /// if the machine fails. A busy disk takes seconds for that.
    pub(crate) is_synced: bool,
}

impl Content<'_> {
    fn len(self) -> u64 {
        self.bytes.len() as u64
    }

    fn sync(self, file: &File) -> io::Result<()> {
        if self.is_synced { file.sync_all() } else { Ok(()) }
    }
}

/// Writes the content to the target of the path. Returns the identity of the written file, or
/// `None` for a stream, which has none.
pub(crate) fn write(
    path: &Path,
    content: Content<'_>,
    rule: Rule<'_>,
) -> Result<Option<Identity>, Refused> {
    for _ in 0..MOST_TRIES {
        let done = match place::find(path)? {
            #[cfg(unix)]
            Place::Descriptor(number) => {
                into(&system::same_file(number)?, content.bytes).map(|()| None)
            }
            Place::Stream(path) => into(&open_stream(&path)?, content.bytes).map(|()| None),
            Place::File { path, is_there: false } => {
                check_limit(content.len())?;
                create(&path, content).map(Some)
            }
            Place::File { path, is_there: true } => {
                return replace(&path, content, rule).map(Some);
            }
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            done => return Ok(done?),
        }
    }
    Err(Refused::Failed(io::ErrorKind::AlreadyExists.into()))
}

/// Writes the content into a new file. NOTE: some file systems report a full disk only when the
/// file is synced.
fn fill(mut file: &File, content: Content<'_>) -> io::Result<Identity> {
    file.write_all(content.bytes)?;
    say_when(file);
    content.sync(file)?;
    Ok(Identity::of(&file.metadata()?))
}

/// Sets the file's time. The kernel's own time lags by milliseconds, in which another process may
/// start.
fn say_when(file: &File) {
    // A file of another user keeps the kernel's time.
    drop(file.set_modified(SystemTime::now()));
}

fn create(path: &Path, content: Content<'_>) -> io::Result<Identity> {
    let temporary = Temporary::beside(path)?;
    let identity = fill(temporary.file(), content)?;
    temporary.become_new(path)?;
    Ok(identity)
}

fn replace(path: &Path, content: Content<'_>, rule: Rule<'_>) -> Result<Identity, Refused> {
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
    check_limit(content.len())?;
    Ok(replace_old(path, old, &there, content)?)
}

#[cfg(unix)]
#[expect(clippy::needless_pass_by_value, reason = "elsewhere it has to be closed first")]
fn replace_old(
    path: &Path,
    old: File,
    there: &Metadata,
    content: Content<'_>,
) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    if there.nlink() > 1 {
        return write_anew(&old, content);
    }
    match replace_whole(path, content, |new| dress(new, &old, there)) {
        // A read-only folder, an owner that may not be set, or a mount point.
        Err(error) if is_beyond_rename(&error) => write_anew(&old, content),
        done => done,
    }
}

#[cfg(not(unix))]
fn replace_old(path: &Path, old: File, _: &Metadata, content: Content<'_>) -> io::Result<Identity> {
    // This platform cannot replace an open file.
    drop(old);
    replace_whole(path, content, |_| Ok(()))
}

/// Opens the old file for reading and writing. A write-protected file is not replaced either.
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

/// Reads enough of a file to recognise a report.
fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(512).read_to_end(&mut head)?;
    Ok(head)
}

fn replace_whole(
    path: &Path,
    content: Content<'_>,
    dress: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<Identity> {
    let temporary = Temporary::beside(path)?;
    dress(temporary.file())?;
    let identity = fill(temporary.file(), content)?;
    temporary.replace(path)?;
    Ok(identity)
}

/// Gives the new file the owner, attributes and mode of the old one.
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
    // Must come last: a change of owner clears bits, and an access control list changes the
    // group's.
    new.set_permissions(there.permissions())
}

#[cfg(unix)]
fn is_beyond_rename(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, ResourceBusy, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | ResourceBusy | Unsupported)
}

/// Rewrites the same file in place. The part beyond the old length comes first, so that a full disk
/// is found before anything is lost. After a later failure the old content is restored.
///
/// NOTE: only here can a report be seen half written; if the machine fails, it stays so.
#[cfg(unix)]
fn write_anew(mut file: &File, content: Content<'_>) -> io::Result<Identity> {
    use std::{io::Seek, os::unix::fs::FileExt};
    let modified = file.metadata()?.modified();
    let mut old = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut old)?;
    let (over, more) = content.bytes.split_at(content.bytes.len().min(old.len()));
    let written = file
        .write_all_at(more, old.len() as u64)
        .and_then(|()| content.sync(file))
        .and_then(|()| file.write_all_at(over, 0))
        .and_then(|()| file.set_len(content.len()))
        .and_then(|()| content.sync(file));
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

/// Fails beyond the file size limit, where a write would end the process by a signal.
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
    // `O_NONBLOCK`: does not wait for a reader of a pipe.
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

/// Writes from the current position of the file. Waits for a slow reader, within a limit.
#[cfg(unix)]
fn into(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::Seek;
    let there = file.metadata()?;
    let at_once = if there.is_file() {
        // The file may be open for appending.
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
            // The pipe has room, but not for all of this part.
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

/// Returns whether writing there appends, and replaces nothing.
pub(crate) fn is_stream(path: &Path) -> bool {
    place::find(path).is_ok_and(|place| !matches!(place, Place::File { .. }))
}

/// Returns the identity of the file at the path, to compare with what was written.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(|file| Identity::of(&file))
}
