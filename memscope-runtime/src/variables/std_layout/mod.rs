//! Where blocks lie of which the standard library does not say it: learned from samples, never
//! guessed.
//!
//! The first look at a type of a family makes a few samples, whose blocks the allocator reports,
//! and compares them with what the family's formula says. If one of them differs, as another
//! release of the library might make it, or the allocator is not installed, the family's blocks are
//! not found. Where a formula needs a private word of a value, the word's place is learned too, and
//! what it says is compared with what the value says of itself at each look.

// PERF: of builds: whatever learns is `#[inline]`, so that only programs that look at such values
// compile it. It was a quarter of all code.
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

/// A value's own block.
///
/// Invariant: as long as the value is borrowed, the block is live, and was allocated with this
/// layout by the global allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnBlock {
    Block(*const u8, Layout),
    /// It has none.
    Nothing,
    /// It may have one, which could not be found.
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

    /// Whether this is what the allocator saw.
    fn is(self, seen: Option<Probe>) -> bool {
        match (self, seen) {
            (Self::Block(start, layout), Some(seen)) => Probe::of(start, layout) == seen,
            (Self::Nothing, None) => true,
            _ => false,
        }
    }
}

/// What was learned, at the first call by trying.
#[inline]
fn probed_layout<T: Copy>(
    place: &'static Once<Option<T>>,
    learn: impl FnOnce() -> Option<T>,
) -> Option<T> {
    *place.get_or_init(|| current::exempt(learn))
}

/// Makes a sample, and tells the last block that was allocated for it.
fn allocate_probe<T>(make: impl FnOnce() -> T) -> (T, Option<Probe>) {
    Probe::take();
    let value = black_box(make());
    (value, Probe::take())
}

/// The words that a value consists of; `None` if it is not as large as they are.
///
/// # Safety
///
/// All bytes of a `T` of this size must be initialised, and none of them may change during the
/// call.
#[inline]
unsafe fn words<T, const N: usize>(value: &T) -> Option<[*const u8; N]> {
    let fits =
        size_of::<T>() == size_of::<[*const u8; N]>() && align_of::<T>() == align_of::<*const u8>();
    // SAFETY: the place is as large as the words and as aligned; the caller says that they are
    // initialised.
    fits.then(|| unsafe { ptr::from_ref(value).cast::<[*const u8; N]>().read() })
}

/// The word at a place of a value that starts here.
///
/// # Safety
///
/// The value must be live and have a word there, which is initialised and does not change during
/// the call.
#[inline]
unsafe fn word(start: *const *const u8, place: usize) -> *const u8 {
    // SAFETY: the caller's contract.
    unsafe { start.wrapping_add(place).read() }
}

/// The only place that `is_it` is true of.
fn only(words: &[*const u8], is_it: impl Fn(usize) -> bool) -> Option<usize> {
    let mut places = words.iter().enumerate().filter(|(_, word)| is_it(word.addr()));
    let (place, _) = places.next()?;
    places.next().is_none().then_some(place)
}

/// Whether `length` bytes at `part` lie in a block.
fn lies_in(start: *const u8, size: usize, part: *const u8, length: usize) -> bool {
    part.addr()
        .checked_sub(start.addr())
        .is_some_and(|offset| offset.checked_add(length).is_some_and(|end| end <= size))
}

/// Element types of every kind of size and alignment, for samples.
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
