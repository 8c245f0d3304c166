//! Files that are mapped into memory.

use std::{
    fs::{self, File},
    io,
    ops::Deref,
    path::Path,
};

use memmap2::Mmap;

/// The bytes of a file. The operating system loads each page when it is read.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // Checked before the file is opened: opening a pipe blocks until a process writes to it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = File::open(path)?;
        // SAFETY: the map is private and read-only. A process that writes to the file meanwhile
        // changes the bytes under this reader, and truncating the file ends this process with a
        // signal. That holds for every debugger; linkers and cargo write new files instead.
        #[expect(unsafe_code, reason = "the one way to map a file")]
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self { map })
    }

    /// Gives the memory of the pages that were read back to the system, which loads them again when
    /// they are read again.
    #[cfg(feature = "inlined")]
    pub(crate) fn forget_pages(&self) {
        #[cfg(unix)]
        {
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the pages are those of a file and were never written, so the bytes in them
            // stay the same. References into the map stay valid.
            #[expect(unsafe_code, reason = "the one way to give mapped pages back")]
            let given = unsafe { self.map.unchecked_advise(advice) };
            // Without that, the memory is given back with the map.
            drop(given);
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}
