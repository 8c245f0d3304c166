//! The registry of all owners of blocks: records of tasks and threads, their accounts, and counts
//! of tasks.

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

/// Records of ended threads. The next thread goes on counting where such a thread stopped. So there
/// are at most as many records as there were threads at one time.
static FREE_THREADS: FreeList = FreeList::new(AtomicU64::new(0));

/// The first accounts need no memory from the system. The very first one belongs to the orphans: it
/// is the account of last resort.
static FIRST_ACCOUNTS: [Account; arena::places_of::<Account>(4)] = {
    let mut accounts = [const { first_account(0, 0) }; arena::places_of::<Account>(4)];
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

/// The orphans' tally. It counts what is allocated while a thread's destructors run, and what a
/// thread without memory for its record allocates. It also counts blocks without memory for their
/// slot.
static ORPHANS: Tally = Tally::new();

/// Tasks created so far, which is also the last id given out.
static SPAWNED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Records of unannotated tasks, among those of [`SPAWNED`].
static UNANNOTATED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
/// Tasks that completed, were cancelled or panicked, without the unannotated ones.
static ENDED: CachePadded<AtomicU64> = CachePadded::new(AtomicU64::new(0));
static PEAK_CONCURRENT: AtomicU64 = AtomicU64::new(0);
/// Tasks that run untracked because there was no memory for their record.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Gives a new task its id, its account and its record.
#[expect(clippy::inline_always, reason = "what is known of the task need not go through memory")]
#[inline(always)]
pub(crate) fn open_task(task: &NewTask) -> Option<&'static Record> {
    let Some(record) = take_task_record() else { return lose(None) };
    // PERF: a record mostly comes with the account that its last task had.
    let Some(account) = record.tally().account().or_else(|| take_account_for(record)) else {
        return lose(Some(record));
    };
    let before = SPAWNED.fetch_add(1, Ordering::Relaxed);
    let id = before + 1;
    if task.is_annotated {
        let open = before.wrapping_sub(ENDED.load(Ordering::Relaxed));
        note_concurrent(open.wrapping_sub(UNANNOTATED.load(Ordering::Relaxed)));
    } else {
        UNANNOTATED.fetch_add(1, Ordering::Relaxed);
    }
    let is_in_use = transferred::forget(account);
    record.open(id, account, task);
    if is_in_use {
        record.take_budget_of_site();
    }
    Some(record)
}

/// Notes how many tasks there are at this moment besides a new one. The three counters were not
/// read at one moment, so the number may seem to be below zero.
// PERF: one signed comparison tests both.
#[inline]
fn note_concurrent(others: u64) {
    let peak = PEAK_CONCURRENT.load(Ordering::Relaxed);
    if peak.cast_signed() <= others.cast_signed() {
        raise(&PEAK_CONCURRENT, others + 1);
    }
}

/// Counts a task without memory for its record or account, and gives back the record if it got one.
#[cold]
fn lose(record: Option<&'static Record>) -> Option<&'static Record> {
    record.into_iter().for_each(give_back_record);
    LOST.fetch_add(1, Ordering::Relaxed);
    None
}

pub(crate) fn count_end() {
    ENDED.fetch_add(1, Ordering::Relaxed);
}

/// Takes a record for a thread; it counts what the thread allocates outside every task.
pub(crate) fn thread_record() -> Option<&'static Record> {
    let record = RECORDS.take_from(&FREE_THREADS, u32::MAX)?;
    if record.tally().account().is_none() {
        let Some(account) = take_account_for(record) else {
            give_back_thread(record);
            return None;
        };
        account.open(0, record.index(), UNTRACKED);
        record.tally().open(0);
        if let Some((_, listed)) = THREADS.grow() {
            listed.set(record);
        }
    }
    record.set_link(TAKEN);
    Some(record)
}

/// Frees the records of threads that the fork left behind, for other threads to go on with. Must be
/// called in the forked child, on its only thread, whose record is `own`. Returns how many of those
/// threads were the program's.
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

