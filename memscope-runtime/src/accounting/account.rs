//! The account of one owner: its id, its balance, and the rule that says when its last block is
//! gone.

use crate::primitives::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// The 32 bytes that every block of one owner points to.
///
/// An account outlives its task: it stays in use as long as one block points to it. Biased
/// reference counting (Choi et al. 2018) decides which thread takes it back.
///
/// While the owner is open, `balance` is [`OPEN`] plus what other threads and tasks did. Their
/// frees count below zero. The owner's own part stays private in its
/// [`Tally`](super::tally::Tally).
///
/// When the owner ends, it adds that part to `balance` and subtracts `OPEN`. From then on `balance`
/// is the number of live bytes. The thread that brings it to zero takes the account back. A block
/// has at least one byte, so no bytes means no blocks.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Account {
    balance: AtomicI64,
    /// The owner's id, 0 for a thread. In the free list: the link to the next account.
    id: AtomicU64,
    /// Blocks, counted as `balance` counts bytes, but without the bias and modulo 2^32: no owner
    /// has half as many at one time. A free writes it before `balance`, so that it is right when
    /// zero is seen.
    blocks: AtomicU32,
    /// While the owner is open: the index of its record. From its end on: its private part of the
    /// blocks, if that fits. The highest bits are [`CLOSING`] and [`CELL`].
    record: AtomicU32,
    /// The index of the owner's site.
    site: AtomicU32,
    /// This account's own index in its arena.
    index: AtomicU32,
}

/// Flag: the owner's end has begun, and readers must not read its record any more.
const CLOSING: u32 = 1 << 31;

/// Flag: the Tokio cell that the owner was spawned into has not been freed.
const CELL: u32 = 1 << 30;

/// The bits of that word that hold the index or the number of blocks.
const INDEX: u32 = CELL - 1;

/// Stands for a record's index where there is no record.
pub(crate) const NO_RECORD: u32 = INDEX;

/// The bias that the balance carries while the owner is open: far above any number of live bytes.
pub(crate) const OPEN: i64 = 1 << 62;

/// One reading of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The owner is open. Bytes and blocks are what others added, or took off (below zero).
    Open { net_bytes: i64, net_blocks: u32, record: u32, site: u32 },
    /// The owner has ended. Bytes and blocks are those that still live. `has_cell` says whether its
    /// Tokio cell is among them.
    Closed { live_bytes: u64, live_blocks: u32, site: u32, has_cell: bool },
}

