//! The lines of addresses, from the line table of a unit.

use std::{collections::BTreeMap, num::NonZeroU64};

use super::units::Unit;
use crate::error::Kind;

/// The number of a file of the unit, and a line in it.
pub(super) type Line = (u64, u64);

/// The lines of these addresses, by their index. `addresses` is sorted, and so is `inside`, which
/// has the indices of those in the unit. An address of which the table has two lines has none.
pub(super) fn lines(
    unit: &Unit<'_>,
    addresses: &[u64],
    inside: &[usize],
) -> Result<BTreeMap<usize, Option<Line>>, Kind> {
    let mut found: BTreeMap<usize, Option<Line>> = BTreeMap::new();
    let Some(program) = unit.line_program.clone() else { return Ok(found) };
    let mut rows = program.rows();
    // The row before this one, and whether the linker has left out the code that it is in.
    let mut before: Option<(u64, Line)> = None;
    let mut is_left_out = None;
    while let Some((_, row)) = rows.next_row()? {
        let address = row.address();
        // Linkers set the addresses of what they leave out to zero.
        let is_left_out_here = *is_left_out.get_or_insert(address == 0);
        if let Some((start, line)) = before.filter(|_| !is_left_out_here) {
            let first = inside.partition_point(|it| addresses[*it] < start);
            for index in inside[first..].iter().take_while(|it| addresses[**it] < address) {
                let known = found.entry(*index).or_insert(Some(line));
                *known = known.filter(|known| *known == line);
            }
        }
        let line = (row.file_index(), row.line().map_or(0, NonZeroU64::get));
        before = Some((address, line));
        if row.end_sequence() {
            (before, is_left_out) = (None, None);
        }
    }
    Ok(found)
}
