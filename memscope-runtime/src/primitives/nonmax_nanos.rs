//! A time that may not be known, in eight bytes.

use std::num::NonZeroU64;

/// Nanoseconds, so that an `Option` of them takes no more room.
///
/// Invariant: the complement of their number. The largest one, of which nobody sees the end, is not
/// among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nanos(NonZeroU64);

impl Nanos {
    pub(crate) const ZERO: Self = Self(NonZeroU64::MAX);

    /// At the most 2^64 - 2 of them.
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
