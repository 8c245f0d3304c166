//! A stream of words, through which the copy of the process tells what it found.

use super::mapped::List;

/// Writes words to a pipe or a socket.
#[derive(Debug)]
pub(crate) struct Writer {
    pipe: libc::c_int,
    buffer: List<u8>,
    is_broken: bool,
}

const BUFFER: usize = 1 << 16;

impl Writer {
    pub(crate) fn new(pipe: libc::c_int) -> Option<Self> {
        Some(Self { pipe, buffer: List::with_capacity(BUFFER)?, is_broken: false })
    }

    pub(crate) fn words(&mut self, words: &[u64]) {
        for word in words {
            if self.buffer.len() + size_of::<u64>() > BUFFER {
                self.flush();
            }
            for byte in word.to_ne_bytes() {
                self.is_broken |= !self.buffer.push(byte);
            }
        }
    }

    /// Writes what lies at an address.
    ///
    /// # Safety
    ///
    /// This many bytes can be read there, and nothing writes them meanwhile.
    pub(crate) unsafe fn memory(&mut self, mut address: usize, mut bytes: usize) {
        while bytes != 0 {
            if self.buffer.len() == BUFFER {
                self.flush();
            }
            let count = bytes.min(BUFFER - self.buffer.len());
            // SAFETY: the caller's contract: a part of that.
            self.is_broken |= !unsafe { self.buffer.copy(address, count) };
            (address, bytes) = (address + count, bytes - count);
        }
    }

    /// Hands all on. A reader that goes away ends the writing.
    pub(crate) fn flush(&mut self) {
        let mut at = 0;
        while at < self.buffer.len() && !self.is_broken {
            let rest = &self.buffer[at..];
            // SAFETY: this many bytes are there.
            let count = unsafe { libc::write(self.pipe, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(count) {
                Ok(0) | Err(_) => self.is_broken = true,
                Ok(count) => at += count,
            }
        }
        self.buffer.clear();
    }
}

/// The words of a part of the stream. Takes no memory.
pub(crate) fn words_in(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let words = bytes.chunks_exact(size_of::<u64>());
    words.map(|word| word.try_into().map_or(0, u64::from_ne_bytes))
}

/// The stream begins with this word and ends with [`END`].
pub(crate) const START: u64 = u64::from_le_bytes(*b"memscope");
pub(crate) const END: u64 = u64::from_le_bytes(*b"the end.");
