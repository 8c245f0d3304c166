//! The columns of the counters that tasks and sites have.

use super::{NOT_MEASURED, number, size, table::Column};
use crate::model::{TaskCounters, counters};

/// Which columns are meant: those of every report, or those that only `{:#}` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Always,
    Wide,
}

/// One counter, as a column.
struct CounterColumn {
    title: &'static str,
    width: Width,
    shown: fn(&TaskCounters, bool) -> String,
}

macro_rules! columns {
    (@width always) => { Width::Always };
    (@width wide) => { Width::Wide };
    (@shown bytes, $measured:expr, $value:expr) => { size($measured, $value) };
    (@shown blocks, $measured:expr, $value:expr) => {
        if $measured { number($value) } else { NOT_MEASURED.to_owned() }
    };
    ({} $($(#[$doc:meta])* $counter:ident: $unit:ident, $width:ident, $title:literal;)+) => {
        const COLUMNS: &[CounterColumn] = &[$(
            CounterColumn {
                title: $title,
                width: columns!(@width $width),
                shown: |counters, measured| columns!(@shown $unit, measured, counters.$counter),
            },
        )+];
    };
}
counters!(columns! {});

fn of(width: Width) -> impl Iterator<Item = &'static CounterColumn> {
    COLUMNS.iter().filter(move |column| column.width == width)
}

/// The heads of these columns.
pub(super) fn heads(width: Width) -> impl Iterator<Item = Column> {
    of(width).map(|column| Column::Right(column.title))
}

/// The cells below them, of one row.
pub(super) fn cells(
    width: Width,
    counters: TaskCounters,
    measured: bool,
) -> impl Iterator<Item = String> {
    of(width).map(move |column| (column.shown)(&counters, measured))
}
