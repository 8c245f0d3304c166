//! Which tasks and polls are timed.

/// Which tasks and polls are timed. Counting is always exact; a clock read costs more than a bare
/// poll.
///
/// A timed poll reads the clock twice, each correct to a few hundred nanoseconds. Timing measures
/// how long the task is polled and how long it waits between polls. It never measures how much of
/// that wait the task was ready and not yet polled, because that needs a waker of memscope's own
/// around every task's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Timing {
    /// No clock is read: `busy_ns` and `wait_ns` are `None`, average waits are NaN.
    Off,
    /// The first 256 tasks of a site, then one in 16. Of each the first 64 polls, then one in 64.
    #[default]
    Sampled,
    /// Every task. Of each the first 64 polls, then one in 64.
    EveryTask,
    /// Every task. Of each the first poll, then one in this many (rounded up to a power of two).
    OneIn(u32),
    /// Every poll of every task.
    All,
}

impl Timing {
    /// Which polls are timed of the task that comes after `earlier` others of its site.
    #[inline]
    pub(crate) fn sampling(self, earlier: u64) -> Sampling {
        match self {
            Self::Sampled if earlier < 256 || earlier.is_multiple_of(16) => Sampling::SPARSE,
            Self::Off | Self::Sampled => Sampling::NONE,
            Self::EveryTask => Sampling::SPARSE,
            Self::OneIn(polls) => Sampling::one_in(polls),
            Self::All => Sampling::one_in(1),
        }
    }

    /// Encodes the setting as a number for an atomic.
    pub(crate) const fn to_number(self) -> u64 {
        match self {
            Self::Off => 0,
            Self::Sampled => 1,
            Self::EveryTask => 2,
            Self::All => 3,
            Self::OneIn(polls) => 4 | (polls as u64) << 32,
        }
    }

    pub(crate) fn from_number(number: u64) -> Self {
        match number & 7 {
            0 => Self::Off,
            2 => Self::EveryTask,
            3 => Self::All,
            4 => Self::OneIn(u32::try_from(number >> 32).unwrap_or(u32::MAX)),
            _ => Self::Sampled,
        }
    }
}

/// Which polls of one task are timed, in one byte: 0 for none, otherwise the logarithm of the
/// period, + 1, and the flag [`FIRST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sampling(u8);

/// A flag: the first `FIRST_POLLS` polls are all timed, whatever the period.
const FIRST: u8 = 1 << 7;
const FIRST_POLLS: u64 = 64;

impl Sampling {
    pub(crate) const NONE: Self = Self(0);
    const SPARSE: Self = Self(FIRST | 7);

    const fn one_in(polls: u32) -> Self {
        let bits = u32::BITS - polls.saturating_sub(1).leading_zeros();
        Self(bits.to_le_bytes()[0] + 1)
    }

    pub(crate) const fn to_byte(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Whether any poll is timed.
    pub(crate) fn is_any(self) -> bool {
        self != Self::NONE
    }

    /// Whether the poll after `earlier` others is timed.
    #[inline]
    pub(crate) fn times(self, earlier: u64) -> bool {
        let Some(period_bits) = (self.0 & !FIRST).checked_sub(1) else { return false };
        let is_first = self.0 & FIRST != 0 && earlier < FIRST_POLLS;
        is_first || earlier & !(u64::MAX << period_bits) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(timing: Timing, polls: u64) -> usize {
        (0..polls).filter(|earlier| timing.sampling(0).times(*earlier)).count()
    }

    #[test]
    fn so_many_polls_are_timed() {
        assert_eq!(timed(Timing::Off, 1_000), 0);
        assert_eq!(timed(Timing::All, 1_000), 1_000);
        assert_eq!(timed(Timing::OneIn(0), 1_000), 1_000);
        assert_eq!(timed(Timing::OneIn(1), 1_000), 1_000);
        assert_eq!(timed(Timing::OneIn(2), 1_000), 500);
        assert_eq!(timed(Timing::OneIn(100), 1_280), 10);
        assert_eq!(timed(Timing::OneIn(u32::MAX), 1_000), 1);
        assert_eq!(timed(Timing::EveryTask, 640), 64 + 9);
        assert_eq!(Timing::Sampled.sampling(257), Sampling::NONE);
        assert_eq!(Timing::EveryTask.sampling(257), Sampling::SPARSE);
    }

    #[test]
    fn a_setting_is_what_its_number_says() {
        for timing in [
            Timing::Off,
            Timing::Sampled,
            Timing::EveryTask,
            Timing::OneIn(0),
            Timing::OneIn(u32::MAX),
            Timing::All,
        ] {
            assert_eq!(Timing::from_number(timing.to_number()), timing);
        }
    }
}
