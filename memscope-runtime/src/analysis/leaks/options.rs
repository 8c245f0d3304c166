//! What counts as a leak.

use std::time::Duration;

/// What counts as a leak: which wait is too long, how often is again and again, how much is growth.
///
/// ```
/// use std::time::Duration;
///
/// use memscope_runtime::{analysis::LeakOptions, async_memory::get_memory_snapshot};
///
/// let options = LeakOptions::new().stuck_after(Duration::from_secs(5)).least_growth(1 << 20);
/// assert!(get_memory_snapshot().leaks_with(&options).is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options are applied by `MemorySnapshot::leaks_with`"]
pub struct LeakOptions {
    pub(super) patience: Duration,
    pub(super) stuck_after: Option<Duration>,
    pub(super) least_waves: u64,
    pub(super) least_retained: u64,
    pub(super) least_samples: usize,
    pub(super) least_growth: u64,
}

impl Default for LeakOptions {
    fn default() -> Self {
        Self {
            patience: Duration::from_mins(1),
            stuck_after: None,
            least_waves: 16,
            least_retained: 4 << 10,
            least_samples: 6,
            least_growth: 64 << 10,
        }
    }
}

impl LeakOptions {
    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long a task must not have been polled before it can be called stuck (default 60 s).
    ///
    /// Growth must have been watched for twice as long, and tasks that were never joined for five
    /// times as long: 2 and 5 minutes by default. What was seen for less than an hour,
    /// sixty times as long, is of low severity unless it is large.
    ///
    /// It must also have waited ten times longer than every timed task of its site that has ended,
    /// of which there must be at least four. A site whose tasks never end cannot be told from one
    /// that sleeps: see [`stuck_after`](Self::stuck_after).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Calls every task stuck that holds bytes and has not been polled for longer than this,
    /// whatever other tasks of its site did (default: no such limit).
    pub fn stuck_after(mut self, limit: Duration) -> Self {
        self.stuck_after = Some(limit);
        self
    }

    /// How many tasks of a site, one after another, must have left bytes behind (default 16; never
    /// less than 8).
    ///
    /// A batch whose results are all held counts once; a pool of ten connections opened one by one
    /// counts ten times.
    pub fn least_waves(mut self, waves: u64) -> Self {
        self.least_waves = waves.max(8);
        self
    }

    /// How many bytes the ended tasks of a site must hold together (default 4,096).
    pub fn least_retained(mut self, bytes: u64) -> Self {
        self.least_retained = bytes;
        self
    }

    /// In how many samples growth must be seen (default 6; never less than 4). Each snapshot takes
    /// one, and so does memscope's own thread. It must also be seen for twice the
    /// [`patience`](Self::patience).
    ///
    /// Six values in a random order rise from first to last once in 720 times, four once in 24.
    pub fn least_samples(mut self, samples: usize) -> Self {
        self.least_samples = samples.max(4);
        self
    }

    /// By how many bytes live bytes must have risen (default 65,536).
    ///
    /// They must also have risen by half of the first sample. A smaller rise, down to a 32nd of it,
    /// must be seen for five times as long and in at least 8 samples, and is a finding of low
    /// severity until a day is over: load may rise as much.
    pub fn least_growth(mut self, bytes: u64) -> Self {
        self.least_growth = bytes;
        self
    }

    /// For how long growth must be seen. What a program does in its first moments is its start.
    pub(super) fn growth_ns(&self) -> u64 {
        nanos(self.patience.saturating_mul(2))
    }

    /// What was seen for less than this says little of a day.
    pub(super) fn lasting_ns(&self) -> u64 {
        nanos(self.patience.saturating_mul(60))
    }

    /// For how long tasks that were not joined must become more. A batch of jobs that is joined at
    /// its end looks the same until then.
    pub(super) fn unjoined_ns(&self) -> u64 {
        nanos(self.patience.saturating_mul(5))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
