//! The system calls for writing reports that the standard library lacks; `unsafe` is here for
//! nothing else.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    time::Duration,
};

/// Returns the user whose rights apply to this process's file accesses.
pub(super) fn effective_user() -> u32 {
    // SAFETY: returns a number.
    unsafe { libc::geteuid() }
}

/// Duplicates a descriptor: the same open file, with a shared position.
pub(super) fn same_file(descriptor: RawFd) -> io::Result<File> {
    /// Lower numbers are the program's standard streams, open or not.
    const LEAST: libc::c_int = 3;
    // SAFETY: makes a new descriptor, or fails if this one is not open.
    let own = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, LEAST) };
    if own == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nothing else.
    Ok(unsafe { OwnedFd::from_raw_fd(own) }.into())
}

/// Returns whether the file takes bytes within this time; an error if its reader is gone.
pub(super) fn takes_bytes(file: &File, within: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    let milliseconds = libc::c_int::try_from(within.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: one entry, which the call reads and writes.
    let ready = unsafe { libc::poll(&raw mut poll, 1, milliseconds) };
    match ready {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(false),
        // Writing would send SIGPIPE, which not every program ignores.
        _ if poll.revents & libc::POLLERR != 0 => Err(io::ErrorKind::BrokenPipe.into()),
        _ => Ok(true),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) use linux::{copy_attributes, name_it};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::{
        ffi::{CStr, CString},
        fs::File,
        io,
        os::{fd::AsRawFd, unix::ffi::OsStrExt},
        path::Path,
    };

    /// The kernel's limit for the list of names, and for one value.
    const MOST_BYTES: usize = 64 << 10;
    const ACCESS_LIST: &CStr = c"system.posix_acl_access";

    /// Gives an unnamed file a name, unless the name is taken.
    pub(in crate::output::file) fn name_it(file: &File, path: &Path) -> io::Result<()> {
        let from = c_string(format!("/proc/self/fd/{}", file.as_raw_fd()).as_bytes())?;
        let to = c_string(path.as_os_str().as_bytes())?;
        let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
        // SAFETY: two C strings that live during the call.
        let result = unsafe { libc::linkat(here, from.as_ptr(), here, to.as_ptr(), follow) };
        done(result)
    }

    /// Copies the access control list and the user attributes of a file.
    pub(in crate::output::file) fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
        let mut names = vec![0u8; MOST_BYTES];
        // SAFETY: a buffer and its length.
        let length =
            unsafe { libc::flistxattr(from.as_raw_fd(), names.as_mut_ptr().cast(), names.len()) };
        let Ok(length) = usize::try_from(length) else {
            // The file system has no attributes.
            return Ok(());
        };
        let mut is_listed = false;
        for name in names[..length].split_inclusive(|&byte| byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            is_listed |= name == ACCESS_LIST;
            let copied = copy(from, to, name);
            // The system sets the security label of each file itself.
            if !name.to_bytes().starts_with(b"security.") {
                copied?;
            }
        }
        if !is_listed {
            // SAFETY: a C string. The new file may have inherited a list from the folder; most
            // often there is none.
            unsafe { libc::fremovexattr(to.as_raw_fd(), ACCESS_LIST.as_ptr()) };
        }
        Ok(())
    }

    fn copy(from: &File, to: &File, name: &CStr) -> io::Result<()> {
        let mut value = vec![0u8; MOST_BYTES];
        let (buffer, room) = (value.as_mut_ptr().cast(), value.len());
        // SAFETY: a C string, a buffer and its length.
        let length = unsafe { libc::fgetxattr(from.as_raw_fd(), name.as_ptr(), buffer, room) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let (value, none) = (value.as_ptr().cast(), 0);
        // SAFETY: a C string, and as many bytes as `fgetxattr` has just written there.
        let result = unsafe { libc::fsetxattr(to.as_raw_fd(), name.as_ptr(), value, length, none) };
        done(result)
    }

    fn done(result: libc::c_int) -> io::Result<()> {
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn c_string(bytes: &[u8]) -> io::Result<CString> {
        CString::new(bytes).map_err(|_| io::ErrorKind::InvalidInput.into())
    }
}
