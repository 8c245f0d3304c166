//! Where the owners of blocks of a page or more are kept: beside them, so that their sizes stay round and their pages untouched.
//!
//! Two such blocks never begin in the same page. So the number of the page in which a block begins finds its slot, in a tree of three levels
//! like the processor's own page tables: three loads. A slot is written when its block is made and read while the block lives; nobody empties it.

use std::sync::atomic::AtomicPtr;

use crate::{
    arena::{self, Zeroed},
    static_ref::StaticRef,
    sync::{AtomicU64, Ordering},
};

/// Blocks from this size on have a slot.
pub(crate) const PAGE: usize = 1 << PAGE_BITS;

const PAGE_BITS: u32 = 12;
/// Of each level.
const BITS: u32 = 12;
const WIDTH: usize = 1 << BITS;

/// The slots of 16 MiB.
#[derive(Debug)]
struct Leaf([AtomicPtr<()>; WIDTH]);

/// Of 64 GiB.
#[derive(Debug)]
struct Branch([StaticRef<Leaf>; WIDTH]);

// SAFETY: null pointers, without destructors.
unsafe impl Zeroed for Leaf {}

// SAFETY: the same.
unsafe impl Zeroed for Branch {}

static ROOT: [StaticRef<Branch>; WIDTH] = [const { StaticRef::none() }; WIDTH];

/// Of branches and leaves: a 512th of the addresses at which such blocks ever were.
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The memory of the tree.
pub(crate) fn bytes() -> u64 {
    size_of_val(&ROOT) as u64 + BYTES.load(Ordering::Relaxed)
}

/// The slot of the block that begins here; `None`: none was made.
pub(crate) fn slot(block: *const u8) -> Option<&'static AtomicPtr<()>> {
    let [root, branch, leaf] = path(block)?;
    Some(&ROOT[root].get()?.0[branch].get()?.0[leaf])
}

/// The same for a new block; `None` when the system has no memory.
pub(crate) fn make_slot(block: *const u8) -> Option<&'static AtomicPtr<()>> {
    let [root, branch, leaf] = path(block)?;
    let branches = arena::get_or_keep(&ROOT[root], &BYTES)?;
    let leaves = arena::get_or_keep(&branches.0[branch], &BYTES)?;
    Some(&leaves.0[leaf])
}

/// The places on the way to an address.
///
/// `None` above 2^48: no system hands such addresses out to who does not ask for them. The highest byte may be a tag.
fn path(block: *const u8) -> Option<[usize; 3]> {
    let page = (block.addr() as u64 & (u64::MAX >> 8)) >> PAGE_BITS;
    let place = |level: u32| (page >> (level * BITS)) as usize;
    let root = place(2);
    (root < WIDTH).then(|| [root, place(1) % WIDTH, place(0) % WIDTH])
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
    fn a_slot_is_made_once_and_stays() {
        let block = ptr::without_provenance(0x1234_5678_9000);
        assert!(slot(block).is_none());
        let made = make_slot(block).expect("memory");
        assert!(ptr::eq(made, make_slot(block).expect("memory")));
        assert!(ptr::eq(made, slot(block).expect("made")));
    }
}
