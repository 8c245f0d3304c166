//! Compares two programs: which futures grew, shrank, appeared and disappeared.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{
    crate_of_line::short_place,
    rows::{Future, Futures},
};

/// A future whose size differs between two programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    /// Its size in bytes; `null` if the first program does not contain it.
    pub(crate) before: Option<u64>,
    /// Its size in bytes; `null` if the second program does not contain it.
    pub(crate) after: Option<u64>,
    #[serde(skip)]
    pub(crate) place: Option<String>,
}

impl Change<'_> {
    pub(crate) fn bytes(&self) -> i128 {
        i128::from(self.after.unwrap_or(0)) - i128::from(self.before.unwrap_or(0))
    }
}

/// Returns the changes, the largest first. Futures with the same path are paired in order of size.
pub(crate) fn size_changes<'a>(
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
            let place = any.declared_at.as_ref().map(short_place);
            changes.push(Change { name: &any.name, path, before, after, place });
        }
    }
    changes.sort_by_key(|it| (Reverse(it.bytes().unsigned_abs()), it.path));
    changes
}
