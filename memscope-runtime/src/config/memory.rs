//! Settings about the memory of the process: its limit, and what happens near it.

use super::Builder;
use crate::{
    model::{AllocatorUsage, Error, Limit, OverBudget, Pressure},
    primitives::{Lock, Renew},
};

/// The most shares of the limit at which reports are written.
const MOST_SHARES: usize = 8;

/// The shares of the limit at which reports are written, in rising order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReportAt {
    shares: [f64; MOST_SHARES],
    /// More than `MOST_SHARES` if too many were asked for.
    len: usize,
}

impl ReportAt {
    pub(crate) const DEFAULT: Self =
        Self { shares: [0.8, 0.9, 0.95, 0.0, 0.0, 0.0, 0.0, 0.0], len: 3 };

    fn new(given: impl IntoIterator<Item = f64>) -> Self {
        let mut shares = [0.0; MOST_SHARES];
        let mut len = 0;
        for share in given.into_iter().take(MOST_SHARES + 1) {
            if let Some(place) = shares.get_mut(len) {
                *place = share;
            }
            len += 1;
        }
        let kept = len.min(MOST_SHARES);
        shares[..kept].sort_by(f64::total_cmp);
        Self { shares, len }
    }

    pub(crate) fn shares(&self) -> impl DoubleEndedIterator<Item = f64> + '_ {
        self.shares.iter().take(self.len).copied()
    }

    fn check(&self) -> Result<(), Error> {
        if self.len > MOST_SHARES {
            return Err(Error::setting("the number of shares in report_at", self.len as u64, 8));
        }
        match self.shares().find(|share| !(*share > 0.0 && *share <= 1.0)) {
            Some(_) => Err(Error::share("report_at")),
            None => Ok(()),
        }
    }
}

/// Plain data, so that any thread copies it.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemorySettings {
    limit: Limit,
    report_at: ReportAt,
    usage: Option<fn() -> Option<AllocatorUsage>>,
    on_pressure: Option<fn(&Pressure)>,
    on_over_budget: Option<fn(&OverBudget)>,
}

impl Renew for MemorySettings {
    fn renew(&mut self) {
        *self = Self::DEFAULT;
    }
}

impl MemorySettings {
    pub(super) const DEFAULT: Self = Self {
        limit: Limit::Cgroup,
        report_at: ReportAt::DEFAULT,
        usage: None,
        on_pressure: None,
        on_over_budget: None,
    };

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.limit == Limit::Bytes(0) {
            return Err(Error::setting("memory_limit", 0, u64::MAX));
        }
        self.report_at.check()
    }

    pub(super) fn store(self) {
        *SETTINGS.lock() = self;
    }
}

static SETTINGS: Lock<MemorySettings> = Lock::new(MemorySettings::DEFAULT);

impl Builder {
    /// Which limit of memory the process has (default: that of its control group, or its own
    /// `RLIMIT_AS` and `RLIMIT_DATA`, whichever is nearer). `MEMSCOPE_LIMIT` sets the same without
    /// code.
    ///
    /// A [`Limit::Bytes`] is for machines where no such limit is set. It does not limit anything:
    /// it is what [`report_at`](Self::report_at) and [`on_pressure`](Self::on_pressure) compare
    /// resident memory with.
    pub fn memory_limit(mut self, limit: Limit) -> Self {
        self.memory.limit = limit;
        self
    }

    /// At which shares of the limit a report is written and [`on_pressure`](Self::on_pressure) is
    /// called (default 0.8, 0.9 and 0.95; at most eight). `MEMSCOPE_REPORT_AT` sets the same
    /// without code.
    ///
    /// Reports need a file: `MEMSCOPE_REPORT` or `report_guard`. A share counts again once memory
    /// has fallen 5 % of the limit below it. `docs/MEMORY.md` says what is compared with which
    /// limit, and how often.
    pub fn report_at(mut self, shares: impl IntoIterator<Item = f64>) -> Self {
        self.memory.report_at = ReportAt::new(shares);
        self
    }

    /// Has this function called when memory crosses one of the shares of
    /// [`report_at`](Self::report_at): to drop a cache, or to refuse work.
    ///
    /// It runs on a thread of memscope's, after the report. What it allocates is charged to that
    /// thread, outside every task. While it runs, no further share is noticed. If it panics, a line
    /// on stderr says so. The thread starts with the first task that is polled, if there is a
    /// limit.
    pub fn on_pressure(mut self, call: fn(&Pressure)) -> Self {
        self.memory.on_pressure = Some(call);
        self
    }

    /// How the program's allocator counts what it has from the system.
    ///
    /// Needed for allocators other than the GNU C library's, and jemalloc and mimalloc with the
    /// features of these names. The function is called for snapshots and reports, at most for a
    /// hundredth of the time.
    pub fn allocator_usage(mut self, usage: fn() -> Option<AllocatorUsage>) -> Self {
        self.memory.usage = Some(usage);
        self
    }

    /// Sets how many bytes each task with this name may hold: a task that is named so, or a
    /// `#[tracked]` function. It wins over `#[tracked(budget = "…")]`, and `.budget(…)` of a task
    /// wins over both. Not for unannotated tasks, whose polls memscope does not see.
    ///
    /// `docs/MEMORY.md` says what happens above a budget.
    pub fn task_budget(mut self, name: impl Into<String>, bytes: u64) -> Self {
        self.budgets.push((name.into(), bytes));
        self
    }

    /// The budgets by name, in the order in which they were set.
    pub(crate) fn budgets(&self) -> &[(String, u64)] {
        &self.budgets
    }

    /// Has this function called when a task is over its budget, once a task: see `docs/MEMORY.md`.
    ///
    /// It runs on the thread that has polled the task, right after that poll. So it must be short
    /// and must not block.
    pub fn on_over_budget(mut self, call: fn(&OverBudget)) -> Self {
        self.memory.on_over_budget = Some(call);
        self
    }
}

pub(crate) fn memory_limit() -> Limit {
    SETTINGS.lock().limit
}

pub(crate) fn report_at() -> ReportAt {
    SETTINGS.lock().report_at
}

pub(crate) fn allocator_usage() -> Option<fn() -> Option<AllocatorUsage>> {
    SETTINGS.lock().usage
}

pub(crate) fn on_pressure() -> Option<fn(&Pressure)> {
    SETTINGS.lock().on_pressure
}

pub(crate) fn on_over_budget() -> Option<fn(&OverBudget)> {
    SETTINGS.lock().on_over_budget
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_above_zero_and_at_most_one() {
        for wrong in [vec![0.0], vec![-0.1], vec![1.01], vec![f64::NAN], vec![0.5; 9]] {
            assert!(Builder::default().report_at(wrong.clone()).check().is_err(), "{wrong:?}");
        }
        for right in [vec![], vec![1.0], vec![0.95, 0.8], vec![0.5; 8]] {
            assert!(Builder::default().report_at(right.clone()).check().is_ok(), "{right:?}");
        }
        assert!(Builder::default().memory_limit(Limit::Bytes(0)).check().is_err());
        let shares: Vec<f64> = ReportAt::new([0.95, 0.8]).shares().collect();
        assert_eq!(shares, [0.8, 0.95]);
    }
}
