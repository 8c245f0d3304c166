//! A table of rows: their values, their order, and which of them a filter keeps.

use std::cmp::Ordering;

use memscope_runtime::{__terminal::width, analysis::Severity};
use regex::Regex;

use super::number;

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Count(u64),
    Bytes(u64),
    /// Estimated bytes, from samples.
    AboutBytes(u64),
    /// Bytes a second.
    Rate(u64),
    /// Nanoseconds.
    Time(u64),
    AboutTime(u64),
    /// A change of a size.
    Change(i128),
    /// A part of a whole.
    Percent(u64, u64),
    Unknown,
}

impl Value {
    pub(super) fn bytes(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Unknown, Self::Bytes)
    }

    pub(super) fn time(ns: Option<u64>) -> Self {
        ns.map_or(Self::Unknown, Self::Time)
    }

    pub(super) fn count(number: Option<u64>) -> Self {
        number.map_or(Self::Unknown, Self::Count)
    }

    pub(super) fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Unknown } else { Self::Text(text) }
    }

    /// Returns the value as text.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(number) => number::count(*number),
            Self::Bytes(bytes) => number::bytes(*bytes),
            Self::AboutBytes(0) => number::bytes(0),
            Self::AboutBytes(bytes) => format!("≈ {}", number::bytes(*bytes)),
            Self::Rate(bytes) => format!("{}/s", number::bytes(*bytes)),
            Self::Time(ns) => number::duration(*ns),
            Self::AboutTime(ns) => format!("≈ {}", number::duration(*ns)),
            Self::Percent(part, whole) => number::percent(*part, *whole),
            Self::Change(by) => number::change(*by),
            Self::Unknown => number::UNKNOWN.to_owned(),
        }
    }

    /// Returns the sum of values of one kind. It is unknown if one of them is.
    pub(super) fn sum<'a>(mut values: impl Iterator<Item = &'a Self>) -> Self {
        let Some(first) = values.next() else { return Self::Unknown };
        values.fold(first.clone(), |sum, it| match (sum, it) {
            (Self::Count(a), Self::Count(b)) => Self::Count(a.saturating_add(*b)),
            (Self::Bytes(a), Self::Bytes(b)) => Self::Bytes(a.saturating_add(*b)),
            (Self::Rate(a), Self::Rate(b)) => Self::Rate(a.saturating_add(*b)),
            (Self::Change(a), Self::Change(b)) => Self::Change(a.saturating_add(*b)),
            (Self::Percent(a, of), Self::Percent(b, _)) => Self::Percent(a.saturating_add(*b), of),
            _ => Self::Unknown,
        })
    }

    fn rank(&self) -> Option<i128> {
        match self {
            Self::Text(_) | Self::Unknown => None,
            Self::Percent(part, whole) => {
                Some((i128::from(*part) << 32) / i128::from(*whole).max(1))
            }
            Self::Count(it)
            | Self::Bytes(it)
            | Self::AboutBytes(it)
            | Self::Rate(it)
            | Self::Time(it)
            | Self::AboutTime(it) => Some(i128::from(*it)),
            Self::Change(by) => Some(*by),
        }
    }

    /// Compares two values. Unknown values come last in both directions.
    fn order(&self, other: &Self, is_descending: bool) -> Ordering {
        let unknown = |it: &Self| *it == Self::Unknown;
        if unknown(self) || unknown(other) {
            return unknown(self).cmp(&unknown(other));
        }
        let order = match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        };
        if is_descending { order.reverse() } else { order }
    }
}

/// How a column is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The column that takes the rest of the width.
    Name,
    /// Text of at most this many columns of the terminal.
    Text(u16),
    /// A number, which is aligned to the right and never cut.
    Number,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) kind: Kind,
    /// If there is no room, the column with the highest number is dropped first.
    pub(super) drop: u8,
    /// Whether the values of several rows have a sum.
    pub(super) adds: bool,
}

pub(super) const fn names(title: &'static str) -> Column {
    Column { title, kind: Kind::Name, drop: 0, adds: false }
}

