//! When a task ended that left bytes behind, and where it stood among the tasks of its site.

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
    /// How many had been created when it ended: those after are a later wave.
    pub(crate) spawned: u64,
    /// 0: not read.
    pub(crate) ended_ns: u64,
}

/// Beside the accounts, and under their indices: colder, and only there for tasks that leave
/// something.
static ENDINGS: Arena<Row> = Arena::new();

/// Written before the account is closed, read after, and true as long as the account keeps its id.
#[derive(Debug)]
struct Row {
    ordinal: AtomicU64,
    spawned: AtomicU64,
    ended_ns: AtomicU64,
}

// SAFETY: atomics only.
unsafe impl Zeroed for Row {}

/// Notes the end of the account's owner; before the account is closed.
pub(crate) fn note(account: &Account, ending: &EndStamp) {
    if let Some(row) = ENDINGS.get_or_make(account.index()) {
        // Released by `Account::close`.
        row.ordinal.store(ending.ordinal, Ordering::Relaxed);
        row.spawned.store(ending.spawned, Ordering::Relaxed);
        row.ended_ns.store(ending.ended_ns, Ordering::Relaxed);
    }
}

/// What was noted of the owner that this account had last; the caller has seen it closed, and looks
/// at its id once more.
pub(crate) fn of(account: &Account) -> Option<EndStamp> {
    let row = ENDINGS.get(account.index())?;
    Some(EndStamp {
        ordinal: row.ordinal.load(Ordering::Acquire),
        spawned: row.spawned.load(Ordering::Acquire),
        ended_ns: row.ended_ns.load(Ordering::Acquire),
    })
}
