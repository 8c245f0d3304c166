//! How wrong the estimates of a stack may be.

use crate::{accounting::stacks::error_bound, model::StackProfile, snapshot::float};

impl StackProfile {
    /// How far the true live bytes may be from [`live_bytes`](Self::live_bytes), as a part of it:
    /// in 95 of 100 cases they are not farther. `None` without a live sample.
    ///
    /// It is about 2 / √n for n samples: 0.9 for 9 samples, 0.2 for 113. Blocks larger than the
    /// interval are sampled always, so for them the estimate is better than this.
    pub fn live_error(&self) -> Option<f64> {
        (self.live_samples != 0).then(|| error_bound(self.live_samples))
    }

    /// The same for [`allocated_bytes`](Self::allocated_bytes).
    pub fn allocated_error(&self) -> Option<f64> {
        (self.samples != 0).then(|| error_bound(self.samples))
    }
}

/// How many bytes the true sum may be away from an estimate that is made of this many samples.
///
/// Without a sample there may still be bytes: fewer than three intervals in 95 of 100 cases.
pub(crate) fn bound_bytes(estimate: u64, samples: u64, interval_bytes: u64) -> f64 {
    if samples == 0 { 3.0 * float(interval_bytes) } else { float(estimate) * error_bound(samples) }
}
