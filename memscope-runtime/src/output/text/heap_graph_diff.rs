//! The comparison of two graphs of the heap, as text.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS,
    diff::{bytes, number},
    heap_graph::{place, title_of_kind},
    more,
    table::{Column, Table},
};
use crate::{
    alloc::own_work,
    analysis::heap_graph_diff::{HeapGraphDiff, UnreachableDiff},
    model::human::{cell, count},
};

/// Prints what each root gained, then what more is unreachable: the first twenty rows of each, or
/// every row with `{:#}`.
impl fmt::Display for HeapGraphDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _work = own_work::work();
        match self.bytes {
            0 => write!(f, "heap: the same size as before")?,
            change => write!(f, "heap: {} in {} blocks", bytes(change), number(self.blocks))?,
        }
        if self.roots.is_empty() {
            writeln!(f, "; no root holds more or less")?;
        } else {
            writeln!(f)?;
            self.roots(f)?;
        }
        if self.shared_bytes != 0 {
            writeln!(f, "\nheld by several roots, by none alone: {}", bytes(self.shared_bytes))?;
        }
        self.nothing(f)?;
        if self.rows_left_out != 0 {
            writeln!(f, "{} rows left out for want of memory", count(self.rows_left_out))?;
        }
        Ok(())
    }
}

impl HeapGraphDiff {
    fn roots(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let mut table = Table::new(&[
            Column::Left("HELD BY"),
            Column::Left("AT"),
            Column::Left("KIND"),
            Column::Left("ROW"),
            Column::Right("ROOTS"),
            Column::Right("ALONE"),
            Column::Right("BLOCKS"),
        ]);
        for root in self.roots.iter().take(most) {
            table.push(vec![
                cell(&title_of_kind(&root.name, root.kind, root.thread.as_deref()), NAME_COLUMNS),
                place(root.file.as_deref(), root.line),
                root.kind.to_string(),
                root.presence.to_string(),
                number(root.roots),
                bytes(root.retained_bytes),
                number(root.blocks),
            ]);
        }
        write!(f, "\n{table}{}", more(self.roots.len(), most, "roots"))
    }

    fn nothing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unreachable.is_empty() {
            return Ok(());
        }
        let sum = self.unreachable.iter().fold(0_i64, |sum, row| sum.saturating_add(row.bytes));
        writeln!(f, "\nheld by nothing: {}", bytes(sum))?;
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        for row in self.unreachable.iter().take(most) {
            writeln!(f, "  {}", lost(row))?;
        }
        f.write_str(&more(self.unreachable.len(), most, "kinds of leaks"))
    }
}

fn lost(row: &UnreachableDiff) -> String {
    let kind = if row.in_cycle { "cycles" } else { "lost blocks" };
    let [blocks, leaks] = [row.blocks, row.leaks].map(number);
    let site = row
        .site
        .as_deref()
        .map_or_else(String::new, |site| format!(" made by {}", cell(site, NAME_COLUMNS)));
    format!("{} in {blocks} blocks, in {leaks} {kind}{site}", bytes(row.bytes))
}
