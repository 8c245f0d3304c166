//! Rows of cross-task frees: blocks that one site allocated and another freed.

use std::collections::HashMap;

use super::site_names::SiteNames;
use crate::{
    accounting::{CrossFree, UNTRACKED},
    model::HandOver,
    primitives::{order, reserve},
    snapshot::capture::Reading,
};

/// The pairs of sites, those that moved most bytes first.
pub(crate) fn hand_overs(reading: &Reading, names: &SiteNames) -> Vec<HandOver> {
    let mut sums: HashMap<(u32, u32), (u64, u64)> = HashMap::new();
    for &CrossFree { from, to, blocks, bytes } in &reading.hand_overs {
        if !reserve::room(&mut sums) {
            reserve::leave_out(1);
            continue;
        }
        let sum = sums.entry((from, to)).or_default();
        *sum = (sum.0 + blocks, sum.1 + bytes);
    }
    // A site whose only task moved to another site has no name any more, and nothing to hand over.
    let is_known = |site: &u32| *site == UNTRACKED || names.get(*site).is_some();
    let mut rows: Vec<HandOver> = reserve::rows(sums, |((from, to), (blocks, bytes))| {
        (is_known(&from) && is_known(&to) && blocks != 0).then(|| HandOver {
            from: names.get(from),
            to: names.get(to),
            blocks,
            bytes,
        })
    });
    order::by(&mut rows, |a, b| {
        (b.bytes, b.blocks, &a.from, &a.to).cmp(&(a.bytes, a.blocks, &b.from, &b.to))
    });
    rows
}
