//! Marks: the number of a block's entry in a table of blocks, in its header or slot.

use super::{
    Owner, Place,
    block_layout::{HEADER, in_front},
};

/// The mark of a padded block stands above the distance to its inner block.
const MARK_BITS: u32 = 32;

impl Place {
    /// Whether the block has a [mark](Self::mark).
    ///
    /// # Safety
    ///
    /// The block must be live, and its word must lie at this place.
    #[inline]
    pub(crate) unsafe fn is_marked(self, block: *mut u8) -> bool {
        match self {
            Self::Padded => {
                // SAFETY: the caller's contract.
                let header = unsafe { in_front(block, HEADER) };
                // SAFETY: aligned to 16, and written when the block was made.
                unsafe { header.read() >> MARK_BITS != 0 }
            }
            Self::Slot(slot) => slot.is_marked(),
            Self::Front | Self::NoSlot => false,
        }
    }

    /// Marks a block with a number that is not 0. Returns `false` if there is no room for the
    /// number.
    ///
    /// # Safety
    ///
    /// The block must be live, no other thread may use it, and its word must lie at this place.
    pub(crate) unsafe fn mark(self, block: *mut u8, number: u32) -> bool {
        match self {
            Self::Padded => {
                // SAFETY: the caller's contract.
                let header = unsafe { in_front(block, HEADER) };
                // SAFETY: aligned to 16, and written when the block was made.
                let distance = unsafe { header.read() };
                // SAFETY: as above.
                unsafe { header.write(distance | u64::from(number) << MARK_BITS) };
                true
            }
            Self::Slot(slot) => slot.mark(number),
            Self::Front | Self::NoSlot => false,
        }
    }

    /// The owner and the size of a marked block, which another thread may be freeing.
    ///
    /// # Safety
    ///
    /// The memory of the block must stay; its word must lie at this place.
    pub(crate) unsafe fn read_marked(self, block: *mut u8) -> (Owner, usize) {
        if let Self::Slot(slot) = self {
            return (Owner(slot.owner()), slot.unmarked_bytes());
        }
        // SAFETY: the caller's contract.
        unsafe { self.read(block, 0) }
    }

    /// Removes the mark of a block. Returns its number and the size that the block was made with,
    /// or `None` if it has no mark. `bytes` is what [`read`](Self::read) has returned.
    ///
    /// # Safety
    ///
    /// As for [`mark`](Self::mark); the block must be marked, or overwritten by the program.
    pub(crate) unsafe fn unmark(self, block: *mut u8, bytes: usize) -> Option<(u32, usize)> {
        match self {
            Self::Padded => {
                // SAFETY: the caller's contract.
                let header = unsafe { in_front(block, HEADER) };
                // SAFETY: aligned to 16, and written when the block was made.
                let word = unsafe { header.read() };
                let number = u32::try_from(word >> MARK_BITS).ok().filter(|number| *number != 0)?;
                // SAFETY: as above.
                unsafe { header.write(word & ((1 << MARK_BITS) - 1)) };
                Some((number, bytes))
            }
            Self::Slot(slot) => slot.unmark(),
            Self::Front | Self::NoSlot => None,
        }
    }
}
