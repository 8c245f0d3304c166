//! Byte sizes as users write and read them.

use std::{fmt, str::FromStr};

/// A number of bytes, read from text such as `4096`, `4KiB`, `1.5 MiB` or `10kB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

/// Units and their factors: binary ones, and decimal ones with names of their own.
const UNITS: [(&str, u64); 13] = [
    ("", 1),
    ("b", 1),
    ("byte", 1),
    ("bytes", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("kb", 1000),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("mb", 1_000_000),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("gb", 1_000_000_000),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let end = text.find(|it: char| !(it.is_ascii_digit() || matches!(it, '.' | '_' | ',')));
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let wrong =
            || format!("`{text}` is no size: write bytes, or a number with KiB, MiB or GiB");
        let unit = unit.trim().to_ascii_lowercase();
        let factor = UNITS.iter().find(|it| it.0 == unit).ok_or_else(wrong)?.1;
        let number = number.replace(['_', ','], "");
        let (whole, part) = number.split_once('.').unwrap_or((&number, ""));
        if whole.is_empty() || part.len() > 9 {
            return Err(wrong());
        }
        let digits: u128 = format!("{whole}{part}").parse().map_err(|_| wrong())?;
        let tens = 10u128.pow(u32::try_from(part.len()).map_err(|_| wrong())?);
        let bytes = digits.checked_mul(factor.into()).ok_or_else(wrong)? / tens;
        u64::try_from(bytes).map(Self).map_err(|_| wrong())
    }
}

impl fmt::Display for ByteSize {
    /// Prints all digits, with a comma at each thousand, since sizes of futures are compared
    /// exactly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text.push_str(" B");
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        let cases = [
            ("4096", 4096),
            ("4KiB", 4096),
            ("4k", 4096),
            ("10kB", 10_000),
            ("1.5 MiB", 3 << 19),
            ("1_000 bytes", 1000),
            ("2,048 B", 2048),
            ("3gib", 3 << 30),
            ("0.5k", 512),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_how_to_write_one() {
        for text in ["", "KiB", "4 x", "-1", "4.5.6k", ".5", "99999999999 GiB", "1e3"] {
            let error = text.parse::<ByteSize>().unwrap_err();
            assert!(error.contains("KiB"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_size_reads_as_itself(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}") {
            drop(text.parse::<ByteSize>());
        }
    }
}
