//! All owners of blocks: the records of tasks and threads, their accounts, and how many there were.

use std::ptr;

use crossbeam_utils::CachePadded;

use super::{
    account::{Account, NO_RECORD, OPEN},
    record::{NewTask, Record},
    site::UNTRACKED,
    tally::{Tally, TallyReading},
    transferred,
};
use crate::primitives::{
    Arena, FreeList, Magazine, Slab, SlabItem, StaticRef, TAKEN, arena,
    sync::{AtomicI64, AtomicU32, AtomicU64, Ordering, raise},
};

static RECORDS: Slab<Record> = Slab::new();

/// Records of threads that have ended: the next thread goes on counting where they stopped, so that
/// their number is the largest number of threads at one time.
static FREE_THREADS: FreeList = FreeList::new(AtomicU64::new(0));

/// The first accounts need no memory from the system. The first of all is the orphans': the account
/// of last resort.
static FIRST_ACCOUNTS: [Account; arena::places_of(4)] = {
    let mut accounts = [const { first_account(0, 0) }; arena::places_of(4)];
    accounts[0] = first_account(OPEN, ORPHANS_RECORD);
    accounts
};

const fn first_account(balance: i64, record: u32) -> Account {
    Account::of(
        AtomicI64::new(balance),
        AtomicU64::new(0),
        AtomicU32::new(0),
        AtomicU32::new(record),
        AtomicU32::new(UNTRACKED),
        AtomicU32::new(0),
    )
}

static ACCOUNTS: Slab<Account> = Slab::beginning_with(&FIRST_ACCOUNTS);

/// The memory of the first accounts.
pub(crate) const STATIC_BYTES: u64 = size_of_val(&FIRST_ACCOUNTS) as u64;
/// All records of threads, in use or not.
static THREADS: Arena<StaticRef<Record>> = Arena::new();

thread_local! {
    static SPARE_RECORDS: Magazine<Record> = const { Magazine::new() };
    static SPARE_ACCOUNTS: Magazine<Account> = const { Magazine::new() };
}

/// What is allocated while a thread's destructors run, where a thread found no memory for a record,
/// and where a block got no slot.
static ORPHANS: Tally = Tally::new();

/// Tasks created so far: also the last id given out.
static SPAWNED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Of these, the records of unannotated tasks.
static UNANNOTATED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Tasks that completed, were cancelled or panicked; unannotated ones are not among them.
static ENDED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
static PEAK_CONCURRENT: AtomicU64 = AtomicU64::new(0);
/// Tasks that run untracked because there was no memory for their record.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Gives a new task its id, its account and its record.
#[expect(clippy::inline_always, reason = "what is known of the task need not go through memory")]
#[inline(always)]
pub(crate) fn open_task(task: &NewTask) -> Option<&'static Record> {
    let (account, record) = match (take_account(), take_task_record()) {
        (Some(account), Some(record)) => (account, record),
        (account, record) => {
            lose(account, record);
            return None;
        }
    };
    let id = SPAWNED.fetch_add(1, Ordering::Relaxed) + 1;
    if task.is_annotated {
        let others = ENDED.load(Ordering::Relaxed) + UNANNOTATED.load(Ordering::Relaxed);
        raise(&PEAK_CONCURRENT, id.saturating_sub(others));
    } else {
        UNANNOTATED.fetch_add(1, Ordering::Relaxed);
    }
    transferred::forget(account);
    record.open(id, account, task);
    Some(record)
}

/// There is no memory for a task: gives back what there was of the two.
#[cold]
fn lose(account: Option<&'static Account>, record: Option<&'static Record>) {
    account.into_iter().for_each(give_back);
    record.into_iter().for_each(give_back_record);
    LOST.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn count_end() {
    ENDED.fetch_add(1, Ordering::Relaxed);
}

/// A record for a thread: it counts what is allocated outside every task.
pub(crate) fn thread_record() -> Option<&'static Record> {
    let record = RECORDS.take_from(&FREE_THREADS, u32::MAX)?;
    if record.tally().account().is_none() {
        let Some(account) = take_account() else {
            give_back_thread(record);
            return None;
        };
        account.open(0, record.index(), UNTRACKED);
        record.tally().open(0, account);
        if let Some((_, listed)) = THREADS.grow() {
            listed.set(record);
        }
    }
    record.set_link(TAKEN);
    Some(record)
}

