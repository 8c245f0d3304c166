//! Types that keep a `Vec`. They report its address and capacity, but do not document that they
//! keep nothing else.

use std::{
    collections::BinaryHeap,
    ffi::{CString, OsString},
    path::PathBuf,
};

use super::{OwnBlock, allocate_probe, probed_layout, shapes::Line};
use crate::primitives::Once;

pub(crate) fn heap<T>(heap: &BinaryHeap<T>) -> OwnBlock {
    as_learned(|| heap_formula(heap))
}

pub(crate) fn os_string(text: &OsString) -> OwnBlock {
    as_learned(|| os_string_formula(text))
}

pub(crate) fn path(path: &PathBuf) -> OwnBlock {
    as_learned(|| path_formula(path))
}

pub(crate) fn c_string(text: &CString) -> OwnBlock {
    as_learned(|| c_string_formula(text))
}

fn heap_formula<T>(heap: &BinaryHeap<T>) -> OwnBlock {
    OwnBlock::array(heap.as_slice().as_ptr(), heap.capacity())
}

fn os_string_formula(text: &OsString) -> OwnBlock {
    OwnBlock::array(text.as_encoded_bytes().as_ptr(), text.capacity())
}

fn path_formula(path: &PathBuf) -> OwnBlock {
    OwnBlock::array(path.as_os_str().as_encoded_bytes().as_ptr(), path.capacity())
}

fn c_string_formula(text: &CString) -> OwnBlock {
    let bytes = text.as_bytes_with_nul();
    OwnBlock::array(bytes.as_ptr(), bytes.len())
}

fn as_learned(formula: impl FnOnce() -> OwnBlock) -> OwnBlock {
    static LEARNED: Once<Option<()>> = Once::new();
    probed_layout(&LEARNED, learn).map_or(OwnBlock::Unknown, |()| formula())
}

#[inline]
fn learn() -> Option<()> {
    let heaps = heap_fits::<u8>() && heap_fits::<u64>() && heap_fits::<Line>();
    let texts = [0, 1, 7, 37, 300].into_iter().all(texts_fit);
    (heaps && texts).then_some(())
}

fn heap_fits<T: Ord + Default>() -> bool {
    let (mut made, seen) = allocate_probe(|| BinaryHeap::<T>::with_capacity(11));
    let empty = heap_formula(&made).is(seen);
    made.push(T::default());
    empty && heap_formula(&made).is(seen) && heap_formula(&BinaryHeap::<T>::new()).is(None)
}

#[inline]
fn texts_fit(capacity: usize) -> bool {
    let (mut text, seen) = allocate_probe(|| OsString::with_capacity(capacity));
    let mut fits = os_string_formula(&text).is(seen);
    let (mut path, seen_path) = allocate_probe(|| PathBuf::with_capacity(capacity));
    fits &= path_formula(&path).is(seen_path);
    if capacity > 2 {
        text.push("ab");
        path.push("ab");
        fits &= os_string_formula(&text).is(seen) && path_formula(&path).is(seen_path);
    }
    let (text, seen) = allocate_probe(|| CString::new(vec![b'a'; capacity]));
    fits && text.is_ok_and(|text| c_string_formula(&text).is(seen))
}
