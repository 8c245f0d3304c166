//! The blocks that are roots by themselves: cells of Tokio's tasks, and the runtimes they run on.

use super::{bits::Bits, blocks::Blocks, graph::NoRoom};
#[cfg(feature = "tokio")]
use crate::{
    accounting::Record,
    alloc::{cells, unannotated},
};
use crate::{
    accounting::{Account, Balance, OwnerKind, stacks::Sample},
    picture::List,
};

/// The cells of Tokio's tasks that have not finished, and the runtimes of all cells.
pub(super) struct Cells {
    pub(super) found: List<u32>,
    /// A runtime's part that each of its cells leads to.
    pub(super) runtimes: List<u32>,
    /// The blocks that are among these.
    apart: Bits,
}

impl Cells {
    pub(super) fn find(blocks: &Blocks) -> Result<Self, NoRoom> {
        /// More runtimes are no roots of their own.
        const MOST_RUNTIMES: usize = 1 << 10;
        let mut cells = Self {
            found: List::with_capacity(blocks.len()).ok_or(NoRoom)?,
            runtimes: List::with_capacity(MOST_RUNTIMES).ok_or(NoRoom)?,
            apart: Bits::new(blocks.len()).ok_or(NoRoom)?,
        };
        let may_be = || (0..blocks.len()).filter(|block| blocks.may_be_cell(*block));
        for block in may_be() {
            if live_cell(blocks, block).is_some() {
                cells.set_apart(block);
                if !cells.found.push(block as u32) {
                    return Err(NoRoom);
                }
            }
        }
        for runtime in may_be().filter_map(|block| runtime(blocks, block)) {
            if !cells.is_apart(runtime) && cells.runtimes.push(runtime as u32) {
                cells.set_apart(runtime);
            }
        }
        Ok(cells)
    }

    fn set_apart(&mut self, block: usize) {
        self.apart.set(block);
    }

    /// Whether the block is a root by itself: what refers to it does not hold it.
    #[inline]
    pub(super) fn is_apart(&self, block: usize) -> bool {
        self.apart.is_set(block)
    }

    pub(super) fn is_runtime(&self, block: usize) -> bool {
        self.is_apart(block) && self.runtimes.contains(&(block as u32))
    }
}

/// The header of a block that is a cell whose type was seen.
#[cfg(feature = "tokio")]
pub(super) fn header(blocks: &Blocks, block: usize) -> Option<(*const u8, cells::CellHeader)> {
    let start = std::ptr::with_exposed_provenance(blocks.start(block));
    // SAFETY: the block is in this picture, which stands still.
    Some((start, unsafe { cells::peek(start, blocks.size(block) as usize) }?))
}

/// The runtime that a cell leads to.
#[cfg(feature = "tokio")]
fn runtime(blocks: &Blocks, block: usize) -> Option<usize> {
    /// What a blocking task has there instead may be a small block of the program's.
    const LEAST_BYTES: u64 = 256;
    let (start, cell) = header(blocks, block)?;
    // SAFETY: as in `header`, which has found it to be a cell.
    let address = unsafe { cells::scheduler(start, &cell) }?;
    let runtime = blocks.at(address)?;
    let is_one = blocks.start(runtime) == address && blocks.size(runtime) >= LEAST_BYTES;
    is_one.then_some(runtime)
}

#[cfg(not(feature = "tokio"))]
fn runtime(_: &Blocks, _: usize) -> Option<usize> {
    None
}

/// The words of a cell that say its type and its state; zeroes if they are not known.
pub(super) fn header_words(blocks: &Blocks, block: usize) -> [u64; 2] {
    #[cfg(feature = "tokio")]
    {
        /// The words of a header lie in it.
        const BYTES: u64 = 128;
        let start = std::ptr::with_exposed_provenance(blocks.start(block));
        // SAFETY: the block has this many bytes, and is in this picture, which stands still.
        let read = || unsafe { cells::HeaderWords::of(start) };
        let words = (blocks.size(block) >= BYTES).then(read).flatten();
        words.map_or([0; 2], |words| [words.vtable, words.state])
    }
    #[cfg(not(feature = "tokio"))]
    {
        let _ = (blocks, block);
        [0; 2]
    }
}

/// What is known of the task in a cell: the memscope id, Tokio's id, and the index of the site + 1,
/// each 0 if it is not known. `None` if the block is no cell, or the task in it is over.
pub(super) fn live_cell(blocks: &Blocks, block: usize) -> Option<[u64; 3]> {
    let owner = blocks.owner(block);
    let covered = owner.sample().map_or(owner, Sample::covered);
    let tracked = match covered.read() {
        // The account of a task that is over is closed.
        OwnerKind::Cell(account) if matches!(account.read(), Balance::Open { .. }) => {
            Some([account.id(), 0, u64::from(Account::site(account)) + 1])
        }
        _ => None,
    };
    #[cfg(feature = "tokio")]
    match (header(blocks, block), tracked) {
        (Some((_, cell)), _) if cell.is_finished => None,
        (Some((_, cell)), None) => {
            let record = unannotated::ends::record_of(cell.id);
            let task = record.and_then(|record| record.tally().account()).map_or(0, Account::id);
            let site = cell.kind.site().or_else(|| record.and_then(Record::site));
            Some([task, cell.id, site.map_or(0, |site| u64::from(site.index()) + 1)])
        }
        (None | Some(_), tracked) => tracked,
    }
    #[cfg(not(feature = "tokio"))]
    tracked
}
