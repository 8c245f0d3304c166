//! Collections: their own blocks, and for `Contents` those of their elements.

use std::{
    alloc::Layout,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque},
};

use crate::variables::{
    std_layout::{self, OwnBlock},
    trackable::{Blocks, Contents, Trackable},
};

impl<T> Trackable for Vec<T> {
    #[inline]
    fn visit(&self, blocks: &mut Blocks<'_>) {
        if let Ok(layout) = Layout::array::<T>(self.capacity()) {
            // SAFETY: `Vec` documents that it allocates `Layout::array::<T>(capacity)` with the
            // global allocator. It is borrowed, so the block stays live.
            unsafe { blocks.block(self.as_ptr().cast(), layout) };
        }
    }
}

impl<T> Trackable for BinaryHeap<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `heap` finds is that of the heap, which is borrowed.
        unsafe { blocks.own(std_layout::vec_backed::heap(self)) };
    }
}

impl<T> Trackable for VecDeque<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `block` finds is that of the deque, which is borrowed.
        unsafe { blocks.own(std_layout::vec_deque::block(self)) };
    }
}

impl<K, V, S> Trackable for HashMap<K, V, S> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `map` finds is that of the map, which is borrowed.
        unsafe { blocks.own(std_layout::hash_table::map(self)) };
    }
}

impl<T, S> Trackable for HashSet<T, S> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        // SAFETY: the block that `set` finds is that of the set, which is borrowed.
        unsafe { blocks.own(std_layout::hash_table::set(self)) };
    }
}

impl<K, V> Trackable for BTreeMap<K, V> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        root(std_layout::btree::map(self), blocks);
    }
}

impl<T> Trackable for BTreeSet<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        root(std_layout::btree::set(self), blocks);
    }
}

/// Adds the root node of a borrowed tree, and notes if there are other nodes.
fn root((root, has_more): (OwnBlock, bool), blocks: &mut Blocks<'_>) {
    // SAFETY: the block that `btree` finds is the root node of the tree, which is borrowed.
    unsafe { blocks.own(root) };
    if has_more {
        blocks.partial();
    }
}

/// Each element lies in a block of its own, behind the links that the list keeps. The layout of
/// that block is not known, so it is not found.
impl<T> Trackable for LinkedList<T> {
    fn visit(&self, blocks: &mut Blocks<'_>) {
        if !self.is_empty() {
            blocks.partial();
        }
    }
}

macro_rules! lists {
    ($($type:ident),*) => {$(
        impl<T: Contents> Contents for $type<T> {
            fn visit_contents(&self, blocks: &mut Blocks<'_>) {
                self.visit(blocks);
                if !T::IS_PLAIN {
                    blocks.inside(|blocks| self.iter().for_each(|value| value.visit_contents(blocks)));
                }
            }
        }
    )*};
}

lists!(Vec, BinaryHeap, VecDeque, BTreeSet, LinkedList);

impl<T: Contents, S> Contents for HashSet<T, S> {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        self.visit(blocks);
        if !T::IS_PLAIN {
            blocks.inside(|blocks| self.iter().for_each(|value| value.visit_contents(blocks)));
        }
    }
}

impl<K: Contents, V: Contents, S> Contents for HashMap<K, V, S> {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        self.visit(blocks);
        if !<(K, V)>::IS_PLAIN {
            blocks.inside(|blocks| self.iter().for_each(|pair| entry(pair, blocks)));
        }
    }
}

impl<K: Contents, V: Contents> Contents for BTreeMap<K, V> {
    fn visit_contents(&self, blocks: &mut Blocks<'_>) {
        self.visit(blocks);
        if !<(K, V)>::IS_PLAIN {
            blocks.inside(|blocks| self.iter().for_each(|pair| entry(pair, blocks)));
        }
    }
}

fn entry((key, value): (&impl Contents, &impl Contents), blocks: &mut Blocks<'_>) {
    key.visit_contents(blocks);
    value.visit_contents(blocks);
}
