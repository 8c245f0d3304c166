//! The table of shared owners.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, more, number, size,
    table::{Column, Table},
};
use crate::{model::human::cell, snapshot::MemorySnapshot};

impl MemorySnapshot {
    /// Prints one row for each name.
    pub(super) fn shared_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shared().is_empty() {
            return Ok(());
        }
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let mut table = Table::new(&[
            Column::Left("SHARED"),
            Column::Right("LIVE"),
            Column::Right("PEAK"),
            Column::Right("ALLOCATED"),
            Column::Right("FREED"),
            Column::Right("BLOCKS"),
        ]);
        for shared in self.shared().iter().take(most) {
            table.push(vec![
                cell(&shared.name, NAME_COLUMNS),
                size(shared.measured, shared.live_bytes),
                size(shared.measured, shared.peak_bytes),
                size(shared.measured, shared.allocated_bytes),
                size(shared.measured, shared.freed_bytes),
                number(shared.live_blocks),
            ]);
        }
        writeln!(f, "{table}{}", more(self.shared().len(), most, "shared owners"))
    }
}
