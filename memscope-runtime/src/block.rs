//! How a block remembers which account it is charged to.
//!
//! Eight bytes (one pointer) behind the user's bytes: the pointer and the alignment the user sees stay as they would be,
//! and a free by anybody finds the right account without a map or a lock. The low bits of the word are zero.

use std::{alloc::Layout, mem::size_of, ptr};

use crate::account::Account;

const WORD: usize = size_of::<*const Account>();

/// The layout of a block with its word, and where in it the word lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretched {
    pub(crate) layout: Layout,
    word: usize,
}

impl Stretched {
    /// `None` where the user's layout is so large that no room is left for the word.
    #[inline]
    pub(crate) fn of(user: Layout) -> Option<Self> {
        // NOTE: a layout's size is at most `isize::MAX`, so that rounding it up cannot overflow.
        let word = (user.size() + (WORD - 1)) & !(WORD - 1);
        let layout = Layout::from_size_align(word + WORD, user.align().max(WORD)).ok()?;
        Some(Self { layout, word })
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
