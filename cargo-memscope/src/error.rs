//! The error of a command: what went wrong, and what the user can do.

use std::{fmt, io};

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Error(String);

impl Error {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns `true` if the reader of the output has ended, as `| head` does.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<memscope_layout::Error> for Error {
    fn from(error: memscope_layout::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self(String::new()),
            _ => Self(format!("cannot write: {error}")),
        }
    }
}
