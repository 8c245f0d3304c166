//! The values of variables: words, numbers, times, sizes and shares.

use std::{ffi::OsStr, time::Duration};

const LONGEST: Duration = Duration::from_hours(366 * 24);
const EXPECTED_TIME: &str = "expected a whole number with `ms`, `s`, `m` or `h`";

pub(super) fn text(value: &OsStr) -> Result<&str, String> {
    value.to_str().ok_or_else(|| "it is not UTF-8".to_owned())
}

/// Accepts digits too, because users write them without looking.
pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" | "1" => Ok(true),
        "off" | "0" => Ok(false),
        _ => Err("expected `on` or `off`".to_owned()),
    }
}

pub(super) fn number(value: &OsStr) -> Result<u64, String> {
    text(value)?.parse().map_err(|_| "expected a whole number".to_owned())
}

/// Parses a whole number and its unit; without a unit, seconds. The value must be in
/// `shortest..=LONGEST`. `shortest` must be in whole milliseconds.
pub(super) fn duration(text: &str, shortest: Duration) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let count: u64 = count.parse().map_err(|_| EXPECTED_TIME.to_owned())?;
    let duration = match unit {
        "ms" => Some(Duration::from_millis(count)),
        "" | "s" => Some(Duration::from_secs(count)),
        "m" => count.checked_mul(60).map(Duration::from_secs),
        "h" => count.checked_mul(3_600).map(Duration::from_secs),
        _ => return Err(EXPECTED_TIME.to_owned()),
    };
    let in_range = |duration: &Duration| (shortest..=LONGEST).contains(duration);
    let expected = || format!("expected {}ms to 366 days", shortest.as_millis());
    duration.filter(in_range).ok_or_else(expected)
}

/// Parses a share such as `95%`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = text.trim_ascii().strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    let share = number.map(|percent| percent / 100.0).filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "expected shares above 0% and up to 100%, or `off`".to_owned())
}

/// Parses a whole number of bytes and its unit; without a unit, bytes. `or`: the word that the
/// setting takes too.
pub(super) fn bytes(text: &str, or: &str) -> Result<u64, String> {
    let expected = || format!("expected a whole number with `KiB`, `MiB` or `GiB`, or `{or}`");
    let digits = text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(expected()),
    };
    let count: u64 = count.parse().map_err(|_| expected())?;
    count.checked_mul(unit).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, ms) in
            [("10s", 10_000), ("500ms", 500), ("5m", 300_000), ("1h", 3_600_000), ("7", 7_000)]
        {
            assert_eq!(
                duration(text, Duration::from_millis(100)),
                Ok(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in
            ["", "s", "10 s", "1.5s", "-1s", "1d", "0", "99ms", "18446744073709551615h", "9999h1"]
        {
            assert!(duration(text, Duration::from_millis(100)).is_err(), "{text}");
        }
        assert_eq!(duration("10ms", Duration::from_millis(10)), Ok(Duration::from_millis(10)));
        assert!(duration("9ms", Duration::from_millis(10)).is_err());
    }
}
