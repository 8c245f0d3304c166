//! The policy of freeing: which owner a block is subtracted from, and which task or thread frees
//! it.

use std::ptr;

#[cfg(feature = "tokio")]
use super::current::asks_tokio;
#[cfg(feature = "tokio")]
use super::unannotated;
use super::{
    current::{OUTSIDE, is_outside, is_untracked, tally, thread, underlying},
    outside::asked_outside,
    recent::{RECENT, Recent},
    self_usage,
};
use crate::accounting::{
    Account, Owner, OwnerKind, Tally, UNTRACKED, Variable, owner_word, registry, stacks::Sample,
};
#[cfg(feature = "tracing")]
use crate::accounting::{Leads, transferred};
#[cfg(feature = "tokio")]
use crate::config;

/// Subtracts a block from its owner, on the slow path: the owner is not the current task or thread,
/// or more than its tally has to be updated. `tally` is the current one.
// PERF: tests the most frequent case of a program without annotations first. Each case continues in
// a tail call with the same leading arguments, so few registers are needed.
#[inline]
pub(super) fn discharge_slow(owner: Owner, bytes: usize, tally: &'static Tally, recent: &Recent) {
    if is_outside(tally) {
        match recent.charged() {
            Some(own) => discharge_as(owner, bytes, own, recent),
            None => discharge_outside(owner, bytes, recent),
        }
    } else if tally.account().is_some() {
        discharge_foreign(owner, bytes, tally, recent);
    } else {
        discharge_within(owner, bytes, tally, recent);
    }
}

/// [`discharge_slow`] outside of all tracked tasks, on a thread where Tokio has run.
#[inline(never)]
fn discharge_outside(owner: Owner, bytes: usize, recent: &Recent) {
    match asked_outside() {
        Ok(own) => discharge_as(owner, bytes, own, recent),
        Err(other) if other.is_no_task() => discharge_in_thread(owner, bytes, recent),
        Err(_) => discharge_within(owner, bytes, &OUTSIDE, recent),
    }
}

/// [`discharge_slow`] on a thread outside of all tasks.
#[inline(never)]
fn discharge_in_thread(owner: Owner, bytes: usize, recent: &Recent) {
    match thread() {
        Some(thread) => discharge_as(owner, bytes, thread.tally(), recent),
        None => discharge_by(owner, bytes, Freer::UnregisteredThread),
    }
}

/// [`discharge_slow`] for the task or thread that [`known`] finds behind `tally`.
#[inline(never)]
fn discharge_within(owner: Owner, bytes: usize, tally: &'static Tally, recent: &Recent) {
    let freer = known(tally);
    match freer.tally() {
        Some(own) => discharge_as(owner, bytes, own, recent),
        None => discharge_unrecorded(owner, bytes, freer),
    }
}

/// [`discharge_slow`] for a task or thread without a record. A task that frees on and on gets one.
#[inline(never)]
fn discharge_unrecorded(owner: Owner, bytes: usize, freer: Freer) {
    #[cfg(feature = "tokio")]
    if matches!(freer, Freer::UnrecordedTask)
        && let Some(record) = unannotated::record_of_freer()
    {
        return discharge_by(owner, bytes, Freer::Owner(record.tally()));
    }
    discharge_by(owner, bytes, freer);
}

/// Subtracts a block from its owner; `own`, which may be that owner, frees it.
#[inline]
fn discharge_as(owner: Owner, bytes: usize, own: &'static Tally, recent: &Recent) {
    if owner == own.owner() {
        own.discharge(bytes);
    } else {
        discharge_foreign(owner, bytes, own, recent);
    }
}

/// Subtracts a block from its owner; another task or thread, `own`, frees it.
// PERF: the first accounts are static, so their address needs no lookup.
#[inline(never)]
pub(super) fn discharge_foreign(owner: Owner, bytes: usize, own: &'static Tally, recent: &Recent) {
    match (owner.first(), own.account()) {
        (Some(account), Some(freer)) => discharge_for(account, bytes, freer.site(), recent),
        // The freer may be a guest of the span that owns the block: then it frees its own block.
        _ => discharge_by(owner, bytes, Freer::Owner(own)),
    }
}

/// Subtracts a block from an owner of any kind; any task or thread frees it.
#[inline(never)]
fn discharge_by(owner: Owner, bytes: usize, freer: Freer) {
    match owner.read() {
        OwnerKind::Account(account) => discharge_account(account, bytes, freer),
        OwnerKind::Cell(account) => discharge_cell(account, bytes),
        OwnerKind::Named(name) => discharge_named(name, bytes, freer),
        OwnerKind::Sampled(sample) => discharge_sampled(sample, bytes, freer),
        OwnerKind::Memscope => self_usage::remove(bytes),
        OwnerKind::Unknown => owner_word::refuse_word(),
    }
}

/// Ends the record of a sampled block, and subtracts the block from the owner that the record
/// covers.
#[cold]
#[inline(never)]
fn discharge_sampled(sample: &'static Sample, bytes: usize, freer: Freer) {
    discharge_by(sample.end(), bytes, freer);
}

#[inline(never)]
fn discharge_named(name: &'static Variable, bytes: usize, freer: Freer) {
    if let Some(account) = name.freed(freer.id(), bytes) {
        discharge_account(account, bytes, freer);
    }
}

