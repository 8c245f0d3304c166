//! Prints the futures whose sizes changed.

use std::io::{self, Write};

use memscope_runtime::__terminal::visible;

use super::{
    list_view::SIZE_COLUMNS,
    terminal::{ADVICE, BAD, NAME, PLACE, Width},
};
use crate::{
    byte_size::ByteSize,
    model::{Change, SizeChanges},
};

/// Prints up to `limit` changes, and the totals of all.
pub(crate) fn print(
    out: &mut impl Write,
    width: Width,
    SizeChanges { changes, moved }: &SizeChanges<'_>,
    limit: usize,
) -> io::Result<()> {
    let moved = match moved {
        0 => String::new(),
        1 => "; 1 is at another line".to_owned(),
        moved => format!("; {moved} are at other lines"),
    };
    if changes.is_empty() {
        return writeln!(out, "no future changed its size{moved}");
    }
    for change in changes.iter().take(limit) {
        let size = |it: Option<u64>, none: &str| {
            it.map_or_else(|| none.to_owned(), |it| ByteSize(it).to_string())
        };
        let (before, after) = (size(change.before, "new"), size(change.after, "gone"));
        let bytes = change.bytes();
        let style = if bytes > 0 { BAD } else { ADVICE };
        let sign = if bytes > 0 { "+" } else { "-" };
        let by = ByteSize(u64::try_from(bytes.unsigned_abs()).unwrap_or(u64::MAX));
        let by = format!("{sign}{by}");
        let place =
            change.place.as_ref().map_or_else(String::new, |it| format!("  {}", visible(it)));
        let used = 3 * (SIZE_COLUMNS + 2) + 2 + place.chars().count();
        let name = width.minus(used).middle(&visible(change.name).to_string());
        writeln!(
            out,
            "{style}{by:>SIZE_COLUMNS$}{style:#}  {before:>SIZE_COLUMNS$}  → {after:>SIZE_COLUMNS$}  {NAME}{name}{NAME:#}{PLACE}{place}{PLACE:#}"
        )?;
    }
    let count = |test: fn(&Change<'_>) -> bool| changes.iter().filter(|it| test(it)).count();
    let (grown, shrunk) = (
        count(|it| it.before.is_some() && it.after > it.before),
        count(|it| it.after.is_some() && it.after < it.before),
    );
    let (new, gone) = (count(|it| it.before.is_none()), count(|it| it.after.is_none()));
    writeln!(out, "{grown} grew, {shrunk} shrank, {new} new, {gone} gone{moved}")
}
