//! Two programs compared: which futures grew, shrank, came and went.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{
    crate_of_line::short_place,
    rows::{Future, Futures},
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
    pub(crate) place: Option<String>,
}

impl Change<'_> {
    pub(crate) fn bytes(&self) -> i128 {
        i128::from(self.after.unwrap_or(0)) - i128::from(self.before.unwrap_or(0))
    }
}

/// What changed, the largest change first. Futures that several have the path of are paired by
/// size.
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
