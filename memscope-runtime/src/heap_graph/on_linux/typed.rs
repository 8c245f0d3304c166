//! The blocks whose types are known: cells of tasks, and boxed futures. Their vacant words are no
//! references.
//!
//! A future that is being polled is left out. Its thread has values elsewhere, and the state that
//! it says is that of the last poll.

use super::{blocks::Blocks, graph::NoRoom};

/// The types that are known before the process is copied.
#[derive(Debug, Default)]
pub(super) struct Types {
    #[cfg(all(feature = "layout", feature = "tokio"))]
    known: Option<known::Types>,
}

impl Types {
    /// The types of all cells that were seen, if the layouts were read.
    pub(super) fn read() -> Self {
        Self {
            #[cfg(all(feature = "layout", feature = "tokio"))]
            known: known::Types::read(),
        }
    }
}

/// The blocks with these types.
#[derive(Debug)]
pub(super) struct Typed<'a> {
    #[cfg(all(feature = "layout", feature = "tokio"))]
    known: Option<known::Typed<'a>>,
    #[cfg(not(all(feature = "layout", feature = "tokio")))]
    none: std::marker::PhantomData<&'a Types>,
}

impl<'a> Typed<'a> {
    #[cfg(all(feature = "layout", feature = "tokio"))]
    pub(super) fn find(types: &'a Types, blocks: &Blocks) -> Result<Self, NoRoom> {
        let known = types.known.as_ref().map(|types| known::Typed::find(types, blocks));
        Ok(Self { known: known.transpose()? })
    }

    #[cfg(not(all(feature = "layout", feature = "tokio")))]
    #[expect(clippy::unnecessary_wraps, reason = "with layouts there may be no room")]
    pub(super) fn find(_: &'a Types, _: &Blocks) -> Result<Self, NoRoom> {
        Ok(Self { none: std::marker::PhantomData })
    }

    /// Calls `each` with each range of addresses in a block whose words may be references.
    #[cfg_attr(
        not(all(feature = "layout", feature = "tokio")),
        expect(clippy::unused_self, reason = "as with layouts")
    )]
    #[inline]
    pub(super) fn each_range(
        &mut self,
        blocks: &Blocks,
        block: usize,
        mut each: impl FnMut(usize, usize),
    ) {
        #[cfg(all(feature = "layout", feature = "tokio"))]
        if let Some(known) = self.known.as_mut().filter(|it| it.has(block)) {
            return known.each_range(blocks, block, each);
        }
        let start = blocks.start(block);
        each(start, start + blocks.size(block) as usize);
    }
}

#[cfg(all(feature = "layout", feature = "tokio"))]
mod known {
    use super::{
        super::{
            bits::Bits,
            task_cells::{header, header_words},
        },
        Blocks, NoRoom,
    };
    use crate::{
        accounting::{OwnerKind, stacks::Sample},
        alloc::cells,
        await_points::{
            layouts, still_walk,
            vacant::{Found, KindNumber, Vacancies, WHOLE},
            vacant_types::VacancyMaker,
        },
        picture::{List, WORD},
    };

    /// The words of larger blocks all count.
    const MOST_WORDS: usize = 1 << 16;
    const BITS: usize = u64::BITS as usize;

    #[derive(Debug)]
    pub(super) struct Types {
        vacancies: Vacancies,
        /// The number of each type of cells.
        of_cells: Vec<KindNumber>,
    }

    impl Types {
        pub(super) fn read() -> Option<Self> {
            let mut maker = VacancyMaker::new(layouts::kept()?);
            let kinds = (0..).map_while(cells::type_at);
            let number =
                |kind| still_walk::cell_layout(kind, None).map_or(WHOLE, |it| maker.cell(it));
            let of_cells = kinds.map(number).collect();
            Some(Self { vacancies: maker.finish(), of_cells })
        }
    }

