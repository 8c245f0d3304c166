//! End stamps: when a task ended that left bytes behind, and its place among the tasks of its site.

use super::account::Account;
use crate::primitives::{
    Arena, Zeroed,
    sync::{AtomicU64, Ordering},
};

/// What is kept of an ended task as long as its account has bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EndStamp {
    /// How many tasks of its row were created before it.
    pub(crate) ordinal: u64,
    /// How many had been created when it ended. Tasks created after that belong to a later wave.
    pub(crate) spawned: u64,
    /// When it ended; 0 if no clock was read.
    pub(crate) ended_ns: u64,
}

/// The stamps are in a table beside the accounts, under the same indices. They are read less often,
/// and exist only for tasks that leave something.
static ENDINGS: Arena<Row> = Arena::new();

/// Written before the account is closed and read after that. Valid as long as the account keeps its
/// id.
#[derive(Debug)]
struct Row {
    ordinal: AtomicU64,
    spawned: AtomicU64,
    ended_ns: AtomicU64,
}

// SAFETY: only atomics, which are valid when zeroed and need no drop.
unsafe impl Zeroed for Row {}

/// Notes the end of the account's owner. Must be called before the account is closed.
pub(crate) fn note(account: &Account, ending: &EndStamp) {
    if let Some(row) = ENDINGS.get_or_make(account.index()) {
        // Relaxed: the Release in `Account::begin_close` publishes these stores.
        row.ordinal.store(ending.ordinal, Ordering::Relaxed);
        row.spawned.store(ending.spawned, Ordering::Relaxed);
        row.ended_ns.store(ending.ended_ns, Ordering::Relaxed);
    }
}

/// The stamp of the account's last owner. The caller has seen the account closed, and checks its id
/// once more afterwards.
pub(crate) fn of(account: &Account) -> Option<EndStamp> {
    let row = ENDINGS.get(account.index())?;
    Some(EndStamp {
        ordinal: row.ordinal.load(Ordering::Acquire),
        spawned: row.spawned.load(Ordering::Acquire),
        ended_ns: row.ended_ns.load(Ordering::Acquire),
    })
}