/// Gives a record back whose account is still in use, or was given back.
#[inline]
pub(crate) fn give_back_record(record: &'static Record) {
    record.tally().leave_account();
    RECORDS.put_local(&SPARE_RECORDS, record);
}

/// Gives a record back together with its account, whose owner has ended and left nothing. The next
/// task that takes the record takes both.
// PERF: one item of a magazine instead of two.
#[inline]
pub(crate) fn give_back_both(record: &'static Record, account: &'static Account) {
    // Readers see the account as free. It is in no list, so the link leads nowhere.
    account.set_link(0);
    RECORDS.put_local(&SPARE_RECORDS, record);
}

/// Takes an account back whose owner has ended and whose last block is gone.
#[inline(never)]
pub(crate) fn give_back(account: &'static Account) {
    ACCOUNTS.put_local(&SPARE_ACCOUNTS, account);
}

/// Empties this thread's magazines, so that other threads can take what was in them. The thread
/// keeps nothing from here on.
pub(crate) fn empty_magazines() {
    RECORDS.empty(&SPARE_RECORDS);
    ACCOUNTS.empty(&SPARE_ACCOUNTS);
}

/// Charges a block to the orphans.
pub(crate) fn charge_orphans(bytes: usize) -> &'static Account {
    ORPHANS.charge_shared(bytes);
    orphans_account()
}

/// The account of last resort. It exists before anything is allocated, and it is never closed.
pub(crate) fn orphans_account() -> &'static Account {
    &FIRST_ACCOUNTS[0]
}

/// The account that begins at this address; `None` if none does.
// PERF: small programs use only the first accounts.
#[inline]
pub(crate) fn account_at(address: usize) -> Option<&'static Account> {
    first_account_at(address).or_else(|| ACCOUNTS.at_address(address))
}

/// [`account_at`] for one of the first accounts.
// PERF: their addresses are known without a load.
#[inline]
pub(crate) fn first_account_at(address: usize) -> Option<&'static Account> {
    const { assert!(size_of::<Account>().is_power_of_two()) };
    let distance = address.wrapping_sub(FIRST_ACCOUNTS.as_ptr().addr());
    // The rotation turns an address inside of an account into an index that is far too large.
    FIRST_ACCOUNTS.get(distance.rotate_right(size_of::<Account>().ilog2()))
}

#[inline]
fn take_account() -> Option<&'static Account> {
    SPARE_ACCOUNTS.with(Magazine::pop).or_else(|| ACCOUNTS.take())
}

/// Takes an account for a record that has none.
#[inline(never)]
fn take_account_for(record: &Record) -> Option<&'static Account> {
    let account = take_account()?;
    record.tally().set_account(account);
    Some(account)
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

/// The record of an open account; `None` for the accounts of orphans and shared owners.
pub(crate) fn record(index: u32) -> Option<&'static Record> {
    RECORDS.get(index)
}

/// Whether this is the address of a record.
#[cfg(feature = "tokio")]
pub(crate) fn is_record(address: usize) -> bool {
    RECORDS.at_address(address).is_some()
}

/// Stands for a record's index in the orphans' account.
pub(crate) const ORPHANS_RECORD: u32 = NO_RECORD - 1;

/// Stands for a record's index in the accounts of shared owners.
pub(crate) const SHARED_RECORD: u32 = NO_RECORD - 2;

/// Takes an account for a shared owner; it is never closed.
pub(crate) fn shared_account() -> Option<&'static Account> {
    let account = take_account()?;
    account.open(0, SHARED_RECORD, UNTRACKED);
    Some(account)
}

/// What the orphans allocated; `None` if this is not their account.
pub(crate) fn orphans(account: &Account) -> Option<TallyReading> {
    ptr::eq(orphans_account(), account).then(|| ORPHANS.read())
}

/// Numbers of tasks, without the unannotated ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) ended: u64,
    pub(crate) peak_concurrent: u64,
    pub(crate) lost: u64,
}

pub(crate) fn counts() -> Counts {
    // NOTE: `ENDED` must be read before `SPAWNED`, so that no task seems to end before it began.
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
