//! Listed blocks: those that a start bit finds, as long as their owner word says that they are
//! listed.

use super::{
    block_layout::{FRONT, HEADER, INNER_ALIGN, Place, front_word, write_front},
    owner_word::{Owner, OwnerWord},
};
use crate::primitives::{PAGE, Slot, start_bits};

impl Place {
    /// [`read`](Self::read) for a block that is freed or reallocated, which is taken off the list.
    /// A marked block may have a reader, so it stays listed until it has left its table.
    ///
    /// # Safety
    ///
    /// As for [`read`](Self::read); no other thread may use the block.
    #[inline]
    pub(crate) unsafe fn take(self, block: *mut u8, bytes: usize) -> (Owner, usize) {
        if matches!(self, Self::Front | Self::Padded) {
            // SAFETY: the caller's contract.
            let word = unsafe { front_word(block) };
            if word.bytes() != bytes && word.is_listed() {
                // SAFETY: the word is in front.
                unsafe { self.unlist_unmarked(block) };
            }
        }
        // SAFETY: the caller's contract.
        unsafe { self.read(block, bytes) }
    }

    /// # Safety
    ///
    /// As for [`unlist`](Self::unlist).
    #[cold]
    #[inline(never)]
    unsafe fn unlist_unmarked(self, block: *mut u8) {
        #[cfg(feature = "tokio")]
        // SAFETY: the caller's contract.
        if unsafe { self.is_marked(block) } {
            return;
        }
        // SAFETY: the caller's contract.
        unsafe { self.unlist(block) };
    }

    /// Takes a block off the list.
    ///
    /// # Safety
    ///
    /// The block must be live, its word must lie at this place, and no other thread may use it.
    #[inline]
    pub(crate) unsafe fn unlist(self, block: *mut u8) {
        if matches!(self, Self::Front | Self::Padded) {
            // SAFETY: the caller's contract.
            let word = unsafe { front_word(block) };
            if word.is_listed() {
                // SAFETY: as above.
                unsafe { write_front(block.wrapping_sub(FRONT), word.unlisted()) };
            }
        }
    }

    /// Lists a new block, unless it has a slot, by which it is found. Must be called after the
    /// block's word was written.
    ///
    /// # Safety
    ///
    /// The block must be live, its word must lie at this place, and no other thread may use it.
    pub(crate) unsafe fn list(self, block: *mut u8) {
        // A start bit stands for the first of the words in front of the block.
        let start = match self {
            Self::Front => block.wrapping_sub(FRONT),
            Self::Padded => block.wrapping_sub(HEADER),
            Self::Slot(_) | Self::NoSlot => return,
        };
        // SAFETY: the caller's contract.
        let word = unsafe { front_word(block) };
        if word.owner() != Owner::memscope() && start_bits::set(start) {
            // SAFETY: there is room for the word, as there was for the one before.
            unsafe { write_front(block.wrapping_sub(FRONT), word.listed()) };
        }
    }
}

/// A listed block, as its words say it.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    pub(crate) block: usize,
    pub(crate) bytes: usize,
    pub(crate) owner: Owner,
    /// Whether it may be the cell of a Tokio task.
    pub(crate) is_marked: bool,
}

#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
impl Listed {
    /// The block that begins at a place with a start bit, whose first two words these are. `None`
    /// if that block is freed.
    pub(crate) fn of(place: usize, words: [u64; 2]) -> Option<Self> {
        let front = OwnerWord(words[0]);
        if front.is_listed() {
            let bytes = front.believed()?;
            return Some(Self {
                block: place + FRONT,
                bytes,
                owner: front.owner(),
                is_marked: false,
            });
        }
        // The header of a padded block: the distance to the inner block, and the word.
        let distance = words[0] & u64::from(u32::MAX);
        let is_distance = (HEADER as u64..=PAGE as u64).contains(&distance)
            && distance.is_multiple_of(INNER_ALIGN as u64);
        let word = OwnerWord(words[1]);
        if !is_distance || !word.is_listed() {
            return None;
        }
        let (block, owner) = (place + HEADER, word.owner());
        let is_marked = words[0] >> 32 != 0;
        Some(Self { block, bytes: word.believed()?, owner, is_marked })
    }

    /// The block of a slot.
    pub(crate) fn of_slot(block: usize, slot: &Slot) -> Self {
        #[cfg(feature = "tokio")]
        let (bytes, is_marked) = (slot.unmarked_bytes(), slot.is_marked());
        #[cfg(not(feature = "tokio"))]
        let (bytes, is_marked) = (slot.bytes(), false);
        Self { block, bytes, owner: Owner(slot.owner()), is_marked }
    }
}
