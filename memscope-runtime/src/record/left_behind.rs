//! Ends of tasks that a fork interrupted: the child finishes them, as it does not have their threads.

use super::Record;
use crate::{
    account::{Account, Balance},
    ending,
    history::{self, HalfWritten},
    registry,
    site::Site,
};

/// How far the end of a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Not as far as its account.
    Open,
    /// The task is in the sums of its site; the account is to be closed.
    Closing,
    /// The account is closed.
    Closed,
}

impl Record {
    /// In a forked child, on its only thread: finishes the ends of tasks that other threads were in the middle of, so that each task is counted once.
    ///
    /// Not known is how many of the sums of its site a thread had come to: the task may be missing in some.
    // PERF: walks over all records, but only where a fork comes into such a moment.
    pub(crate) fn finish_ends() {
        Site::all().for_each(|site| site.sums.forked());
        // A row that is being written says which task it is that ends.
        for row in history::half_written() {
            let id = row.id();
            match registry::records().find(|record| id != 0 && record.tally.id() == id) {
                Some(record) => record.finish_from(row),
                // The writer had not begun.
                None => row.forget(),
            }
        }
        for record in registry::records() {
            record.finish_from_step();
        }
    }

    fn finish_from(&'static self, row: HalfWritten) {
        if self.step() != Step::Open || self.is_in_sums() {
            // The row is written first.
            row.keep();
            self.finish();
        } else {
            row.forget();
            self.put_away(true);
        }
    }

    fn finish_from_step(&'static self) {
        if self.step() != Step::Open {
            self.finish();
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

    /// Whether the site of a task that ends has counted it: then its tasks that have ended and those that are open are more than it ever had.
    fn is_in_sums(&self) -> bool {
        let Some(row) = self.row.get() else { return false };
        let is_open = |account: &&Account| {
            let is_its = !account.is_free() && account.id() != 0 && account.site() == row.index();
            is_its && !account.is_closing() && matches!(account.read(), Balance::Open { .. })
        };
        let open = registry::accounts().filter(|account| is_open(&account)).count() as u64;
        row.sums.read().ended() + open > row.spawned()
    }

    /// What follows once the task is in the sums of its site.
    fn finish(&'static self) {
        let (id, step) = (self.tally.id(), self.step());
        if let (Some(account), Some(row)) = (self.tally.account(), self.row.get()) {
            let tally = self.tally.read();
            if step == Step::Open {
                ending::note(account, &self.ending(row, true));
            }
            let is_empty = match step {
                Step::Open | Step::Closing => {
                    account.close(tally.own_live_bytes, tally.own_live_blocks())
                }
                // As long as it has the id, it was not given back.
                Step::Closed => {
                    account.id() == id
                        && matches!(account.read(), Balance::Closed { live_bytes: 0, .. })
                }
            };
            if is_empty {
                registry::give_back(account);
            }
        }
        self.tally.close();
        registry::give_back_record(self);
    }
}
