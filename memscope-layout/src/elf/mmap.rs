//! Files in memory.

use std::{
    fs::{self, File},
    io,
    ops::Deref,
    path::Path,
};

use memmap2::Mmap;

/// A file's bytes, read as they are needed.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Before it is opened: that of a pipe waits until somebody writes to it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is private and only read. Whoever writes to a program's file while it is
        // looked at changes bytes under us or, by cutting it off, ends us by a signal, as with
        // every debugger; linkers and cargo write new files instead.
        #[expect(unsafe_code, reason = "the one way to map a file")]
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
