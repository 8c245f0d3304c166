//! `VecDeque`: a ring buffer, and the index of its first element.

use std::{alloc::Layout, collections::VecDeque};

use super::{
    OwnBlock, allocate_probe, probed_layout,
    shapes::{Large, Line, Wide},
    words,
};
use crate::primitives::Once;

/// The index of each fact in a deque's four words.
#[derive(Clone, Copy, Debug)]
struct Places {
    buffer: usize,
    capacity: usize,
    head: usize,
    len: usize,
}

pub(crate) fn block<T>(deque: &VecDeque<T>) -> OwnBlock {
    static LEARNED: Once<Option<Places>> = Once::new();
    probed_layout(&LEARNED, learn).map_or(OwnBlock::Unknown, |places| places.block(deque))
}

impl Places {
    /// Returns the deque's buffer, if all four words agree with what the deque reports.
    #[inline]
    fn block<T>(self, deque: &VecDeque<T>) -> OwnBlock {
        if size_of::<T>() == 0 || deque.capacity() == 0 {
            return OwnBlock::Nothing;
        }
        // SAFETY: a deque of this size is the four words that were learned. It is borrowed and has
        // no interior mutability.
        let Some(words) = (unsafe { words::<_, 4>(deque) }) else { return OwnBlock::Unknown };
        let [buffer, capacity, head, len] =
            [self.buffer, self.capacity, self.head, self.len].map(|place| words[place & 3]);
        let first = deque.as_slices().0.as_ptr().addr();
        let by_head = head.addr().checked_mul(size_of::<T>());
        let at_head = by_head.and_then(|offset| buffer.addr().checked_add(offset));
        // The slice of an empty deque starts at the buffer.
        let is_first = at_head == Some(first) || (deque.is_empty() && buffer.addr() == first);
        let fits = is_first
            && capacity.addr() == deque.capacity()
            && len.addr() == deque.len()
            && head.addr() < deque.capacity();
        if fits { OwnBlock::array(buffer.cast::<T>(), deque.capacity()) } else { OwnBlock::Unknown }
    }
}

#[inline]
fn learn() -> Option<Places> {
    let (mut made, seen) = allocate_probe(|| VecDeque::<u64>::with_capacity(11));
    made.extend(0..5);
    made.drain(..3);
    // SAFETY: a deque is a buffer, its capacity, the index of the first element and the length:
    // four words.
    let words = unsafe { words::<_, 4>(&made) }?;
    let place = |value| super::only(&words, |word| word == value);
    let seen = seen.filter(|seen| Layout::array::<u64>(made.capacity()) == Ok(seen.layout))?;
    let places = Places {
        buffer: place(seen.block.addr())?,
        capacity: place(made.capacity())?,
        head: place(3)?,
        len: place(2)?,
    };
    let fit = fits::<u8>(places)
        && fits::<[u8; 3]>(places)
        && fits::<u16>(places)
        && fits::<[u64; 3]>(places)
        && fits::<Wide>(places)
        && fits::<Line>(places)
        && fits::<Large>(places);
    fit.then_some(places)
}

/// Compares the formula with samples: empty, contiguous, and wrapped around the buffer's end.
fn fits<T: Copy + Default>(places: Places) -> bool {
    let (mut made, seen) = allocate_probe(|| VecDeque::<T>::with_capacity(6));
    let empty = places.block(&made).is(seen);
    made.extend([T::default(); 5]);
    let contiguous = places.block(&made).is(seen);
    made.drain(..4);
    made.extend([T::default(); 4]);
    empty && contiguous && places.block(&made).is(seen)
}
