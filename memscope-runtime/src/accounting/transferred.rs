//! What comes to a task from others than its single writer: blocks that it takes over by
//! `transfer`, and what guests of a span do.

use super::{
    account::{Account, OPEN},
    peak_window,
};
use crate::{
    model::TaskCounters,
    primitives::{
        Arena, Zeroed,
        sync::{AtomicI64, AtomicU8, AtomicU64, Ordering, raise},
    },
};

/// One reading of what has come to an account's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransferredIn {
    /// Bytes of the blocks that it took over.
    pub(crate) bytes: u64,
    /// The most live bytes right after it took something over or a guest allocated.
    pub(crate) peak_bytes: u64,
    /// Bytes of the blocks that guests allocated.
    pub(crate) guest_bytes: u64,
    pub(crate) guest_blocks: u64,
    /// Bytes of the owner's blocks that guests freed.
    pub(crate) guest_freed_bytes: u64,
    /// How often a thread entered the span while it was already entered.
    pub(crate) entries: u64,
}

impl TransferredIn {
    /// The part of it that the owner's counters contain.
    pub(crate) fn counters(&self) -> TaskCounters {
        TaskCounters {
            allocated_bytes: self.bytes.saturating_add(self.guest_bytes),
            allocation_count: self.guest_blocks,
            transferred_bytes: self.bytes,
        }
    }
}

/// The rows are in a table beside the accounts, under the same indices. They are used less often,
/// and exist only once something has come to an owner.
static TAKEN: Arena<Row> = Arena::new();

/// 1 once something may have come to any owner, or a task has a budget. While this is 0, no task
/// pays for either.
static IN_USE: AtomicU8 = AtomicU8::new(0);

/// While [`IN_USE`] is 0, the balance of an owner whose blocks no other thread or task has freed.
/// Later it is [`NO_BALANCE`].
static UNTOUCHED: AtomicI64 = AtomicI64::new(OPEN);

/// No account has this balance.
const NO_BALANCE: i64 = i64::MIN;

/// What has come to one account's owner.
#[derive(Debug)]
pub(crate) struct Row {
    bytes: Taken,
    peak_bytes: AtomicU64,
    guest_bytes: AtomicU64,
    guest_blocks: AtomicU64,
    guest_freed_bytes: AtomicU64,
    entries: AtomicU64,
}

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Row {}

impl Row {
    fn forget(&self) {
        let Self { bytes, peak_bytes, guest_bytes, guest_blocks, guest_freed_bytes, entries } =
            self;
        bytes.forget();
        for counter in [peak_bytes, guest_bytes, guest_blocks, guest_freed_bytes, entries] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// Bytes that an owner took over, and, in the lowest bits, the generation of the owner. A transfer
/// that fails takes back what it has noted. By then the account may be another task's, so the
/// generation says whether the bytes are still counted there.
#[derive(Debug)]
struct Taken(AtomicU64);

/// The generation of an account's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

const GENERATION_BITS: u32 = 16;
const GENERATIONS: u64 = (1 << GENERATION_BITS) - 1;
/// What an owner takes over beyond these 256 TiB is not counted.
const MOST_TAKEN: u64 = u64::MAX >> GENERATION_BITS;

impl Taken {
    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed) >> GENERATION_BITS
    }

    fn change(&self, change: impl Fn(u64, Generation) -> Option<u64>) -> Generation {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let (bytes, generation) = (word >> GENERATION_BITS, Generation(word & GENERATIONS));
            let Some(bytes) = change(bytes, generation) else { return generation };
            let new = bytes << GENERATION_BITS | generation.0;
            match self.0.compare_exchange_weak(word, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return generation,
                Err(now) => word = now,
            }
        }
    }

    /// Adds bytes. Returns the generation of the owner for which they are counted.
    fn add(&self, bytes: u64) -> Generation {
        self.change(|before, _| Some(before.saturating_add(bytes).min(MOST_TAKEN)))
    }

    /// Takes off what was added for this owner, unless the account has another owner by now.
    fn take_off(&self, bytes: u64, of: Generation) {
        self.change(|before, now| (now == of).then(|| before.saturating_sub(bytes)));
    }

    /// Begins with the next owner. Bytes that are added meanwhile count for one or the other.
    fn forget(&self) {
        let next = self.0.load(Ordering::Relaxed).wrapping_add(1) & GENERATIONS;
        self.0.store(next, Ordering::Relaxed);
    }
}

/// Whether anything may have come to any owner.
#[inline]
pub(crate) fn is_in_use() -> bool {
    IN_USE.load(Ordering::Relaxed) != 0
}

