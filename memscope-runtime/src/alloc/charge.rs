//! The policy of charging: which owner a new block is charged to.

use std::{alloc::Layout, ptr};

#[cfg(all(feature = "symbols", feature = "tokio"))]
use super::unannotated;
use super::{
    any_layout::inline_layout,
    countdown,
    current::{
        BEFORE_TOKIO, EXEMPT, SPAWNING, SwitchedTask, UNREGISTERED, is_exempt, is_outside,
        is_untracked, register_thread, tally,
    },
    discharge::{discharge_account, discharge_slow, known},
    install_check::Probe,
    outside::{asked_outside, find_outside, outside, untracked_at},
    recent::{RECENT, Recent},
    self_usage,
    spawn_charge::charge_spawned,
};
#[cfg(feature = "tracing")]
use crate::accounting::Account;
use crate::{
    accounting::{
        Leads, Owner, OwnerKind, Place, Shared, Tally,
        block_layout::{self, FRONT},
        owner_word::OwnerWord,
        registry,
    },
    config,
    primitives::{page_map, start_bits},
};

/// Charges a new block without a slot to the orphans, because a later free could not tell which
/// owner it has.
#[cold]
pub(crate) fn charge_without_slot(block: *mut u8, layout: Layout) -> Owner {
    page_map::refuse_slot();
    if is_exempt() {
        Probe::of(block, layout).note();
    }
    Owner::account(registry::charge_orphans(layout.size()))
}

/// Charges a new block to the current owner, and returns that owner.
#[inline]
pub(crate) fn charge(block: *mut u8, layout: Layout) -> Owner {
    let tally = tally();
    if let Some(account) = tally.account() {
        tally.charge(account, layout.size());
        return Owner::account(account);
    }
    match RECENT.with(|recent| recent.charged_in(tally)) {
        Some(own) => charge_to(own, layout.size()),
        None => charge_elsewhere(tally, block, layout),
    }
}

/// Moves the charge of a reallocated block from its owner to the current one. The names of a named
/// block go with it, and the record of a sampled one.
#[inline(never)]
pub(crate) fn recharge(owner: Owner, bytes: usize, grown: *mut u8, new: Layout) -> Owner {
    let Some(sample) = owner.sample() else {
        return recharge_covered(owner, bytes, grown, new);
    };
    let owner = recharge_covered(sample.covered(), bytes, grown, new);
    if owner == Owner::memscope() {
        // Memscope's own work has taken the block over, and is not sampled.
        sample.end();
        return owner;
    }
    sample.resized(owner, new.size() as u64)
}

/// [`recharge`] for a block that was not sampled, or for the owner that the record covers.
fn recharge_covered(owner: Owner, bytes: usize, grown: *mut u8, new: Layout) -> Owner {
    let tally = tally();
    if owner == tally.owner() {
        tally.discharge(bytes);
        return charge(grown, new);
    }
    let OwnerKind::Named(name) = owner.read() else {
        RECENT.with(|recent| discharge_slow(owner, bytes, tally, recent));
        return charge(grown, new);
    };
    if let Some(account) = name.account() {
        discharge_account(account, bytes, known(tally));
    }
    let account = match charge(grown, new).read() {
        OwnerKind::Account(account) | OwnerKind::Cell(account) => Some(account),
        OwnerKind::Memscope | OwnerKind::Named(_) | OwnerKind::Sampled(_) | OwnerKind::Unknown => {
            None
        }
    };
    name.moved(account, bytes, new.size());
    Owner::named(name)
}

/// Charges a new block while a mode tally is current, where its owner is not known to be the one
/// that this thread charged last.
#[inline(never)]
fn charge_elsewhere(mode: &'static Tally, block: *mut u8, layout: Layout) -> Owner {
    if is_outside(mode) {
        charge_to(outside(), layout.size())
    } else {
        charge_in_mode(mode, block, layout)
    }
}

