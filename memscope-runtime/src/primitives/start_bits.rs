//! Start bits: they say at which addresses of the heap a block has begun.
//!
//! One bit stands for 16 bytes of addresses, in a radix tree of three levels as in
//! [`page_map`](super::page_map). A bit is set when a block that is *listed* begins there, and
//! stays set. The block's own word says whether the block is listed still. So making a block where
//! one has begun before costs a load and a test. Freeing it costs one plain store to its word. A
//! reader looks at the word of each bit.
//!
//! Blocks of a page and more are not listed: the page map finds them.

use super::{
    arena::Zeroed,
    radix_tree::{BITS, RadixTree, WIDTH},
    sync::{AtomicU8, AtomicU64, Ordering},
};

/// The alignment of every place at which a bit may stand.
pub(crate) const GRAIN: usize = 1 << GRAIN_BITS;

const GRAIN_BITS: u32 = 4;
/// Addresses of one word of bits.
const WORD_BITS: u32 = GRAIN_BITS + u64::BITS.trailing_zeros();
/// Addresses of one leaf: 16 MiB.
const LEAF_BITS: u32 = 24;
const WORDS: usize = 1 << (LEAF_BITS - WORD_BITS);

/// The bits of 16 MiB of addresses.
#[derive(Debug)]
struct Leaf([AtomicU64; WORDS]);

// SAFETY: atomic integers are valid when zeroed and need no drop.
unsafe impl Zeroed for Leaf {}

static TREE: RadixTree<Leaf> = RadixTree::new();

/// Whether new blocks are listed.
static IS_ON: AtomicU8 = AtomicU8::new(0);

/// Blocks that are not listed, for lack of memory.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Whether new blocks are listed.
#[inline]
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed) != 0
}

/// Turns the listing of new blocks on or off. Blocks that are listed stay listed.
pub(crate) fn turn(on: bool) {
    IS_ON.store(u8::from(on), Ordering::Relaxed);
}

/// The memory of the tree: at most a 128th of the addresses at which such blocks ever began, as far
/// as it was written.
pub(crate) fn bytes() -> u64 {
    TREE.resident_bytes()
}

/// The number of blocks that could not be listed.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

/// Sets the bit of a place that is aligned to [`GRAIN`]. Returns `false`, and counts the block, if
/// there is no memory for the bit.
#[inline]
pub(crate) fn set(place: *const u8) -> bool {
    let address = place.addr() as u64;
    match leaf(address) {
        Some(leaf) => {
            let word = &leaf.0[(address >> WORD_BITS) as usize % WORDS];
            let bit = 1 << ((address >> GRAIN_BITS) % u64::from(u64::BITS));
            // PERF: no locked instruction where a block has begun before.
            if word.load(Ordering::Relaxed) & bit == 0 {
                word.fetch_or(bit, Ordering::Relaxed);
            }
            true
        }
        None => make_and_set(place),
    }
}

#[cold]
#[inline(never)]
fn make_and_set(place: *const u8) -> bool {
    if path(place.addr() as u64).and_then(|path| TREE.get_or_make(path)).is_some() {
        return set(place);
    }
    REFUSED.fetch_add(1, Ordering::Relaxed);
    false
}

#[inline]
fn leaf(address: u64) -> Option<&'static Leaf> {
    TREE.get(path(address)?)
}

/// The index of an address in the two upper levels; `None` above 2^48.
#[inline]
fn path(address: u64) -> Option<[usize; 2]> {
    let root = (address >> (LEAF_BITS + BITS)) as usize;
    (root < WIDTH).then_some([root, (address >> LEAF_BITS) as usize % WIDTH])
}

/// Calls `each` with every place in a range of addresses that has a bit, in order. Takes no memory.
#[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
#[allow(clippy::cast_possible_truncation, reason = "an address, and the rest of one")]
pub(crate) fn for_each(start: usize, end: usize, mut each: impl FnMut(usize)) {
    let mut at = start as u64 & !((1 << WORD_BITS) - 1);
    while at < end as u64 {
        let Some(path @ [root, _]) = path(at) else { return };
        if !TREE.has_branch(root) {
            at = next(at, LEAF_BITS + BITS);
            continue;
        }
        let Some(leaf) = TREE.get(path) else {
            at = next(at, LEAF_BITS);
            continue;
        };
        let mut bits = leaf.0[(at >> WORD_BITS) as usize % WORDS].load(Ordering::Relaxed);
        while bits != 0 {
            let place = at as usize + bits.trailing_zeros() as usize * GRAIN;
            bits &= bits - 1;
            if (start..end).contains(&place) {
                each(place);
            }
        }
        at = next(at, WORD_BITS);
    }
}

/// The first address after the aligned piece of `2^bits` bytes in which an address lies.
fn next(address: u64, bits: u32) -> u64 {
    ((address >> bits) + 1) << bits
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    fn places(start: usize, end: usize) -> Vec<usize> {
        let mut found = Vec::new();
        for_each(start, end, |place| found.push(place));
        found
    }

    #[test]
    fn places_that_were_set_are_found_in_order_whatever_lies_between() {
        let base = 0x1230_0000_0000_usize;
        let all = [0, 16, 1_008, 1_024, 0xff_fff0, 0x100_0000, 0x10_0000_0000, 0x10_0000_0010];
        for offset in all.iter().rev().chain(&all) {
            assert!(set(ptr::without_provenance(base + offset)));
        }
        let all = all.map(|offset| base + offset);
        assert_eq!(places(base, base + 0x20_0000_0000), all);
        assert_eq!(places(base + 16, base + 1_024), all[1..3], "the ends of a range");
        assert_eq!(places(base + 17, base + 1_025), all[2..4]);
        assert!(places(0, 0x1000).is_empty());
    }

    #[test]
    fn an_address_that_no_system_hands_out_is_refused_and_counted() {
        let before = refused();
        assert!(!set(ptr::without_provenance(1 << 48)));
        assert_eq!(refused(), before + 1);
        assert!(places((1 << 48) - 64, (1 << 48) + 64).is_empty());
    }
}
