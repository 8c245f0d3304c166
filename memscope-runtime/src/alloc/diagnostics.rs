//! What memscope has to say on stderr.

use std::{
    fmt,
    io::{self, Write},
};

use super::{current::exempt, own_work};
use crate::model::text::visible;

/// One line on stderr, whatever is in it; a closed stderr is no reason to fail.
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
        // Past the standard library's lock, which a thread that is not in this process may hold.
        let stderr = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?;
        return std::fs::File::from(stderr).write_all(line);
    }
    io::stderr().write_all(line)
}
