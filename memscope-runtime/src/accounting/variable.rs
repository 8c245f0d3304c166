//! A variable that `track_var!` registered, followed through the heap blocks that it holds.
//!
//! Its blocks are *named*: their owner words point here instead of to their account. So any thread
//! that frees or reallocates such a block, in whatever task, updates the variable. The variable is
//! not borrowed, and it is not read again after its registration.

use std::iter;

use super::{
    Block,
    account::Account,
    block_layout,
    owner_word::{Owner, OwnerKind},
    site::UNTRACKED,
    variable_site::{Past, VariableSite},
};
use crate::{
    config,
    model::Extent,
    primitives::{
        DualRefcount, Guard, Lock, Magazine, Slab, SlabItem, StaticRef, Zeroed, clock,
        sync::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};

/// A name of one heap block; reused for another block when this one is freed.
///
/// The first block of a variable is named by the variable itself, its *head*. Its other blocks are
/// named by *parts*, which point to the head. The blocks that the variable holds directly are its
/// *outer* blocks. The variable ends when the last of them is freed; blocks behind a pointer do not
/// keep it alive.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Variable {
    /// The account that is charged with the block.
    account: StaticRef<Account>,
    /// For a head, its row.
    site: StaticRef<VariableSite>,
    /// For a head, the number of its live blocks, and of the live outer ones.
    holds: DualRefcount,
    /// For a head, the bytes of its live blocks.
    live_bytes: AtomicI64,
    /// For a head, the bytes of its freed blocks, each with its last size.
    freed_bytes: AtomicU64,
    /// For a head, the time of its registration.
    started_ns: AtomicU64,
    /// Differs for each use. The low bits are flags.
    version: AtomicU32,
    index: AtomicU32,
    /// Index + 1 of the next name of the same block, 0 if there is none. In a free list: its link.
    next: AtomicU32,
    /// The index of the head; its own index if it is one.
    head: AtomicU32,
}

// SAFETY: atomics and `StaticRef`s, all valid when zeroed, none with a destructor.
unsafe impl Zeroed for Variable {}

impl SlabItem for Variable {
    fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    fn set_index(&self, index: u32) {
        self.index.store(index, Ordering::Relaxed);
    }

    fn link(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    fn set_link(&self, next: u32) {
        self.next.store(next, Ordering::Relaxed);
    }
}

/// Flags of `version`.
const IN_USE: u32 = 1;
const PARTIAL: u32 = 2;
const IS_OUTER: u32 = 4;
const USE: u32 = 8;

/// The most names that one block can have.
const MOST_NAMES: usize = 16;

static VARIABLES: Slab<Variable> = Slab::new();

thread_local! {
    static MAGAZINE: Magazine<Variable> = const { Magazine::new() };
}

/// Held while a thread changes the word of a block that has names, or the account of these names. A
/// thread that frees or reallocates the block need not hold it: no other thread has the block then.
static NAMED: Lock<()> = Lock::new(());

fn rename_named() -> Guard<'static, ()> {
    NAMED.lock()
}

/// Lets `name` change the word of a block that a `Trackable` value shows.
pub(crate) fn rename(block: Block, name: impl FnMut(Owner) -> Option<Owner>) {
    // SAFETY: the contract of `Blocks::block` says that the block is live and was allocated with
    // this layout by the program's allocator. The installation check has found that this allocator
    // is memscope's.
    unsafe { block_layout::rename(block.start, block.layout, name) };
}

/// The account that is charged with a block that a `Trackable` value shows. `None` if there is no
/// account, or the block is a Tokio cell.
pub(crate) fn charged_to(block: Block) -> Option<&'static Account> {
    let mut charged = None;
    rename(block, |there| {
        charged = match there.read() {
            OwnerKind::Account(account) => Some(account),
            OwnerKind::Named(top) => top.account(),
            OwnerKind::Memscope
            | OwnerKind::Cell(_)
            | OwnerKind::Sampled(_)
            | OwnerKind::Unknown => None,
        };
        None
    });
    charged
}

