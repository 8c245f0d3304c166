//! Sizes with a unit in string literals, such as `64MiB`.

/// A whole number and its unit.
pub(crate) struct ByteSize {
    count: u64,
    unit: u64,
}

/// Parses digits and a unit. Returns `None` if the text is no size.
pub(crate) fn parse(text: &str) -> Option<ByteSize> {
    let digits = text.len() - text.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let (count, unit) = text.split_at(digits);
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    Some(ByteSize { count: count.parse().ok()?, unit })
}

/// Returns the error message for a text that is no size.
pub(crate) fn expected(example: &str, found: &str) -> String {
    format!(
        "expected a whole number with `B`, `KiB`, `MiB` or `GiB`, as in `{example}`, found `{found}`"
    )
}

impl ByteSize {
    /// Returns the number of bytes; `None` if it is 2^64 or more.
    pub(crate) fn bytes(&self) -> Option<u64> {
        self.count.checked_mul(self.unit)
    }
}
