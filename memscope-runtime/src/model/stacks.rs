//! Whether call stacks are sampled.

use serde::{Deserialize, Serialize};

/// How often the call stack of an allocation is sampled.
///
/// Sums of tasks and sites are exact whatever this says. Stacks are samples: they tell which code
/// allocates, as estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stacks {
    /// No stack is sampled.
    Off,
    /// On average one sample in this many allocated bytes.
    ///
    /// From 4 KiB on, a process that would take more than 256 samples a second takes fewer. A
    /// smaller number is for tests: with 1, nearly every block is sampled.
    EveryBytes(u64),
}

impl Stacks {
    pub(crate) const DEFAULT: Self = Self::EveryBytes(2 << 20);

    /// The largest mean.
    pub(crate) const MOST_BYTES: u64 = 1 << 40;

    /// Encodes the setting as a number for an atomic: the mean, or 0.
    pub(crate) const fn to_number(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::EveryBytes(bytes) => bytes,
        }
    }
}

impl Default for Stacks {
    /// One sample in 2 MiB.
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Whether call stacks are sampled, and if not, why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StacksState {
    /// Call stacks are sampled.
    On,
    /// The setting `stacks` is off.
    #[default]
    Off,
    /// This platform cannot unwind a stack without a lock. On Linux that takes glibc 2.35.
    Unsupported,
    /// The crate is built without its feature `enabled`.
    Disabled,
}