/// Charges a new block outside of all tracked tasks, where
/// [`asked_outside`] found no owner.
pub(crate) fn charge_outside(other: SwitchedTask, bytes: usize) -> Owner {
    charge_to(find_outside(other), bytes)
}

#[inline]
pub(super) fn charge_to(tally: &'static Tally, bytes: usize) -> Owner {
    let Some(account) = tally.account() else { return charge_for(tally, bytes) };
    if tally.charge(account, bytes) {
        note_size(tally);
    }
    Owner::account(account)
}

/// Requests a stack trace of an unannotated task if it is large. The task may just have reached a
/// new peak.
#[inline(never)]
pub(crate) fn note_size(tally: &'static Tally) {
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    unannotated::note_size(tally);
    #[cfg(not(all(feature = "symbols", feature = "tokio")))]
    let _ = tally;
}

/// Charges a new block in any mode but `OUTSIDE`.
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
        return charge_spawned(block, bytes);
    }
    charge_for(mode, bytes)
}

/// Charges a new block to the owner of this tally, or to the one that a mode tally leads to.
#[inline(never)]
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

/// Returns the tally for a thread's first allocation, which may happen in an unannotated task.
fn meet_at_work() -> &'static Tally {
    let own = register_thread();
    if own.account().is_some() && config::unannotated() { untracked_at(&BEFORE_TOKIO) } else { own }
}

/// Charges a new block to the span with this record, as a guest: another thread may be its writer.
#[cfg(feature = "tracing")]
fn charge_as_guest(record: u32, bytes: usize) -> Option<&'static Account> {
    let tally = registry::record(record)?.tally();
    let account = tally.account()?;
    tally.charge_as_guest(account, bytes);
    Some(account)
}

/// Charges a new inline block, whose owner word is in the 8 bytes in front, and returns it.
///
/// # Safety
///
/// `inner` must be just allocated with the front layout of this size, and must not be null.
// PERF: cold paths are tail calls, so no registers are saved on the hot path.
#[inline]
pub(super) unsafe fn charge_inline(inner: *mut u8, bytes: usize) -> *mut u8 {
    if countdown::take(bytes) {
        // SAFETY: the caller's contract.
        return unsafe { charge_inline_sampled(inner, bytes) };
    }
    let tally = tally();
    let owner = tally.owner();
    if owner.is_none() {
        // SAFETY: the caller's contract.
        return RECENT.with(|recent| unsafe { charge_inline_slow(inner, bytes, tally, recent) });
    }
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) };
    if tally.count(bytes) { raise(tally, block) } else { block }
}

/// Charges a new inline block whose bytes, already counted down, may contain a sample point.
///
/// # Safety
///
/// As for [`charge_inline`].
#[cold]
#[inline(never)]
unsafe fn charge_inline_sampled(inner: *mut u8, bytes: usize) -> *mut u8 {
    if countdown::passes(bytes) {
        // SAFETY: the caller's contract.
        return unsafe { charge_inline_listed(inner, bytes) };
    }
    // SAFETY: an inline block is below a page.
    let layout = unsafe { inline_layout(bytes) };
    let owner = charge(inner.wrapping_add(FRONT), layout);
    let (owner, lists) = countdown::sample(owner, 0, bytes);
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) };
    if lists {
        // SAFETY: the word is in front of the new block.
        unsafe { Place::Front.list(block) };
    }
    block
}

/// Writes the word of a new block whose bytes, already counted down, may contain a sample point.
///
/// # Safety
///
/// As for [`Place::write`]; no other thread may have seen the block.
#[cold]
#[inline(never)]
pub(super) unsafe fn note_sampled(block: *mut u8, layout: Layout, place: Place, charged: Owner) {
    let (owner, lists) = countdown::sample(charged, 0, layout.size());
    // SAFETY: the caller's contract.
    unsafe { place.write(block, owner, layout.size()) };
    if lists {
        // SAFETY: as above.
        unsafe { place.list(block) };
    }
}

