//! Reads small files of the system without memory from the heap.

use std::{fs::File, io::Read, path::Path};

/// The beginning of a file, as text.
#[derive(Debug)]
pub(super) struct SmallFile<const BYTES: usize> {
    bytes: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> SmallFile<BYTES> {
    /// Reads at most `BYTES` bytes. Returns `None` if the file cannot be read.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let (mut bytes, mut len) = ([0; BYTES], 0);
        while len < BYTES {
            match file.read(&mut bytes[len..]).ok()? {
                0 => break,
                more => len += more,
            }
        }
        Some(Self { bytes, len })
    }

    /// Returns `None` if it is not ASCII.
    pub(super) fn text(&self) -> Option<&str> {
        let bytes = self.bytes.get(..self.len)?;
        if bytes.is_ascii() { std::str::from_utf8(bytes).ok() } else { None }
    }
}