pub(super) const fn text(title: &'static str, most: u16, drop: u8) -> Column {
    Column { title, kind: Kind::Text(most), drop, adds: false }
}

pub(super) const fn numbers(title: &'static str, drop: u8) -> Column {
    Column { title, kind: Kind::Number, drop, adds: false }
}

/// Makes a column of numbers that are added up for a group.
pub(super) const fn sums(title: &'static str, drop: u8) -> Column {
    Column { title, kind: Kind::Number, drop, adds: true }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// The row's identity, which is the same in each snapshot of a process.
    pub(super) key: String,
    /// Its depth in a tree.
    pub(super) level: u16,
    pub(super) values: Vec<Value>,
    /// Its part of the whole, from 0 to 1.
    pub(super) share: f64,
    /// Whether its bytes outlived their tasks.
    pub(super) is_left: bool,
    /// The worst finding about it.
    pub(super) severity: Option<Severity>,
    /// The text that a filter matches.
    pub(super) search: String,
    /// The name of its group, if rows are grouped.
    pub(super) group: String,
}

#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Row>,
    /// The column by which the table is sorted at first.
    pub(super) sort: usize,
    /// The number of smaller rows that were not sent.
    pub(super) left_out: u64,
    /// Whether rows are shown in groups.
    pub(super) is_grouped: bool,
    /// Why there are no rows.
    pub(super) empty: String,
}

/// The order: the column, and whether the largest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sort {
    pub(super) column: usize,
    pub(super) is_descending: bool,
}

impl Table {
    /// Makes a table of these rows, of which none is missing, sorted by this column at first.
    pub(super) fn new(columns: &[Column], rows: Vec<Row>, sort: usize, empty: String) -> Self {
        Self { columns: columns.to_vec(), rows, sort, left_out: 0, is_grouped: false, empty }
    }

    pub(super) fn first_sort(&self) -> Sort {
        self.sort_by(self.sort)
    }

    /// Returns the order by this column: numbers with the largest first, texts from A to Z.
    pub(super) fn sort_by(&self, column: usize) -> Sort {
        let is_number = self.columns.get(column).is_some_and(|it| it.kind == Kind::Number);
        Sort { column, is_descending: is_number }
    }

    /// Sorts rows among their siblings.
    pub(super) fn arrange(&mut self, sort: Sort) {
        let mut rows: Vec<Option<Row>> =
            std::mem::take(&mut self.rows).into_iter().map(Some).collect();
        let levels: Vec<u16> = rows.iter().flatten().map(|it| it.level).collect();
        let mut order = Vec::with_capacity(rows.len());
        siblings(&levels, &rows, sort, &mut order);
        self.rows = order.into_iter().filter_map(|at| rows[at].take()).collect();
    }

    /// Keeps the rows that the filter matches, with the rows above and below them in a tree.
    pub(super) fn keep(&mut self, filter: &Regex) {
        let mut is_kept = vec![false; self.rows.len()];
        let mut below: Option<u16> = None;
        for (at, row) in self.rows.iter().enumerate() {
            if below.is_some_and(|level| row.level <= level) {
                below = None;
            }
            if below.is_none() && filter.is_match(&row.search) {
                below = Some(row.level);
                keep_above(&self.rows, &mut is_kept, at);
            }
            is_kept[at] |= below.is_some();
        }
        let mut kept = is_kept.into_iter();
        self.rows.retain(|_| kept.next().unwrap_or(false));
    }

    /// The columns of the terminal that the widest value of each column takes.
    pub(super) fn widths(&self) -> Vec<u16> {
        let title = |column: &Column| width(column.title) + 2;
        let mut widths: Vec<usize> = self.columns.iter().map(title).collect();
        for row in &self.rows {
            for (most, value) in widths.iter_mut().zip(&row.values) {
                let columns = match value {
                    Value::Text(text) => width(text),
                    other => width(&other.shown()),
                };
                *most = columns.max(*most);
            }
        }
        widths.into_iter().map(|it| u16::try_from(it).unwrap_or(u16::MAX)).collect()
    }
}