/// Charges `to` with a block that a `Trackable` value shows: writes it into the block's word, or
/// into its names. Returns the account that was charged before. Returns `None` if that was `to`, if
/// there was none, or if the block is a Tokio cell.
pub(crate) fn recharge(block: Block, to: &'static Account) -> Option<&'static Account> {
    let mut renaming = None;
    let mut from = None;
    let mut names = None;
    rename(block, |there| {
        let (account, word) = match there.read() {
            OwnerKind::Account(account) => (Some(account), Owner::account(to)),
            OwnerKind::Named(top) => {
                renaming.get_or_insert_with(rename_named);
                names = Some(top);
                // The word stays the same: if it still stands there, these are all names of the
                // block.
                (top.account(), there)
            }
            OwnerKind::Memscope
            | OwnerKind::Cell(_)
            | OwnerKind::Sampled(_)
            | OwnerKind::Unknown => (None, there),
        };
        from = account.filter(|account| !std::ptr::eq(*account, to));
        from.map(|_| word)
    });
    if let (Some(_), Some(top)) = (from, names) {
        for name in top.names() {
            name.account.set(to);
        }
    }
    from
}

/// The outcome of naming a block.
pub(crate) enum Naming {
    Done,
    /// The block has such a name already.
    Known(&'static Variable),
    /// The block has no account, is a Tokio cell, or has too many names.
    Refused,
}

impl Variable {
    /// Takes an unused record. Returns `None` at the limit of live variables.
    pub(crate) fn take() -> Option<&'static Self> {
        let most = u32::try_from(config::live_variables()).unwrap_or(u32::MAX);
        MAGAZINE.with(Magazine::pop).or_else(|| VARIABLES.take_up_to(most))
    }

    pub(crate) fn give_back(&'static self) {
        let version = self.version.load(Ordering::Relaxed);
        let unused = (version | (USE - 1)).wrapping_add(1);
        self.version.store(unused, Ordering::Release);
        self.account.clear();
        VARIABLES.put_local(&MAGAZINE, self);
    }

    pub(crate) fn open_head(&self, site: &'static VariableSite, bytes: usize) {
        self.site.set(site);
        self.holds.open();
        self.live_bytes.store(bytes.cast_signed() as i64, Ordering::Relaxed);
        self.freed_bytes.store(0, Ordering::Relaxed);
        self.started_ns.store(clock::now_ns(), Ordering::Relaxed);
        self.open(self.index(), IS_OUTER);
    }

    fn open_part(&self, head: &Self, is_outer: bool) {
        self.open(head.index(), if is_outer { IS_OUTER } else { 0 });
    }

    /// Makes a head visible to readers; the reference of its registration keeps it alive.
    pub(crate) fn show(&self) {
        self.version.fetch_or(IN_USE, Ordering::Release);
    }

    /// Notes that not all blocks of the variable are known.
    pub(crate) fn note_partial(&self) {
        self.version.fetch_or(PARTIAL, Ordering::Relaxed);
    }

    /// Keeps a head from ending. Returns `false` if it has ended.
    pub(crate) fn hold(&self) -> bool {
        self.holds.hold()
    }

    /// Names another block of the variable. Returns `false` if there was no room.
    pub(crate) fn add_part(&'static self, block: Block, is_outer: bool) -> bool {
        let Some(new) = Self::take() else { return false };
        let bytes = block.layout.size();
        new.open_part(self, is_outer);
        // Must come first: the block may be freed as soon as it has its name.
        self.holds.add(is_outer);
        let live_bytes = self.grow(bytes, 0);
        let naming = new.name(block, |there| there.head_index() == self.index());
        if matches!(naming, Naming::Done) {
            if let Some(site) = self.site.get() {
                site.note_bytes(live_bytes);
            }
            return true;
        }
        self.grow(0, bytes);
        self.release(is_outer, 0, 0);
        new.give_back();
        matches!(naming, Naming::Known(_))
    }

    /// Sets the head and the flags. NOTE: the record must not be seen as in use before its block
    /// has the name, because the block may already have such a name.
    fn open(&self, head: u32, flags: u32) {
        self.head.store(head, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version | flags, Ordering::Relaxed);
    }

    /// Adds this name to the names of the block, unless `is_known` accepts one of them.
    pub(crate) fn name(
        &'static self,
        block: Block,
        is_known: impl Fn(&'static Self) -> bool,
    ) -> Naming {
        let mut naming = Naming::Refused;
        let mut renaming = None;
        let name = |there: Owner| {
            let account = match there.read() {
                OwnerKind::Account(account) => {
                    self.next.store(0, Ordering::Relaxed);
                    account
                }
                OwnerKind::Named(top) => {
                    renaming.get_or_insert_with(rename_named);
                    if let Some(known) = top.names().find(|name| is_known(name)) {
                        naming = Naming::Known(known);
                        return None;
                    }
                    self.next.store(top.index() + 1, Ordering::Relaxed);
                    top.account().filter(|_| top.names().count() < MOST_NAMES)?
                }
                OwnerKind::Memscope
                | OwnerKind::Cell(_)
                | OwnerKind::Sampled(_)
                | OwnerKind::Unknown => return None,
            };
            self.account.set(account);
            naming = Naming::Done;
            Some(Owner::named(self))
        };
        rename(block, name);
        naming
    }

    /// The names of one block, from this one on.
    fn names(&'static self) -> impl Iterator<Item = &'static Self> {
        iter::successors(Some(self), |name| {
            VARIABLES.get(name.next.load(Ordering::Acquire).checked_sub(1)?)
        })
    }

    /// The account that is charged with the block; all names of the block have the same.
    pub(crate) fn account(&self) -> Option<&'static Account> {
        self.account.get()
    }

    fn head_index(&self) -> u32 {
        self.head.load(Ordering::Acquire)
    }

    pub(crate) fn head(&self) -> Option<&'static Self> {
        VARIABLES.get(self.head_index())
    }

    pub(crate) fn is_at(&self, site: &'static VariableSite) -> bool {
        self.site.get().is_some_and(|own| std::ptr::eq(own, site))
    }

    /// Changes the live bytes of a head. Returns the new number.
    fn grow(&self, by: usize, less: usize) -> u64 {
        let change = by.cast_signed() as i64 - less.cast_signed() as i64;
        let bytes = self.live_bytes.fetch_add(change, Ordering::Relaxed) + change;
        u64::try_from(bytes).unwrap_or(0)
    }

    /// Removes a block from a head, or the reference that the registration holds. The last outer
    /// one ends the variable. The last of all gives the record back.
    pub(crate) fn release(&'static self, is_outer: bool, freer: u64, owner: u64) {
        let released = self.holds.release(is_outer);
        if released.is_last_outer {
            let lifetime_ns =
                clock::now_ns().saturating_sub(self.started_ns.load(Ordering::Relaxed));
            let is_partial = self.version.load(Ordering::Relaxed) & PARTIAL != 0;
            if let Some(site) = self.site.get() {
                site.note_ended(&Past {
                    extent: if is_partial { Extent::Partial } else { Extent::Whole },
                    task: owner,
                    freed_by: freer,
                    heap_bytes: self.freed_bytes.load(Ordering::Relaxed),
                    lifetime_ns,
                });
            }
        }
        if released.is_last {
            self.give_back();
        }
    }

    /// Notes that the block of all these names is freed. Returns the account from which the block
    /// must be discharged.
    pub(crate) fn freed(&'static self, freer: u64, bytes: usize) -> Option<&'static Account> {
        let account = self.account();
        let owner = account.map_or(0, Account::id);
        let mut next = Some(self);
        while let Some(name) = next {
            // Must be read before the record is given back.
            next = name.names().nth(1);
            if let Some(head) = name.head() {
                head.grow(0, bytes);
                head.freed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                let is_outer = name.version.load(Ordering::Relaxed) & IS_OUTER != 0;
                if std::ptr::eq(head, name) {
                    // The head's own block is gone; its other blocks may live on.
                    name.account.clear();
                } else {
                    name.give_back();
                }
                head.release(is_outer, freer, owner);
            }
        }
        account
    }

    /// Notes that the block of all these names was reallocated and is charged to `account` now.
    pub(crate) fn moved(&'static self, account: Option<&'static Account>, old: usize, new: usize) {
        for name in self.names() {
            match account {
                Some(account) => name.account.set(account),
                None => name.account.clear(),
            }
            if let Some(head) = name.head() {
                let live_bytes = head.grow(new, old);
                if let Some(site) = head.site.get() {
                    site.note_bytes(live_bytes);
                }
            }
        }
    }
}

/// One reading of a live variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VariableReading {
    pub(crate) site: &'static VariableSite,
    pub(crate) extent: Extent,
    /// The id of the task that is charged with its first live block; 0 if there is none.
    pub(crate) task: u64,
    /// The index of that task's site.
    pub(crate) task_site: u32,
    pub(crate) heap_bytes: u64,
    pub(crate) lifetime_ns: u64,
}

/// The record that begins at this address; `None` if none does.
#[inline]
pub(crate) fn at(address: usize) -> Option<&'static Variable> {
    VARIABLES.at_address(address)
}

