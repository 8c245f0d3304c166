//! A task that ends, as its row and the sums of its site read it.

use super::Record;
use crate::{
    accounting::{
        account::Account,
        future_type::FutureType,
        site::Site,
        stream_items::{self, ItemsReading},
        transferred::TransferredIn,
    },
    model::TaskCounters,
    primitives::{SlabItem, StaticRef, sync::Ordering},
};

/// A task that ends. No thread writes what is read here any more, so each number can be read where
/// it is put down.
// PERF: a reading of them all at once would be kept on the stack and read again from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending<'t> {
    record: &'t Record,
    account: &'t Account,
    peak_bytes: u64,
    taken: Option<&'t TransferredIn>,
}

impl<'t> Ending<'t> {
    /// The end of this record's task. `taken` is what came to it through others, if anything did.
    #[inline]
    pub(crate) fn new(
        record: &'t Record,
        account: &'t Account,
        taken: Option<&'t TransferredIn>,
    ) -> Self {
        let own = record.tally.last_peak_bytes().max(record.past_peak.load(Ordering::Relaxed));
        let peak_bytes = taken.map_or(own, |taken| own.max(taken.peak_bytes));
        Self { record, account, peak_bytes, taken }
    }

    /// What it was [made](Self::new) of.
    #[inline]
    pub(crate) fn parts(self) -> (&'t Record, &'t Account, Option<&'t TransferredIn>) {
        (self.record, self.account, self.taken)
    }

    #[inline]
    pub(crate) fn id(self) -> u64 {
        self.record.tally.id()
    }

    #[inline]
    pub(crate) fn account(self) -> u32 {
        self.account.index()
    }

    /// The index of its record.
    #[inline]
    pub(crate) fn index(self) -> u32 {
        self.record.index()
    }

    #[inline]
    pub(crate) fn parent(self) -> u64 {
        self.record.parent.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn site(self) -> &'t StaticRef<Site> {
        &self.record.site
    }

    #[inline]
    pub(crate) fn future(self) -> &'t StaticRef<FutureType> {
        &self.record.future
    }

    #[inline]
    pub(crate) fn counters(self) -> TaskCounters {
        self.record.tally.counters(self.taken)
    }

    /// Bytes that it allocated or took over, minus those that it freed itself.
    #[inline]
    pub(crate) fn kept_bytes(self) -> u64 {
        self.record.tally.kept_bytes(self.taken)
    }

    #[inline]
    pub(crate) fn peak_bytes(self) -> u64 {
        self.peak_bytes
    }

    #[inline]
    pub(crate) fn polls(self) -> u64 {
        let polls = self.record.polls.load(Ordering::Relaxed);
        self.taken.map_or(polls, |taken| polls + taken.entries)
    }

    #[inline]
    pub(crate) fn cell_bytes(self) -> u64 {
        u64::from(self.record.cell_bytes.load(Ordering::Relaxed))
    }

    /// The state that it ended in, as its number.
    #[inline]
    pub(crate) fn state(self) -> u8 {
        self.record.state.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn items(self) -> Option<ItemsReading> {
        stream_items::of(self.record)
    }
}
