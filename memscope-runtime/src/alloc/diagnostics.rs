//! Messages of memscope on stderr.

use std::{
    fmt,
    io::{self, Write},
};

use super::{current::exempt, own_work};
use crate::model::text::visible;

/// Prints one line on stderr, with control characters made visible. A closed stderr is no failure.
pub(crate) fn warn(line: fmt::Arguments<'_>) {
    let _work = own_work::work();
    exempt(|| {
        let line = line.to_string();
        drop(write_to_stderr(format!("memscope: {}\n", visible(&line)).as_bytes()));
    });
}

fn write_to_stderr(line: &[u8]) -> io::Result<()> {
    #[cfg(unix)]
    if crate::primitives::fork::generation() != 0 {
        // Bypasses the standard library's lock: a thread of the parent may have held it at the
        // fork.
        let stderr = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?;
        return std::fs::File::from(stderr).write_all(line);
    }
    io::stderr().write_all(line)
}
