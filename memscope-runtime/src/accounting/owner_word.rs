//! The owner word of a block: which account the block is charged to, and how large it is.
//!
//! The word is a tagged pointer. It holds the address of the owner's account, and the block's size
//! in the 16 bits that an address does not use. Where the word lies depends on the block's address
//! and alignment. It never depends on the size that is passed to `dealloc`: that may differ from
//! the size that `alloc` was asked for. For example, LLVM turns
//! `dealloc(realloc(block, old, new), new)` into `dealloc(block, new)`.
//!
//! | block | recognised by | where its word lies |
//! |---|---|---|
//! | up to 4,088 bytes, alignment up to 8 | its address is 8 modulo 16 | in the 8 bytes in front |
//! | larger, or aligned to a page | its slot | in its slot of the page map |
//! | up to 4,088 bytes, alignment 16 to 2,048 | it has no slot | in the 16 bytes in front, with the distance to the inner block |
//!
//! A word in front of a large block would push buffers of round sizes into the next size class of
//! the inner allocator. It would also touch a page that nothing else has touched. So those blocks
//! have a slot in the [page map](crate::primitives::page_map).
//!
//! The inner allocator is always asked for an alignment of at least 16, so one bit of the address
//! identifies the first kind.
//!
//! The low bits of the address mark blocks whose free needs more than an account. These are a
//! task's Tokio cell, blocks that `track_var!` has named, and blocks whose stack was sampled. The
//! record of a sampled block *covers* the owner that the word would have without it. The program
//! may have overwritten a word. So a word that is not the current task's is followed only if it is
//! the address of an item in one of memscope's arenas.

use std::ptr;

use super::{
    account::Account,
    block_layout::MOST_FRONT,
    registry,
    stacks::{self, Sample},
    variable::{self, Variable},
};
use crate::primitives::{
    FREE_BITS,
    sync::{AtomicU64, Ordering},
};

/// A block's owner, and in the lowest 16 bits the size of a block below a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerWord(pub(super) u64);

/// The bits that do not belong to the owner.
pub(super) const FREE: u64 = (1 << FREE_BITS) - 1;

/// Flag among the bits of the size: the block is listed, so that [`start_bits`](crate::primitives)
/// find it. No block with such a word is so large.
const LISTED: u64 = 1 << (FREE_BITS - 1);

impl OwnerWord {
    #[inline]
    pub(crate) fn new(owner: Owner, bytes: usize) -> Self {
        Self(owner.0 | bytes as u64)
    }

    /// Whether this is the word of a block of this owner and size.
    ///
    /// PERF: one comparison. It also proves that the block was made with this size. `bytes` may be
    /// any number.
    #[inline]
    pub(crate) fn is(self, owner: Owner, bytes: usize) -> bool {
        self.0 ^ owner.0 == bytes as u64
    }

    #[inline]
    pub(crate) fn owner(self) -> Owner {
        Owner(self.0 & !FREE)
    }

    /// What stands in the size's bits: more than any size if the block is listed, any number if the
    /// word was overwritten.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        (self.0 & FREE) as usize
    }

    /// The word of the same block after a reallocation.
    #[inline]
    pub(crate) fn resized(self, bytes: usize) -> Self {
        Self::new(self.owner(), bytes)
    }

    /// Whether this is the word of a listed block of this size.
    #[inline]
    pub(crate) fn is_listed_with(self, bytes: usize) -> bool {
        self.0 & FREE == bytes as u64 | LISTED
    }

    /// Whether the block is listed.
    #[inline]
    pub(crate) fn is_listed(self) -> bool {
        self.0 & LISTED != 0
    }

    /// The word of the same block, listed.
    #[inline]
    pub(crate) fn listed(self) -> Self {
        Self(self.0 | LISTED)
    }

    /// The word of the same block, not listed.
    #[inline]
    pub(crate) fn unlisted(self) -> Self {
        Self(self.0 & !LISTED)
    }

    /// The block's size; `None` if the word is not credible.
    pub(crate) fn believed(self) -> Option<usize> {
        let bytes = self.unlisted().bytes();
        let is_known = !matches!(self.owner().read(), OwnerKind::Unknown);
        (is_known && (1..=MOST_FRONT).contains(&bytes)).then_some(bytes)
    }
}

/// What a block is charged to: an address, above 16 bits that are zero.
///
/// The address is one of these:
/// - the address of an [`Account`], with [`CELL`] added if the block is a task's Tokio cell;
/// - the address of a [`Variable`], with [`NAME`] added;
/// - the address of a [`Sample`], with [`SAMPLE`] added;
/// - [`memscope`](Self::memscope).
///
/// It may be any other number if the program has overwritten the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(super) u64);

const NAME: usize = 1;
const CELL: usize = 2;
const SAMPLE: usize = 4;
const TAGS: usize = NAME | CELL | SAMPLE;

/// A decoded owner.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OwnerKind {
    /// The block is memscope's own: no account is charged.
    Memscope,
    Account(&'static Account),
    /// The block is the Tokio cell of the account's task.
    Cell(&'static Account),
    /// `track_var!` has named the block; the newest name knows the account.
    Named(&'static Variable),
    /// The block was sampled; its record covers an owner of another kind.
    Sampled(&'static Sample),
    /// The program has overwritten the word.
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

    /// The owner whose account has this address, already shifted.
    #[inline]
    pub(crate) fn shifted(address: u64) -> Self {
        Self(address)
    }

    /// Whether this is the owner that a mode tally has: none.
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

    pub(crate) fn sampled(sample: &'static Sample) -> Self {
        Self::at(ptr::from_ref(sample).addr() | SAMPLE)
    }

    /// The record of a sampled block; `None` if the block was not sampled.
    #[inline]
    pub(crate) fn sample(self) -> Option<&'static Sample> {
        let address = self.address();
        if address & TAGS == SAMPLE { stacks::at(address & !TAGS) } else { None }
    }

    /// The account, if this is an untagged address of one of the first accounts.
    #[inline]
    pub(crate) fn first(self) -> Option<&'static Account> {
        // A tag makes the address one that no account has.
        registry::first_account_at(self.address())
    }

    /// Whether the block is the Tokio cell of a tracked task, and was not sampled.
    #[cfg(feature = "tokio")]
    #[inline]
    pub(crate) fn is_cell(self) -> bool {
        self.address() & TAGS == CELL
    }

    /// Whether the block may be the Tokio cell of a tracked task. A sample may cover such an owner.
    #[allow(dead_code, reason = "for pictures of the heap, which are taken on Linux alone")]
    #[inline]
    pub(crate) fn may_be_cell(self) -> bool {
        matches!(self.address() & TAGS, CELL | SAMPLE)
    }

    /// The account of the task whose cell the block is; `None` if it is no cell.
    #[inline]
    pub(crate) fn cell(self) -> Option<&'static Account> {
        let address = self.address();
        if address & TAGS == CELL { registry::account_at(address & !TAGS) } else { None }
    }

    /// Decodes the owner. The word is credible only if it is the address of an item in an arena.
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
            SAMPLE => stacks::at(address).map_or(OwnerKind::Unknown, OwnerKind::Sampled),
            _ => OwnerKind::Unknown,
        }
    }
}

/// Words that were not credible.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Counts a block that is freed or reallocated after the program has overwritten its word.
#[cold]
#[inline(never)]
pub(crate) fn refuse_word() {
    REFUSED.fetch_add(1, Ordering::Relaxed);
}

/// How many words were not credible.
pub(crate) fn words_refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}
