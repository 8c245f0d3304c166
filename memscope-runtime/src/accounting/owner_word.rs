//! How a block remembers which account it is charged to, and how large it is.
//!
//! The *word* of a block is the address of its owner's account, and in the 16 bits that an address
//! does not use the block's size. Where the word lies depends on the block's address and alignment,
//! and never on the size that is passed to `dealloc`: that one is not always the size that `alloc`
//! was asked for. LLVM turns `dealloc(realloc(block, old, new), new)` into `dealloc(block, new)`.
//!
//! | block | told by | its word |
//! |---|---|---|
//! | up to 4,088 bytes, alignment up to 8 | its address is 8 modulo 16 | in the 8 bytes in front |
//! | larger, or aligned to a page | its slot | in the slot of [`pages`]: another word would push buffers of round sizes into the next size of the allocator below, and touch a page that nothing else has touched |
//! | up to 4,088 bytes, alignment 16 to 2,048 | it has no slot | in the 16 bytes in front, with the distance to the inner block |
//!
//! The allocator below is always asked for an alignment of at least 16, so the first kind is told
//! by one bit of the address.
//!
//! The low bits of the word mark the blocks of which memscope is to be told: a task's Tokio cell,
//! and those that `track_var!` has named. A word that is not the one of the current task is
//! followed only if it is the address of a place in one of memscope's arenas: the program may have
//! written over it.

use std::ptr;

use super::{
    account::Account,
    block_layout::MOST_FRONT,
    registry,
    variable::{self, Variable},
};
use crate::primitives::{
    FREE_BITS,
    sync::{AtomicU64, Ordering},
};

/// An owner, and in the lowest 16 bits the size of a block below a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerWord(pub(super) u64);

/// The bits that are not the owner's.
pub(super) const FREE: u64 = (1 << FREE_BITS) - 1;

impl OwnerWord {
    #[inline]
    pub(crate) fn new(owner: Owner, bytes: usize) -> Self {
        Self(owner.0 | bytes as u64)
    }

    /// Whether this is the word of a block of this owner and size.
    ///
    /// PERF: one comparison, which also says that the size is the one that the block was made with.
    /// Any number may be asked for.
    #[inline]
    pub(crate) fn is(self, owner: Owner, bytes: usize) -> bool {
        self.0 ^ owner.0 == bytes as u64
    }

    #[inline]
    pub(crate) fn owner(self) -> Owner {
        Owner(self.0 & !FREE)
    }

    /// What stands where the size is: any number, where the word was written over.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        (self.0 & FREE) as usize
    }

    /// The word of the same block, reallocated.
    #[inline]
    pub(crate) fn resized(self, bytes: usize) -> Self {
        Self::new(self.owner(), bytes)
    }

    /// The block's size, if the word can be believed.
    pub(crate) fn believed(self) -> Option<usize> {
        let bytes = self.bytes();
        let is_known = !matches!(self.owner().read(), OwnerKind::Unknown);
        (is_known && (1..=MOST_FRONT).contains(&bytes)).then_some(bytes)
    }
}

/// What a block is charged to: an address, above 16 bits that are zero.
///
/// It is the address of an [`Account`], with [`CELL`] added where the block is a task's Tokio cell;
/// or that of a [`Variable`], with [`NAME`] added; or [`memscope`](Self::memscope). Any other
/// number where the program has written over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(super) u64);

const NAME: usize = 1;
const CELL: usize = 2;
const TAGS: usize = NAME | CELL;

/// What an owner is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnerKind {
    /// The block is memscope's own: no account is charged.
    Memscope,
    Account(&'static Account),
    /// The block is the Tokio cell of the account's task.
    Cell(&'static Account),
    /// `track_var!` has named the block; the last name knows the account.
    Named(&'static Variable),
    /// The program has written over the word.
    Unknown,
}

/// Its address stands for memscope itself.
static MEMSCOPE: u64 = 0;

impl Owner {
    #[inline]
    fn at(address: usize) -> Self {
        Self((address as u64) << FREE_BITS)
    }

    #[inline]
    fn address(self) -> usize {
        (self.0 >> FREE_BITS) as usize
    }

    /// The owner whose account has this address, shifted.
    #[inline]
    pub(crate) fn shifted(address: u64) -> Self {
        Self(address)
    }

    /// Whether this is what a signpost has for an owner.
    #[inline]
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The owner of memscope's own blocks.
    pub(crate) fn memscope() -> Self {
        Self::at(ptr::from_ref(&MEMSCOPE).addr())
    }

    #[inline]
    pub(crate) fn account(account: &'static Account) -> Self {
        Self::at(ptr::from_ref(account).addr())
    }

    pub(crate) fn of_cell(account: &'static Account) -> Self {
        Self::at(ptr::from_ref(account).addr() | CELL)
    }

    pub(crate) fn named(variable: &'static Variable) -> Self {
        Self::at(ptr::from_ref(variable).addr() | NAME)
    }

    /// The account, where this is just an account, and one of the first.
    #[inline]
    pub(crate) fn first(self) -> Option<&'static Account> {
        // Tags make an address that no account has.
        registry::first_account_at(self.address())
    }

    /// The account whose task's cell the block is.
    #[inline]
    pub(crate) fn cell(self) -> Option<&'static Account> {
        let address = self.address();
        if address & TAGS == CELL { registry::account_at(address & !TAGS) } else { None }
    }

    /// Looks for the owner where it must be if the word can be believed: at a place of an arena.
    #[inline]
    pub(crate) fn read(self) -> OwnerKind {
        let address = self.address() & !TAGS;
        match self.address() & TAGS {
            0 => match registry::account_at(address) {
                Some(account) => OwnerKind::Account(account),
                None if self == Self::memscope() => OwnerKind::Memscope,
                None => OwnerKind::Unknown,
            },
            CELL => registry::account_at(address).map_or(OwnerKind::Unknown, OwnerKind::Cell),
            NAME => variable::at(address).map_or(OwnerKind::Unknown, OwnerKind::Named),
            _ => OwnerKind::Unknown,
        }
    }
}

/// Words that were not believed.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Counts a block that is freed or reallocated and whose word the program has written over.
#[cold]
#[inline(never)]
pub(crate) fn refuse_word() {
    REFUSED.fetch_add(1, Ordering::Relaxed);
}

/// How many words were not believed.
pub(crate) fn words_refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}
