//! Two programs compared: which futures grew, shrank, came and went.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io::{self, Write},
};

use memscope_runtime::__terminal::visible;
use serde::Serialize;

use super::{
    list_view::SIZE_COLUMNS,
    terminal::{ADVICE, BAD, NAME, PLACE, Width},
};
use crate::{
    byte_size::ByteSize,
    model::{Future, Futures, short},
};

/// A future that is not the same in both.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    /// Bytes; `null` where it was not there.
    pub(crate) before: Option<u64>,
    /// Bytes; `null` where it is gone.
    pub(crate) after: Option<u64>,
    #[serde(skip)]
    place: Option<String>,
}

impl Change<'_> {
    fn bytes(&self) -> i128 {
        i128::from(self.after.unwrap_or(0)) - i128::from(self.before.unwrap_or(0))
    }
}

/// What changed, the largest change first. Futures that several have the path of are paired by
/// size.
pub(crate) fn changes<'a>(
    before: &'a Futures,
    after: &'a Futures,
    is_shown: impl Fn(&Future) -> bool,
) -> Vec<Change<'a>> {
    let mut pairs: BTreeMap<&str, [Vec<&Future>; 2]> = BTreeMap::new();
    for (side, futures) in [before, after].into_iter().enumerate() {
        for future in futures.all.iter().filter(|it| is_shown(it)) {
            pairs.entry(&future.path).or_default()[side].push(future);
        }
    }
    let mut changes = Vec::new();
    for (path, mut sides) in pairs {
        for side in &mut sides {
            side.sort_by_key(|it| Reverse(it.size));
        }
        let [old, new] = &sides;
        for at in 0..old.len().max(new.len()) {
            let (old, new) = (old.get(at), new.get(at));
            let (before, after) = (old.map(|it| it.size), new.map(|it| it.size));
            let Some(any) = new.or(old).filter(|_| before != after) else { continue };
            let place = any.declared_at.as_ref().map(short);
            changes.push(Change { name: &any.name, path, before, after, place });
        }
    }
    changes.sort_by_key(|it| (Reverse(it.bytes().unsigned_abs()), it.path));
    changes
}

/// Prints so many changes, and the sum of all.
pub(crate) fn print(
    out: &mut impl Write,
    width: Width,
    changes: &[Change<'_>],
    limit: usize,
) -> io::Result<()> {
    if changes.is_empty() {
        return writeln!(out, "no future changed its size");
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
    writeln!(out, "{grown} grew, {shrunk} shrank, {new} new, {gone} gone")
}
