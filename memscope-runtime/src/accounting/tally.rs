//! The tally: what one task, or one thread outside every task, has allocated and freed by itself.

use super::{
    account::Account,
    budget,
    event::Event,
    owner_word::Owner,
    peak::Peak,
    thread_ring,
    transferred::{self, TransferredIn},
};
use crate::{
    model::{EventKind, TaskCounters},
    primitives::{
        ShiftedRef,
        sync::{AtomicI64, AtomicU64, Ordering, add, bump, shift},
    },
};

/// Blocks from this size on are reported as events.
pub(crate) const LARGE_BLOCK: usize = 1 << 20;

/// The counters of one owner of blocks, on one cache line.
///
/// Invariant: a tally has one writer at a time. A task's tally is written by the thread that polls
/// or drops the task. Until the task is handed to the executor, the spawner writes it. A thread's
/// tally is written by that thread. So every access is a plain load or store, and other threads
/// only read. What others do to the owner's blocks goes to its [`Account`].
///
/// A tally without an account is a *mode tally*. [`current`](crate::alloc::current) keeps six of
/// them to mark the situations that need the slow path. Every shared owner and every span has one
/// that leads to it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Tally {
    /// Shifted as in the words of the owner's blocks.
    account: ShiftedRef<Account>,
    /// The task's id. 0 for a thread, and while the record is not in use.
    id: AtomicU64,
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    /// Blocks that this owner freed itself.
    ///
    /// In a mode tally, the number of freed blocks whose owner the program has overwritten with
    /// zeroes. That number may be too low if threads count at the same moment.
    frees: AtomicU64,
    /// Bytes that this owner allocated, minus those that it freed itself.
    own_live: AtomicI64,
    /// The mode tally of a shared owner or a span keeps here, as the peak's bytes, where it leads.
    peak: Peak,
}

/// One reading of a tally, in plain numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TallyReading {
    pub(crate) counters: TaskCounters,
    /// Bytes that the owner freed itself.
    pub(crate) own_freed_bytes: u64,
    /// Bytes that the owner allocated by itself, minus those that it freed by itself.
    pub(crate) own_live_bytes: i64,
    /// The same for blocks, modulo 2^32 as an account counts them.
    pub(crate) own_live_blocks: u32,
    pub(crate) peak_bytes: u64,
}

impl TallyReading {
    /// Adds what came to the owner through other threads and tasks. What it took over counts as
    /// allocated by it, and what guests did counts as its own.
    #[inline]
    pub(crate) fn with(self, taken: Option<&transferred::Row>) -> Self {
        match taken {
            None => self,
            Some(row) => self.with_all(&row.read()),
        }
    }

    /// [`with`](Self::with) for values that were read before.
    pub(crate) fn with_all(self, taken: &TransferredIn) -> Self {
        Self {
            counters: self.counters.plus(taken.counters()),
            own_freed_bytes: self.own_freed_bytes + taken.guest_freed_bytes,
            ..self
        }
    }
}

/// Where a mode tally leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To the shared owner with this index.
    Shared(u32),
    /// To the span whose record has this index: the thread is a guest there.
    #[cfg(feature = "tracing")]
    Guest(u32),
}

/// Added to the index of a record, to tell it from the index of a shared owner.
#[cfg(feature = "tracing")]
const GUEST: i64 = 1 << 32;

impl Tally {
    pub(crate) const fn new() -> Self {
        Self::with(0)
    }

    /// The mode tally of the shared owner with this index.
    pub(crate) fn leading_to(index: u32) -> Self {
        Self::with(i64::from(index) + 1)
    }

    const fn with(peak_bytes: i64) -> Self {
        Self {
            account: ShiftedRef::none(),
            id: AtomicU64::new(0),
            allocated_bytes: AtomicU64::new(0),
            allocations: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            own_live: AtomicI64::new(0),
            peak: Peak::new(AtomicI64::new(0), AtomicI64::new(peak_bytes)),
        }
    }

    /// Sets the account of the next owner.
    pub(crate) fn set_account(&self, account: &'static Account) {
        self.account.set(account);
    }

