//! Measurements: what a process of the comparison prints at its end.

use serde::{Deserialize, Serialize};

/// One measured number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Nanoseconds or bytes, for one operation.
    pub value: f64,
    /// How many operations it is the mean or the median of.
    pub operations: u64,
    /// Whether there were fewer operations than for others, to save time or memory.
    pub is_capped: bool,
}
