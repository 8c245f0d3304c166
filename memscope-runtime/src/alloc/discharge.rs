//! Which owner a block is taken off, and which one frees it.

use std::ptr;

#[cfg(feature = "tokio")]
use super::current::asks_tokio;
use super::self_usage;
#[cfg(feature = "tokio")]
use super::unannotated;
use crate::accounting::{
    Account, Charged, Owner, Tally, UNTRACKED, Variable, cross_frees, owner_word, registry,
};
#[cfg(feature = "tracing")]
use crate::accounting::{Leads, transferred};
#[cfg(feature = "tokio")]
use crate::config;

use super::current::{PLAIN, behind, is_outside, is_untracked, outside_again, tally, thread};

/// Takes a block off an owner that is not the current one, or not the only one to be told. `tally`:
/// the current one.
// PERF: first what a program that annotates nothing mostly does. Each case goes on in a function
// that is called last, and that takes the same first, so that few registers are needed.
#[inline]
pub(crate) fn discharge_elsewhere(owner: Owner, bytes: usize, tally: &'static Tally) {
    if is_outside(tally) {
        discharge_outside(owner, bytes);
    } else if tally.account().is_some() {
        discharge_foreign(owner, bytes, tally);
    } else {
        discharge_within(owner, bytes, tally);
    }
}

/// [`discharge_elsewhere`] outside of every tracked task.
#[inline(never)]
fn discharge_outside(owner: Owner, bytes: usize) {
    match outside_again() {
        Ok(own) => discharge_as(owner, bytes, own),
        Err(other) if other.is_nobody() => discharge_in_thread(owner, bytes),
        Err(_) => discharge_within(owner, bytes, &PLAIN),
    }
}

/// [`discharge_elsewhere`] outside of every task.
#[inline(never)]
fn discharge_in_thread(owner: Owner, bytes: usize) {
    match thread() {
        Some(thread) => discharge_as(owner, bytes, thread.tally()),
        None => discharge_by(owner, bytes, Known::Nobody),
    }
}

/// [`discharge_elsewhere`] for whomever this tally leads to.
#[inline(never)]
fn discharge_within(owner: Owner, bytes: usize, tally: &'static Tally) {
    let freer = known(tally);
    match freer.tally() {
        Some(own) => discharge_as(owner, bytes, own),
        None => discharge_by(owner, bytes, freer),
    }
}

/// Takes a block off its owner, where `own` frees it.
#[inline]
fn discharge_as(owner: Owner, bytes: usize, own: &'static Tally) {
    if owner == own.owner() {
        own.discharge(bytes);
    } else {
        discharge_foreign(owner, bytes, own);
    }
}

/// Takes a block off its owner, which is not the task or thread `own` that frees it.
// PERF: for the first accounts nothing has to be looked up.
#[inline(never)]
fn discharge_foreign(owner: Owner, bytes: usize, own: &'static Tally) {
    match (owner.first(), own.account()) {
        (Some(account), Some(freer)) => discharge_for(account, bytes, freer.site()),
        // A guest of the span that owns the block frees it as the owner.
        _ => discharge_by(owner, bytes, Known::Owner(own)),
    }
}

/// Takes a block off its owner, whatever that is, and whichever task or thread frees it.
#[inline(never)]
fn discharge_by(owner: Owner, bytes: usize, freer: Known) {
    match owner.read() {
        Charged::Account(account) => discharge_account(account, bytes, freer),
        Charged::Cell(account) => discharge_cell(account, bytes),
        Charged::Named(name) => discharge_named(name, bytes, freer),
        Charged::Memscope => self_usage::remove(bytes),
        Charged::Unknown => owner_word::refuse_word(),
    }
}

#[inline(never)]
fn discharge_named(name: &'static Variable, bytes: usize, freer: Known) {
    if let Some(account) = name.freed(freer.id(), bytes) {
        discharge_account(account, bytes, freer);
    }
}

/// Takes a task's Tokio cell off it, which Tokio frees after the task's end: not a block that
/// somebody was handed.
pub(crate) fn discharge_cell(account: &'static Account, bytes: usize) {
    account.remove_cell();
    if account.discharge(bytes) {
        registry::give_back(account);
    }
}

