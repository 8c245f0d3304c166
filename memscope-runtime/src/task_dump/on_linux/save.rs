//! The memory that a dump has with it: the cells of waiting tasks, and what these lead to.
//!
//! The copy of the process is asked for the cells of all tasks, then for what words in these point
//! to, and so on. So if there is too much, each task has what is near to its cell. No layout is
//! known: a word is followed if it may be an address, and the copy answers what is mapped there.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    accounting::FRONT,
    alloc::cells,
    await_points::image,
    model::MemoryPiece,
    picture::{Asker, MOST_QUESTIONS, MOST_READ, READ, Refused, WORD},
};

/// The most bytes of a dump, and of one task in it.
const MOST_OF_DUMP: usize = 16 << 20;
const MOST_OF_TASK: usize = 1 << 20;
/// The most bytes of a cell or another value.
const MOST_OF_VALUE: usize = MOST_READ as usize;
/// What is read at an address if the size of what is there is not known.
const NOT_KNOWN: usize = 256;
/// How many pointers a path from a cell may have.
const MOST_LEVELS: u32 = 16;
/// The most bytes that are asked for at once.
const MOST_AT_ONCE: usize = 4 << 20;

/// The cell of a task whose memory is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) address: usize,
    pub(super) bytes: usize,
    /// Where the future begins. What is in front of it leads to the runtime.
    pub(super) future: usize,
    /// The future may be a box.
    pub(super) may_be_box: bool,
}

/// What was saved, and of how many tasks not all of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) pieces: Vec<MemoryPiece>,
    pub(super) left_out: u64,
}

/// Asks the copy for the memory of these cells, and for what they lead to.
pub(super) fn save(asker: &mut Asker<'_>, cells: &[Wanted]) -> Result<Saved, Refused> {
    let mut saver = Saver::new(asker, cells);
    let wants = cells.iter().enumerate().map(|(task, cell)| Range {
        task,
        address: cell.address,
        bytes: cell.bytes,
        from: cell.future,
    });
    let mut fresh = saver.fetch(wants.collect())?;
    for _ in 0..MOST_LEVELS {
        let (values, words) = saver.led_to(&fresh);
        fresh = saver.fetch(values)?;
        let words = saver.with_sizes(&words)?;
        fresh.extend(saver.fetch(words)?);
        if fresh.is_empty() {
            break;
        }
    }
    Ok(saver.saved())
}

/// Memory that is wanted, or was added, because of a task.
#[derive(Clone, Copy, Debug)]
struct Range {
    task: usize,
    address: usize,
    bytes: usize,
    /// Words in front of this address are not followed.
    from: usize,
}

struct Saver<'a, 'p> {
    asker: &'a mut Asker<'p>,
    /// By their addresses; no two have a byte in common.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// Bytes that are saved or asked for, in all and for each task.
    bytes: usize,
    of_tasks: Vec<usize>,
    /// Tasks of which something was left out.
    left_out: HashSet<usize>,
    /// The cells: tasks point to each other, and do not wait for each other by that.
    cells: HashSet<usize>,
    /// Where a box may be the future.
    boxes: HashSet<usize>,
    /// Addresses that were followed.
    followed: HashSet<usize>,
    /// The sizes in what reads like a vtable.
    vtables: HashMap<usize, Option<usize>>,
}

impl<'a, 'p> Saver<'a, 'p> {
    fn new(asker: &'a mut Asker<'p>, cells: &[Wanted]) -> Self {
        let boxes = cells.iter().filter(|cell| cell.may_be_box).map(|cell| cell.future);
        Self {
            asker,
            pieces: BTreeMap::new(),
            bytes: 0,
            of_tasks: vec![0; cells.len()],
            left_out: HashSet::new(),
            cells: cells.iter().map(|cell| cell.address).collect(),
            boxes: boxes.collect(),
            followed: HashSet::new(),
            vtables: HashMap::new(),
        }
    }

    /// Asks for what is not saved yet of these ranges, and saves it. Returns what was added.
    fn fetch(&mut self, mut wants: Vec<Range>) -> Result<Vec<Range>, Refused> {
        // The small ones first: there are more of them in the same number of bytes.
        wants.sort_by_key(|want| want.bytes);
        let mut fresh = Vec::new();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for want in wants {
            let most = want.bytes.min(MOST_OF_VALUE);
            if most < want.bytes {
                self.left_out.insert(want.task);
            }
            for (address, size) in self.gaps(want.address, most) {
                if !self.takes(want.task, size) {
                    self.left_out.insert(want.task);
                    continue;
                }
                batch.push(Range { address, bytes: size, ..want });
                bytes += size;
            }
            if batch.len() >= MOST_QUESTIONS || bytes >= MOST_AT_ONCE {
                self.ask(&std::mem::take(&mut batch), &mut fresh)?;
                bytes = 0;
            }
        }
        self.ask(&batch, &mut fresh)?;
        Ok(fresh)
    }

    fn ask(&mut self, batch: &[Range], fresh: &mut Vec<Range>) -> Result<(), Refused> {
        let question = |it: &Range| [READ, it.address as u64, it.bytes as u64];
        let questions: Vec<_> = batch.iter().map(question).collect();
        let answers = self.asker.ask(&questions)?;
        for (range, answer) in batch.iter().zip(answers) {
            let mut added = 0;
            // Ranges of one batch may overlap.
            for (address, bytes) in self.gaps(range.address, answer.len()) {
                let start = address - range.address;
                let Some(part) = answer.get(start..start + bytes) else { continue };
                self.pieces.insert(address, part.to_vec());
                fresh.push(Range { address, bytes, ..*range });
                added += bytes;
            }
            self.give_back(range.task, range.bytes.saturating_sub(added));
        }
        Ok(())
    }

