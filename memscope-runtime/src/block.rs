//! How a block remembers which account it is charged to.
//!
//! Eight bytes (one pointer) behind the user's bytes: the pointer and the alignment the user sees stay as they would be,
//! and a free by anybody finds the right account without a map or a lock. The low bits of the word are zero.

use std::{alloc::Layout, mem::size_of, ptr};

use crate::account::Account;

const WORD: usize = size_of::<*const Account>();

/// The layout of a block with its word, and where in it the word lies.
///
/// Invariant: `layout` is valid, and `word` a multiple of [`WORD`] with room for one word behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretched {
    pub(crate) layout: Layout,
    word: usize,
}

impl Stretched {
    /// `None` where the user's layout is so large that no room is left for the word.
    #[inline]
    pub(crate) fn of(user: Layout) -> Option<Self> {
        // With the padding in front of the word, the word and the padding to the alignment it must stay an `isize`.
        // A valid layout's size and alignment together are at most `isize::MAX + 1`.
        let fits = user.size() + user.align() <= isize::MAX.cast_unsigned() - 2 * WORD;
        // SAFETY: just compared.
        fits.then(|| unsafe { Self::of_live(user) })
    }

    /// [`of`](Self::of) for the layout of a block that exists.
    ///
    /// # Safety
    ///
    /// `of` must have been `Some` for this layout.
    #[inline]
    pub(crate) unsafe fn of_live(user: Layout) -> Self {
        let word = (user.size() + (WORD - 1)) & !(WORD - 1);
        // SAFETY: the alignment is the larger of two powers of two; by the check in `of`, the size rounded up to it
        // is at most `isize::MAX`.
        let layout =
            unsafe { Layout::from_size_align_unchecked(word + WORD, user.align().max(WORD)) };
        Self { layout, word }
    }
}

/// Writes the owner behind a new block. `None`: the block is memscope's own and nobody is charged.
///
/// # Safety
///
/// `block` must have been allocated with `stretched.layout` and must not be null.
#[inline]
pub(crate) unsafe fn write_owner(
    block: *mut u8,
    stretched: Stretched,
    owner: Option<&'static Account>,
) {
    let word = owner.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the caller's contract.
    let place = unsafe { place(block, stretched) };
    // SAFETY: `place` gives an aligned place inside the block.
    unsafe { place.write(word) };
}

/// Reads the owner that `write_owner` wrote.
///
/// # Safety
///
/// `block` must be live and must have passed `write_owner` with the same `stretched`.
#[inline]
pub(crate) unsafe fn owner(block: *mut u8, stretched: Stretched) -> Option<&'static Account> {
    // SAFETY: the caller's contract.
    let place = unsafe { place(block, stretched) };
    // SAFETY: `write_owner` initialised the word; only the allocator knows of it.
    let word = unsafe { place.read() };
    // SAFETY: the word is null or came from a `&'static Account`.
    unsafe { word.as_ref() }
}

/// Where the word lies.
///
/// # Safety
///
/// `block` must be live with `stretched.layout`.
#[inline]
unsafe fn place(block: *mut u8, stretched: Stretched) -> *mut *const Account {
    // SAFETY: the word lies inside the block, by `Stretched::of`.
    unsafe { block.add(stretched.word) }.cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_layout_is_valid_and_has_room_for_the_word_behind_the_users_bytes() {
        let most = isize::MAX.cast_unsigned();
        for align in (0..20).map(|power| 1usize << power) {
            for size in (0..70).chain([4096, 1 << 20, most / 2]) {
                let user = Layout::from_size_align(size, align).expect("a small layout");
                let Stretched { layout, word } = Stretched::of(user).expect("room for the word");
                assert!(
                    Layout::from_size_align(layout.size(), layout.align()).is_ok(),
                    "{layout:?}"
                );
                assert!(
                    word >= size && word.is_multiple_of(WORD) && layout.size() == word + WORD,
                    "{layout:?}"
                );
                assert!(layout.align() >= align && layout.align().is_multiple_of(WORD));
                assert!(layout.size() - size < 2 * WORD, "one word and its padding");
            }
            for size in (most - 100..=most).filter(|size| *size <= most - (align - 1)) {
                let user = Layout::from_size_align(size, align).expect("the largest layouts");
                if let Some(Stretched { layout, .. }) = Stretched::of(user) {
                    assert!(
                        Layout::from_size_align(layout.size(), layout.align()).is_ok(),
                        "{layout:?}"
                    );
                }
            }
        }
    }
}
