//! A variable that `track_var!` registered, followed through the heap blocks that it holds.
//!
//! Its blocks are *named*: their words point here instead of to their account, so that the thread
//! that frees or reallocates one, in whatever task, comes by. Nothing is borrowed and nothing is
//! asked of the variable again.

use std::iter;

use super::{
    account::Account,
    owner_word::{Owner, OwnerKind},
    site::UNTRACKED,
    variable_site::{Past, VariableSite},
};
use crate::{
    accounting::{Block, block_layout},
    config,
    model::Extent,
    primitives::{
        DualRefcount, Guard, Lock, Magazine, Slab, SlabItem, StaticRef, Zeroed, clock, fork_lock,
        sync::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};

/// A name of one heap block; used again for another when the block is freed.
///
/// The first block of a variable has the variable itself, its *head*; its other blocks are *parts*,
/// which point to the head. A variable ends when the last of its *outer* blocks is freed, those
/// that it holds directly; blocks behind a pointer only count as long as they live.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Variable {
    /// Who is charged with the block.
    account: StaticRef<Account>,
    /// Of a head: its row.
    site: StaticRef<VariableSite>,
    /// Of a head: its blocks that live.
    holds: DualRefcount,
    /// Of a head: the bytes of its blocks that live.
    live_bytes: AtomicI64,
    /// Of a head: the bytes of its blocks that were freed, each as it was then.
    freed_bytes: AtomicU64,
    /// Of a head: when it was registered.
    started_ns: AtomicU64,
    /// Different for each use; the low bits are flags.
    version: AtomicU32,
    index: AtomicU32,
    /// Index + 1 of another name of the same block; in a free list, its link.
    next: AtomicU32,
    /// The index of the head: its own if it is one.
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

/// Names of one block, at the most.
const MOST_NAMES: usize = 16;

static VARIABLES: Slab<Variable> = Slab::new();

thread_local! {
    static MAGAZINE: Magazine<Variable> = const { Magazine::new() };
}

/// Held while the word of a block changes that has names, or the account of these names. Not needed
/// where the block is freed or reallocated: nobody else has it then.
static NAMED: Lock<()> = Lock::new((), fork_lock::as_it_is);

fn rename_named() -> Guard<'static, ()> {
    NAMED.lock()
}

/// Lets `name` change the word of a block that is being shown.
pub(crate) fn rename(block: Block, name: impl FnMut(Owner) -> Option<Owner>) {
    // SAFETY: `Blocks::block` was promised that the block is live and was allocated with this
    // layout by the program's allocator, and `probe` has found that this one is ours.
    unsafe { block_layout::rename(block.start, block.layout, name) };
}

/// Who is charged with a block that is being shown; `None`: nobody, or it is a Tokio cell.
pub(crate) fn charged_to(block: Block) -> Option<&'static Account> {
    let mut charged = None;
    rename(block, |there| {
        charged = match there.read() {
            OwnerKind::Account(account) => Some(account),
            OwnerKind::Named(top) => top.account(),
            OwnerKind::Memscope | OwnerKind::Cell(_) | OwnerKind::Unknown => None,
        };
        None
    });
    charged
}

/// Writes `to` into the word of a block that is being shown, or into its names. Returns the owner
/// that was charged with it; `None` where that was `to`, none or a Tokio cell.
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
                // The same word: if it still stands there, these are all names of the block.
                (top.account(), there)
            }
            OwnerKind::Memscope | OwnerKind::Cell(_) | OwnerKind::Unknown => (None, there),
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

/// How it went to name a block.
pub(crate) enum Naming {
    Done,
    /// It has such a name already.
    Known(&'static Variable),
    /// It is nobody's, a Tokio cell, or has too many names.
    Refused,
}

impl Variable {
    /// One that is not in use; `None` where there are as many as are allowed.
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

    /// From here on a head is seen by readers; the hold of its registration keeps it.
    pub(crate) fn show(&self) {
        self.version.fetch_or(IN_USE, Ordering::Release);
    }

    /// Not all blocks of the variable are known.
    pub(crate) fn note_partial(&self) {
        self.version.fetch_or(PARTIAL, Ordering::Relaxed);
    }

    /// Keeps a head from ending. False: it has ended.
    pub(crate) fn hold(&self) -> bool {
        self.holds.hold()
    }

    /// Names another block of the variable. False: there was no room.
    pub(crate) fn add_part(&'static self, block: Block, is_outer: bool) -> bool {
        let Some(new) = Self::take() else { return false };
        let bytes = block.layout.size();
        new.open_part(self, is_outer);
        // First, as the block may be freed as soon as it has its name.
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

    /// NOTE: it is not seen as in use before its block has the name: it may already have one like
    /// this.
    fn open(&self, head: u32, flags: u32) {
        self.head.store(head, Ordering::Relaxed);
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version | flags, Ordering::Relaxed);
    }

    /// Gives the block this name beside those that it has, unless one of them `is_known`.
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
                OwnerKind::Memscope | OwnerKind::Cell(_) | OwnerKind::Unknown => return None,
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

    /// Who is charged with the block; the same for all its names.
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

    /// Changes the live bytes of a head; returns what they are now.
    fn grow(&self, by: usize, less: usize) -> u64 {
        let change = by.cast_signed() as i64 - less.cast_signed() as i64;
        let bytes = self.live_bytes.fetch_add(change, Ordering::Relaxed) + change;
        u64::try_from(bytes).unwrap_or(0)
    }

    /// Takes a block, or the hold of who registers it, off a head. The last outer one ends the
    /// variable, the last of all gives its place back.
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

    /// The block of all these names is freed. Returns the owner that is to be discharged of it.
    pub(crate) fn freed(&'static self, freer: u64, bytes: usize) -> Option<&'static Account> {
        let account = self.account();
        let owner = account.map_or(0, Account::id);
        let mut next = Some(self);
        while let Some(name) = next {
            // Before its place is given back.
            next = name.names().nth(1);
            if let Some(head) = name.head() {
                head.grow(0, bytes);
                head.freed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                let is_outer = name.version.load(Ordering::Relaxed) & IS_OUTER != 0;
                if std::ptr::eq(head, name) {
                    // Its own block is gone; others may go on.
                    name.account.clear();
                } else {
                    name.give_back();
                }
                head.release(is_outer, freer, owner);
            }
        }
        account
    }

    /// The block of all these names was reallocated, and is charged to `account` now.
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

/// A live variable at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VariableReading {
    pub(crate) site: &'static VariableSite,
    pub(crate) extent: Extent,
    /// The id of the task that is charged with its first block that lives; 0: none.
    pub(crate) task: u64,
    /// The index of that task's site.
    pub(crate) task_site: u32,
    pub(crate) heap_bytes: u64,
    pub(crate) lifetime_ns: u64,
}

/// The record that begins at this address; `None` where none does.
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

/// Gives all that a thread kept for itself to the others.
pub(crate) fn empty_spares() {
    VARIABLES.empty(&MAGAZINE);
}
