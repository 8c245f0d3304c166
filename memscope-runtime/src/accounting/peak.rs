//! The peak of an owner: the most that it held at one time.

use super::account::Account;
use crate::primitives::sync::{AtomicI64, Ordering, fence};

/// A peak that each allocation checks without a look at the account, whose cache line other threads
/// write.
///
/// Written by the owner's single writer, except for [`look_again`](Self::look_again).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Peak {
    /// The peak minus the account's net, as it was at the last look. The net falls as others free.
    /// So while the owner's own live bytes do not exceed this limit, live bytes do not exceed the
    /// peak. For a task within a budget below its peak: the budget minus the net.
    ///
    /// Only a transfer, or a guest of a span, raises the net. It then lowers the limit so far that
    /// the next allocation looks again.
    limit: AtomicI64,
    bytes: AtomicI64,
}

impl Peak {
    pub(crate) const fn new(limit: AtomicI64, bytes: AtomicI64) -> Self {
        Self { limit, bytes }
    }

    pub(crate) fn open(&self) {
        self.limit.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Whether live bytes may exceed the peak, given the owner's own live bytes. If so,
    /// [`settle`](Self::settle) finds out.
    #[inline]
    pub(crate) fn is_passed_by(&self, own_live: i64) -> bool {
        own_live > self.limit.load(Ordering::Relaxed)
    }

    /// Raises the peak to the owner's own live bytes, which must be all that is live, and above the
    /// peak. No transfer, guest or budget may have lowered the limit.
    #[allow(dead_code, reason = "the loom models have transfers")]
    #[inline]
    pub(crate) fn raise(&self, own_live: i64) {
        // Release: as in `settle`.
        self.bytes.store(own_live, Ordering::Release);
        self.limit.store(own_live, Ordering::Relaxed);
    }

    /// Reads what others did meanwhile, and raises the peak from `peak` to what is live. `may_rise`
    /// returns whether there have been transfers or guests. Returns that too.
    pub(crate) fn settle(
        &self,
        account: &Account,
        own_live: i64,
        peak: i64,
        may_rise: impl Fn() -> bool,
    ) -> bool {
        let net = account.net();
        let peak = peak.max(own_live.wrapping_add(net));
        // Release; pairs with the Acquire in `bytes`: see `Record::enter_window`.
        self.bytes.store(peak, Ordering::Release);
        self.limit.store(peak.wrapping_sub(net), Ordering::Relaxed);
        let may_rise = may_rise();
        if may_rise {
            self.look_again_above(account, net);
        }
        may_rise
    }

    /// Makes the owner look again as soon as it may hold more than `most`, also below its peak.
    #[allow(dead_code, reason = "the loom models have no budgets")]
    pub(crate) fn look_above(&self, account: &Account, most: i64) {
        if most < self.bytes() {
            let net = account.net();
            self.limit.store(most.saturating_sub(net), Ordering::Relaxed);
            self.look_again_above(account, net);
        }
    }

    /// Makes the owner look again if its net has risen above the one that its limit is made of.
    fn look_again_above(&self, account: &Account, net: i64) {
        // A transfer raises the net, passes its fence, and then lowers the limit. Either its fence
        // comes after this one, and so its store of the limit after ours; or this thread sees its
        // net here.
        fence(Ordering::SeqCst);
        if account.net() > net {
            self.limit.store(i64::MIN, Ordering::Relaxed);
        }
    }

    /// Makes the owner's next allocation look at the account. The thread that raised its net calls
    /// this.
    pub(crate) fn look_again(&self) {
        // Pairs with the fence in `look_again_above`.
        fence(Ordering::SeqCst);
        self.limit.store(i64::MIN, Ordering::Relaxed);
    }

    /// Keeps what a mode tally leads to; a mode tally has no peak.
    #[allow(dead_code, reason = "only spans use mode tallies again")]
    pub(crate) fn lead_to(&self, what: i64) {
        self.bytes.store(what, Ordering::Release);
    }

    pub(crate) fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Acquire)
    }
}
