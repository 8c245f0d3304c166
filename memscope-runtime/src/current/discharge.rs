//! Whom a block is taken off, and who frees it.

use std::ptr;

use crate::{
    account::Account,
    block::{Charged, Owner},
    hand_over, own_heap, registry,
    site::UNTRACKED,
    tally::Tally,
    variable::Variable,
};
#[cfg(feature = "tokio")]
use crate::{config, plain};

use super::{PLAIN, behind, is_outside, outside_again, tally, thread};

/// Takes a block off its owner who is not the current one, or not the only one to be told.
// PERF: first what a program that annotates nothing mostly does. Each case goes on in a function that is called last, so that few registers are needed.
#[inline(never)]
pub(crate) fn discharge_elsewhere(tally: &'static Tally, owner: Owner, bytes: usize) {
    if !is_outside(tally) {
        return discharge_within(tally, owner, bytes);
    }
    match outside_again() {
        Ok(own) => discharge_as(own, owner, bytes),
        Err(other) if other.is_nobody() => discharge_in_thread(owner, bytes),
        Err(_) => discharge_within(&PLAIN, owner, bytes),
    }
}

/// [`discharge_elsewhere`] outside of every task.
#[inline(never)]
fn discharge_in_thread(owner: Owner, bytes: usize) {
    match thread() {
        Some(thread) => discharge_as(thread.tally(), owner, bytes),
        None => discharge_by(Known::Nobody, owner, bytes),
    }
}

/// [`discharge_elsewhere`] for whomever this tally leads to.
#[inline(never)]
fn discharge_within(tally: &'static Tally, owner: Owner, bytes: usize) {
    discharge_by(known(tally), owner, bytes);
}

/// Takes a block off its owner, where `own` frees it.
#[inline]
fn discharge_as(own: &'static Tally, owner: Owner, bytes: usize) {
    if owner.is(own.account()) {
        own.discharge(bytes);
    } else {
        discharge_by(Known::Owner(own), owner, bytes);
    }
}

/// Takes a block off its owner, whoever frees it.
#[inline(never)]
fn discharge_by(freer: Known, owner: Owner, bytes: usize) {
    match owner.read() {
        Charged::Account(account) => discharge_account(freer, account, bytes),
        Charged::Cell(account) => discharge_cell(account, bytes),
        Charged::Named(name) => discharge_named(freer, name, bytes),
        Charged::Nobody => own_heap::remove(bytes),
    }
}

#[inline(never)]
fn discharge_named(freer: Known, name: &'static Variable, bytes: usize) {
    if let Some(account) = name.freed(freer.id(), bytes) {
        discharge_account(freer, account, bytes);
    }
}

/// Takes a task's Tokio cell off it, which Tokio frees after the task's end: not a block that somebody was handed.
pub(crate) fn discharge_cell(account: &'static Account, bytes: usize) {
    account.remove_cell();
    if account.discharge(bytes) {
        registry::give_back(account);
    }
}

/// Whom somebody is who does not allocate: nobody gets a record for that.
#[derive(Clone, Copy, Debug)]
pub(super) enum Known {
    /// A task, or a thread outside of every task.
    Owner(&'static Tally),
    /// A task that nobody annotated and that has not allocated.
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
            Self::NoRecord => plain::site().index(),
            _ => self.tally().and_then(Tally::account).map_or(UNTRACKED, Account::site),
        }
    }
}

/// Who is charged here, or behind this signpost.
#[inline]
pub(super) fn known(tally: &'static Tally) -> Known {
    let tally = behind(tally);
    if !is_outside(tally) {
        return Known::Owner(tally);
    }
    #[cfg(feature = "tokio")]
    if config::unannotated() {
        match plain::known() {
            Ok(Some(record)) => return Known::Owner(record.tally()),
            Err(plain::NoRecord) => return Known::NoRecord,
            Ok(None) => {}
        }
    }
    thread().map_or(Known::Nobody, |thread| Known::Owner(thread.tally()))
}

#[inline]
pub(super) fn discharge_account(freer: Known, account: &'static Account, bytes: usize) {
    if let Some(own) = freer.tally_of(account) {
        return own.discharge(bytes);
    }
    // First, as the account may be another's afterwards.
    let (from, to) = (account.site(), freer.site());
    if account.discharge(bytes) {
        return give_back_and_note(account, from, to, bytes);
    }
    hand_over::note(from, to, bytes);
}

/// The end of [`discharge_account`] where that was the last block of an ended owner.
#[cold]
#[inline(never)]
fn give_back_and_note(account: &'static Account, from: u32, to: u32, bytes: usize) {
    registry::give_back(account);
    hand_over::note(from, to, bytes);
}

/// Takes a block off its owner which tasks of the site `to` take over.
pub(crate) fn hand_on(from: &'static Account, to: u32, bytes: usize) {
    hand_over::note(from.site(), to, bytes);
    if let Some(own) = known(tally()).tally_of(from) {
        own.discharge(bytes);
    } else if from.discharge(bytes) {
        registry::give_back(from);
    }
}
