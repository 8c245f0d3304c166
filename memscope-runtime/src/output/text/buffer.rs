//! The text of a report that goes into a file.

use std::fmt::{self, Write};

use crate::primitives::reserve;

/// Up to this many bytes of text may use the reserve.
const LEAST_BUFFER: usize = 32 << 10;

/// Text that grows while there is memory for it, and fails with an error when there is none.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn add(&mut self, bytes: &[u8]) -> bool {
        // Grows by what is needed and half of the length, or only by what is needed.
        let is_within = self.0.capacity() - self.0.len() >= bytes.len();
        if !is_within {
            reserve::spend(usize::MAX);
            reserve::take(bytes.len() + self.0.len() / 2);
        }
        let has_room = is_within
            || self.0.try_reserve_exact(bytes.len() + self.0.len() / 2).is_ok()
            || self.0.try_reserve_exact(bytes.len()).is_ok();
        if has_room {
            self.0.extend_from_slice(bytes);
        }
        // The next write may need a little more, and a report without rows must fit.
        has_room && (!reserve::is_short() || self.0.len() <= LEAST_BUFFER)
    }
}

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.add(text.as_bytes()) { Ok(()) } else { Err(fmt::Error) }
    }
}

impl std::io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.add(bytes) { Ok(bytes.len()) } else { Err(std::io::ErrorKind::OutOfMemory.into()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
