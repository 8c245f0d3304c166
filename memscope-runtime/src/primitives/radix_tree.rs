//! A radix tree over all addresses, of three levels like the processor's own page tables.
//!
//! Branches and leaves are fresh pages. The system provides memory only for the pages that are
//! written.

use super::{
    arena::{self, Zeroed},
    atomic_ref::StaticRef,
};

/// Bits of the address that each level above the leaves uses.
pub(super) const BITS: u32 = 12;
pub(super) const WIDTH: usize = 1 << BITS;

/// The tree, whose highest level is a static.
#[derive(Debug)]
pub(super) struct RadixTree<L: 'static>([StaticRef<Branch<L>>; WIDTH]);

/// The leaves of 64 GiB of addresses.
#[derive(Debug)]
struct Branch<L: 'static>([StaticRef<L>; WIDTH]);

// SAFETY: null pointers are valid `StaticRef`s, which need no drop.
unsafe impl<L: Zeroed> Zeroed for Branch<L> {}

/// The number of leaves whose pages in memory are counted. Further leaves count in full.
const MOST_LOOKS: usize = 256;

impl<L: Zeroed> RadixTree<L> {
    #[expect(clippy::large_stack_arrays, reason = "it is the value of a static")]
    pub(super) const fn new() -> Self {
        Self([const { StaticRef::none() }; WIDTH])
    }

    /// The leaf at these indices of the two upper levels, if it was made.
    #[inline]
    pub(super) fn get(&self, [root, branch]: [usize; 2]) -> Option<&'static L> {
        self.0[root].get()?.0[branch].get()
    }

    /// The leaf at these indices, made by this call if it is the first. Returns `None` if the
    /// system has no memory.
    #[inline]
    pub(super) fn get_or_make(&self, [root, branch]: [usize; 2]) -> Option<&'static L> {
        let branches = arena::get_or_keep_pages(&self.0[root])?;
        arena::get_or_keep_pages(&branches.0[branch])
    }

    /// Whether any leaf was made in this part of the addresses.
    pub(super) fn has_branch(&self, root: usize) -> bool {
        self.0[root].get().is_some()
    }

    /// All leaves, with their number, in order.
    pub(super) fn leaves(&self) -> impl Iterator<Item = (usize, &'static L)> {
        let branches = self.0.iter().enumerate();
        let branches = branches.filter_map(|(root, branch)| Some((root, branch.get()?)));
        branches.flat_map(|(root, branch)| {
            let leaves = branch.0.iter().enumerate();
            leaves.filter_map(move |(index, leaf)| Some((root << BITS | index, leaf.get()?)))
        })
    }

    /// Bytes of the tree that are in memory.
    pub(super) fn resident_bytes(&self) -> u64 {
        let branches = self.0.iter().filter_map(StaticRef::get);
        let branches: u64 = branches.map(|branch| written_bytes(&branch.0)).sum();
        let leaves = self.leaves().enumerate();
        let leaves = leaves.map(|(number, (_, leaf))| match number {
            ..MOST_LOOKS => arena::resident_bytes(leaf),
            _ => size_of::<L>() as u64,
        });
        written_bytes(&self.0) + branches + leaves.sum::<u64>()
    }
}

/// Bytes of the pages that have a reference. The system is not asked, because for it a page that
/// was only read is in memory too.
fn written_bytes<T: Sync>(references: &[StaticRef<T>; WIDTH]) -> u64 {
    const PAGE: usize = 4096;
    let pages = references.chunks(PAGE / size_of::<StaticRef<T>>());
    let written = pages.filter(|page| page.iter().any(|it| it.get().is_some()));
    (written.count() * PAGE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::sync::{AtomicU64, Ordering};

    #[derive(Debug)]
    struct Leaf([AtomicU64; 8192]);

    // SAFETY: atomic integers are valid when zeroed and need no drop.
    unsafe impl Zeroed for Leaf {}

    #[test]
    fn a_tree_takes_the_pages_that_were_written() {
        static TREE: RadixTree<Leaf> = RadixTree::new();
        assert_eq!(TREE.resident_bytes(), 0);
        let paths = [[0, 0], [0, 1], [0, 4095], [7, 3], [4095, 4095]];
        for path in paths {
            assert!(TREE.get(path).is_none());
            let made = TREE.get_or_make(path).expect("memory");
            assert!(TREE.get_or_make(path).is_some_and(|again| std::ptr::eq(again, made)));
            assert!(TREE.get(path).is_some_and(|found| std::ptr::eq(found, made)));
        }
        let numbers: Vec<_> = TREE.leaves().map(|(number, _)| number).collect();
        assert_eq!(numbers, paths.map(|[root, branch]| root << BITS | branch));
        assert_eq!((TREE.has_branch(7), TREE.has_branch(8)), (true, false));
        // Two pages of the root, two of the first branch, and one of each other branch.
        let above = 6 * 4096;
        let untouched = TREE.resident_bytes();
        TREE.get([7, 3]).expect("made").0[0].store(1, Ordering::Relaxed);
        let written = TREE.resident_bytes();
        if cfg!(all(target_os = "linux", feature = "enabled", not(miri))) {
            assert_eq!(untouched, above);
            assert!((1..=64 << 10).contains(&(written - untouched)), "a page: {written}");
        } else {
            assert_eq!((untouched, written), (above + (5 << 16), untouched));
        }
    }
}