/// Makes tasks and peaks take the paths that look for transfers and for budgets.
pub(super) fn begin_use() {
    IN_USE.store(1, Ordering::Relaxed);
    UNTOUCHED.store(NO_BALANCE, Ordering::Relaxed);
}

/// The balance of an owner whose own live bytes are all that it holds, and whose peak has no lower
/// limit.
///
/// PERF: one comparison tests both.
#[inline]
pub(super) fn untouched() -> i64 {
    UNTOUCHED.load(Ordering::Relaxed)
}

/// Resets the row for an account's new owner. Must be called before the account is opened. Returns
/// whether anything may have come to any owner, or a task has a budget.
#[inline]
pub(crate) fn forget(account: &Account) -> bool {
    if !is_in_use() {
        return false;
    }
    if let Some(row) = TAKEN.get(account.index()) {
        row.forget();
    }
    true
}

/// The row of the account's owner; `None` if nothing has come to any owner.
// PERF: returns a pointer, because tasks mostly end without a row. The row is read out of line.
#[inline]
pub(crate) fn of(account: &Account) -> Option<&'static Row> {
    if is_in_use() { TAKEN.get(account.index()) } else { None }
}

impl Row {
    #[inline(never)]
    pub(crate) fn read(&self) -> TransferredIn {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TransferredIn {
            bytes: self.bytes.read(),
            peak_bytes: get(&self.peak_bytes),
            guest_bytes: get(&self.guest_bytes),
            guest_blocks: get(&self.guest_blocks),
            guest_freed_bytes: get(&self.guest_freed_bytes),
            entries: get(&self.entries),
        }
    }
}

/// Counts bytes that the owner is about to take over. Must come first, so that live bytes never
/// exceed what was allocated or taken over. Returns the generation of the owner for which they are
/// counted, or `None` if there is no memory.
pub(crate) fn note(account: &Account, bytes: u64) -> Option<Generation> {
    // The change of the account's balance that follows releases this.
    Some(row(account)?.bytes.add(bytes))
}

/// The account's row, made if it does not exist. Returns `None` if there is no memory.
fn row(account: &Account) -> Option<&'static Row> {
    begin_use();
    TAKEN.get_or_make(account.index())
}

/// Takes back a [`note`] for this owner, because nothing was taken over.
pub(crate) fn retract(account: &Account, bytes: u64, of: Generation) {
    if let Some(row) = TAKEN.get(account.index()) {
        row.bytes.take_off(bytes, of);
    }
}

/// Notes what is live after a transfer, or after a guest has allocated.
pub(crate) fn note_peak(account: &Account, live_bytes: i64) {
    if let (Some(row), Ok(live_bytes)) = (TAKEN.get(account.index()), u64::try_from(live_bytes)) {
        raise(&row.peak_bytes, live_bytes);
        if peak_window::any_is_open() {
            peak_window::note(peak_window::epoch(), live_bytes);
        }
    }
}

/// Counts a block that a guest is about to allocate.
#[cfg(feature = "tracing")]
pub(crate) fn note_guest(account: &Account, bytes: u64) {
    if let Some(row) = row(account) {
        row.guest_bytes.fetch_add(bytes, Ordering::Relaxed);
        row.guest_blocks.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts a block of the owner that a guest frees.
#[cfg(feature = "tracing")]
pub(crate) fn note_guest_free(account: &Account, bytes: u64) {
    if let Some(row) = row(account) {
        row.guest_freed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Counts an entry into a span that is already entered. Returns `false` if there is no memory to
/// count what the thread does there.
#[cfg(feature = "tracing")]
pub(crate) fn note_entry(account: &Account) -> bool {
    row(account).map(|row| row.entries.fetch_add(1, Ordering::Relaxed)).is_some()
}

/// Takes back a [`note_entry`].
#[cfg(feature = "tracing")]
pub(crate) fn retract_entry(account: &Account) {
    if let Some(row) = row(account) {
        row.entries.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_transfer_takes_nothing_from_the_account_s_next_owner() {
        let taken = Taken(AtomicU64::new(0));
        let of_first = taken.add(100);
        taken.take_off(30, of_first);
        assert_eq!(taken.read(), 70);
        taken.forget();
        assert_eq!(taken.read(), 0);
        taken.take_off(70, of_first);
        assert_eq!(taken.read(), 0, "the next owner has taken over nothing");
        let of_second = taken.add(5);
        taken.take_off(70, of_first);
        assert_eq!(taken.read(), 5);
        assert_ne!(of_first, of_second);
        for _ in 0..GENERATIONS {
            taken.forget();
        }
        taken.take_off(70, of_first);
        assert_eq!(taken.read(), 0, "a generation that comes again takes no more than is there");
        taken.add(u64::MAX);
        taken.add(1);
        assert_eq!(taken.read(), MOST_TAKEN);
    }
}
