//! Resolves a path: follows its links, and finds out what it leads to.

#[cfg(not(unix))]
use std::path::absolute;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[cfg(unix)]
pub(super) use unix::{find, is_of_another_user};

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Place {
    /// A descriptor of this process, written from its current position.
    #[cfg(unix)]
    Descriptor(std::os::fd::RawFd),
    /// A device, a pipe, or a file that only `/proc` leads to. It is written into.
    Stream(PathBuf),
    /// A regular file with all links resolved, or no file yet.
    File { path: PathBuf, is_there: bool },
}

/// Resolves the path, without opening anything.
#[cfg(not(unix))]
pub(super) fn find(path: &Path) -> io::Result<Place> {
    let path = fs::canonicalize(path).or_else(|_| absolute(path))?;
    match fs::metadata(&path) {
        Ok(there) if there.is_dir() => Err(is_folder()),
        Ok(there) if !there.is_file() => Ok(Place::Stream(path)),
        Ok(_) => Ok(Place::File { path, is_there: true }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Place::File { path, is_there: false })
        }
        Err(error) => Err(error),
    }
}

fn is_folder() -> io::Error {
    io::Error::other("it is a folder: give the name of a file in it")
}

#[cfg(unix)]
mod unix {
    use std::{
        collections::VecDeque,
        ffi::{OsStr, OsString},
        fs::{FileType, Metadata},
        os::{
            fd::RawFd,
            unix::fs::{FileTypeExt, MetadataExt},
        },
        path::{Component, absolute},
        process,
    };

    use super::{Path, PathBuf, Place, fs, io, is_folder};
    use crate::{
        model::text::visible_path, output::file::system::effective_user,
        primitives::privileged::is_privileged,
    };

    /// The kernel's own limit.
    const MOST_LINKS: usize = 40;
    const BY_GROUP_OR_ALL: u32 = 0o022;
    const STICKY: u32 = 0o1000;

    /// Resolves the path, without opening anything.
    ///
    /// Follows links one by one, to check each. The text of a link in `/proc` is not its target, so
    /// such a link stays in the path, and the kernel follows it.
    pub(in crate::output::file) fn find(path: &Path) -> io::Result<Place> {
        let mut rest = VecDeque::new();
        let mut place = PathBuf::new();
        push_front(&mut rest, &absolute(path)?);
        let (mut links, mut is_beyond_proc) = (0, false);
        while let Some(part) = rest.pop_front() {
            let is_last = rest.is_empty();
            if part == "/" {
                place = PathBuf::from("/");
                is_beyond_proc = false;
                continue;
            }
            if part == ".." && !is_beyond_proc {
                place.pop();
                continue;
            }
            let next = place.join(&part);
            let there = match fs::symlink_metadata(&next) {
                Ok(there) => there,
                Err(error) if error.kind() == io::ErrorKind::NotFound && is_last => {
                    return nothing_at(next);
                }
                Err(error) => return Err(error),
            };
            if !there.is_symlink() {
                if is_last {
                    return at(next, &there);
                }
                place = next;
            } else if next.starts_with("/proc") {
                if is_last {
                    return behind(next);
                }
                (place, is_beyond_proc) = (next, true);
            } else {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::other("its links lead in a circle"));
                }
                judge(&next, &there, &fs::metadata(&place)?)?;
                push_front(&mut rest, &fs::read_link(&next)?);
            }
        }
        // The path is the root, or ends in `..`.
        Err(is_folder())
    }

    fn push_front(rest: &mut VecDeque<OsString>, path: &Path) {
        for part in path.components().rev() {
            match part {
                Component::CurDir => {}
                part => rest.push_front(part.as_os_str().to_owned()),
            }
        }
    }

    fn nothing_at(path: PathBuf) -> io::Result<Place> {
        if path.parent().is_some_and(|folder| folder == "/dev") {
            // A file made here would look like a device from then on.
            return Err(io::Error::other("there is no such device"));
        }
        Ok(Place::File { path, is_there: false })
    }

    fn at(path: PathBuf, there: &Metadata) -> io::Result<Place> {
        // Shared memory is a folder with regular files.
        let is_of_system =
            path.starts_with("/proc") || path.starts_with("/dev") && !path.starts_with("/dev/shm");
        if there.is_file() && !is_of_system {
            return Ok(Place::File { path, is_there: true });
        }
        judge_stream(there.file_type())?;
        if there.file_type().is_fifo() && is_of_another_user(&path, there)? {
            return Err(io::Error::other(
                "it is a pipe that another user put into a folder for all: name one of your own",
            ));
        }
        Ok(Place::Stream(path))
    }

    /// Classifies the target of a link in `/proc`.
    fn behind(path: PathBuf) -> io::Result<Place> {
        judge_stream(fs::metadata(&path)?.file_type())?;
        Ok(own_descriptor(&path).map_or(Place::Stream(path), Place::Descriptor))
    }

    /// Returns the number in `/proc/self/fd/1` and similar paths of this process.
    fn own_descriptor(path: &Path) -> Option<RawFd> {
        let mut parts = path.strip_prefix("/proc").ok()?.iter().map(OsStr::to_str);
        let of = parts.next()??;
        if of != "self" && of != "thread-self" && of.parse() != Ok(process::id()) {
            return None;
        }
        let mut part = parts.next()??;
        if part == "task" {
            parts.next()?;
            part = parts.next()??;
        }
        let number = parts.next()??.parse().ok()?;
        (part == "fd" && parts.next().is_none()).then_some(number)
    }

    fn judge_stream(kind: FileType) -> io::Result<()> {
        let why = if kind.is_dir() {
            return Err(is_folder());
        } else if kind.is_socket() {
            "it is a socket: give a file, a pipe or `/dev/stderr`"
        } else if kind.is_block_device() {
            "it is a block device, whose content would be lost: give a file"
        } else {
            return Ok(());
        };
        Err(io::Error::other(why))
    }

    /// Refuses a link that may be a trap, as the kernel does with `fs.protected_symlinks`. Unlike
    /// the kernel, it checks each link on the way, and folders without the sticky bit too.
    fn judge(path: &Path, link: &Metadata, folder: &Metadata) -> io::Result<()> {
        const ROOT: u32 = 0;
        let owner = link.uid();
        let is_ours = owner == effective_user();
        let is_trusted = if is_privileged() {
            // With raised privileges, the calling user may own the folder as well.
            owner == ROOT
        } else {
            owner == folder.uid() || folder.mode() & BY_GROUP_OR_ALL == 0
        };
        if is_ours || is_trusted {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "`{}` is a link that user {owner} put into a folder that others can write to, and is not followed: remove it, or \
             name the file that it leads to",
            visible_path(path),
        )))
    }

    /// Returns whether another user put the file into a folder for all users, such as `/tmp`. The
    /// kernel protects such files with `fs.protected_regular` and `fs.protected_fifos`.
    pub(in crate::output::file) fn is_of_another_user(
        path: &Path,
        there: &Metadata,
    ) -> io::Result<bool> {
        let Some(folder) = path.parent() else { return Ok(false) };
        let folder = fs::metadata(folder)?;
        let is_for_all = folder.mode() & STICKY != 0 && folder.mode() & BY_GROUP_OR_ALL != 0;
        Ok(is_for_all && there.uid() != effective_user() && there.uid() != folder.uid())
    }
}
