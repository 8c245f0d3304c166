//! Optional nanoseconds in eight bytes.

use std::num::NonZeroU64;

/// Nanoseconds with a niche, so that an `Option` of them takes no more room.
///
/// Invariant: the word is the complement of the nanoseconds. So `u64::MAX` nanoseconds, 584 years,
/// cannot be represented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nanos(NonZeroU64);

impl Nanos {
    pub(crate) const ZERO: Self = Self(NonZeroU64::MAX);

    /// Values above 2^64 - 2 are stored as 2^64 - 2.
    #[inline]
    pub(crate) fn new(ns: u64) -> Self {
        Self(NonZeroU64::new(!ns).unwrap_or(NonZeroU64::MIN))
    }

    #[inline]
    pub(crate) fn get(self) -> u64 {
        !self.0.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_no_time_takes_no_room() {
        for ns in [0, 1, 1 << 63, u64::MAX - 1] {
            assert_eq!(Nanos::new(ns).get(), ns);
        }
        assert_eq!(Nanos::new(u64::MAX).get(), u64::MAX - 1);
        assert_eq!(Nanos::ZERO.get(), 0);
        assert_eq!(size_of::<Option<Nanos>>(), 8);
    }
}
