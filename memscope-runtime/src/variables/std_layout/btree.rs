//! `BTreeMap` and `BTreeSet`: nodes of up to eleven entries. Only the root node can be found.

use std::{
    alloc::Layout,
    collections::{BTreeMap, BTreeSet},
    ptr,
};

use super::{
    OwnBlock, allocate_probe, lies_in, only, probed_layout,
    shapes::{Large, Line, Wide},
    word, words,
};
use crate::{alloc::Probe, primitives::Once};

const ENTRIES: usize = 11;

/// The index of each fact in a tree's three words.
///
/// The height is initialised only if there is a root. Without a root, the root's word is null.
#[derive(Clone, Copy, Debug)]
struct Places {
    root: usize,
    height: usize,
    len: usize,
}

/// Returns the root's block, and whether the tree has other nodes.
pub(crate) fn map<K, V>(map: &BTreeMap<K, V>) -> (OwnBlock, bool) {
    as_learned(|places| places.of_map(map))
}

/// Returns the root's block, and whether the tree has other nodes.
pub(crate) fn set<T>(set: &BTreeSet<T>) -> (OwnBlock, bool) {
    as_learned(|places| places.of_set(set))
}

fn as_learned(find: impl FnOnce(Places) -> (OwnBlock, bool)) -> (OwnBlock, bool) {
    static LEARNED: Once<Option<Places>> = Once::new();
    probed_layout(&LEARNED, learn).map_or((OwnBlock::Unknown, false), find)
}

impl Places {
    fn of_map<K, V>(self, map: &BTreeMap<K, V>) -> (OwnBlock, bool) {
        let first = || {
            let (key, value) = map.iter().next()?;
            Some((ptr::from_ref(key).cast(), ptr::from_ref(value).cast()))
        };
        // SAFETY: this is a borrowed map of these types.
        unsafe { self.root::<_, K, V>(map, map.len(), first) }
    }

    fn of_set<T>(self, set: &BTreeSet<T>) -> (OwnBlock, bool) {
        let first = || {
            let value = ptr::from_ref(set.iter().next()?).cast();
            Some((value, value))
        };
        // SAFETY: this is a borrowed set, which is a map from its values to `()`.
        unsafe { self.root::<_, T, ()>(set, set.len(), first) }
    }

    /// Returns the root's block, checked against the tree's length and its first entry, and whether
    /// the tree has other nodes.
    ///
    /// # Safety
    ///
    /// `tree` must be a map or a set of these types, which is borrowed.
    unsafe fn root<M, K, V>(
        self,
        tree: &M,
        len: usize,
        first: impl FnOnce() -> Option<(*const u8, *const u8)>,
    ) -> (OwnBlock, bool) {
        const UNKNOWN: (OwnBlock, bool) = (OwnBlock::Unknown, false);
        if size_of::<M>() != size_of::<[usize; 3]>() || align_of::<M>() != align_of::<usize>() {
            return UNKNOWN;
        }
        let start = ptr::from_ref(tree).cast::<*const u8>();
        // SAFETY: the tree is three words, and this is one of them; the length is always
        // initialised.
        if unsafe { word(start, self.len) }.addr() != len {
            return UNKNOWN;
        }
        // SAFETY: as above; the root's word is always initialised, and null without a root.
        let root = unsafe { word(start, self.root) };
        if root.is_null() {
            return if len == 0 { (OwnBlock::Nothing, false) } else { UNKNOWN };
        }
        // SAFETY: as above; there is a root, so the height is initialised.
        let height = unsafe { word(start, self.height) }.addr();
        let Some((leaf, inner)) = layouts::<K, V>() else { return UNKNOWN };
        if height != 0 {
            let fits = height < len && root.addr().is_multiple_of(inner.align());
            return if fits { (OwnBlock::Block(root, inner), true) } else { UNKNOWN };
        }
        let is_inside = |part, size| size == 0 || lies_in(root, leaf.size(), part, size);
        let fits = root.addr().is_multiple_of(leaf.align())
            && len <= ENTRIES
            && first().is_none_or(|(key, value)| {
                is_inside(key, size_of::<K>()) && is_inside(value, size_of::<V>())
            });
        if fits { (OwnBlock::Block(root, leaf), false) } else { UNKNOWN }
    }
}

