//! Cells as a copy of the process sees them: no thread changes or frees them there.

use super::{ENTRIES, block_of, header::HeaderWords};
use crate::accounting::{Owner, Place};

/// A block of the table, which may be a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StillBlock {
    pub(crate) address: usize,
    pub(crate) bytes: usize,
    /// The task or thread that has allocated it.
    pub(crate) owner: Owner,
    pub(crate) words: HeaderWords,
}

/// Calls `each` with every block of the table. Takes no lock and no memory.
///
/// # Safety
///
/// The calling thread must be alone in a copy of the process.
pub(crate) unsafe fn for_each_still(mut each: impl FnMut(StillBlock)) {
    for entry in ENTRIES.iter().filter(|entry| entry.held.block() != 0) {
        if entry.held.was_left() {
            continue;
        }
        let (block, align) = block_of(entry.held.block());
        // SAFETY: a block in the table is live until its entry says that it was left, and the
        // caller's contract.
        let place = unsafe { Place::of(block, align) };
        // SAFETY: as above.
        let (owner, bytes) = unsafe { place.read_marked(block) };
        // SAFETY: as above; smaller blocks are not entered.
        if let Some(words) = unsafe { HeaderWords::of(block) } {
            each(StillBlock { address: block.addr(), bytes, owner, words });
        }
    }
}