/// Subtracts the Tokio cell of a task from it. Tokio frees the cell after the task's end, so this
/// is not a free by another task.
pub(crate) fn discharge_cell(account: &'static Account, bytes: usize) {
    account.remove_cell();
    if account.discharge(bytes) {
        registry::give_back(account);
    }
}

/// The task or thread that frees a block. A free makes no record, except for an unannotated task
/// that frees on and on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Freer {
    /// A task, or a thread outside of all tasks.
    Owner(&'static Tally),
    /// An unannotated task that has not allocated.
    #[cfg(feature = "tokio")]
    UnrecordedTask,
    /// A thread without a record.
    UnregisteredThread,
}

impl Freer {
    #[inline]
    pub(super) fn tally(self) -> Option<&'static Tally> {
        if let Self::Owner(tally) = self { Some(tally) } else { None }
    }

    /// Returns the task's id; 0 if no task frees the block.
    #[inline]
    pub(super) fn id(self) -> u64 {
        self.tally().map_or(0, Tally::id)
    }

    /// Returns the freer's tally, if `account` is its account.
    #[inline]
    fn tally_of(self, account: &Account) -> Option<&'static Tally> {
        self.tally().filter(|tally| tally.account().is_some_and(|own| ptr::eq(own, account)))
    }

    /// What the task holds; `None` if it is a thread.
    pub(super) fn task_live_bytes(self) -> Option<u64> {
        match self {
            Self::Owner(tally) if tally.id() != 0 => {
                Some(u64::try_from(tally.live_bytes()).unwrap_or(0))
            }
            #[cfg(feature = "tokio")]
            Self::UnrecordedTask => Some(0),
            _ => None,
        }
    }

    /// Returns the index of the freer's site.
    #[inline]
    fn site(self) -> u32 {
        match self {
            #[cfg(feature = "tokio")]
            Self::UnrecordedTask => unannotated::site().index(),
            _ => self.account().map_or(UNTRACKED, Account::site),
        }
    }

    /// Returns the account that the freer's allocations are charged to.
    #[inline]
    fn account(self) -> Option<&'static Account> {
        let tally = self.tally()?;
        #[cfg(feature = "tracing")]
        if let Some(account) = guests_account(tally) {
            return Some(account);
        }
        tally.account()
    }

    /// Subtracts a block from `account` if that is the freer's own. Returns whether it is.
    #[inline]
    fn discharge_own(self, account: &'static Account, bytes: usize) -> bool {
        if let Some(own) = self.tally_of(account) {
            own.discharge(bytes);
            return true;
        }
        #[cfg(feature = "tracing")]
        if self.tally().and_then(guests_account).is_some_and(|own| ptr::eq(own, account)) {
            transferred::note_guest_free(account, bytes as u64);
            // A thread is inside the span, so the span is open: this is never its last block.
            let _ = account.discharge(bytes);
            return true;
        }
        false
    }
}

/// Finds the task or thread that is current, behind a mode tally too.
#[inline]
pub(super) fn known(tally: &'static Tally) -> Freer {
    let tally = underlying(tally);
    if !is_untracked(tally) {
        return Freer::Owner(tally);
    }
    #[cfg(feature = "tokio")]
    if config::unannotated() && asks_tokio(tally) {
        match unannotated::known() {
            Ok(Some(record)) => return Freer::Owner(record.tally()),
            Err(unannotated::NoRecord) => return Freer::UnrecordedTask,
            Ok(None) => {}
        }
    }
    thread().map_or(Freer::UnregisteredThread, |thread| Freer::Owner(thread.tally()))
}

#[inline]
pub(super) fn discharge_account(account: &'static Account, bytes: usize, freer: Freer) {
    if !freer.discharge_own(account, bytes) {
        RECENT.with(|recent| discharge_for(account, bytes, freer.site(), recent));
    }
}

/// Subtracts a block from an account that is not the freer's. `to` is the site of the freer.
#[inline]
fn discharge_for(account: &'static Account, bytes: usize, to: u32, recent: &Recent) {
    // Must come before the discharge: afterwards the account may serve another owner.
    let from = account.site();
    if account.discharge(bytes) {
        return give_back_and_note(account, from, to, bytes);
    }
    recent.pair.note(from, to, bytes);
}

/// Ends [`discharge_account`] after the last block of an ended owner.
#[cold]
#[inline(never)]
fn give_back_and_note(account: &'static Account, from: u32, to: u32, bytes: usize) {
    registry::give_back(account);
    RECENT.with(|recent| recent.pair.note(from, to, bytes));
}

/// Subtracts a block from its owner, because tasks of the site `to` take it over.
pub(crate) fn transfer_out(from: &'static Account, to: u32, bytes: usize) {
    RECENT.with(|recent| recent.pair.note(from.site(), to, bytes));
    if !known(tally()).discharge_own(from, bytes) && from.discharge(bytes) {
        registry::give_back(from);
    }
}

/// Returns the account of the span that this mode tally leads to, if it is one for guests.
#[cfg(feature = "tracing")]
#[inline]
fn guests_account(mode: &'static Tally) -> Option<&'static Account> {
    if mode.account().is_some() {
        return None;
    }
    match mode.leads()? {
        Leads::Guest(record) => registry::record(record)?.tally().account(),
        Leads::Shared(_) => None,
    }
}

#[inline]
pub(super) fn discharge(owner: Owner, bytes: usize) {
    let tally = tally();
    if owner == tally.owner() {
        tally.discharge(bytes);
    } else {
        RECENT.with(|recent| discharge_slow(owner, bytes, tally, recent));
    }
}
