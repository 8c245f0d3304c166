//! Asks the copy of the process: for its memory, and for what else its work answers.

use super::{
    answers::{ASKED_WORDS, READ},
    copy::{MOST_ASKED, Picture, Refused},
    stream::words_in,
};

/// How many questions are asked at once.
pub(crate) const MOST_QUESTIONS: usize = MOST_ASKED / (ASKED_WORDS * size_of::<u64>());

/// The copy, and what of its answers was received and not read yet.
pub(crate) struct Asker<'p> {
    picture: &'p Picture,
    received: Vec<u8>,
    at: usize,
    taken_bytes: u64,
}

impl<'p> Asker<'p> {
    pub(crate) fn new(picture: &'p Picture) -> Self {
        Self { picture, received: Vec::new(), at: 0, taken_bytes: 0 }
    }

    /// Asks many questions. The answers are in their order.
    pub(crate) fn ask(
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

    /// What is at an address: this many bytes, or as many as can be read.
    pub(crate) fn read(&mut self, address: usize, bytes: usize) -> Result<Vec<u8>, Refused> {
        self.ask_one([READ, address as u64, bytes as u64])
    }

    /// The words from an address on, as far as they can be read.
    pub(crate) fn read_words(
        &mut self,
        address: usize,
        count: usize,
    ) -> Result<Vec<usize>, Refused> {
        let bytes = self.read(address, count * size_of::<usize>())?;
        Ok(words_in(&bytes).map(|word| usize::try_from(word).unwrap_or(0)).collect())
    }

    /// How many bytes the copy has told so far.
    pub(crate) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    /// Asks one question.
    pub(crate) fn ask_one(&mut self, question: [u64; ASKED_WORDS]) -> Result<Vec<u8>, Refused> {
        self.ask(&[question])?.pop().ok_or(Refused::Broken)
    }

    /// The next words that the copy tells.
    pub(crate) fn words<const N: usize>(&mut self) -> Result<[u64; N], Refused> {
        let mut words = [0; N];
        for word in &mut words {
            *word = self.word()?;
        }
        Ok(words)
    }

    /// The next word that the copy tells.
    pub(crate) fn word(&mut self) -> Result<u64, Refused> {
        let bytes = self.take(size_of::<u64>())?.try_into().map_err(|_| Refused::Broken)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    /// The next bytes that the copy tells.
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
        self.taken_bytes += bytes as u64;
        self.received.get(start..self.at).ok_or(Refused::Broken)
    }
}
