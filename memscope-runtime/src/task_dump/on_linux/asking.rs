//! Asks the copy of the process for its list of tasks and for its memory.

use super::listing::{ASKED_WORDS, BLOCK, BLOCK_WORDS, OPEN, OPEN_WORDS, OVER, OVER_WORDS, READ};
use crate::picture::{END, MOST_ASKED, Picture, Refused, START};

/// How many questions are asked at once.
pub(super) const MOST_QUESTIONS: usize = MOST_ASKED / (ASKED_WORDS * size_of::<u64>());

/// The most tasks of a list.
const MOST_LISTED: usize = 16 << 20;

/// What the copy has listed, as it was told.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) open: Vec<[u64; OPEN_WORDS]>,
    pub(super) over: Vec<[u64; OVER_WORDS]>,
    pub(super) blocks: Vec<[u64; BLOCK_WORDS]>,
}

/// The copy, and what of its answers was received and not read yet.
pub(super) struct Asker<'p> {
    picture: &'p Picture,
    received: Vec<u8>,
    at: usize,
}

impl<'p> Asker<'p> {
    pub(super) fn new(picture: &'p Picture) -> Self {
        Self { picture, received: Vec::new(), at: 0 }
    }

    /// Reads the list, which comes first.
    pub(super) fn list(&mut self) -> Result<Listed, Refused> {
        let mut listed = Listed::default();
        if self.word()? != START {
            return Err(Refused::Broken);
        }
        loop {
            match self.word()? {
                END => return Ok(listed),
                OPEN => listed.open.push(self.words()?),
                OVER => listed.over.push(self.words()?),
                BLOCK => listed.blocks.push(self.words()?),
                _ => return Err(Refused::Broken),
            }
            if listed.open.len() + listed.over.len() + listed.blocks.len() > MOST_LISTED {
                return Err(Refused::Broken);
            }
        }
    }

    /// Asks many questions. The answers are in their order.
    pub(super) fn ask(
        &mut self,
        questions: &[[u64; ASKED_WORDS]],
    ) -> Result<Vec<Vec<u8>>, Refused> {
        let mut answers = Vec::with_capacity(questions.len());
        for questions in questions.chunks(MOST_QUESTIONS) {
            self.picture.ask(questions.as_flattened())?;
            for _ in questions {
                let bytes = usize::try_from(self.word()?).map_err(|_| Refused::Broken)?;
                answers.push(self.take(bytes)?.to_vec());
            }
        }
        Ok(answers)
    }

    /// What is at an address: so many bytes, or as many as can be read.
    pub(super) fn read(&mut self, address: usize, bytes: usize) -> Result<Vec<u8>, Refused> {
        let answers = self.ask(&[[READ, address as u64, bytes as u64]])?;
        answers.into_iter().next().ok_or(Refused::Broken)
    }

    /// The words from an address on, as far as they can be read.
    pub(super) fn read_words(
        &mut self,
        address: usize,
        count: usize,
    ) -> Result<Vec<usize>, Refused> {
        let bytes = self.read(address, count * size_of::<usize>())?;
        let words = bytes.chunks_exact(size_of::<usize>());
        Ok(words.map(|word| word.try_into().map_or(0, usize::from_ne_bytes)).collect())
    }

    fn words<const N: usize>(&mut self) -> Result<[u64; N], Refused> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Ok(words)
    }

    fn word(&mut self) -> Result<u64, Refused> {
        let bytes = self.take(size_of::<u64>())?.try_into().map_err(|_| Refused::Broken)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The next bytes of the answers.
    fn take(&mut self, bytes: usize) -> Result<&[u8], Refused> {
        /// What is received at once.
        const PIECE: usize = 1 << 16;
        while self.received.len() - self.at < bytes {
            self.received.drain(..self.at);
            self.at = 0;
            let have = self.received.len();
            self.received.resize(have + PIECE, 0);
            let room = self.received.get_mut(have..).unwrap_or_default();
            let count = self.picture.read(room)?.len();
            self.received.truncate(have + count);
            if count == 0 {
                return Err(Refused::Broken);
            }
        }
        let start = self.at;
        self.at += bytes;
        self.received.get(start..self.at).ok_or(Refused::Broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{picture::Channel, task_dump::on_linux::listing};

    #[test]
    fn the_copy_answers_what_was_there_and_nothing_where_nothing_is_mapped() {
        let mut value = Box::new([0x1234_5678_u64, 7]);
        let picture = Picture::take(&(), listing::run, Channel::Socket, 0).expect("a copy");
        let address = std::ptr::from_ref(&*value).expose_provenance();
        *value = [0; 2];
        let mut asker = Asker::new(&picture);
        asker.list().expect("a list");
        assert_eq!(asker.read_words(address, 2), Ok(vec![0x1234_5678, 7]), "as it was");
        assert_eq!(asker.read(8, 64), Ok(Vec::new()));
        assert_eq!(asker.read(usize::MAX - 7, 64), Ok(Vec::new()));
        // Many questions, of more bytes than a socket takes at once.
        let many = vec![[READ, address as u64, 16]; 3 * MOST_QUESTIONS + 1];
        let answers = asker.ask(&many).expect("answers");
        assert!(answers.len() == many.len() && answers.iter().all(|it| it.len() == 16));
        assert!(picture.end().is_ok());
        drop(value);
    }
}