/// All live variables, in no order.
pub(crate) fn read() -> impl Iterator<Item = VariableReading> {
    VARIABLES.iter().filter_map(Variable::read)
}

impl Variable {
    fn read(&'static self) -> Option<VariableReading> {
        let version = self.version.load(Ordering::Acquire);
        let is_head = version & IN_USE != 0 && self.head_index() == self.index();
        if !is_head || !self.holds.is_live() {
            return None;
        }
        let site = self.site.get()?;
        let account = self.account().or_else(|| {
            let parts = || VARIABLES.iter().filter(|part| part.head_index() == self.index());
            parts().find_map(Variable::account)
        });
        let reading = VariableReading {
            site,
            extent: if version & PARTIAL == 0 { Extent::Whole } else { Extent::Partial },
            task: account.map_or(0, Account::id),
            task_site: account.map_or(UNTRACKED, Account::site),
            heap_bytes: u64::try_from(self.live_bytes.load(Ordering::Acquire)).unwrap_or(0),
            lifetime_ns: clock::now_ns().saturating_sub(self.started_ns.load(Ordering::Acquire)),
        };
        let is_same = (self.version.load(Ordering::Acquire) ^ version) & !PARTIAL == 0;
        is_same.then_some(reading)
    }
}

/// Empties this thread's magazine, so that other threads can take its records.
pub(crate) fn empty_magazines() {
    VARIABLES.empty(&MAGAZINE);
}
