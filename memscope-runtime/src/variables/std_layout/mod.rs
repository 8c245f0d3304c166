//! Block layouts that the standard library does not document: learned from samples, never guessed.
//!
//! The first visit of a type of a family makes a few samples. The allocator reports their blocks,
//! which are compared with the family's formula. If one differs, as another release of the library
//! may change it, or if the allocator is not installed, the blocks of the family are not found.
//!
//! Some formulas need a private word of a value. Then the word's index is learned too, and each
//! visit compares the word with what the value reports about itself.

// PERF: functions that learn are `#[inline]`, so only programs that visit such values compile them.
// They were a quarter of all code that a build compiled.
#[cfg(feature = "bytes")]
pub(crate) mod bytes;
pub(crate) mod rc;
pub(crate) mod vec_deque;
pub(crate) mod hash_table;
pub(crate) mod btree;
pub(crate) mod vec_backed;

use std::{alloc::Layout, hint::black_box, mem::size_of, ptr};

use crate::{
    alloc::{Probe, current},
    primitives::Once,
};

/// The block that a value holds directly.
///
/// Invariant: while the value is borrowed, the block is live, and the global allocator allocated it
/// with this layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnBlock {
    Block(*const u8, Layout),
    /// The value has no block.
    Nothing,
    /// The value may have a block, but it was not found.
    Unknown,
}

impl OwnBlock {
    /// The block with room for `capacity` values of type `T`.
    fn array<T>(start: *const T, capacity: usize) -> Self {
        match Layout::array::<T>(capacity) {
            Ok(layout) if layout.size() == 0 => Self::Nothing,
            Ok(layout) => Self::Block(start.cast(), layout),
            Err(_) => Self::Unknown,
        }
    }

    /// Whether this is the block that the allocator saw.
    fn is(self, seen: Option<Probe>) -> bool {
        match (self, seen) {
            (Self::Block(start, layout), Some(seen)) => Probe::of(start, layout) == seen,
            (Self::Nothing, None) => true,
            _ => false,
        }
    }
}

/// The learned layout of a family; the first call learns it from samples.
#[inline]
fn probed_layout<T: Copy>(
    place: &'static Once<Option<T>>,
    learn: impl FnOnce() -> Option<T>,
) -> Option<T> {
    *place.get_or_init(|| current::exempt(learn))
}

/// Makes a sample, and returns it with the last block that was allocated for it.
fn allocate_probe<T>(make: impl FnOnce() -> T) -> (T, Option<Probe>) {
    Probe::take();
    let value = black_box(make());
    (value, Probe::take())
}

/// Reads a value as `N` words; `None` if its size or alignment differs.
///
/// # Safety
///
/// All bytes of a `T` of this size must be initialised, and none may change during the call.
#[inline]
unsafe fn words<T, const N: usize>(value: &T) -> Option<[*const u8; N]> {
    let fits =
        size_of::<T>() == size_of::<[*const u8; N]>() && align_of::<T>() == align_of::<*const u8>();
    // SAFETY: the value has the size and alignment of the words. The caller guarantees that they
    // are initialised.
    fits.then(|| unsafe { ptr::from_ref(value).cast::<[*const u8; N]>().read() })
}

/// Reads the word with the index `place` in the value that starts at `start`.
///
/// # Safety
///
/// The value must be live. It must have a word there, which is initialised and does not change
/// during the call.
#[inline]
unsafe fn word(start: *const *const u8, place: usize) -> *const u8 {
    // SAFETY: the caller's contract.
    unsafe { start.wrapping_add(place).read() }
}

/// The index of the only word that `is_it` accepts; `None` if it accepts none or several.
fn only(words: &[*const u8], is_it: impl Fn(usize) -> bool) -> Option<usize> {
    let mut places = words.iter().enumerate().filter(|(_, word)| is_it(word.addr()));
    let (place, _) = places.next()?;
    places.next().is_none().then_some(place)
}

/// Whether `length` bytes at `part` lie in the block of `size` bytes at `start`.
fn lies_in(start: *const u8, size: usize, part: *const u8, length: usize) -> bool {
    part.addr()
        .checked_sub(start.addr())
        .is_some_and(|offset| offset.checked_add(length).is_some_and(|end| end <= size))
}

/// Element types of different sizes and alignments, for samples.
mod shapes {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(align(16))]
    pub(super) struct Wide(pub(super) u8);

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    #[repr(align(64))]
    pub(super) struct Line(pub(super) [u8; 5]);

    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub(super) struct Large(pub(super) [u64; 25]);
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashMap, VecDeque},
        ffi::OsString,
        rc::Rc,
        sync::Arc,
    };

    use super::OwnBlock;
    use crate::variables::{Trackable, trackable::blocks_of};

    fn is_unknown(value: &impl Trackable) -> bool {
        let found = blocks_of(|blocks| blocks.visit(value));
        found.is_partial && found.blocks.is_empty()
    }

    #[test]
    fn without_the_allocator_nothing_is_learned_and_nothing_guessed() {
        assert!(is_unknown(&Rc::new(7)) && is_unknown(&Arc::new(7)));
        assert!(is_unknown(&VecDeque::from([7])));
        assert!(is_unknown(&HashMap::from([(7, 7)])));
        assert!(is_unknown(&BTreeMap::from([(7, 7)])));
        assert!(is_unknown(&OsString::from("text")));
        #[cfg(feature = "bytes")]
        assert!(
            is_unknown(&bytes::Bytes::from(vec![7])) && is_unknown(&bytes::BytesMut::from("7"))
        );
    }

    #[test]
    fn a_part_lies_in_a_block_or_not() {
        let block = [0_u8; 8];
        let at = |offset: usize| block.as_ptr().wrapping_add(offset);
        assert!(super::lies_in(at(0), 8, at(0), 8) && super::lies_in(at(0), 8, at(8), 0));
        assert!(!super::lies_in(at(0), 8, at(1), 8) && !super::lies_in(at(1), 7, at(0), 1));
        assert!(!super::lies_in(at(0), 8, at(1), usize::MAX));
    }

    #[test]
    fn an_array_too_large_is_unknown_and_one_of_nothing_is_none() {
        assert_eq!(OwnBlock::array(std::ptr::null::<u64>(), usize::MAX), OwnBlock::Unknown);
        assert_eq!(OwnBlock::array(std::ptr::null::<()>(), usize::MAX), OwnBlock::Nothing);
        assert_eq!(OwnBlock::array(std::ptr::null::<u64>(), 0), OwnBlock::Nothing);
    }
}