    #[derive(Debug)]
    pub(super) struct Typed<'a> {
        vacancies: &'a Vacancies,
        /// Each block and, in the lower half, its type; ordered by the blocks.
        types: List<u64>,
        has_type: Bits,
        /// A bit for each word of one block: whether it is vacant.
        vacant: List<u64>,
    }

    impl<'a> Typed<'a> {
        pub(super) fn find(types: &'a Types, blocks: &Blocks) -> Result<Self, NoRoom> {
            let make = || {
                Some(Self {
                    vacancies: &types.vacancies,
                    types: List::with_capacity(blocks.len())?,
                    has_type: Bits::new(blocks.len())?,
                    vacant: List::zeroed(MOST_WORDS / BITS + 1)?,
                })
            };
            let mut found = make().ok_or(NoRoom)?;
            for block in (0..blocks.len()).filter(|block| is_cell(blocks, *block)) {
                let cell = header(blocks, block).filter(|(_, cell)| !cell.is_running);
                let kind = cell.and_then(|(_, cell)| types.of_cells.get(cell.kind.index as usize));
                if let Some(kind) = kind {
                    found.add(blocks, block, *kind);
                }
            }
            found.add_boxed(blocks);
            found.types.sort_unstable();
            Ok(found)
        }

        pub(super) fn has(&self, block: usize) -> bool {
            self.has_type.is_set(block)
        }

        fn add(&mut self, blocks: &Blocks, block: usize, kind: KindNumber) {
            let bytes = blocks.size(block) as usize;
            let fits = kind != WHOLE
                && self.vacancies.size(kind) <= bytes
                && bytes <= MOST_WORDS * WORD
                && !self.has(block);
            if fits && self.types.push((block as u64) << 32 | u64::from(kind)) {
                self.has_type.set(block);
            }
        }

        /// Adds the futures that those which are known have in boxes.
        fn add_boxed(&mut self, blocks: &Blocks) {
            let mut at = 0;
            while let Some((block, kind)) = self.types.get(at).map(|it| split(*it)) {
                let vacancies = self.vacancies;
                vacancies.find(kind, blocks.start(block), reader(blocks, block), |found| {
                    if let Found::Value(address, kind) = found
                        && let Some(boxed) = blocks.at(address)
                        && blocks.start(boxed) == address
                    {
                        self.add(blocks, boxed, kind);
                    }
                });
                at += 1;
            }
        }

        pub(super) fn each_range(
            &mut self,
            blocks: &Blocks,
            block: usize,
            mut each: impl FnMut(usize, usize),
        ) {
            let at = self.types.partition_point(|it| split(*it).0 < block);
            let kind = self.types.get(at).map_or(WHOLE, |it| split(*it).1);
            let start = blocks.start(block);
            let words = blocks.size(block) as usize / WORD;
            let vacant = &mut *self.vacant;
            vacant.iter_mut().take(words / BITS + 1).for_each(|bits| *bits = 0);
            self.vacancies.find(kind, start, reader(blocks, block), |found| {
                if let Found::Vacant(range) = found {
                    // A value that has a pointer has all bytes of its word.
                    let first = range.start.saturating_sub(start) / WORD;
                    let end = range.end.saturating_sub(start).div_ceil(WORD).min(words);
                    (first..end).for_each(|word| vacant[word / BITS] |= 1 << (word % BITS));
                }
            });
            let is_vacant = |word: usize| vacant[word / BITS] & 1 << (word % BITS) != 0;
            let mut from = 0;
            for word in (0..words).filter(|word| is_vacant(*word)) {
                if from < word {
                    each(start + from * WORD, start + word * WORD);
                }
                from = word + 1;
            }
            each(start + from * WORD, start + words * WORD);
        }
    }

    /// Whether a block that has the header of a cell is one. It may have that of a cell which was
    /// freed: no reference to such a task is left, and the state word counts them above its flags.
    fn is_cell(blocks: &Blocks, block: usize) -> bool {
        const ONE_REFERENCE: u64 = 1 << 6;
        if !blocks.may_be_cell(block) {
            return false;
        }
        let owner = blocks.owner(block);
        match owner.sample().map_or(owner, Sample::covered).read() {
            OwnerKind::Cell(_) => true,
            // A sampled block may be anything.
            _ => owner.sample().is_none() && header_words(blocks, block)[1] >= ONE_REFERENCE,
        }
    }

    fn split(typed: u64) -> (usize, KindNumber) {
        ((typed >> 32) as usize, typed as KindNumber)
    }

    /// Reads the numbers in a block.
    fn reader(blocks: &Blocks, block: usize) -> impl Fn(usize, u8) -> Option<u64> {
        let start = blocks.start(block);
        let end = start + blocks.size(block) as usize;
        move |at, size| Blocks::number(start..end, at, size)
    }
}
