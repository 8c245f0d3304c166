//! The words that findings are made of.

use super::{cause::Clue, growth::Growth};
use crate::{
    model::{
        AwaitFrame, AwaitPoint, HumanBytes, Place,
        human::{cell, count, path_end},
    },
    snapshot::float,
};

/// A span of time in its largest unit: `350 ms`, `12 s`, `5 min`, `3 h`, `2 d`.
pub(crate) fn age(ns: u64) -> String {
    const UNITS: [(u64, &str); 5] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
    ];
    // Below two of a unit the next smaller one is more precise: 90 s, not 1 min.
    match UNITS.iter().find(|(unit, _)| ns / unit >= 2) {
        Some((unit, name)) => format!("{} {name}", ns / unit),
        None => format!("{} µs", ns / 1_000),
    }
}

/// `handler (src/http.rs:7)`.
pub(crate) fn at(place: &Place) -> String {
    let name = cell(&place.name, 36);
    if place.file.is_empty() {
        return name;
    }
    format!("{name} ({})", path_end(&format!("{}:{}", place.file, place.line), 40))
}

/// `src/state.rs:12`.
pub(super) fn place(file: &str, line: Option<u32>) -> String {
    match line {
        Some(line) => path_end(&format!("{file}:{line}"), 40),
        None => path_end(file, 40),
    }
}

/// Where tasks wait: `src/db.rs:88 under src/handler.rs:31`.
pub(crate) fn places(point: &AwaitPoint) -> String {
    let (at, above) = point.own();
    let place = |frame: &AwaitFrame| path_end(&frame.to_string(), 40);
    let at = at.map_or_else(|| "a place that is not known".to_owned(), place);
    above.map_or_else(|| at.clone(), |above| format!("{at} under {}", place(above)))
}

/// `1 task`, `1,200 tasks`.
pub(crate) fn several(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// `` `list`, `show` and 8 more ``.
pub(super) fn names(names: &[&str]) -> String {
    const MOST: usize = 5;
    let shown = names.iter().take(MOST).map(|name| format!("`{}`", cell(name, 48)));
    let mut shown: Vec<String> = shown.collect();
    let last = match names.len().checked_sub(MOST) {
        Some(left @ 1..) => format!("{} more", count(left as u64)),
        _ => shown.pop().unwrap_or_default(),
    };
    if shown.is_empty() { last } else { format!("{} and {last}", shown.join(", ")) }
}

/// The share of `part` in `whole`, in words: `80 %`, `less than 1 %`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    let percent = 100.0 * float(part) / float(whole);
    match percent {
        _ if part == 0 => "0 %".to_owned(),
        percent if percent < 1.0 => "less than 1 %".to_owned(),
        percent => format!("{} %", percent.floor()),
    }
}

/// `12 of 1,000`, `all 12`.
pub(crate) fn out_of(part: u64, whole: u64) -> String {
    if part == whole {
        format!("all {}", count(whole))
    } else {
        format!("{} of {}", count(part), count(whole))
    }
}

/// The code that allocated most of some bytes, by its samples.
pub(super) fn allocated_at(clue: &Clue) -> Option<String> {
    if clue.code.is_empty() {
        return None;
    }
    let samples = |samples| several(samples, "sample", "samples");
    if !clue.is_firm() {
        return Some(format!("{}, by {}", clue.code, samples(clue.samples)));
    }
    let share = |code: &str, bytes: u64, of: u64| {
        format!("{code}, ≈ {} by {}", percent(bytes, clue.all_bytes), samples(of))
    };
    let largest = share(&clue.code, clue.code_bytes, clue.samples);
    Some(match &clue.other {
        Some((code, bytes, of)) => format!("{largest}, and at {}", share(code, *bytes, *of)),
        None => largest,
    })
}

/// `1.2 MiB a minute for 40 s`.
pub(super) fn rate(growth: &Growth) -> String {
    let span_ns = growth.course.span_ns();
    // Less than some seconds make no rate by the minute.
    if span_ns < 10_000_000_000 {
        return format!("{} in {}", HumanBytes(growth.course.rise()), age(span_ns));
    }
    format!("{} a minute for {}", HumanBytes(growth.per_minute()), age(span_ns))
}
