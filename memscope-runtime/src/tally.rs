//! What one task, or one thread outside every task, has allocated and freed by itself.

use crate::{
    account::Account,
    block::Owner,
    event::{Event, EventKind},
    peak::Peak,
    static_ref::ShiftedRef,
    sync::{AtomicI64, AtomicU64, Ordering, add, bump, shift},
    taken, threads,
};

/// Blocks from this size on are events.
const LARGE_BLOCK: usize = 1 << 20;

/// The counters of one owner of blocks, on one cache line.
///
/// Invariant: one writer at a time. A task's tally is written by the thread that polls or drops the task, and by the
/// spawner until the task is handed to the executor; a thread's by that thread. So all of it is plain loads and stores;
/// other threads only read. What others do to the owner's blocks goes to its [`Account`].
///
/// A tally without an account is a *signpost*: [`current`](crate::current) keeps five of them to mark the situations that
/// need the slow path, and every shared owner has one that leads to it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Tally {
    /// Shifted as in the words of the owner's blocks.
    account: ShiftedRef<Account>,
    /// The task's id; 0 for a thread, and while the record is not in use.
    id: AtomicU64,
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    /// Blocks this owner freed itself. Of a signpost: blocks whose owner the program has overwritten with zeroes, as far as threads do not
    /// count at the same moment.
    frees: AtomicU64,
    /// Allocated less freed by the owner itself.
    own_live: AtomicI64,
    /// Of a shared owner's signpost: its index + 1, as the peak's bytes.
    peak: Peak,
}

/// One reading of a tally, whole numbers only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TallyReading {
    pub(crate) allocated_bytes: u64,
    pub(crate) allocations: u64,
    pub(crate) frees: u64,
    /// Allocated less freed by the owner itself.
    pub(crate) own_live_bytes: i64,
    pub(crate) peak_bytes: u64,
    /// Of `allocated_bytes`, those that the owner took over from others.
    pub(crate) taken_bytes: u64,
}

impl TallyReading {
    /// Modulo 2^32, as an account counts them.
    #[expect(clippy::cast_possible_truncation, reason = "that is what modulo means")]
    pub(crate) fn own_live_blocks(&self) -> u32 {
        self.allocations.wrapping_sub(self.frees) as u32
    }

    pub(crate) fn own_freed_bytes(&self) -> u64 {
        let own_bytes = self.allocated_bytes.wrapping_sub(self.taken_bytes);
        own_bytes.wrapping_sub(self.own_live_bytes.cast_unsigned())
    }

    /// With what the owner took over, which counts as allocated by it.
    pub(crate) fn with_taken(self, bytes: u64) -> Self {
        Self {
            allocated_bytes: self.allocated_bytes + bytes,
            taken_bytes: self.taken_bytes + bytes,
            ..self
        }
    }
}

impl Tally {
    pub(crate) const fn new() -> Self {
        Self::with(0)
    }

    /// The signpost of the shared owner with this index.
    pub(crate) fn standing_for(index: u32) -> Self {
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

    /// Starts from nothing for a new owner.
    #[inline]
    pub(crate) fn open(&self, id: u64, account: &'static Account) {
        for counter in [&self.allocated_bytes, &self.allocations, &self.frees] {
            counter.store(0, Ordering::Relaxed);
        }
        self.own_live.store(0, Ordering::Relaxed);
        self.peak.open();
        self.account.set(account);
        self.id.store(id, Ordering::Release);
    }

    /// Takes the id away, so that nothing is charged here by mistake and readers see that the owner is gone.
    pub(crate) fn close(&self) {
        self.id.store(0, Ordering::Release);
    }

    #[inline]
    pub(crate) fn account(&self) -> Option<&'static Account> {
        self.account.get()
    }

    /// The owner of this tally's blocks; zeroes, where it is a signpost.
    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        Owner::shifted(self.account.shifted())
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    /// Charges a block allocated by the owner.
    #[inline]
    pub(crate) fn charge(&self, account: &Account, bytes: usize) {
        if self.count(bytes) {
            self.settle(account);
        }
        if bytes >= LARGE_BLOCK {
            self.note_large_block(account, bytes);
        }
    }

