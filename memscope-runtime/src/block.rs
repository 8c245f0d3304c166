//! How a block remembers which account it is charged to.
//!
//! One pointer. Behind the user's bytes, in blocks smaller than a page: the pointer and the alignment the user sees stay as they would be,
//! and a free by anybody finds the right account without a map or a lock. In a slot of [`pages`], for larger ones: another word would push
//! buffers of round sizes into the next size of the allocator below, and touch a page that nobody else has touched. The low bits of the word mark the
//! blocks that somebody waits for: a task's Tokio cell, and those that `track_var!` has named.

use std::{
    alloc::Layout,
    hint,
    mem::size_of,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use crate::{
    account::Account,
    pages::{self, PAGE},
    variable::Variable,
};

const WORD: usize = size_of::<*mut ()>();

/// The layout of a block with its word, and where in it the word lies.
///
/// Invariant: `layout` is valid; `word` is [`BESIDE`], or a multiple of [`WORD`] with room for one word behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretched {
    pub(crate) layout: Layout,
    word: usize,
}

/// The word is not in the block.
const BESIDE: usize = usize::MAX;

impl Stretched {
    /// Where the layout of a block below a page, and its word behind it, is as most are.
    ///
    /// PERF: nothing can go wrong, and whoever inlines this knows the alignment.
    #[inline]
    pub(crate) fn of_usual(user: Layout) -> Option<Self> {
        let is_usual = user.size() < PAGE && user.align() <= WORD;
        // SAFETY: just compared.
        is_usual.then(|| unsafe { Self::of_usual_size(user.size()) })
    }

    /// [`of_usual`](Self::of_usual) for a block of this size: the same for every usual alignment.
    ///
    /// # Safety
    ///
    /// `bytes` must be below a page.
    #[inline]
    pub(crate) unsafe fn of_usual_size(bytes: usize) -> Self {
        // SAFETY: the caller's contract.
        unsafe { hint::assert_unchecked(bytes < PAGE) };
        let word = (bytes + (WORD - 1)) & !(WORD - 1);
        // PERF: not `word + WORD`: so only `bytes` is kept while the allocator below runs.
        let size = (bytes + (2 * WORD - 1)) & !(WORD - 1);
        // SAFETY: a power of two, and a size far below the largest.
        let layout = unsafe { Layout::from_size_align_unchecked(size, WORD) };
        Self { layout, word }
    }

    /// `None` where the user's alignment is so large that no room is left for the word.
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
        let (word, size) = if user.size() < PAGE {
            let word = (user.size() + (WORD - 1)) & !(WORD - 1);
            (word, word + WORD)
        } else {
            (BESIDE, user.size())
        };
        // The same alignment for all sizes, as blocks grow from one kind to the other.
        // SAFETY: the alignment is the larger of two powers of two; by the check in `of`, the size rounded up to it
        // is at most `isize::MAX`.
        let layout = unsafe { Layout::from_size_align_unchecked(size, user.align().max(WORD)) };
        Self { layout, word }
    }
}

/// The word of a block: whom it is charged to.
///
/// Invariant: [`NOBODY`](Self::NOBODY) (the block is memscope's own and nobody is charged), or made from a `&'static Account`, with [`CELL`]
/// added where the block is a task's Tokio cell; or from a `&'static Variable`, with [`NAME`] added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(*mut ());

const NAME: usize = 1;
const CELL: usize = 2;
const TAGS: usize = NAME | CELL;

