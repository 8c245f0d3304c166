//! The list of tasks, as the copy of the process tells it.

use super::listing::{BLOCK, BLOCK_WORDS, OPEN, OPEN_WORDS, OVER, OVER_WORDS};
use crate::{
    alloc::cells::{CellType, HeaderWords},
    picture::{Asker, END, Refused, START},
};

/// The most tasks of a list.
const MOST_LISTED: usize = 16 << 20;

/// What the copy has listed, as it was told.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) open: Vec<[u64; OPEN_WORDS]>,
    pub(super) over: Vec<[u64; OVER_WORDS]>,
    pub(super) blocks: Vec<[u64; BLOCK_WORDS]>,
}

impl Listed {
    /// Reads the list, which comes first.
    pub(super) fn read(asker: &mut Asker<'_>) -> Result<Self, Refused> {
        let mut listed = Self::default();
        if asker.word()? != START {
            return Err(Refused::Broken);
        }
        loop {
            match asker.word()? {
                END => return Ok(listed),
                OPEN => listed.open.push(asker.words()?),
                OVER => listed.over.push(asker.words()?),
                BLOCK => listed.blocks.push(asker.words()?),
                _ => return Err(Refused::Broken),
            }
            if listed.open.len() + listed.over.len() + listed.blocks.len() > MOST_LISTED {
                return Err(Refused::Broken);
            }
        }
    }
}

/// A block that is a cell.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) address: usize,
    /// `None`: the cell of a tracked task, whose type says it.
    pub(super) bytes: Option<usize>,
    /// The task that has spawned it.
    pub(super) parent: u64,
    pub(super) words: HeaderWords,
    pub(super) kind: &'static CellType,
    /// The tracked task that was spawned into it.
    pub(super) of: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        picture::{Channel, MOST_QUESTIONS, Picture, READ},
        task_dump::on_linux::listing,
    };

    #[test]
    fn the_copy_answers_what_was_there_and_nothing_where_nothing_is_mapped() {
        let mut value = Box::new([0x1234_5678_u64, 7]);
        let picture = Picture::take(&(), listing::run, Channel::Socket, 0).expect("a copy");
        let address = std::ptr::from_ref(&*value).expose_provenance();
        *value = [0; 2];
        let mut asker = Asker::new(&picture);
        Listed::read(&mut asker).expect("a list");
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
