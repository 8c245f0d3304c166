//! Ends of tasks that a fork interrupted: the child finishes them, because it does not have the
//! parent's other threads.

use super::Record;
use crate::accounting::{
    account::{Account, Balance},
    ended_tasks, registry,
    site::Site,
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
    /// If the thread had not yet counted the task among its site's ended tasks, the task stays one
    /// that is held. Other sums may already contain it.
    // PERF: walks over all records, but only if the fork interrupted such an end.
    pub(crate) fn finish_ends() {
        Site::all().for_each(|site| site.sums.forked());
        for counted_site in ended_tasks::half_written() {
            let is_its =
                |record: &&Self| counted_site.id() != 0 && record.tally.id() == counted_site.id();
            match registry::records().find(is_its) {
                // The row is written before the account is closed.
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

    /// Whether the thread has counted this task as ended and has come no further. Then ended and
    /// open tasks of its site are together more than were ever created.
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
