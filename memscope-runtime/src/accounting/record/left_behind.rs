//! Ends of tasks that a fork interrupted: the child finishes them, because it does not have the
//! parent's other threads.

use super::Record;
use crate::{
    accounting::{account::Balance, ended_tasks, registry, site::Site},
    primitives::SlabItem,
};

/// How far the end of a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The end has not reached the account: the task is open, or it has ended and its future is
    /// held.
    Open,
    /// The task is in the sums of its site, and its account is being closed.
    Closing,
    /// The account is closed.
    Closed,
}

impl Record {
    /// Finishes the ends of tasks that other threads were in the middle of, so that each task is
    /// counted once. Must be called in a forked child, on its only thread.
    ///
    /// If the thread had not yet added the task to all sums of its site, the task stays one that is
    /// held. Some of these sums may already contain it.
    // PERF: walks over all records, but only if the fork interrupted such an end.
    pub(crate) fn finish_ends() {
        for site in Site::all() {
            let half_added = site.sums.forked();
            if half_added.is_holder_uncounted
                && let Some(holder) = half_added.holder.and_then(registry::record)
            {
                holder.count(true);
            }
            let rest = usize::try_from(half_added.others_uncounted).unwrap_or(0);
            if rest != 0 {
                Self::count_contended(site, half_added.holder, rest);
            }
        }
        for row in ended_tasks::half_written() {
            // The row is written before the account begins to close.
            match Self::of_row(row) {
                Some(record) if record.step() != Step::Open => row.keep(),
                _ => row.forget(),
            }
        }
        for record in registry::records() {
            record.finish();
        }
    }

    /// Counts `rest` tasks of the site whose threads did not have the lock: first those whose
    /// accounts are closing, then those whose ends have come less far.
    fn count_contended(site: &Site, holder: Option<u32>, mut rest: usize) {
        let is_of = |record: &&Self| {
            record.counted_site.get().is_some_and(|of| of.index() == site.index())
                && Some(record.index()) != holder
        };
        for record in registry::records().filter(is_of) {
            if rest != 0 && record.step() == Step::Closing {
                record.count(false);
                rest -= 1;
            }
        }
        let rows = ended_tasks::half_written().filter_map(Self::of_row);
        let open = rows.filter(is_of).filter(|record| record.step() == Step::Open);
        open.take(rest).for_each(|record| record.count(false));
    }

    /// The record of the task in this row.
    fn of_row(row: ended_tasks::HalfWritten) -> Option<&'static Self> {
        let is_its = |record: &&Self| row.id() != 0 && record.tally.id() == row.id();
        registry::records().find(is_its)
    }

    /// Counts the task, which is in the sums of its site but not yet in the number of tasks.
    fn count(&self, is_holder: bool) {
        if self.step() == Step::Open {
            self.begin_close();
        }
        if let Some(site) = self.counted_site.get() {
            site.sums.count(self.state(), is_holder);
        }
    }

    fn step(&self) -> Step {
        let id = self.tally.id();
        let Some(account) = self.tally.account().filter(|_| id != 0) else { return Step::Open };
        if account.id() != id || matches!(account.read(), Balance::Closed { .. }) {
            Step::Closed
        } else if account.is_closing() {
            Step::Closing
        } else {
            Step::Open
        }
    }

    fn begin_close(&self) {
        if let Some(account) = self.tally.account() {
            account.begin_close(self.tally.read().own_live_blocks);
        }
    }

    fn finish(&'static self) {
        let step = self.step();
        let Some(account) = self.tally.account().filter(|_| step != Step::Open) else { return };
        let tally = self.tally.read();
        let is_empty = if step == Step::Closing {
            account.finish_close(tally.own_live_bytes)
        } else {
            // As long as the account has the task's id, it was not given back.
            account.id() == self.tally.id()
                && matches!(account.read(), Balance::Closed { live_bytes: 0, .. })
        };
        if is_empty {
            registry::give_back(account);
        }
        self.tally.close();
        registry::give_back_record(self);
    }
}