    /// Counts a block that is not large. True: this may be a new peak, and [`settle`](Self::settle) is to be called.
    ///
    /// PERF: the account's line, which other threads write, is read only then.
    #[inline]
    #[must_use]
    pub(crate) fn count(&self, bytes: usize) -> bool {
        bump(&self.allocated_bytes, bytes as u64);
        bump(&self.allocations, 1);
        self.peak.is_passed_by(shift(&self.own_live, bytes.cast_signed() as i64))
    }

    /// Counts a block of the owner's that it has reallocated; as [`discharge`](Self::discharge) and [`count`](Self::count).
    #[inline]
    #[must_use]
    pub(crate) fn recount(&self, old_bytes: usize, bytes: usize) -> bool {
        bump(&self.frees, 1);
        bump(&self.allocated_bytes, bytes as u64);
        bump(&self.allocations, 1);
        let grown = (bytes.cast_signed() as i64).wrapping_sub(old_bytes.cast_signed() as i64);
        self.peak.is_passed_by(shift(&self.own_live, grown))
    }

    /// Raises the peak to what is live, if need be.
    #[inline(never)]
    pub(crate) fn settle(&self, account: &Account) {
        let own_live = self.own_live.load(Ordering::Relaxed);
        self.peak.settle(account, own_live, self.peak.bytes(), taken::is_in_use);
    }

    /// Tells the collector, where the owner is a task.
    #[cold]
    #[inline(never)]
    fn note_large_block(&self, account: &Account, bytes: usize) {
        let task = self.id();
        if task != 0 {
            let (kind, amount) = (EventKind::LargeBlock, bytes as u64);
            threads::push(Event { at_ns: 0, task, amount, site: account.site(), kind });
        }
    }

    /// Takes off a block that the owner frees itself.
    #[inline]
    pub(crate) fn discharge(&self, bytes: usize) {
        bump(&self.frees, 1);
        shift(&self.own_live, -(bytes.cast_signed() as i64));
    }

    /// Starts the peak anew from what is live now.
    pub(crate) fn restart_peak(&self, account: &Account) {
        self.peak.settle(account, self.own_live.load(Ordering::Relaxed), 0, taken::is_in_use);
    }

    /// Lets the owner look at its account at its next allocation: somebody has transferred a block to it.
    pub(crate) fn look_again(&self) {
        self.peak.look_again();
    }

    /// Allocated less freed by the owner itself.
    #[cfg(feature = "task-names")]
    #[inline]
    pub(crate) fn own_live_bytes(&self) -> i64 {
        self.own_live.load(Ordering::Relaxed)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        to_bytes(self.peak.bytes())
    }

    /// Charges a block where the tally has many writers: only the orphans' one has.
    pub(crate) fn charge_shared(&self, bytes: usize) {
        add(&self.allocated_bytes, bytes as u64);
        add(&self.allocations, 1);
        self.own_live.fetch_add(bytes.cast_signed() as i64, Ordering::Relaxed);
    }

    /// The index of the shared owner that this signpost leads to.
    pub(crate) fn stands_for(&self) -> Option<u32> {
        u32::try_from(self.peak.bytes().checked_sub(1)?).ok()
    }

    /// Of a signpost: blocks whose owner the program has overwritten with zeroes.
    pub(crate) fn zeroes(&self) -> u64 {
        self.frees.load(Ordering::Relaxed)
    }

    pub(crate) fn read(&self) -> TallyReading {
        // Before `allocated_bytes`, so that no more seems live than was allocated.
        let own_live_bytes = self.own_live.load(Ordering::Acquire);
        TallyReading {
            allocated_bytes: self.allocated_bytes.load(Ordering::Relaxed),
            allocations: self.allocations.load(Ordering::Relaxed),
            frees: self.frees.load(Ordering::Relaxed),
            own_live_bytes,
            peak_bytes: self.peak_bytes(),
            taken_bytes: 0,
        }
    }
}

/// A peak starts at 0 and only rises.
fn to_bytes(peak: i64) -> u64 {
    u64::try_from(peak).unwrap_or(0)
}