impl Account {
    #[allow(
        dead_code,
        reason = "arenas make accounts out of zeroed memory; the loom models make them so"
    )]
    pub(crate) fn new() -> Self {
        Self {
            balance: AtomicI64::new(0),
            id: AtomicU64::new(0),
            blocks: AtomicU32::new(0),
            record: AtomicU32::new(0),
            site: AtomicU32::new(0),
            index: AtomicU32::new(0),
        }
    }

    /// An account that exists before any memory does. The caller passes the atomics, because a
    /// constant function cannot make loom's.
    pub(crate) const fn of(
        balance: AtomicI64,
        id: AtomicU64,
        blocks: AtomicU32,
        record: AtomicU32,
        site: AtomicU32,
        index: AtomicU32,
    ) -> Self {
        Self { balance, id, blocks, record, site, index }
    }

    /// Puts the account into use for the owner with this id, record and site.
    #[inline]
    pub(crate) fn open(&self, id: u64, record: u32, site: u32) {
        self.blocks.store(0, Ordering::Relaxed);
        // Release; pairs with the Acquires in `id` and `read`. A reader loads the id, then the
        // rest, then the id again. If it sees any of these stores, it sees that the id is not the
        // old one any more. If it sees the new id, it sees no old balance.
        self.record.store(record, Ordering::Release);
        self.site.store(site, Ordering::Release);
        self.id.store(id, Ordering::Release);
        self.balance.store(OPEN, Ordering::Release);
    }

    /// Moves the owner to another site. Only the owner's single writer calls this, while the owner
    /// is open.
    pub(crate) fn set_site(&self, site: u32) {
        self.site.store(site, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn site(&self) -> u32 {
        self.site.load(Ordering::Relaxed)
    }

    /// Notes that the owner has a Tokio cell. The spawner calls this before the task can run.
    pub(crate) fn add_cell(&self) {
        self.record.store(self.record.load(Ordering::Relaxed) | CELL, Ordering::Relaxed);
    }

    /// Notes that the cell is freed. Its future was dropped before, so no other thread writes here.
    pub(crate) fn remove_cell(&self) {
        self.record.store(self.record.load(Ordering::Relaxed) & !CELL, Ordering::Relaxed);
    }

    /// Adds a block to an owner that many threads charge and that never closes. Returns its live
    /// bytes.
    pub(crate) fn charge(&self, bytes: usize) -> i64 {
        let bytes = bytes.cast_signed() as i64;
        self.blocks.fetch_add(1, Ordering::Relaxed);
        // Release; pairs with the Acquire in `read`: a reader that sees the block as live sees it
        // as allocated.
        self.balance.fetch_add(bytes, Ordering::Release) + bytes - OPEN
    }

    /// Adds a block that the owner takes over; any thread may call this. Returns `false` if the
    /// owner has ended.
    ///
    /// Until that block is freed, the account stays this owner's.
    pub(crate) fn charge_if_open(&self, bytes: usize) -> bool {
        let bytes = bytes.cast_signed() as i64;
        let mut balance = self.balance.load(Ordering::Relaxed);
        while balance > OPEN / 2 {
            // Release; pairs with the Acquire in `read`, as in `charge`. Acquire: the id that the
            // caller reads next is not an older one.
            match self.balance.compare_exchange_weak(
                balance,
                balance + bytes,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    self.blocks.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                Err(now) => balance = now,
            }
        }
        false
    }

    /// Takes off a block that a thread or task other than the owner freed. Returns `true` if it was
    /// the last block of an ended owner: then the caller must give the account back.
    ///
    /// PERF: the last block costs no locked instruction. It mostly is the task's Tokio cell.
    #[inline]
    #[must_use]
    pub(crate) fn discharge(&self, bytes: usize) -> bool {
        let bytes = bytes.cast_signed() as i64;
        // Acquire: as below.
        if self.balance.load(Ordering::Acquire) == bytes {
            // The owner has ended, and this is its last block: no other thread uses the account any
            // more.
            self.record.store(CLOSING, Ordering::Relaxed);
            self.blocks.store(0, Ordering::Relaxed);
            self.balance.store(0, Ordering::Release);
            return true;
        }
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        // Release: this thread's use of the account is over before another thread gives it back.
        // Acquire: the thread that gives it back sees all those uses. Both pair with the other
        // calls of `discharge` and with `close`.
        self.balance.fetch_sub(bytes, Ordering::AcqRel) == bytes
    }

    /// Ends the owner: adds its private part to the account. Returns `true` if nothing is live:
    /// then the caller must give the account back.
    #[allow(dead_code, reason = "for the loom models: the runtime takes the two steps apart")]
    #[must_use]
    pub(crate) fn close(&self, own_live_bytes: i64, own_live_blocks: u32) -> bool {
        self.begin_close(own_live_blocks);
        self.finish_close(own_live_bytes)
    }

    /// The first half of [`close`](Self::close): adds the blocks, and forbids readers to read the
    /// record.
    #[inline]
    pub(crate) fn begin_close(&self, own_live_blocks: u32) {
        // Release; pairs with `read`. As in `open`, it serves a reader that still has the previous
        // owner in mind. A reader that sees the blocks added also sees that it must not read the
        // owner's record.
        let cell = self.record.load(Ordering::Relaxed) & CELL;
        // PERF: one locked instruction less than an addition.
        let fits = own_live_blocks <= INDEX;
        let blocks = if fits { own_live_blocks } else { 0 };
        self.record.store(CLOSING | cell | blocks, Ordering::Release);
        if !fits {
            self.blocks.fetch_add(own_live_blocks, Ordering::Release);
        }
    }

    /// [`begin_close`](Self::begin_close) of an owner that has neither a block nor a cell.
    #[allow(dead_code, reason = "the loom models close with a number")]
    #[inline]
    pub(crate) fn begin_close_without(&self) {
        // Release: as in `begin_close`.
        self.record.store(CLOSING, Ordering::Release);
    }

    /// The second half of [`close`](Self::close): adds the bytes. Returns what `close` returns.
    #[must_use]
    #[inline]
    pub(crate) fn finish_close(&self, own_live_bytes: i64) -> bool {
        // AcqRel: as in `discharge`.
        self.balance.fetch_add(own_live_bytes - OPEN, Ordering::AcqRel) == OPEN - own_live_bytes
    }

    /// Whether the owner's end has begun, but has not reached its balance. Must be called in a
    /// forked child, on its only thread.
    #[allow(dead_code, reason = "the loom models do not fork")]
    pub(crate) fn is_closing(&self) -> bool {
        self.balance.load(Ordering::Relaxed) > OPEN / 2
            && self.record.load(Ordering::Relaxed) & CLOSING != 0
    }

    /// Bytes that others added (above zero) or freed (below zero) while the owner is open.
    #[inline]
    pub(crate) fn net(&self) -> i64 {
        self.balance.load(Ordering::Relaxed) - OPEN
    }

    /// Whether the balance is this number.
    #[allow(dead_code, reason = "the loom models have transfers")]
    #[inline]
    pub(crate) fn has_balance(&self, balance: i64) -> bool {
        self.balance.load(Ordering::Relaxed) == balance
    }

    /// Reads the account. NOTE: must be called before the owner's tally is read.
    ///
    /// A block is freed after it was allocated. So a tally read later contains every allocation
    /// whose free is counted here, and no difference of the two falls below zero.
    pub(crate) fn read(&self) -> Balance {
        // Acquire; pairs with the Releases in `discharge`, `close` and `open`.
        let balance = self.balance.load(Ordering::Acquire);
        let blocks = self.blocks.load(Ordering::Acquire);
        let record = self.record.load(Ordering::Acquire);
        let site = self.site.load(Ordering::Acquire);
        if balance > OPEN / 2 {
            let record = if record & CLOSING == 0 { record & INDEX } else { NO_RECORD };
            Balance::Open { net_bytes: balance - OPEN, net_blocks: blocks, record, site }
        } else {
            Balance::Closed {
                live_bytes: u64::try_from(balance).unwrap_or(0),
                live_blocks: blocks.wrapping_add(record & INDEX),
                site,
                has_cell: record & CELL != 0,
            }
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Acquire)
    }

    pub(crate) fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    pub(crate) fn set_index(&self, index: u32) {
        self.index.store(index, Ordering::Relaxed);
    }

    /// The free list's link. It lives in `id`, marked by the highest bit: no owner has such an id.
    pub(crate) fn link(&self) -> u32 {
        u32::try_from(self.id.load(Ordering::Relaxed) & !FREE).unwrap_or(0)
    }

    pub(crate) fn set_link(&self, next: u32) {
        // Relaxed: the free list publishes it, and readers pair with `open`.
        self.id.store(FREE | u64::from(next), Ordering::Relaxed);
    }

    pub(crate) fn is_free(&self) -> bool {
        self.id() & FREE != 0
    }
}

const FREE: u64 = 1 << 63;
