//! The limit of growth above which a comparison fails.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use memscope_runtime::async_memory::HumanBytes;
use serde::{Serialize, Serializer};

use crate::byte_size::ByteSize;

/// The least growth that a limit in percent counts, as smaller growth may come from a name or a
/// timer.
const LEAST_BYTES: u64 = 1 << 10;

/// The limit: a size, or a part of the earlier figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Threshold {
    Bytes(u64),
    Percent(f64),
}

/// The figure that is compared with the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// Live bytes.
    Live,
    /// The peak of one task.
    Peak,
    /// The bytes of all allocations.
    Allocated,
}

impl Measure {
    pub(crate) const ALL: [Self; 3] = [Self::Live, Self::Peak, Self::Allocated];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Peak => "peak",
            Self::Allocated => "allocated",
        }
    }
}

impl Threshold {
    /// Returns the most growth that is allowed from `before` bytes on. A new row is compared with
    /// `whole`.
    pub(crate) fn most(self, before: u64, whole: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => {
                let before = if before == 0 { whole } else { before };
                part(before, percent).max(LEAST_BYTES)
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a tolerance, which saturates"
)]
fn part(bytes: u64, percent: f64) -> u64 {
    (bytes as f64 * percent / 100.0) as u64
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            return match text.parse::<ByteSize>() {
                Ok(ByteSize(bytes)) => Ok(Self::Bytes(bytes)),
                Err(error) => Err(format!("{error}; or a part, such as 5%")),
            };
        };
        match number.trim().parse::<f64>() {
            Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(Self::Percent(percent)),
            _ => Err("expected a part such as 5%, or a size such as 1MiB".to_owned()),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => HumanBytes(*bytes).fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Serialize for Threshold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        assert_eq!("5%".parse(), Ok(Threshold::Percent(5.0)));
        assert_eq!("0.5 %".parse(), Ok(Threshold::Percent(0.5)));
        assert_eq!("1MiB".parse(), Ok(Threshold::Bytes(1 << 20)));
        for wrong in ["", "%", "-1%", "NaN%", "inf%", "5 percent", "MiB"] {
            assert!(wrong.parse::<Threshold>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_is_of_what_was_there_and_a_new_row_is_compared_with_the_whole() {
        let part = Threshold::Percent(5.0);
        assert_eq!(part.most(1 << 20, 1 << 30), (1 << 20) / 20);
        assert_eq!(part.most(0, 1 << 30), (1 << 30) / 20);
        assert_eq!(part.most(100, 1 << 30), 1 << 10, "less is no growth");
        assert_eq!(Threshold::Bytes(7).most(0, 0), 7);
    }
}