/// The owner that is current where nothing is allocated: none gets a record for that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// A task, or a thread outside of every task.
    Owner(&'static Tally),
    /// A task without annotation that has not allocated.
    #[cfg(feature = "tokio")]
    NoRecord,
    /// A thread that has no record.
    Nobody,
}

impl Known {
    #[inline]
    pub(super) fn tally(self) -> Option<&'static Tally> {
        if let Self::Owner(tally) = self { Some(tally) } else { None }
    }

    /// The task's id; 0: none.
    #[inline]
    pub(super) fn id(self) -> u64 {
        self.tally().map_or(0, Tally::id)
    }

    /// Its tally, if this is its account.
    #[inline]
    fn tally_of(self, account: &Account) -> Option<&'static Tally> {
        self.tally().filter(|tally| tally.account().is_some_and(|own| ptr::eq(own, account)))
    }

    /// The index of its site.
    #[inline]
    fn site(self) -> u32 {
        match self {
            #[cfg(feature = "tokio")]
            Self::NoRecord => unannotated::site().index(),
            _ => self.account().map_or(UNTRACKED, Account::site),
        }
    }

    /// The account that is charged with what it allocates.
    #[inline]
    fn account(self) -> Option<&'static Account> {
        let tally = self.tally()?;
        #[cfg(feature = "tracing")]
        if let Some(account) = guests_account(tally) {
            return Some(account);
        }
        tally.account()
    }

    /// Takes a block off this account, if it is the freer's own. Returns whether it is.
    #[inline]
    fn discharge_own(self, account: &'static Account, bytes: usize) -> bool {
        if let Some(own) = self.tally_of(account) {
            own.discharge(bytes);
            return true;
        }
        #[cfg(feature = "tracing")]
        if self.tally().and_then(guests_account).is_some_and(|own| ptr::eq(own, account)) {
            transferred::note_guest_free(account, bytes as u64);
            // The span is open, as a thread is inside: this is never the last block.
            let _ = account.discharge(bytes);
            return true;
        }
        false
    }
}

/// The owner that is charged here, or behind this signpost.
#[inline]
pub(super) fn known(tally: &'static Tally) -> Known {
    let tally = behind(tally);
    if !is_untracked(tally) {
        return Known::Owner(tally);
    }
    #[cfg(feature = "tokio")]
    if config::unannotated() && asks_tokio(tally) {
        match unannotated::known() {
            Ok(Some(record)) => return Known::Owner(record.tally()),
            Err(unannotated::NoRecord) => return Known::NoRecord,
            Ok(None) => {}
        }
    }
    thread().map_or(Known::Nobody, |thread| Known::Owner(thread.tally()))
}

#[inline]
pub(super) fn discharge_account(account: &'static Account, bytes: usize, freer: Known) {
    if !freer.discharge_own(account, bytes) {
        discharge_for(account, bytes, freer.site());
    }
}

/// Takes a block off an account; a task or thread of the site `to` frees it, which is not the
/// owner.
#[inline]
fn discharge_for(account: &'static Account, bytes: usize, to: u32) {
    // First, as the account may be another's afterwards.
    let from = account.site();
    if account.discharge(bytes) {
        return give_back_and_note(account, from, to, bytes);
    }
    cross_frees::note(from, to, bytes);
}

/// The end of [`discharge_account`] where that was the last block of an ended owner.
#[cold]
#[inline(never)]
fn give_back_and_note(account: &'static Account, from: u32, to: u32, bytes: usize) {
    registry::give_back(account);
    cross_frees::note(from, to, bytes);
}

/// Takes a block off its owner which tasks of the site `to` take over.
pub(crate) fn hand_on(from: &'static Account, to: u32, bytes: usize) {
    cross_frees::note(from.site(), to, bytes);
    if !known(tally()).discharge_own(from, bytes) && from.discharge(bytes) {
        registry::give_back(from);
    }
}

/// The account of the span that this signpost leads to, where it is one for guests.
#[cfg(feature = "tracing")]
#[inline]
fn guests_account(signpost: &'static Tally) -> Option<&'static Account> {
    if signpost.account().is_some() {
        return None;
    }
    match signpost.leads()? {
        Leads::Guest(record) => registry::record(record)?.tally().account(),
        Leads::Shared(_) => None,
    }
}
