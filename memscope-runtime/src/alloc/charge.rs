//! Whom a new block is charged to.

use std::{alloc::Layout, ptr};

#[cfg(feature = "tokio")]
use super::unannotated;
use super::{
    any_layout::inline_layout,
    current::{
        self, BEFORE_TOKIO, EXEMPT, SPAWNING, SwitchedTask, UNREGISTERED, find_outside, is_exempt,
        is_outside, is_untracked, outside, register_thread, tally, untracked_at,
    },
    discharge::{discharge_account, discharge_slow, known},
    self_usage,
    spawn_charge::charge_spawned,
};
#[cfg(feature = "tracing")]
use crate::accounting::Account;
use crate::{
    accounting::{
        Leads, Owner, OwnerKind, Shared, Tally,
        block_layout::{self, FRONT},
        owner_word::OwnerWord,
        registry,
    },
    alloc::install_check::Probe,
    config,
    primitives::page_map,
};

/// Charges a new block that has no slot to the orphans: nothing would say later that it is
/// another's.
#[cold]
pub(crate) fn charge_without_slot(block: *mut u8, layout: Layout) -> Owner {
    page_map::refuse_slot();
    if is_exempt() {
        Probe::of(block, layout).note();
    }
    Owner::account(registry::charge_orphans(layout.size()))
}

/// Charges a new block to the current owner, which is returned.
#[inline(never)]
pub(crate) fn charge(block: *mut u8, layout: Layout) -> Owner {
    #[cfg(feature = "tokio")]
    unannotated::note_block(layout.align());
    let tally = tally();
    match tally.account() {
        Some(account) => {
            tally.charge(account, layout.size());
            Owner::account(account)
        }
        None => charge_slow(tally, block, layout),
    }
}

/// Takes a block off its owner, and charges the current one with what it was reallocated to. The
/// names of the block, if it has any, go with it.
#[inline(never)]
pub(crate) fn recharge(owner: Owner, bytes: usize, grown: *mut u8, new: Layout) -> Owner {
    let tally = tally();
    if owner == tally.owner() {
        tally.discharge(bytes);
        return charge(grown, new);
    }
    let OwnerKind::Named(name) = owner.read() else {
        discharge_slow(owner, bytes, tally);
        return charge(grown, new);
    };
    if let Some(account) = name.account() {
        discharge_account(account, bytes, known(tally));
    }
    let account = match charge(grown, new).read() {
        OwnerKind::Account(account) | OwnerKind::Cell(account) => Some(account),
        OwnerKind::Memscope | OwnerKind::Named(_) | OwnerKind::Unknown => None,
    };
    name.moved(account, bytes, new.size());
    Owner::named(name)
}

/// Charges a new block at a signpost.
fn charge_slow(mode: &'static Tally, block: *mut u8, layout: Layout) -> Owner {
    if is_outside(mode) {
        charge_to(outside(), layout.size())
    } else {
        charge_in_mode(mode, block, layout)
    }
}

/// Charges a new block outside of every tracked task, where that is not whom [`cached_outside`]
/// finds.
pub(crate) fn charge_outside(other: SwitchedTask, bytes: usize) -> Owner {
    charge_to(find_outside(other), bytes)
}

pub(super) fn charge_to(tally: &'static Tally, bytes: usize) -> Owner {
    let Some(account) = tally.account() else { return charge_for(tally, bytes) };
    tally.charge(account, bytes);
    note_size(tally);
    Owner::account(account)
}

/// Somebody outside of every tracked task may hold more than ever.
#[inline]
pub(crate) fn note_size(tally: &'static Tally) {
    #[cfg(feature = "task-names")]
    unannotated::note_size(tally);
    #[cfg(not(feature = "task-names"))]
    let _ = tally;
}

/// Charges a new block at any signpost but that outside of every tracked task.
#[inline(never)]
pub(crate) fn charge_in_mode(mode: &'static Tally, block: *mut u8, layout: Layout) -> Owner {
    let bytes = layout.size();
    if is_untracked(mode) {
        return charge_to(untracked_at(mode), bytes);
    }
    if ptr::eq(mode, &raw const EXEMPT) {
        self_usage::add(bytes);
        Probe::of(block, layout).note();
        return Owner::memscope();
    }
    if ptr::eq(mode, &raw const SPAWNING) {
        return charge_spawned(bytes);
    }
    charge_for(mode, bytes)
}

