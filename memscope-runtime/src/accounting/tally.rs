//! What one task, or one thread outside every task, has allocated and freed by itself.

use super::{
    account::Account,
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

/// Blocks from this size on are events.
const LARGE_BLOCK: usize = 1 << 20;

/// The counters of one owner of blocks, on one cache line.
///
/// Invariant: one writer at a time. A task's tally is written by the thread that polls or drops the
/// task, and by the spawner until the task is handed to the executor; a thread's by that thread. So
/// all of it is plain loads and stores; other threads only read. What others do to the owner's
/// blocks goes to its [`Account`].
///
/// A tally without an account is a *signpost*: [`current`](crate::alloc::current) keeps five of them to
/// mark the situations that need the slow path; every shared owner and every span has one that
/// leads to it.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Tally {
    /// Shifted as in the words of the owner's blocks.
    account: ShiftedRef<Account>,
    /// The task's id; 0 for a thread, and while the record is not in use.
    id: AtomicU64,
    allocated_bytes: AtomicU64,
    allocations: AtomicU64,
    /// Blocks this owner freed itself. Of a signpost: blocks whose owner the program has
    /// overwritten with zeroes, as far as threads do not count at the same moment.
    frees: AtomicU64,
    /// Allocated less freed by the owner itself.
    own_live: AtomicI64,
    /// Of a shared owner's signpost: its index + 1, as the peak's bytes.
    peak: Peak,
}

/// One reading of a tally, whole numbers only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TallyReading {
    pub(crate) counters: TaskCounters,
    /// Bytes that the owner freed itself.
    pub(crate) own_freed_bytes: u64,
    /// Allocated less freed by the owner itself, in its own counters.
    pub(crate) own_live_bytes: i64,
    /// The same of blocks, modulo 2^32 as an account counts them.
    pub(crate) own_live_blocks: u32,
    pub(crate) peak_bytes: u64,
}

impl TallyReading {
    /// With what came to the owner by others' hands: what it took over counts as allocated by it,
    /// and what guests did as its own.
    #[inline]
    pub(crate) fn with(self, taken: Option<&transferred::Row>) -> Self {
        match taken {
            None => self,
            Some(row) => self.with_all(&row.read()),
        }
    }

    /// The same of what was read before.
    pub(crate) fn with_all(self, taken: &TransferredIn) -> Self {
        Self {
            counters: self
                .counters
                .plus(TaskCounters {
                    allocated_bytes: taken.bytes,
                    transferred_bytes: taken.bytes,
                    ..TaskCounters::default()
                })
                .plus(TaskCounters {
                    allocated_bytes: taken.guest_bytes,
                    allocation_count: taken.guest_blocks,
                    ..TaskCounters::default()
                }),
            own_freed_bytes: self.own_freed_bytes + taken.guest_freed_bytes,
            ..self
        }
    }
}

/// Where a signpost leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    /// To the shared owner with this index.
    Shared(u32),
    /// To the span whose record has this index: the thread is a guest there.
    #[cfg(feature = "tracing")]
    Guest(u32),
}

/// Added to the index of a record.
#[cfg(feature = "tracing")]
const GUEST: i64 = 1 << 32;

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

    /// Takes the id away, so that nothing is charged here by mistake and readers see that the owner
    /// is gone.
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

    /// Counts a block that is not large. True: this may be a new peak, and [`settle`](Self::settle)
    /// is to be called.
    ///
    /// PERF: the account's line, which other threads write, is read only then.
    #[inline]
    #[must_use]
    pub(crate) fn count(&self, bytes: usize) -> bool {
        bump(&self.allocated_bytes, bytes as u64);
        bump(&self.allocations, 1);
        self.peak.is_passed_by(shift(&self.own_live, bytes.cast_signed() as i64))
    }

    /// Counts a block of the owner's that it has reallocated; as [`discharge`](Self::discharge) and
    /// [`count`](Self::count).
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
        self.peak.settle(account, own_live, self.peak.bytes(), transferred::is_in_use);
    }

    /// Tells the collector, where the owner is a task.
    #[cold]
    #[inline(never)]
    fn note_large_block(&self, account: &Account, bytes: usize) {
        let task = self.id();
        if task != 0 {
            let (kind, amount) = (EventKind::LargeBlock, bytes as u64);
            thread_ring::push(Event { at_ns: 0, task, amount, site: account.site(), kind });
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
        self.peak.settle(account, self.own_live.load(Ordering::Relaxed), 0, transferred::is_in_use);
    }

    /// Lets the owner look at its account at its next allocation: somebody has transferred a block
    /// to it.
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

    /// Charges a block that a guest allocates, while another thread may write all of this.
    #[cfg(feature = "tracing")]
    pub(crate) fn charge_as_guest(&self, account: &Account, bytes: usize) {
        // First, so that no more seems live than was allocated (released by the change of the
        // balance).
        transferred::note_guest(account, bytes as u64);
        account.charge(bytes);
        self.peak.look_again();
        transferred::note_peak(account, self.live(account));
        if bytes >= LARGE_BLOCK {
            self.note_large_block(account, bytes);
        }
    }

    /// What is live, while others allocate and free.
    ///
    /// It is the sum of two numbers, which were there at one time if the first one is the same
    /// afterwards.
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

    /// Makes this the signpost for guests of the span with this id and record; before another
    /// thread sees it.
    #[cfg(feature = "tracing")]
    pub(crate) fn stand_for_guests(&self, id: u64, record: u32) {
        self.peak.stand_for(GUEST + i64::from(record));
        self.id.store(id, Ordering::Release);
    }

    /// Of a signpost: blocks whose owner the program has overwritten with zeroes.
    pub(crate) fn zeroes(&self) -> u64 {
        self.frees.load(Ordering::Relaxed)
    }

    /// Where this signpost leads, if anywhere.
    pub(crate) fn leads(&self) -> Option<Leads> {
        let stands_for = self.peak.bytes();
        #[cfg(feature = "tracing")]
        if stands_for >= GUEST {
            return u32::try_from(stands_for - GUEST).ok().map(Leads::Guest);
        }
        u32::try_from(stands_for - 1).ok().map(Leads::Shared)
    }

    #[expect(clippy::cast_possible_truncation, reason = "blocks are counted modulo 2^32")]
    pub(crate) fn read(&self) -> TallyReading {
        // Before `allocated_bytes`, so that no more seems live than was allocated.
        let own_live_bytes = self.own_live.load(Ordering::Acquire);
        let allocated_bytes = self.allocated_bytes.load(Ordering::Relaxed);
        let allocation_count = self.allocations.load(Ordering::Relaxed);
        let frees = self.frees.load(Ordering::Relaxed);
        TallyReading {
            counters: TaskCounters { allocated_bytes, allocation_count, ..TaskCounters::default() },
            own_freed_bytes: allocated_bytes.wrapping_sub(own_live_bytes.cast_unsigned()),
            own_live_bytes,
            own_live_blocks: allocation_count.wrapping_sub(frees) as u32,
            peak_bytes: self.peak_bytes(),
        }
    }
}

/// A peak starts at 0 and only rises.
fn to_bytes(peak: i64) -> u64 {
    u64::try_from(peak).unwrap_or(0)
}