    /// Takes this many bytes from what a task and the dump may have. Returns false if that is too
    /// much.
    fn takes(&mut self, task: usize, bytes: usize) -> bool {
        let Some(of_task) = self.of_tasks.get_mut(task) else { return false };
        if *of_task + bytes > MOST_OF_TASK || self.bytes + bytes > MOST_OF_DUMP {
            return false;
        }
        *of_task += bytes;
        self.bytes += bytes;
        true
    }

    fn give_back(&mut self, task: usize, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if let Some(of_task) = self.of_tasks.get_mut(task) {
            *of_task = of_task.saturating_sub(bytes);
        }
    }

    /// The parts of a range that are not saved.
    fn gaps(&self, address: usize, bytes: usize) -> Vec<(usize, usize)> {
        let end = address.saturating_add(bytes);
        let end_of = |(start, bytes): (&usize, &Vec<u8>)| start + bytes.len();
        let before = self.pieces.range(..=address).next_back().map_or(0, end_of);
        let mut at = address.max(before);
        let mut gaps = Vec::new();
        while at < end {
            // A piece that begins here was passed in the turn before.
            let next = self.pieces.range(at..end).next();
            let start = next.map_or(end, |it| *it.0);
            if start > at {
                gaps.push((at, start - at));
            }
            at = next.map_or(end, end_of);
        }
        gaps
    }

    /// The word at an address, if it is saved in one piece.
    fn word(&self, address: usize) -> Option<usize> {
        let (start, bytes) = self.pieces.range(..=address).next_back()?;
        let word = bytes.get(address - start..)?.first_chunk::<WORD>()?;
        Some(usize::from_ne_bytes(*word))
    }

    /// What words in these ranges lead to: values of trait objects, with their sizes, and
    /// addresses that may be of anything.
    fn led_to(&mut self, fresh: &[Range]) -> (Vec<Range>, Vec<Range>) {
        let (mut values, mut words) = (Vec::new(), Vec::new());
        for range in fresh {
            // The word before may be the first half of a trait object.
            let first = (range.address / WORD).saturating_sub(1) * WORD;
            let first = first.max(range.from.next_multiple_of(WORD));
            for at in (first..range.address + range.bytes).step_by(WORD) {
                let Some(address) = self.word(at) else { continue };
                let led_to = Range { address, from: 0, ..*range };
                let vtable = self.word(at + WORD);
                match vtable.and_then(|vtable| self.object_size(vtable)) {
                    Some(bytes) => values.push(Range { bytes, ..led_to }),
                    None if self.is_to_be_followed(address) => {
                        let bytes =
                            if self.boxes.contains(&at) { MOST_OF_VALUE } else { NOT_KNOWN };
                        words.push(Range { bytes, ..led_to });
                    }
                    None => {}
                }
            }
        }
        (values, words)
    }

    fn object_size(&mut self, vtable: usize) -> Option<usize> {
        if !vtable.is_multiple_of(WORD) || image::offset_of(vtable).is_none() {
            return None;
        }
        *self.vtables.entry(vtable).or_insert_with(|| cells::object_size(vtable))
    }

    /// Whether a word may be the address of a block or of a part of one, and was not followed yet.
    fn is_to_be_followed(&mut self, word: usize) -> bool {
        const ADDRESSES: std::ops::Range<usize> = 4096..1 << 48;
        let may_be = ADDRESSES.contains(&word) && word.is_multiple_of(WORD);
        may_be && !self.cells.contains(&word) && self.followed.insert(word)
    }

    /// The same with the sizes of blocks, where the head of a block tells one, as that of the C
    /// library does.
    fn with_sizes(&mut self, words: &[Range]) -> Result<Vec<Range>, Refused> {
        // Memscope has its own word between the head and most blocks.
        let head = |it: &Range| if it.address & FRONT == 0 { WORD } else { FRONT + WORD };
        let question = |it: &Range| [READ, (it.address - head(it)) as u64, WORD as u64];
        let questions: Vec<_> = words.iter().map(question).collect();
        let answers = self.asker.ask(&questions)?;
        let sized = words.iter().zip(answers).map(|(word, answer)| {
            let size = answer.first_chunk().and_then(|it| size_in(usize::from_ne_bytes(*it)));
            let bytes = size.map_or(word.bytes, |it| (it - head(word)).max(NOT_KNOWN));
            Range { bytes: bytes.min(MOST_OF_VALUE), ..*word }
        });
        Ok(sized.collect())
    }

    /// The pieces; those that follow each other are one.
    fn saved(self) -> Saved {
        let mut pieces: Vec<MemoryPiece> = Vec::new();
        for (address, bytes) in self.pieces {
            match pieces.last_mut() {
                Some(last) if last.address + last.bytes.len() as u64 == address as u64 => {
                    last.bytes.extend(bytes);
                }
                _ => pieces.push(MemoryPiece { address: address as u64, bytes }),
            }
        }
        Saved { pieces, left_out: self.left_out.len() as u64 }
    }
}

/// The size in the head of a block, from there on, if it reads like one of the GNU C library's: a
/// multiple of 16, with three flags.
fn size_in(head: usize) -> Option<usize> {
    const FLAGS: usize = 7;
    const LEAST: usize = 32;
    const MOST: usize = 1 << 30;
    let size = head & !FLAGS;
    ((LEAST..MOST).contains(&size) && size.is_multiple_of(16)).then_some(size)
}

#[cfg(test)]
mod tests;