/// Charges a new block to whom this tally is, or stands for.
pub(super) fn charge_for(tally: &'static Tally, bytes: usize) -> Owner {
    let tally = if ptr::eq(tally, &raw const UNREGISTERED) { meet_at_work() } else { tally };
    if let Some(account) = tally.account() {
        tally.charge(account, bytes);
        return Owner::account(account);
    }
    let account = match tally.leads() {
        Some(Leads::Shared(index)) => Shared::charge(index, bytes),
        #[cfg(feature = "tracing")]
        Some(Leads::Guest(record)) => charge_as_guest(record, bytes),
        None => None,
    };
    Owner::account(account.unwrap_or_else(|| registry::charge_orphans(bytes)))
}

/// The tally to charge at a thread's first allocation: it may be in an unannotated task.
fn meet_at_work() -> &'static Tally {
    let own = register_thread();
    if own.account().is_some() && config::unannotated() { untracked_at(&BEFORE_TOKIO) } else { own }
}

/// Charges a new block to the span with this record, where another thread may write that.
#[cfg(feature = "tracing")]
fn charge_as_guest(record: u32, bytes: usize) -> Option<&'static Account> {
    let tally = registry::record(record)?.tally();
    let account = tally.account()?;
    tally.charge_as_guest(account, bytes);
    Some(account)
}

/// Charges a new block of a usual layout, and returns it.
///
/// # Safety
///
/// `inner` must be just allocated with the layout of a block of this size, and must not be null.
// PERF: what is rare is called last, so that nothing has to be kept for afterwards: most registers
// stay untouched.
#[inline]
pub(super) unsafe fn charge_inline(inner: *mut u8, bytes: usize) -> *mut u8 {
    let tally = tally();
    let owner = tally.owner();
    if owner.is_none() {
        // SAFETY: the caller's contract.
        return unsafe { charge_inline_slow(tally, inner, bytes) };
    }
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) };
    if tally.count(bytes) { settle(tally, block) } else { block }
}

/// Charges a new block of a usual layout where not just the current task is to be charged.
///
/// # Safety
///
/// `inner` must be allocated with the layout of a block of this size, and must not be null.
// PERF: first, and with little to keep for afterwards, what a program that annotates nothing mostly
// does.
#[inline(never)]
unsafe fn charge_inline_slow(mode: &'static Tally, inner: *mut u8, bytes: usize) -> *mut u8 {
    if !is_outside(mode) {
        // SAFETY: a usual layout is below a page.
        let layout = unsafe { inline_layout(bytes) };
        let block = inner.wrapping_add(FRONT);
        let owner = charge_in_mode(mode, block, layout);
        // SAFETY: the caller's contract.
        return unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) };
    }
    let tally = match current::cached_outside() {
        Ok(tally) => tally,
        // SAFETY: the caller's contract.
        Err(other) => return unsafe { charge_inline_outside(other, inner, bytes) },
    };
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(tally.owner(), bytes)) };
    if tally.count(bytes) { settle_outside(tally, block) } else { block }
}

/// [`charge_inline_slow`] outside of every tracked task, where the thread comes from another task.
///
/// # Safety
///
/// As there.
#[inline(never)]
unsafe fn charge_inline_outside(other: SwitchedTask, inner: *mut u8, bytes: usize) -> *mut u8 {
    let owner = charge_outside(other, bytes);
    // SAFETY: the caller's contract.
    unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) }
}

/// [`settle`] outside of every tracked task, where a task that has become large gets a name.
#[inline(never)]
fn settle_outside(tally: &'static Tally, block: *mut u8) -> *mut u8 {
    let block = settle(tally, block);
    note_size(tally);
    block
}

/// Looks at the account, as the owner may never have held as much.
#[inline(never)]
pub(super) fn settle(tally: &'static Tally, block: *mut u8) -> *mut u8 {
    if let Some(account) = tally.account() {
        tally.settle(account);
    }
    block
}
