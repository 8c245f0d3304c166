//! Numbers as text, in the words of the page: `1.5 MiB`, `1,600`, `12 %`, `3.2 s`.

use memscope_runtime::async_memory::HumanBytes;

/// The text for a figure that is not known.
pub(super) const UNKNOWN: &str = "–";

/// A size in binary units.
pub(super) fn bytes(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A change of a size: `+1.5 MiB`, `-3 B`, `0 B`.
pub(super) fn change(by: i128) -> String {
    let size = bytes(u64::try_from(by.unsigned_abs()).unwrap_or(u64::MAX));
    format!("{}{size}", sign(by))
}

/// The sign of a change.
pub(super) fn sign(by: i128) -> &'static str {
    match by {
        0 => "",
        1.. => "+",
        _ => "-",
    }
}

/// A whole number with commas between its thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 task`, `2 tasks`.
pub(super) fn several(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A part of a whole in percent. Only nothing is 0 %, and only the whole is 100 %.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return UNKNOWN.to_owned();
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    match (part * 100 + whole / 2) / whole {
        0 if part > 0 => "<1 %".to_owned(),
        100 if part < whole => "99 %".to_owned(),
        100 if part > whole => ">100 %".to_owned(),
        rounded => format!("{rounded} %"),
    }
}

/// A part of a whole, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "a share that is drawn")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

/// Units of time: from how many nanoseconds on, its name, and its nanoseconds.
const TIMES: [(u64, &str, u64); 7] = [
    (172_800_000_000_000, "d", 86_400_000_000_000),
    (7_200_000_000_000, "h", 3_600_000_000_000),
    (120_000_000_000, "min", 60_000_000_000),
    (1_000_000_000, "s", 1_000_000_000),
    (1_000_000, "ms", 1_000_000),
    (1_000, "µs", 1_000),
    (0, "ns", 1),
];

/// A duration in one unit, with one decimal if it has one digit.
pub(super) fn duration(ns: u64) -> String {
    let unit = TIMES.iter().find(|it| ns >= it.0);
    let (_, name, size) = unit.copied().unwrap_or((0, "ns", 1));
    if size > 1 && ns / size < 10 {
        let tenths = ns / (size / 10);
        return format!("{}.{} {name}", tenths / 10, tenths % 10);
    }
    format!("{} {name}", count(ns / size))
}

/// How long a process has run: `3 d 04:12`, or `04:12:09`.
pub(super) fn uptime(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let minutes = seconds / 60 % 60;
    match days {
        0 => format!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
        _ => format!("{} d {hours:02}:{minutes:02}", count(days)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_part_is_not_nothing_and_most_is_not_all() {
        assert_eq!(percent(0, 1_000), "0 %");
        assert_eq!(percent(1, 1_000_000), "<1 %");
        assert_eq!(percent(999_999, 1_000_000), "99 %");
        assert_eq!(percent(1_000_000, 1_000_000), "100 %");
        assert_eq!(percent(1_004, 1_000), ">100 %");
        assert_eq!(percent(u64::MAX, 1), "1844674407370955161500 %");
        assert_eq!(percent(1, 0), UNKNOWN);
    }

    #[test]
    fn times_have_one_unit() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.5 µs"),
            (12_000_000, "12 ms"),
            (119_000_000_000, "119 s"),
            (120_000_000_000, "2.0 min"),
            (u64::MAX, "213,503 d"),
        ];
        for (ns, text) in cases {
            assert_eq!(duration(ns), text);
        }
        assert_eq!((uptime(3_661), uptime(90_000)), ("01:01:01".into(), "1 d 01:00".into()));
    }
}
