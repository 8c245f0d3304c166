//! What a task took over from others by `transfer`.

use crate::{
    account::Account,
    arena::{Arena, Zeroed},
    sync::{AtomicU8, AtomicU64, Ordering, add, raise},
};

/// What an account's owner took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: u64,
    /// What was live, at the most, right after it took something over.
    pub(crate) peak_bytes: u64,
}

/// Beside the accounts, and under their indices: colder, and only there once something was transferred.
static TAKEN: Arena<Row> = Arena::new();

/// Nobody has transferred anything as long as this is 0, and nobody pays for it.
static IN_USE: AtomicU8 = AtomicU8::new(0);

#[derive(Debug)]
struct Row {
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

// SAFETY: atomics only.
unsafe impl Zeroed for Row {}

/// Whether there has been a transfer.
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
        row.bytes.store(0, Ordering::Relaxed);
        row.peak_bytes.store(0, Ordering::Relaxed);
    }
}

#[inline]
pub(crate) fn of(account: &Account) -> Taken {
    if is_in_use() { of_taker(account) } else { Taken::default() }
}

#[inline(never)]
fn of_taker(account: &Account) -> Taken {
    TAKEN.get(account.index()).map_or_else(Taken::default, |row| Taken {
        bytes: row.bytes.load(Ordering::Relaxed),
        peak_bytes: row.peak_bytes.load(Ordering::Relaxed),
    })
}

/// Counts bytes that the owner is about to take over: first, so that no more seems live than was allocated or taken over. False: there is no
/// memory.
pub(crate) fn note(account: &Account, bytes: u64) -> bool {
    IN_USE.store(1, Ordering::Relaxed);
    let Some(row) = TAKEN.get_or_make(account.index()) else { return false };
    // Released by the change of the account's balance that follows.
    add(&row.bytes, bytes);
    true
}

/// Takes a `note` back: nothing came of it.
pub(crate) fn retract(account: &Account, bytes: u64) {
    if let Some(row) = TAKEN.get(account.index()) {
        row.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Notes what is live after a transfer.
pub(crate) fn note_peak(account: &Account, live_bytes: i64) {
    if let (Some(row), Ok(live_bytes)) = (TAKEN.get(account.index()), u64::try_from(live_bytes)) {
        raise(&row.peak_bytes, live_bytes);
    }
}
