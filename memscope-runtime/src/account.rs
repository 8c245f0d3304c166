//! What other threads do to an owner's blocks, and when its last block is gone.

use crate::sync::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// The 32 bytes that every block of one owner points to.
///
/// It outlives the task: as long as one block points here, the account is in use. Who takes it back is decided as in
/// biased reference counting. While the owner is open, `balance` is [`OPEN`] plus what others did (frees count below
/// zero) and the owner's own part stays private in its [`Tally`](crate::tally::Tally). At its end the owner folds that part
/// in and takes `OPEN` off; from then on `balance` is the live bytes, and whoever brings it to zero takes the account
/// back. A block has at least one byte, so no bytes means no blocks.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Account {
    balance: AtomicI64,
    /// Blocks, counted like `balance` (without the bias); written before it, so that it is right when zero is seen.
    blocks: AtomicI64,
    /// The owner's id (0: a thread); in the free list the link to the next account.
    id: AtomicU64,
    /// While open: the index of the owner's record. Closed: the index of its site.
    holder: AtomicU32,
    /// This account's own index in its arena.
    index: AtomicU32,
}

/// Added to the balance while the owner is open: far above any number of bytes that can be live.
const OPEN: i64 = 1 << 62;

/// What an account says of its owner's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The owner is open; bytes and blocks that others added or (below zero) took off.
    Open { net_bytes: i64, net_blocks: i64, record: u32 },
    /// The owner has ended; bytes and blocks that are still live.
    Closed { live_bytes: u64, live_blocks: u64, site: u32 },
}

impl Account {
    #[cfg_attr(not(test), expect(dead_code, reason = "arenas make accounts out of zeroed memory"))]
    pub(crate) fn new() -> Self {
        Self {
            balance: AtomicI64::new(0),
            blocks: AtomicI64::new(0),
            id: AtomicU64::new(0),
            holder: AtomicU32::new(0),
            index: AtomicU32::new(0),
        }
    }

    /// Puts the account into use for the owner with this id, whose record is `record`.
    pub(crate) fn open(&self, id: u64, record: u32) {
        self.blocks.store(0, Ordering::Relaxed);
        self.holder.store(record, Ordering::Relaxed);
        self.id.store(id, Ordering::Relaxed);
        // Pairs with the load in `read`: who sees the account open sees whose it is.
        self.balance.store(OPEN, Ordering::Release);
    }

    /// Takes off a block freed by somebody who is not the owner. True: it was the last one of an ended owner, and the
    /// caller must give the account back.
    #[inline]
    #[must_use]
    pub(crate) fn discharge(&self, bytes: usize) -> bool {
        let bytes = bytes.cast_signed() as i64;
        self.blocks.fetch_sub(1, Ordering::Relaxed);
        // Release: the freeing thread's use of the account is over before another one gives it back. Acquire: the one
        // that does sees all of them. Both pair with the other calls of `discharge` and with `close`.
        self.balance.fetch_sub(bytes, Ordering::AcqRel) == bytes
    }

    /// Ends the owner: its private part is folded in and the site stands in for its record. True: nothing is live, and
    /// the caller must give the account back.
    #[must_use]
    pub(crate) fn close(&self, own_live_bytes: i64, own_live_blocks: i64, site: u32) -> bool {
        self.holder.store(site, Ordering::Relaxed);
        self.blocks.fetch_add(own_live_blocks, Ordering::Relaxed);
        // AcqRel: as in `discharge`; and the site above is seen by who sees the account closed.
        self.balance.fetch_add(own_live_bytes - OPEN, Ordering::AcqRel) == OPEN - own_live_bytes
    }

    /// Bytes that others added (above zero) or freed (below zero) while the owner is open.
    #[inline]
    pub(crate) fn net(&self) -> i64 {
        // Acquire pairs with `discharge`: see `read`.
        self.balance.load(Ordering::Acquire) - OPEN
    }

    /// NOTE: read this before the owner's tally. A block is freed after it was allocated, so a tally read later
    /// has every allocation whose free is in here, and no difference of the two falls below zero.
    pub(crate) fn read(&self) -> Balance {
        let balance = self.balance.load(Ordering::Acquire);
        let blocks = self.blocks.load(Ordering::Relaxed);
        let holder = self.holder.load(Ordering::Relaxed);
        if balance > OPEN / 2 {
            Balance::Open { net_bytes: balance - OPEN, net_blocks: blocks, record: holder }
        } else {
            Balance::Closed {
                live_bytes: u64::try_from(balance).unwrap_or(0),
                live_blocks: u64::try_from(blocks).unwrap_or(0),
                site: holder,
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

    /// The link of the free list lives in `id`, marked by the highest bit: no owner has such an id.
    pub(crate) fn link(&self) -> u32 {
        u32::try_from(self.id.load(Ordering::Relaxed) & !FREE).unwrap_or(0)
    }

    pub(crate) fn set_link(&self, next: u32) {
        self.id.store(FREE | u64::from(next), Ordering::Release);
    }

    pub(crate) fn is_free(&self) -> bool {
        self.id() & FREE != 0
    }
}

const FREE: u64 = 1 << 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_free_after_the_end_gives_the_account_back_and_no_other_does() {
        let account = Account::new();
        account.open(7, 3);
        assert!(
            !account.discharge(10),
            "an open owner keeps its account even at a net of zero bytes"
        );
        assert_eq!(account.read(), Balance::Open { net_bytes: -10, net_blocks: -1, record: 3 });
        assert!(!account.close(30, 3, 5), "20 bytes are live");
        assert_eq!(account.read(), Balance::Closed { live_bytes: 20, live_blocks: 2, site: 5 });
        assert!(!account.discharge(8));
        assert!(account.discharge(12));
        account.open(8, 4);
        assert!(account.close(0, 0, 5), "nothing was ever live");
    }
}