    /// Resets all counters for a new owner, whose account is set.
    #[inline]
    pub(crate) fn open(&self, id: u64) {
        for counter in [&self.allocated_bytes, &self.allocations, &self.frees] {
            counter.store(0, Ordering::Relaxed);
        }
        self.own_live.store(0, Ordering::Relaxed);
        self.peak.open();
        self.id.store(id, Ordering::Release);
    }

    /// Clears the id, so that nothing is charged here by mistake and readers see that the owner is
    /// gone.
    pub(crate) fn close(&self) {
        self.id.store(0, Ordering::Release);
    }

    /// Lets go of the account, which outlives its owner or serves another one by now.
    #[inline]
    pub(crate) fn leave_account(&self) {
        self.account.clear();
    }

    #[inline]
    pub(crate) fn account(&self) -> Option<&'static Account> {
        self.account.get()
    }

    /// The owner of this tally's blocks; zero for a mode tally.
    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        Owner::shifted(self.account.shifted())
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    /// Charges a block that the owner allocated. Returns `true` if this may be a new peak.
    #[inline]
    pub(crate) fn charge(&self, account: &Account, bytes: usize) -> bool {
        let is_high = self.count(bytes);
        if is_high && !self.raise() {
            self.settle(account);
        }
        if bytes >= LARGE_BLOCK {
            self.note_large_block(account, bytes);
        }
        is_high
    }

    /// Counts a block that is not large. Returns `true` if this may be a new peak: then the caller
    /// must call [`raise`](Self::raise).
    ///
    /// PERF: only then does the thread read the account's line, which other threads write.
    #[inline]
    #[must_use]
    pub(crate) fn count(&self, bytes: usize) -> bool {
        bump(&self.allocated_bytes, bytes as u64);
        bump(&self.allocations, 1);
        self.peak.is_passed_by(shift(&self.own_live, bytes.cast_signed() as i64))
    }

    /// Counts a reallocation of the owner's block by the owner: [`discharge`](Self::discharge) and
    /// [`count`](Self::count) in one.
    #[inline]
    #[must_use]
    pub(crate) fn recount(&self, old_bytes: usize, bytes: usize) -> bool {
        bump(&self.frees, 1);
        bump(&self.allocated_bytes, bytes as u64);
        bump(&self.allocations, 1);
        let grown = (bytes.cast_signed() as i64).wrapping_sub(old_bytes.cast_signed() as i64);
        self.peak.is_passed_by(shift(&self.own_live, grown))
    }

    /// Raises the peak to what is live, where no other thread or task has touched the owner's
    /// blocks. Returns `false` if one may have touched them: then the caller must call
    /// [`settle`](Self::settle).
    ///
    /// PERF: this is the usual case in a young task, each of whose blocks may be a new peak.
    #[inline]
    #[must_use]
    pub(crate) fn raise(&self) -> bool {
        let untouched = transferred::untouched();
        let is_alone = self.account().is_some_and(|account| account.has_balance(untouched));
        if is_alone {
            self.peak.raise(self.own_live.load(Ordering::Relaxed));
        }
        is_alone
    }

    /// Raises the peak to what is live, if that is higher.
    #[inline(never)]
    pub(crate) fn settle(&self, account: &Account) {
        let own_live = self.own_live.load(Ordering::Relaxed);
        let is_in_use =
            self.peak.settle(account, own_live, self.peak.bytes(), transferred::is_in_use);
        if is_in_use {
            self.compare_with_budget(account, own_live);
        }
    }

    /// Compares what the owner holds with its budget, if it has one.
    // PERF: out of line, so that `settle` saves no registers for it.
    #[cold]
    #[inline(never)]
    fn compare_with_budget(&self, account: &Account, own_live: i64) {
        if let Some(budget) = budget::note_rise(account, own_live.wrapping_add(account.net())) {
            self.peak.look_above(account, budget);
        }
    }

    /// Makes the owner compare with its budget when it may hold more than that.
    pub(crate) fn look_above(&self, account: &Account, budget: i64) {
        self.peak.look_above(account, budget);
    }

    /// Tells the collector about a large block, if the owner is a task.
    #[cold]
    #[inline(never)]
    pub(crate) fn note_large_block(&self, account: &Account, bytes: usize) {
        let task = self.id();
        if task != 0 {
            let (kind, amount) = (EventKind::LargeBlock, bytes as u64);
            thread_ring::push(|| Event { at_ns: 0, task, amount, site: account.site(), kind });
        }
    }

    /// Takes off a block that the owner frees itself.
    #[inline]
    pub(crate) fn discharge(&self, bytes: usize) {
        bump(&self.frees, 1);
        shift(&self.own_live, -(bytes.cast_signed() as i64));
    }

    /// Restarts the peak from what is live now.
    pub(crate) fn restart_peak(&self, account: &Account) {
        self.peak.settle(account, self.own_live.load(Ordering::Relaxed), 0, transferred::is_in_use);
    }

    /// What the owner holds. Exact on the thread that writes the tally, as far as others free
    /// nothing at the same moment.
    pub(crate) fn live_bytes(&self) -> i64 {
        let net = self.account().map_or(0, Account::net);
        self.own_live.load(Ordering::Relaxed).wrapping_add(net)
    }

    /// Makes the owner look at its account at its next allocation. Called after another thread has
    /// transferred a block to it.
    pub(crate) fn look_again(&self) {
        self.peak.look_again();
    }

    /// Bytes that the owner allocated, minus those that it freed itself.
    #[cfg(all(feature = "symbols", feature = "tokio"))]
    #[inline]
    pub(crate) fn own_live_bytes(&self) -> i64 {
        self.own_live.load(Ordering::Relaxed)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        to_bytes(self.peak.bytes())
    }

    /// [`peak_bytes`](Self::peak_bytes) of an owner that ends.
    // PERF: no owner's peak is below zero.
    #[inline]
    pub(crate) fn last_peak_bytes(&self) -> u64 {
        self.peak.bytes().cast_unsigned()
    }

    /// Whether the owner, which ends, has freed all that it allocated, and no other thread or task
    /// has touched its blocks. If so, the program has no transfers and no budgets, either.
    // PERF: one comparison says the last two.
    #[inline]
    pub(crate) fn leaves_nothing(&self, account: &Account) -> bool {
        self.own_live.load(Ordering::Relaxed) == 0 && account.has_balance(transferred::untouched())
    }

    /// Charges a block to a tally with many writers: only the orphans' tally has many.
    pub(crate) fn charge_shared(&self, bytes: usize) {
        add(&self.allocated_bytes, bytes as u64);
        add(&self.allocations, 1);
        self.own_live.fetch_add(bytes.cast_signed() as i64, Ordering::Relaxed);
    }

    /// Charges a block that a guest allocates, while another thread may write this tally.
    #[cfg(feature = "tracing")]
    pub(crate) fn charge_as_guest(&self, account: &Account, bytes: usize) {
        // Must come first, so that live bytes never exceed allocated bytes. The change of the
        // balance releases it.
        transferred::note_guest(account, bytes as u64);
        account.charge(bytes);
        self.peak.look_again();
        transferred::note_peak(account, self.live(account));
        if bytes >= LARGE_BLOCK {
            self.note_large_block(account, bytes);
        }
    }

    /// Live bytes, read while other threads allocate and free.
    ///
    /// They are the sum of two numbers. If the first number has not changed afterwards, both
    /// existed at one time.
    #[cfg(feature = "tracing")]
    fn live(&self, account: &Account) -> i64 {
        const ATTEMPTS: usize = 8;
        let mut net = account.net();
        let mut own_live = 0;
        for _ in 0..ATTEMPTS {
            own_live = self.own_live.load(Ordering::Acquire);
            let again = account.net();
            if again == net {
                break;
            }
            net = again;
        }
        own_live.wrapping_add(net)
    }

    /// Makes this the mode tally for guests of the span with this id and record. Must be called
    /// before another thread sees it.
    #[cfg(feature = "tracing")]
    pub(crate) fn lead_guests(&self, id: u64, record: u32) {
        self.peak.lead_to(GUEST + i64::from(record));
        self.id.store(id, Ordering::Release);
    }

    /// In a mode tally, the number of freed blocks whose owner the program has overwritten with
    /// zeroes.
    pub(crate) fn zeroes(&self) -> u64 {
        self.frees.load(Ordering::Relaxed)
    }

    /// Where this mode tally leads; `None` if it leads nowhere.
    pub(crate) fn leads(&self) -> Option<Leads> {
        let leads_to = self.peak.bytes();
        #[cfg(feature = "tracing")]
        if leads_to >= GUEST {
            return u32::try_from(leads_to - GUEST).ok().map(Leads::Guest);
        }
        u32::try_from(leads_to - 1).ok().map(Leads::Shared)
    }

    /// The counters of an owner that ends, with what came to it through others.
    #[inline]
    pub(crate) fn counters(&self, taken: Option<&TransferredIn>) -> TaskCounters {
        let own = TaskCounters {
            allocated_bytes: self.allocated_bytes.load(Ordering::Relaxed),
            allocation_count: self.allocations.load(Ordering::Relaxed),
            ..TaskCounters::default()
        };
        taken.map_or(own, |taken| own.plus(taken.counters()))
    }

    /// The bytes that an owner which ends has allocated or taken over, minus those that it freed
    /// itself.
    #[inline]
    pub(crate) fn kept_bytes(&self, taken: Option<&TransferredIn>) -> u64 {
        let own = self.own_live.load(Ordering::Relaxed).cast_unsigned();
        taken.map_or(own, |taken| {
            let came = taken.counters().allocated_bytes;
            own.wrapping_add(came).wrapping_sub(taken.guest_freed_bytes)
        })
    }

    /// Bytes that the owner allocated, minus those that it freed itself; the same for blocks.
    #[expect(clippy::cast_possible_truncation, reason = "blocks are counted modulo 2^32")]
    #[inline]
    pub(crate) fn own_live(&self) -> (i64, u32) {
        let blocks = self
            .allocations
            .load(Ordering::Relaxed)
            .wrapping_sub(self.frees.load(Ordering::Relaxed));
        (self.own_live.load(Ordering::Relaxed), blocks as u32)
    }

    #[expect(clippy::cast_possible_truncation, reason = "blocks are counted modulo 2^32")]
    pub(crate) fn read(&self) -> TallyReading {
        // Must be read before `allocated_bytes`, so that live bytes never exceed allocated bytes.
        let own_live_bytes = self.own_live.load(Ordering::Acquire);
        let allocated_bytes = self.allocated_bytes.load(Ordering::Relaxed);
        let allocation_count = self.allocations.load(Ordering::Relaxed);
        let frees = self.frees.load(Ordering::Relaxed);
        TallyReading {
            counters: TaskCounters { allocated_bytes, allocation_count, ..TaskCounters::default() },
            own_freed_bytes: freed_bytes(allocated_bytes, own_live_bytes),
            own_live_bytes,
            own_live_blocks: allocation_count.wrapping_sub(frees) as u32,
            peak_bytes: self.peak_bytes(),
        }
    }
}

/// A peak starts at 0 and only rises, so it is never negative.
fn to_bytes(peak: i64) -> u64 {
    u64::try_from(peak).unwrap_or(0)
}

/// What the owner has freed by itself.
///
/// A processor may let a reader see the writer's last block as live before it sees it as allocated.
/// So this stops at zero.
fn freed_bytes(allocated_bytes: u64, own_live_bytes: i64) -> u64 {
    if i64::try_from(allocated_bytes).is_ok_and(|allocated| allocated < own_live_bytes) {
        return 0;
    }
    allocated_bytes.wrapping_sub(own_live_bytes.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_is_seen_live_and_not_yet_allocated_is_not_freed() {
        assert_eq!(freed_bytes(100, 160), 0);
        assert_eq!(freed_bytes(100, 40), 60);
        assert_eq!(freed_bytes(100, -40), 140, "it freed what was transferred to it");
    }
}
