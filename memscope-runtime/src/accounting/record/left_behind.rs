//! Ends of tasks that a fork interrupted: the child finishes them, as it does not have their
//! threads.

use super::Record;
use crate::accounting::{
    account::{Account, Balance},
    ended_tasks, registry,
    site::Site,
};

/// How far the end of a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Not as far as its account: the task is open, or ended and held.
    Open,
    /// The task is in the sums of its site; the account is to be closed.
    Closing,
    /// The account is closed.
    Closed,
}

impl Record {
    /// In a forked child, on its only thread: finishes the ends of tasks that other threads were in
    /// the middle of, so that each task is counted once.
    ///
    /// A task that its thread had not yet counted among the ended ones of its site stays one that
    /// is held; of other sums it may be a part already.
    // PERF: walks over all records, but only where a fork comes into such a moment.
    pub(crate) fn finish_ends() {
        Site::all().for_each(|site| site.sums.forked());
        for counted_site in ended_tasks::half_written() {
            let is_its =
                |record: &&Self| counted_site.id() != 0 && record.tally.id() == counted_site.id();
            match registry::records().find(is_its) {
                // The row is written before.
                Some(record) if record.step() != Step::Open => counted_site.keep(),
                Some(record) if record.was_just_counted() => {
                    counted_site.keep();
                    record.begin_close();
                }
                _ => counted_site.forget(),
            }
        }
        for record in registry::records() {
            record.finish();
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

    /// Whether its thread has counted it and come no further: then the tasks of its site that have
    /// ended and those that are open are more than there ever were.
    fn was_just_counted(&self) -> bool {
        let Some(counted_site) = self.counted_site.get() else { return false };
        let is_open = |account: &Account| {
            let is_its =
                !account.is_free() && account.id() != 0 && account.site() == counted_site.index();
            is_its && !account.is_closing() && matches!(account.read(), Balance::Open { .. })
        };
        let open = registry::accounts().filter(|account| is_open(account)).count() as u64;
        counted_site.sums.read().ended() + open > counted_site.spawned()
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
            // As long as it has the id, it was not given back.
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