/// Marks the rows above a row in the tree.
fn keep_above(rows: &[Row], is_kept: &mut [bool], from: usize) {
    let mut level = rows[from].level;
    for at in (0..from).rev() {
        if level == 0 {
            return;
        }
        if rows[at].level < level {
            level = rows[at].level;
            is_kept[at] = true;
        }
    }
}

/// Puts the rows in order: siblings by the sort, each followed by the rows below it.
fn siblings(levels: &[u16], rows: &[Option<Row>], sort: Sort, order: &mut Vec<usize>) {
    let value = |at: usize| {
        let row = rows[at].as_ref();
        row.and_then(|it| it.values.get(sort.column)).unwrap_or(&Value::Unknown)
    };
    let sorted = |mut heads: Vec<(usize, usize)>| {
        heads.sort_by(|a, b| value(a.0).order(value(b.0), sort.is_descending));
        heads.reverse();
        heads
    };
    // NOTE: this is not recursive, as a tree of a file may have any depth.
    let mut open = sorted(heads(levels, 0, levels.len()));
    while let Some((head, end)) = open.pop() {
        order.push(head);
        open.extend(sorted(heads(levels, head + 1, end)));
    }
}

/// Returns the siblings of a range: where each begins, and where the rows below it end.
fn heads(levels: &[u16], from: usize, end: usize) -> Vec<(usize, usize)> {
    let mut heads: Vec<(usize, usize)> = Vec::new();
    let mut level = u16::MAX;
    for (at, its) in levels.iter().enumerate().take(end).skip(from) {
        if *its <= level || heads.is_empty() {
            level = *its;
            if let Some(last) = heads.last_mut() {
                last.1 = at;
            }
            heads.push((at, end));
        }
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[names("NAME"), numbers("LIVE", 0)];

    fn row(name: &str, level: u16, value: Value) -> Row {
        let values = vec![Value::text(name), value];
        let key = name.to_owned();
        let search = name.to_owned();
        Row { key, level, values, search, ..Row::default() }
    }

    fn table(rows: Vec<Row>) -> Table {
        Table::new(COLUMNS, rows, 1, String::new())
    }

    fn keys(table: &Table) -> Vec<&str> {
        table.rows.iter().map(|it| &*it.key).collect()
    }

    #[test]
    fn what_is_not_known_comes_last_either_way() {
        let rows = || {
            vec![
                row("unknown", 0, Value::Unknown),
                row("small", 0, Value::Bytes(1)),
                row("large", 0, Value::Bytes(9)),
            ]
        };
        let mut table_ = table(rows());
        table_.arrange(Sort { column: 1, is_descending: true });
        assert_eq!(keys(&table_), ["large", "small", "unknown"]);
        let mut table_ = table(rows());
        table_.arrange(Sort { column: 1, is_descending: false });
        assert_eq!(keys(&table_), ["small", "large", "unknown"]);
    }

    #[test]
    fn a_tree_is_sorted_among_siblings_and_a_match_keeps_what_leads_to_it() {
        let rows = || {
            vec![
                row("a", 0, Value::Bytes(1)),
                row("a1", 1, Value::Bytes(1)),
                row("a2", 1, Value::Bytes(2)),
                row("b", 0, Value::Bytes(3)),
                row("b1", 1, Value::Bytes(3)),
                row("b1x", 2, Value::Bytes(3)),
            ]
        };
        let mut all = table(rows());
        all.arrange(all.first_sort());
        assert_eq!(keys(&all), ["b", "b1", "b1x", "a", "a2", "a1"]);
        let mut found = table(rows());
        found.keep(&Regex::new("^b1$").unwrap());
        found.arrange(all.first_sort());
        assert_eq!(keys(&found), ["b", "b1", "b1x"]);
    }

    #[test]
    fn rows_of_the_same_value_keep_their_order() {
        let rows = ["x", "y", "z"].map(|name| row(name, 0, Value::Bytes(1)));
        let mut table = table(rows.into());
        table.arrange(table.first_sort());
        assert_eq!(keys(&table), ["x", "y", "z"]);
    }
}