/// Charges a new inline block and lists it.
///
/// # Safety
///
/// As for [`charge_inline`].
// PERF: the same steps as `charge_inline`, because each allocation comes here while blocks are
// listed.
#[inline(never)]
unsafe fn charge_inline_listed(inner: *mut u8, bytes: usize) -> *mut u8 {
    let tally = tally();
    let owner = tally.owner();
    if owner.is_none() {
        // SAFETY: the caller's contract.
        let block =
            RECENT.with(|recent| unsafe { charge_inline_slow(inner, bytes, tally, recent) });
        // SAFETY: the word is in front of the new block.
        unsafe { Place::Front.list(block) };
        return block;
    }
    let word = OwnerWord::new(owner, bytes);
    let word = if start_bits::set(inner) { word.listed() } else { word };
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, word) };
    if tally.count(bytes) { raise(tally, block) } else { block }
}

/// Charges a new inline block while a mode tally is current.
///
/// # Safety
///
/// `inner` must be allocated with the front layout of this size, and must not be null.
// PERF: the most frequent case of a program without annotations calls nothing.
#[inline(never)]
unsafe fn charge_inline_slow(
    inner: *mut u8,
    bytes: usize,
    mode: &'static Tally,
    recent: &Recent,
) -> *mut u8 {
    let Some(tally) = recent.charged_in(mode) else {
        // SAFETY: the caller's contract.
        return unsafe { charge_inline_elsewhere(inner, bytes, mode) };
    };
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(tally.owner(), bytes)) };
    if tally.count(bytes) { raise_outside(tally, inner) } else { block }
}

/// [`charge_inline_slow`] where the owner is not known to be the one that this thread charged last.
///
/// # Safety
///
/// As for [`charge_inline_slow`].
// PERF: the case outside of tasks falls through, and keeps few values across calls.
#[inline(never)]
unsafe fn charge_inline_elsewhere(inner: *mut u8, bytes: usize, mode: &'static Tally) -> *mut u8 {
    if !is_outside(mode) {
        // SAFETY: an inline block is below a page.
        let layout = unsafe { inline_layout(bytes) };
        let block = inner.wrapping_add(FRONT);
        let owner = charge_in_mode(mode, block, layout);
        // SAFETY: the caller's contract.
        return unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) };
    }
    let tally = match asked_outside() {
        Ok(tally) => tally,
        // SAFETY: the caller's contract.
        Err(other) => return unsafe { charge_inline_switched(other, inner, bytes) },
    };
    // SAFETY: the caller's contract.
    let block = unsafe { block_layout::write_front(inner, OwnerWord::new(tally.owner(), bytes)) };
    if tally.count(bytes) { raise_outside(tally, inner) } else { block }
}

/// [`charge_inline_slow`] outside of all tracked tasks, where the thread has switched tasks.
///
/// # Safety
///
/// As for [`charge_inline_slow`].
#[inline(never)]
unsafe fn charge_inline_switched(other: SwitchedTask, inner: *mut u8, bytes: usize) -> *mut u8 {
    let owner = charge_outside(other, bytes);
    // SAFETY: the caller's contract.
    unsafe { block_layout::write_front(inner, OwnerWord::new(owner, bytes)) }
}

/// [`raise`] outside of all tracked tasks, for the inline block in this inner block. A task that
/// has become large is traced for its name.
// PERF: takes the inner block, so that the caller does not have the result and can jump here.
#[inline(never)]
pub(super) fn raise_outside(tally: &'static Tally, inner: *mut u8) -> *mut u8 {
    let block = raise(tally, inner.wrapping_add(FRONT));
    note_size(tally);
    block
}

/// Raises the peak of an owner that may hold more than ever.
#[inline]
pub(super) fn raise(tally: &'static Tally, block: *mut u8) -> *mut u8 {
    if tally.raise() { block } else { settle(tally, block) }
}

/// Compares with the account, because the owner may have reached a new peak.
#[inline(never)]
fn settle(tally: &'static Tally, block: *mut u8) -> *mut u8 {
    if let Some(account) = tally.account() {
        tally.settle(account);
    }
    block
}
