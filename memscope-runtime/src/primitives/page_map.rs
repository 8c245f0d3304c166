//! The page map: the owners of blocks of a page or more, kept outside of the blocks.
//!
//! An owner word in front of such a block would make its size less round and touch one more page.
//! Two such blocks never begin in the same page. So the number of a block's first page finds its
//! slot, in a radix tree of three levels like the processor's own page tables: three loads. A small
//! block may begin in the same page, so the slot also records where in the page its block begins. A
//! slot is filled when the block is made, read while the block lives, and emptied before the
//! block's memory is freed.

use super::{
    arena::Zeroed,
    atomic_ref::FREE_BITS,
    radix_tree::{BITS, RadixTree, WIDTH},
    sync::{AtomicU64, Ordering},
};

/// Blocks of this size and more have a slot.
pub(crate) const PAGE: usize = 1 << PAGE_BITS;

const PAGE_BITS: u32 = 12;
/// The highest bit of the size. It is set for a marked block, as no block is so large.
#[cfg(feature = "tokio")]
const MARKED: u64 = 1 << 63;
/// The bit of the size at which the number of a mark begins.
#[cfg(feature = "tokio")]
const MARK_AT: u32 = 32;
#[cfg(feature = "tokio")]
const MOST_MARK: u32 = (1 << (63 - MARK_AT)) - 1;

/// The owner and the size of the block of a page or more that begins in a page.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The owner, and in the lowest 16 bits the offset in the page at which the block begins; 0 if
    /// the slot is empty.
    word: AtomicU64,
    bytes: AtomicU64,
}

impl Slot {
    /// The whole word, for code that changes the owner.
    pub(crate) fn word(&self) -> &AtomicU64 {
        &self.word
    }

    #[inline]
    pub(crate) fn owner(&self) -> u64 {
        self.word.load(Ordering::Relaxed) >> FREE_BITS << FREE_BITS
    }

    /// The size with which the block was made.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        usize::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Fills the slot for its block. All accesses are Relaxed: the program synchronises when it
    /// passes a block from one thread to another, and that orders these stores too.
    #[inline]
    pub(crate) fn fill(&self, block: *const u8, owner: u64, bytes: usize) {
        self.bytes.store(bytes as u64, Ordering::Relaxed);
        self.word.store(owner | start(block), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn clear(&self) {
        self.word.store(0, Ordering::Relaxed);
    }

    /// Marks the block with a number that is not 0. The stored size is then larger than any block.
    /// Returns `false` if there is no room for the number.
    #[cfg(feature = "tokio")]
    pub(crate) fn mark(&self, number: u32) -> bool {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let has_room = usize::BITS == u64::BITS && bytes >> MARK_AT == 0 && number <= MOST_MARK;
        if has_room {
            self.bytes.store(MARKED | u64::from(number) << MARK_AT | bytes, Ordering::Relaxed);
        }
        has_room
    }

    /// Whether the block is marked.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn is_marked(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) & MARKED != 0
    }

    /// The size of a block, marked or not.
    #[cfg(feature = "tokio")]
    pub(crate) fn unmarked_bytes(&self) -> usize {
        let bytes = self.bytes.load(Ordering::Relaxed);
        let bytes = if bytes & MARKED == 0 { bytes } else { bytes & ((1 << MARK_AT) - 1) };
        usize::try_from(bytes).unwrap_or(0)
    }

    /// Removes the mark. Returns its number and the size of the block, or `None` if there is no
    /// mark.
    #[cfg(feature = "tokio")]
    pub(crate) fn unmark(&self) -> Option<(u32, usize)> {
        let word = self.bytes.load(Ordering::Relaxed);
        if word & MARKED == 0 {
            return None;
        }
        let bytes = word & ((1 << MARK_AT) - 1);
        self.bytes.store(bytes, Ordering::Relaxed);
        let number = u32::try_from((word & !MARKED) >> MARK_AT).ok()?;
        Some((number, usize::try_from(bytes).ok()?))
    }

    #[inline]
    fn is_of(&self, block: *const u8) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word != 0 && word % (1 << FREE_BITS) == start(block)
    }
}

/// The offset in its page at which a block begins.
#[inline]
fn start(block: *const u8) -> u64 {
    (block.addr() % PAGE) as u64
}

/// The slots of 16 MiB of addresses.
#[derive(Debug)]
struct Leaf([Slot; WIDTH]);

// SAFETY: atomic integers are valid when zeroed and need no drop.
unsafe impl Zeroed for Leaf {}

static TREE: RadixTree<Leaf> = RadixTree::new();

/// The memory of the tree: at most a 256th of the addresses at which such blocks ever began, as far
/// as it was written.
pub(crate) fn bytes() -> u64 {
    TREE.resident_bytes()
}

