//! What a process prints at its end.

use serde::{Deserialize, Serialize};

/// One measured number.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Measurement {
    /// Nanoseconds or bytes, for one operation.
    pub value: f64,
    /// How many operations it is the mean or the median of.
    pub operations: u64,
    /// Fewer operations than others make, since these took too long or too much memory.
    pub is_capped: bool,
}
