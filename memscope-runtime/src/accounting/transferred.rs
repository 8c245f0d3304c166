//! What comes to a task by other hands than those of its one writer: blocks that it takes over by
//! `transfer`, and what guests of a span do.

use super::{account::Account, peak_window};
use crate::primitives::{
    Arena, Zeroed,
    sync::{AtomicU8, AtomicU64, Ordering, add, raise},
};

/// What came to an account's owner so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TransferredIn {
    /// What it took over.
    pub(crate) bytes: u64,
    /// What was live, at the most, right after it took something over or a guest allocated.
    pub(crate) peak_bytes: u64,
    /// What guests allocated.
    pub(crate) guest_bytes: u64,
    pub(crate) guest_blocks: u64,
    /// Bytes of the owner's blocks that guests freed.
    pub(crate) guest_freed_bytes: u64,
    /// How often a thread came into the span while it was entered.
    pub(crate) entries: u64,
}

/// Beside the accounts, and under their indices: colder, and only there once something came.
static TAKEN: Arena<Row> = Arena::new();

/// Nothing has come to any owner as long as this is 0, and no task pays for it.
static IN_USE: AtomicU8 = AtomicU8::new(0);

/// What has come to one account's owner.
#[derive(Debug)]
pub(crate) struct Row {
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
    guest_bytes: AtomicU64,
    guest_blocks: AtomicU64,
    guest_freed_bytes: AtomicU64,
    entries: AtomicU64,
}

// SAFETY: atomics only.
unsafe impl Zeroed for Row {}

impl Row {
    fn counters(&self) -> [&AtomicU64; 6] {
        let Self { bytes, peak_bytes, guest_bytes, guest_blocks, guest_freed_bytes, entries } =
            self;
        [bytes, peak_bytes, guest_bytes, guest_blocks, guest_freed_bytes, entries]
    }
}

/// Whether anything has come to any owner.
#[inline]
pub(crate) fn is_in_use() -> bool {
    IN_USE.load(Ordering::Relaxed) != 0
}

/// Starts from nothing for an account's new owner; before it is opened.
#[inline]
pub(crate) fn forget(account: &Account) {
    if is_in_use()
        && let Some(row) = TAKEN.get(account.index())
    {
        row.counters().into_iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }
}

/// What has come to the account's owner; `None` where nothing has come to any.
// PERF: a pointer, as tasks mostly end without. What is there is read out of line.
#[inline]
pub(crate) fn of(account: &Account) -> Option<&'static Row> {
    if is_in_use() { TAKEN.get(account.index()) } else { None }
}

impl Row {
    #[inline(never)]
    pub(crate) fn read(&self) -> TransferredIn {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TransferredIn {
            bytes: get(&self.bytes),
            peak_bytes: get(&self.peak_bytes),
            guest_bytes: get(&self.guest_bytes),
            guest_blocks: get(&self.guest_blocks),
            guest_freed_bytes: get(&self.guest_freed_bytes),
            entries: get(&self.entries),
        }
    }
}

/// Counts bytes that the owner is about to take over: first, so that no more seems live than was
/// allocated or taken over. False: there is no memory.
pub(crate) fn note(account: &Account, bytes: u64) -> bool {
    let Some(row) = row(account) else { return false };
    // Released by the change of the account's balance that follows.
    add(&row.bytes, bytes);
    true
}

/// The account's row, from the first time on that something comes to it; `None`: there is no
/// memory.
fn row(account: &Account) -> Option<&'static Row> {
    IN_USE.store(1, Ordering::Relaxed);
    TAKEN.get_or_make(account.index())
}

/// Takes a `note` back: nothing came of it.
pub(crate) fn retract(account: &Account, bytes: u64) {
    if let Some(row) = TAKEN.get(account.index()) {
        row.bytes.fetch_sub(bytes, Ordering::Relaxed);
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
        add(&row.guest_bytes, bytes);
        add(&row.guest_blocks, 1);
    }
}

/// Counts a block of the owner's that a guest frees.
#[cfg(feature = "tracing")]
pub(crate) fn note_guest_free(account: &Account, bytes: u64) {
    if let Some(row) = row(account) {
        add(&row.guest_freed_bytes, bytes);
    }
}

/// Counts a thread that comes into a span which is entered. False: there is no memory to count what
/// it does.
#[cfg(feature = "tracing")]
pub(crate) fn note_entry(account: &Account) -> bool {
    row(account).map(|row| add(&row.entries, 1)).is_some()
}

/// Takes a `note_entry` back.
#[cfg(feature = "tracing")]
pub(crate) fn retract_entry(account: &Account) {
    if let Some(row) = row(account) {
        row.entries.fetch_sub(1, Ordering::Relaxed);
    }
}