/// The slot of the block that begins here; `None` if it has none.
#[inline]
pub(crate) fn slot(block: *const u8) -> Option<&'static Slot> {
    let (upper, place) = path(block)?;
    let slot = &TREE.get(upper)?.0[place];
    slot.is_of(block).then_some(slot)
}

/// Calls `each` with every block that has a slot, in the order of their addresses. Takes no memory.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
pub(crate) fn for_each(mut each: impl FnMut(usize, &'static Slot)) {
    for (number, leaf) in TREE.leaves() {
        for (place, slot) in leaf.0.iter().enumerate() {
            let word = slot.word.load(Ordering::Relaxed);
            if word != 0 {
                let page = number << BITS | place;
                let offset = (word % (1 << FREE_BITS)) as usize;
                each((page << PAGE_BITS) + offset, slot);
            }
        }
    }
}

/// Makes the slot of a new block. Returns `None` if the system has no memory.
#[inline]
pub(crate) fn make_slot(block: *const u8) -> Option<&'static Slot> {
    let (upper, place) = path(block)?;
    Some(&TREE.get_or_make(upper)?.0[place])
}

/// Blocks without a slot, for lack of memory.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Counts a block without a slot.
pub(crate) fn refuse_slot() {
    REFUSED.fetch_add(1, Ordering::Relaxed);
}

/// The number of blocks without a slot.
pub(crate) fn slots_refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// The indices of an address in the two upper levels of the tree, the root's first, and its place
/// in the leaf.
///
/// Returns `None` above 2^48: no system hands out such addresses unless a program asks for them.
/// The highest byte is ignored, as it may be a tag.
#[inline]
fn path(block: *const u8) -> Option<([usize; 2], usize)> {
    let page = (block.addr() as u64 & (u64::MAX >> 8)) >> PAGE_BITS;
    let place = |level: u32| (page >> (level * BITS)) as usize;
    let root = place(2);
    (root < WIDTH).then(|| ([root, place(1) % WIDTH], place(0) % WIDTH))
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, ptr};

    use super::*;

    #[test]
    fn every_page_below_the_limit_has_a_slot_of_its_own() {
        let pages =
            [0u64, 1, 2, 4_095, 4_096, 0x0005_5555_5555, 0x0007_ffff_ffff, 0x000f_ffff_ffff];
        let paths: HashSet<_> = pages
            .iter()
            .map(|page| {
                let start = usize::try_from(page << PAGE_BITS).expect("64 bits");
                let places = [0, 1, 4_095].map(|offset| {
                    path(ptr::without_provenance(start + offset)).expect("below the limit")
                });
                assert!(places.iter().all(|place| *place == places[0]), "one page, one slot");
                let tagged = path(ptr::without_provenance(start | 0xab << 56));
                assert_eq!(tagged, Some(places[0]), "a tag is no part of the address");
                places[0]
            })
            .collect();
        assert_eq!(paths.len(), pages.len());
        assert_eq!(path(ptr::without_provenance(1 << 48)), None);
    }

    #[test]
    fn a_slot_is_of_the_block_that_filled_it_until_it_is_emptied() {
        let block = ptr::without_provenance(0x1234_5678_9010);
        let neighbour = ptr::without_provenance(0x1234_5678_9000);
        assert!(slot(block).is_none());
        let made = make_slot(block).expect("memory");
        assert!(ptr::eq(made, make_slot(block).expect("memory")));
        assert!(slot(block).is_none() && slot(neighbour).is_none(), "it is empty");
        made.fill(block, 0xfff_fff8 << FREE_BITS, 1 << 40);
        let found = slot(block).expect("filled");
        assert!(ptr::eq(made, found));
        assert_eq!((found.owner(), found.bytes()), (0xfff_fff8 << FREE_BITS, 1 << 40));
        assert!(slot(neighbour).is_none(), "a block beside it in the page");
        made.clear();
        assert!(slot(block).is_none());
    }

    #[cfg(all(feature = "tokio", target_pointer_width = "64"))]
    #[test]
    fn a_mark_stands_beside_any_size_of_a_cell() {
        let block = ptr::without_provenance(0x1234_9678_9040);
        let slot = make_slot(block).expect("memory");
        for (number, bytes) in [(1, 5_000), (MOST_MARK, u32::MAX as usize), (70_000, 4_097)] {
            slot.fill(block, 0xfff_fff8 << FREE_BITS, bytes);
            assert!(!slot.is_marked() && slot.mark(number) && slot.is_marked());
            assert_eq!((slot.unmarked_bytes(), slot.unmark()), (bytes, Some((number, bytes))));
            assert_eq!((slot.bytes(), slot.unmark()), (bytes, None));
        }
        slot.fill(block, 0xfff_fff8 << FREE_BITS, 1 << 32);
        assert!(!slot.mark(1) && !slot.is_marked(), "there is no room");
    }
}