/// In a forked child, on its only thread, which has the record `own`: other threads go on with the
/// records of those that are not there. Returns how many of these were the program's.
pub(crate) fn forked(own: Option<&Record>) -> u32 {
    let mut left_behind = 0;
    for record in THREADS.iter().filter_map(StaticRef::get) {
        if record.link() == TAKEN && !own.is_some_and(|own| ptr::eq(own, record)) {
            left_behind += u32::from(!record.serves());
            record.leave_worker();
            give_back_thread(record);
        }
    }
    left_behind
}

/// All records, in use or not.
pub(crate) fn records() -> impl Iterator<Item = &'static Record> {
    RECORDS.iter()
}

pub(crate) fn give_back_thread(record: &'static Record) {
    Slab::put_into(&FREE_THREADS, record);
}

#[inline]
pub(crate) fn give_back_record(record: &'static Record) {
    RECORDS.put_local(&SPARE_RECORDS, record);
}

/// Takes an account back whose owner has ended and whose last block is gone.
#[inline(never)]
pub(crate) fn give_back(account: &'static Account) {
    ACCOUNTS.put_local(&SPARE_ACCOUNTS, account);
}

/// Gives all that a thread kept for itself to the others; it keeps nothing from here on.
pub(crate) fn empty_spares() {
    RECORDS.empty(&SPARE_RECORDS);
    ACCOUNTS.empty(&SPARE_ACCOUNTS);
}

/// Charges a block to the orphans.
pub(crate) fn charge_orphans(bytes: usize) -> &'static Account {
    ORPHANS.charge_shared(bytes);
    orphans_account()
}

/// The account of last resort: it is there before anything is allocated, and is never closed.
pub(crate) fn orphans_account() -> &'static Account {
    &FIRST_ACCOUNTS[0]
}

/// The account that begins at this address; `None` where none does.
pub(crate) fn account_at(address: usize) -> Option<&'static Account> {
    ACCOUNTS.at_address(address)
}

/// [`account_at`] for one of the first accounts.
// PERF: where they are is known without a load.
#[inline]
pub(crate) fn first_account_at(address: usize) -> Option<&'static Account> {
    const { assert!(size_of::<Account>().is_power_of_two()) };
    let distance = address.wrapping_sub(FIRST_ACCOUNTS.as_ptr().addr());
    // Rotated, so that an address inside of an account is an index far too large.
    FIRST_ACCOUNTS.get(distance.rotate_right(size_of::<Account>().ilog2()))
}

#[inline]
fn take_account() -> Option<&'static Account> {
    SPARE_ACCOUNTS.with(Magazine::pop).or_else(|| ACCOUNTS.take())
}

#[inline]
fn take_task_record() -> Option<&'static Record> {
    SPARE_RECORDS.with(Magazine::pop).or_else(|| RECORDS.take())
}

/// All accounts, in use or not.
pub(crate) fn accounts() -> impl Iterator<Item = &'static Account> {
    ACCOUNTS.iter()
}

pub(crate) fn account(index: u32) -> Option<&'static Account> {
    ACCOUNTS.get(index)
}

/// The record of an open account; `None` for the orphans'.
pub(crate) fn record(index: u32) -> Option<&'static Record> {
    RECORDS.get(index)
}

/// Stands for a record's index in the orphans' account.
pub(crate) const ORPHANS_RECORD: u32 = NO_RECORD - 1;

/// The same in the accounts of shared owners.
pub(crate) const SHARED_RECORD: u32 = NO_RECORD - 2;

/// An account for a shared owner, which is never closed.
pub(crate) fn shared_account() -> Option<&'static Account> {
    let account = take_account()?;
    account.open(0, SHARED_RECORD, UNTRACKED);
    Some(account)
}

/// What the orphans allocated; `None` where this is not their account.
pub(crate) fn orphans(account: &Account) -> Option<TallyReading> {
    ptr::eq(orphans_account(), account).then(|| ORPHANS.read())
}

/// How many tasks there were, unannotated ones left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) ended: u64,
    pub(crate) peak_concurrent: u64,
    pub(crate) lost: u64,
}

pub(crate) fn counts() -> Counts {
    // NOTE: in this order, so that no task seems to end before it began.
    let ended = ENDED.load(Ordering::Acquire);
    Counts {
        ended,
        spawned: SPAWNED
            .load(Ordering::Acquire)
            .saturating_sub(UNANNOTATED.load(Ordering::Acquire)),
        peak_concurrent: PEAK_CONCURRENT.load(Ordering::Relaxed),
        lost: LOST.load(Ordering::Relaxed),
    }
}