/// Returns the layouts of a leaf and of an inner node.
///
/// A leaf has a pointer, two 16-bit numbers and room for its entries. The compiler may order them
/// freely. Ordered from the most aligned to the least, they need no gaps, as each size is a
/// multiple of its alignment.
fn layouts<K, V>() -> Option<(Layout, Layout)> {
    let head = size_of::<usize>() + 2 * size_of::<u16>();
    let entries = size_of::<K>().checked_add(size_of::<V>())?.checked_mul(ENTRIES)?;
    let align = align_of::<usize>().max(align_of::<K>()).max(align_of::<V>());
    let leaf = Layout::from_size_align(head.checked_add(entries)?, align).ok()?.pad_to_align();
    let children = Layout::new::<[usize; ENTRIES + 1]>();
    let (inner, _) = leaf.extend(children).ok()?;
    Some((leaf, inner.pad_to_align()))
}

#[inline]
fn learn() -> Option<Places> {
    let (made, seen) = allocate_probe(|| BTreeMap::from([(7_u64, 7_u64), (8, 8)]));
    // SAFETY: a map with a root is the root's address, its height and the number of entries.
    let words = unsafe { words::<_, 3>(&made) }?;
    let root = seen?.block.addr();
    let places = Places {
        root: only(&words, |word| word == root)?,
        height: only(&words, |word| word == 0)?,
        len: only(&words, |word| word == made.len())?,
    };
    let fit = fits::<u8, ()>(places)
        && fits::<u8, u8>(places)
        && fits::<u8, [u8; 3]>(places)
        && fits::<u8, u16>(places)
        && fits::<u8, u64>(places)
        && fits::<u64, u16>(places)
        && fits::<[u8; 3], [u64; 3]>(places)
        && fits::<Wide, u8>(places)
        && fits::<u16, Wide>(places)
        && fits::<Line, u64>(places)
        && fits::<u8, [Line; 0]>(places)
        && fits::<u32, Large>(places);
    fit.then_some(places)
}

/// Compares the formula with samples: one entry, a full node, emptied, two levels, and a set.
fn fits<K: Ord + Clone + From8, V: Clone + Default>(places: Places) -> bool {
    let (mut leaf, seen) = allocate_probe(|| {
        let mut map = BTreeMap::<K, V>::new();
        map.insert(K::from8(0), V::default());
        map
    });
    let one = is(places.of_map(&leaf), seen, false);
    leaf.extend((1..11).map(|number| (K::from8(number), V::default())));
    let full = is(places.of_map(&leaf), seen, false);
    leaf.retain(|_, _| false);
    let emptied = is(places.of_map(&leaf), seen, false) || leaf_is_gone(places, &leaf);
    // When a tree grows by a level, the last block that it allocates is its new root.
    let (mut tree, seen) = allocate_probe(|| {
        let mut map = BTreeMap::<K, V>::new();
        (0..12).for_each(|number| drop(map.insert(K::from8(number), V::default())));
        map
    });
    let two = is(places.of_map(&tree), seen, true);
    tree.clear();
    let (set, seen) = allocate_probe(|| {
        let mut set = BTreeSet::<K>::new();
        set.insert(K::from8(0));
        set
    });
    let set = is(places.of_set(&set), seen, false);
    one && full && emptied && two && set && leaf_is_gone(places, &tree)
}

fn leaf_is_gone<K, V>(places: Places, map: &BTreeMap<K, V>) -> bool {
    places.of_map(map) == (OwnBlock::Nothing, false)
}

/// Whether the root is the block that the allocator saw, and `has_more` is as expected.
fn is((root, has_more): (OwnBlock, bool), seen: Option<Probe>, more: bool) -> bool {
    seen.is_some() && root.is(seen) && has_more == more
}

/// Keys of samples.
trait From8 {
    fn from8(number: u8) -> Self;
}

macro_rules! keys {
    ($($type:ty, |$number:ident| $make:expr;)*) => {$(
        impl From8 for $type {
            fn from8($number: u8) -> Self {
                $make
            }
        }
    )*};
}

keys! {
    u8, |number| number;
    u16, |number| number.into();
    u32, |number| number.into();
    u64, |number| number.into();
    [u8; 3], |number| [number; 3];
    Wide, |number| Wide(number);
    Line, |number| Line([number; 5]);
}