/// What the word behind a block says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Charged {
    Nobody,
    Account(&'static Account),
    /// The block is the Tokio cell of the account's task.
    Cell(&'static Account),
    /// `track_var!` has named the block; the last name knows the account.
    Named(&'static Variable),
}

impl Owner {
    /// Not null, so that it differs from the account that a signpost does not have.
    pub(crate) const NOBODY: Self = Self(ptr::without_provenance_mut(CELL));

    #[inline]
    pub(crate) fn account(account: &'static Account) -> Self {
        Self(ptr::from_ref(account).cast_mut().cast())
    }

    pub(crate) fn of_cell(account: &'static Account) -> Self {
        Self(Self::account(account).0.map_addr(|address| address | CELL))
    }

    pub(crate) fn named(variable: &'static Variable) -> Self {
        Self(ptr::from_ref(variable).cast_mut().cast::<()>().map_addr(|address| address | NAME))
    }

    /// Whether the block is an unnamed one of this account; of none, there is none.
    ///
    /// PERF: one comparison. The tags make the word differ from every account, so that marked blocks cost the others nothing.
    #[inline]
    pub(crate) fn is(self, account: Option<&'static Account>) -> bool {
        ptr::eq(self.0.cast_const().cast(), account.map_or(ptr::null(), ptr::from_ref))
    }

    /// The account whose task's cell the block is.
    #[inline]
    pub(crate) fn cell(self) -> Option<&'static Account> {
        match self.read() {
            Charged::Cell(account) => Some(account),
            Charged::Nobody | Charged::Account(_) | Charged::Named(_) => None,
        }
    }

    #[inline]
    pub(crate) fn read(self) -> Charged {
        let address = self.0.map_addr(|address| address & !TAGS);
        match self.0.addr() & TAGS {
            _ if address.is_null() => Charged::Nobody,
            NAME => {
                // SAFETY: the type's invariant for words with this tag.
                Charged::Named(unsafe { &*address.cast::<Variable>() })
            }
            tag => {
                // SAFETY: the type's invariant for all other words.
                let account = unsafe { &*address.cast::<Account>() };
                if tag == CELL { Charged::Cell(account) } else { Charged::Account(account) }
            }
        }
    }
}

/// Writes the owner of a new block. False: there is no memory for its slot, and nobody can be charged.
///
/// # Safety
///
/// `block` must have been allocated with `stretched.layout` and must not be null.
#[inline]
#[must_use]
pub(crate) unsafe fn write_owner(block: *mut u8, stretched: Stretched, owner: Owner) -> bool {
    if stretched.word == BESIDE {
        let slot = pages::make_slot(block);
        if let Some(slot) = slot {
            slot.store(owner.0, Ordering::Relaxed);
        }
        return slot.is_some();
    }
    // SAFETY: the caller's contract.
    let place = unsafe { behind(block, stretched) };
    // SAFETY: `behind` gives an aligned place inside the block.
    unsafe { place.write(owner.0) };
    true
}

/// Reads the owner that `write_owner` wrote; `None` where it could not.
///
/// # Safety
///
/// `block` must be live and must have passed `write_owner` with the same `stretched`.
#[inline]
pub(crate) unsafe fn owner(block: *mut u8, stretched: Stretched) -> Option<Owner> {
    if stretched.word == BESIDE {
        let owner = pages::slot(block)?.load(Ordering::Relaxed);
        // The slot was made later, for another block.
        return (!owner.is_null()).then_some(Owner(owner));
    }
    // SAFETY: the caller's contract.
    let place = unsafe { behind(block, stretched) };
    // SAFETY: `write_owner` initialised the word; only the allocator and `rename` know of it.
    Some(Owner(unsafe { place.read() }))
}

/// Lets `name` replace the owner of a block that others may be naming too, until it holds or `name` gives up.
///
/// # Safety
///
/// `block` must be live, stay so until this returns, and have been allocated with this layout by `TrackingAllocator`.
pub(crate) unsafe fn rename(
    block: *mut u8,
    layout: Layout,
    mut name: impl FnMut(Owner) -> Option<Owner>,
) {
    let Some(stretched) = Stretched::of(layout) else { return };
    let word = if stretched.word == BESIDE {
        let Some(slot) = pages::slot(block) else { return };
        slot
    } else {
        // SAFETY: the caller's contract.
        let place = unsafe { behind(block, stretched) };
        // SAFETY: aligned, initialised, and while the block lives it is written by this function only.
        unsafe { AtomicPtr::from_ptr(place) }
    };
    let mut there = word.load(Ordering::Acquire);
    while let Some(Owner(new)) = name(Owner(there)) {
        // Release publishes the new name, Acquire sees the one that another thread gave meanwhile.
        match word.compare_exchange(there, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return,
            Err(now) => there = now,
        }
    }
}

/// Where the word lies that is in the block.
///
/// # Safety
///
/// `block` must be live with `stretched.layout`, and have its word in it.
#[inline]
unsafe fn behind(block: *mut u8, stretched: Stretched) -> *mut *mut () {
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
                if size >= PAGE {
                    assert_eq!((layout.size(), word), (size, BESIDE));
                    assert_eq!(layout.align(), align.max(WORD));
                    continue;
                }
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
