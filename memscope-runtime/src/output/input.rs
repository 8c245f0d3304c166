//! Reads files from outside, with limits on their size and on the time.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io::{self, Read},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The most bytes of a report. The largest that `MEMSCOPE_ENDED_TASKS` allows has half as many.
pub const MOST_BYTES: u64 = 2 << 30;
/// How long a named pipe may have no writer. A program that starts at the same time opens it within
/// this time.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
/// A file is read in pieces of this size. So a file that claims to be large takes no more memory
/// than its content.
const PIECE: u64 = 1 << 20;

/// Reads a file, or a pipe such as `/dev/stdin` or `<(command)`, of up to `most` bytes.
///
/// `start` is the expected first byte, spaces skipped. If another byte comes first, only the
/// beginning is read, and the parser reports what it is.
///
/// # Errors
///
/// When it is a device, a folder or a socket, larger than `most`, or a pipe without a writer.
pub fn read(path: &Path, most: u64, start: Option<u8>) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    let is_pipe = is_pipe(about.file_type());
    if !about.is_file() && !is_pipe {
        return Err(io::Error::other(format!(
            "it is {}, not a file or a pipe",
            kind(about.file_type())
        )));
    }
    let too_large = || {
        let what = if is_pipe { "what comes out of it" } else { "it" };
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!(
                "{what} is larger than {most} bytes: name a file of its kind, or one with fewer rows"
            ),
        )
    };
    if about.len() > most {
        return Err(too_large());
    }
    let mut file = open(path, is_pipe)?;
    let mut bytes = Vec::new();
    let (mut blank, opened) = (0, Instant::now());
    loop {
        let room = PIECE.min(most + 1 - bytes.len() as u64);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        bytes.try_reserve(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
        match file.by_ref().take(room as u64).read_to_end(&mut bytes) {
            // No process has the pipe open for writing, not yet or not any more.
            Ok(0) if is_pipe && bytes.is_empty() && opened.elapsed() < PATIENCE => {
                thread::sleep(PAUSE);
            }
            Ok(0) if is_pipe && bytes.is_empty() => {
                return Err(io::Error::other("no process writes to this pipe: name a file"));
            }
            Ok(0) => return Ok(bytes),
            Ok(_) => {}
            // The pipe has a writer, which has not written yet.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > most {
            return Err(too_large());
        }
        blank += bytes.iter().skip(blank).take_while(|byte| byte.is_ascii_whitespace()).count();
        match (bytes.get(blank), start) {
            (Some(first), Some(start)) if *first != start => return Ok(bytes),
            _ => {}
        }
    }
}

/// Opens the file, or a pipe without waiting for its writer.
#[cfg(unix)]
fn open(path: &Path, is_pipe: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true);
    if is_pipe {
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path)
}

#[cfg(not(unix))]
fn open(path: &Path, _: bool) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

fn kind(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    if kind.is_dir() { "a folder" } else { "of another kind" }
}
