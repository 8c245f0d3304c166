//! The columns of the counters that tasks and sites have.

use super::{NOT_MEASURED, number, size, table::Column};
use crate::model::{TaskCounters, counters};

/// One counter, as a column.
struct CounterColumn {
    title: &'static str,
    is_shown: bool,
    cell: fn(&TaskCounters, bool) -> String,
}

macro_rules! columns {
    (@is shown) => { true };
    (@is unshown) => { false };
    (@cell bytes, $measured:expr, $value:expr) => { size($measured, $value) };
    (@cell blocks, $measured:expr, $value:expr) => {
        if $measured { number($value) } else { NOT_MEASURED.to_owned() }
    };
    ({} $($(#[$doc:meta])* $counter:ident: $unit:ident, $shown:ident, $title:literal;)+) => {
        const COLUMNS: &[CounterColumn] = &[$(
            CounterColumn {
                title: $title,
                is_shown: columns!(@is $shown),
                cell: |counters, measured| columns!(@cell $unit, measured, counters.$counter),
            },
        )+];
    };
}
counters!(columns! {});

fn shown() -> impl Iterator<Item = &'static CounterColumn> {
    COLUMNS.iter().filter(|column| column.is_shown)
}

/// The heads of the columns.
pub(super) fn heads() -> impl Iterator<Item = Column> {
    shown().map(|column| Column::Right(column.title))
}

/// The cells below them, of one row.
pub(super) fn cells(counters: TaskCounters, measured: bool) -> impl Iterator<Item = String> {
    shown().map(move |column| (column.cell)(&counters, measured))
}
