//! What the copy of the process tells: a stream of words through a pipe.

use super::mapped::List;

/// The stream begins with this word and ends with [`END`].
pub(super) const START: u64 = u64::from_le_bytes(*b"memscope");
pub(super) const END: u64 = u64::from_le_bytes(*b"the end.");

/// What comes next in the stream.
pub(super) const TOTALS: u64 = 1;
pub(super) const ROOT: u64 = 2;
pub(super) const CELL: u64 = 3;
pub(super) const SHARED: u64 = 4;
pub(super) const LEAK: u64 = 5;
/// Instead of all others: there was no memory for the graph, or no room.
pub(super) const NO_ROOM: u64 = 6;

/// Blocks that were made by tasks of one site, in one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// The index of the site.
    pub(super) site: u64,
    /// The id of the task, if all were made by the same one; 0: none, or several.
    pub(super) task: u64,
    /// The index of the stack of one of them that was sampled, + 1; 0: none was.
    pub(super) stack: u64,
    pub(super) blocks: u64,
    /// The sum of their own sizes.
    pub(super) own_bytes: u64,
    /// With all that is held through them alone.
    pub(super) bytes: u64,
}

impl Group {
    pub(super) fn words(self) -> [u64; 6] {
        [self.site, self.task, self.stack, self.blocks, self.own_bytes, self.bytes]
    }

    fn of([site, task, stack, blocks, own_bytes, bytes]: [u64; 6]) -> Self {
        Self { site, task, stack, blocks, own_bytes, bytes }
    }
}

/// Writes words to a pipe.
#[derive(Debug)]
pub(super) struct Writer {
    pipe: libc::c_int,
    buffer: List<u8>,
    is_broken: bool,
}

const BUFFER: usize = 1 << 16;

impl Writer {
    pub(super) fn new(pipe: libc::c_int) -> Option<Self> {
        Some(Self { pipe, buffer: List::with_capacity(BUFFER)?, is_broken: false })
    }

    pub(super) fn words(&mut self, words: &[u64]) {
        for word in words {
            if self.buffer.len() + size_of::<u64>() > BUFFER {
                self.flush();
            }
            for byte in word.to_ne_bytes() {
                self.is_broken |= !self.buffer.push(byte);
            }
        }
    }

    /// Hands all on. A reader that goes away ends the writing.
    pub(super) fn flush(&mut self) {
        let mut at = 0;
        while at < self.buffer.len() && !self.is_broken {
            let rest = &self.buffer[at..];
            // SAFETY: so many bytes are there.
            let count = unsafe { libc::write(self.pipe, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(count) {
                Ok(0) | Err(_) => self.is_broken = true,
                Ok(count) => at += count,
            }
        }
        self.buffer.clear();
    }
}

/// Reads the words of a whole stream.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_ne_bytes(*word))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Some(words)
    }

    /// Groups, after their number.
    pub(super) fn groups(&mut self) -> Option<Vec<Group>> {
        const MOST: u64 = 1 << 16;
        let count = self.word().filter(|count| *count <= MOST)?;
        (0..count).map(|_| self.array().map(Group::of)).collect()
    }
}
