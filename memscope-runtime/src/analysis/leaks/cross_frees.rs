//! Who allocates and who frees: a matrix of sites, printed as its largest cells.

use std::{cmp::Reverse, collections::HashMap, fmt};

use super::{MOST_HAND_OVERS, wording::percent};
use crate::{
    model::{Column, HandOver, HumanBytes, Place, Table, human::count},
    primitives::order,
};

/// Rows printed; all of them with `{:#}`.
const MOST_ROWS: usize = 8;

pub(super) fn largest(hand_overs: &[HandOver]) -> Vec<HandOver> {
    let mut rows: Vec<&HandOver> = hand_overs.iter().collect();
    order::by_key(&mut rows, |row| (Reverse((row.bytes, row.blocks)), &row.from, &row.to));
    rows.into_iter().take(MOST_HAND_OVERS).cloned().collect()
}

/// Prints nothing where nobody frees what others allocated.
pub(super) fn show(hand_overs: &[HandOver], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if hand_overs.is_empty() {
        return Ok(());
    }
    let mut given: HashMap<Option<&Place>, u64> = HashMap::new();
    for row in hand_overs {
        let sum = given.entry(row.from.as_ref()).or_default();
        *sum = sum.saturating_add(row.bytes);
    }
    let mut table = Table::new(&[
        Column::Left("ALLOCATED BY"),
        Column::Left("FREED BY"),
        Column::Right("BLOCKS"),
        Column::Right("BYTES"),
        Column::Right("OF WHAT IT GIVES"),
    ]);
    let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
    for row in hand_overs.iter().take(most) {
        let given = given.get(&row.from.as_ref()).copied().unwrap_or(0);
        table.push(vec![
            who(row.from.as_ref()),
            if row.from.is_some() && row.from == row.to {
                "another of these".to_owned()
            } else {
                who(row.to.as_ref())
            },
            count(row.blocks),
            HumanBytes(row.bytes).to_string(),
            percent(row.bytes, given),
        ]);
    }
    write!(f, "\n{table}")?;
    match hand_overs.len().saturating_sub(most) {
        0 => Ok(()),
        left => writeln!(f, "… and {} more (all of them with `{{:#}}`)", count(left as u64)),
    }
}

fn who(place: Option<&Place>) -> String {
    place.map_or("(outside every task)".to_owned(), super::at)
}
