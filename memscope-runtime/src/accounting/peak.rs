//! The most that an owner held at one time.

use super::account::Account;
use crate::primitives::sync::{AtomicI64, Ordering, fence};

/// A peak, checked at each allocation without a look at the account, whose line other threads
/// write.
///
/// Written by the owner's one writer, but for [`look_again`](Self::look_again).
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Peak {
    /// The peak less the account's net when that was last looked at. The net falls as others free:
    /// as long as what the owner holds by itself is not above this, live is not above the peak.
    /// Only a transfer raises the net; then this is made so low that the next allocation looks
    /// again.
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

    /// Whether live may be above the peak, when the owner holds so much by itself; then
    /// [`settle`](Self::settle) tells.
    #[inline]
    pub(crate) fn is_passed_by(&self, own_live: i64) -> bool {
        own_live > self.limit.load(Ordering::Relaxed)
    }

    /// Looks at what others did meanwhile and raises the peak to what is live; from `peak` on.
    /// `may_rise`: there have been transfers.
    pub(crate) fn settle(
        &self,
        account: &Account,
        own_live: i64,
        peak: i64,
        may_rise: impl Fn() -> bool,
    ) {
        let net = account.net();
        let peak = peak.max(own_live.wrapping_add(net));
        // Release pairs with the Acquire in `bytes`: see `Record::enter_window`.
        self.bytes.store(peak, Ordering::Release);
        self.limit.store(peak.wrapping_sub(net), Ordering::Relaxed);
        if may_rise() {
            // A transfer raises the net, passes its fence and then lowers the limit. Either its
            // fence comes after this one, and so its limit after ours; or its net is seen here.
            fence(Ordering::SeqCst);
            if account.net() > net {
                self.limit.store(i64::MIN, Ordering::Relaxed);
            }
        }
    }

    /// Lets the owner's next allocation look at the account: by whoever has raised its net.
    pub(crate) fn look_again(&self) {
        // Pairs with the fence in `settle`.
        fence(Ordering::SeqCst);
        self.limit.store(i64::MIN, Ordering::Relaxed);
    }

    /// Keeps what a signpost leads to, which has no peak.
    #[allow(dead_code, reason = "only spans have signposts that are used again")]
    pub(crate) fn stand_for(&self, what: i64) {
        self.bytes.store(what, Ordering::Release);
    }

    pub(crate) fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Acquire)
    }
}
