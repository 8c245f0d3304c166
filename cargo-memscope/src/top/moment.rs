//! The moment that tables are compared with: the exact bytes that each row held then.

use std::collections::{HashMap, HashSet};

use super::{
    context::Context,
    number::{bytes, change, count, duration},
    report::Report,
    table::{Column, Row, Table, Value, sums},
    tables::Tab,
};

/// The column that comparing adds.
pub(super) const CHANGE: Column = sums("Δ LIVE", 0);

/// The tables whose rows are compared.
const COMPARED: [Tab; 3] = [Tab::Sites, Tab::Tasks, Tab::Variables];

/// The bytes that rows held at a moment.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// Seconds since the process started.
    at: f64,
    whole: u64,
    /// The bytes of each row by its key, or `None` if they were not measured.
    rows: HashMap<String, Option<u64>>,
    /// The tables that lacked some rows. A missing row may have held something.
    partial: HashSet<Tab>,
}

impl Moment {
    /// Remembers the bytes that the rows of a report hold.
    pub(super) fn of(context: &Context<'_>) -> Self {
        let mut moment = Self {
            at: context.report.snapshot.observed_seconds(),
            whole: context.whole(),
            rows: HashMap::new(),
            partial: HashSet::new(),
        };
        let lacks_rows = context.report.snapshot.tool().rows_left_out > 0;
        for tab in COMPARED {
            let table = tab.table(&Context { group: None, ..*context });
            if table.left_out > 0 || lacks_rows {
                moment.partial.insert(tab);
            }
            let rows = table.rows.into_iter();
            moment.rows.extend(rows.map(|it| {
                let held = held(&it, table.sort);
                (it.key, held)
            }));
        }
        moment
    }

    /// Adds the change since the moment to the rows of a table.
    pub(super) fn compare(&self, tab: Tab, table: &mut Table) {
        if !COMPARED.contains(&tab) {
            return;
        }
        for row in &mut table.rows {
            let now = held(row, table.sort);
            row.values.push(self.change(tab, &row.key, now));
        }
        table.columns.push(CHANGE);
    }

    fn change(&self, tab: Tab, key: &str, now: Option<u64>) -> Value {
        let then = match self.rows.get(key) {
            Some(then) => *then,
            // The row is new, so it held nothing then.
            None => (!self.partial.contains(&tab)).then_some(0),
        };
        match now.zip(then) {
            Some((now, then)) => Value::Change(i128::from(now) - i128::from(then)),
            None => Value::Unknown,
        }
    }

    /// Says since when, and how much the whole heap has changed and what the rows that are gone
    /// held.
    pub(super) fn words(&self, tab: Tab, report: &Report, all: &Table) -> String {
        let since = std::time::Duration::try_from_secs_f64(
            (report.snapshot.observed_seconds() - self.at).max(0.0),
        );
        let since = since.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        let whole = i128::from(report.snapshot.process().whole_bytes) - i128::from(self.whole);
        let mut text = format!("Compared with {} ago: live {}", duration(since), change(whole));
        // If the table lacks rows, a row that seems gone may only be missing.
        let is_whole = COMPARED.contains(&tab) && report.left_out(tab.list()) == 0;
        if is_whole && report.snapshot.tool().rows_left_out == 0 {
            let there: HashSet<&str> = all.rows.iter().map(|it| &*it.key).collect();
            let is_gone = |it: &&String| tab.has_key(it) && !there.contains(it.as_str());
            let gone = self.rows.keys().filter(is_gone);
            let (rows, held) = gone.fold((0_u64, 0_u64), |sum, it| {
                (sum.0 + 1, sum.1.saturating_add(self.rows[it].unwrap_or(0)))
            });
            if rows > 0 {
                let what = if rows == 1 { "row is gone that" } else { "rows are gone that" };
                text = format!("{text}; {} {what} held {}", count(rows), bytes(held));
            }
        }
        format!("{text}. c ends it.")
    }
}

/// Returns the bytes that a row holds: the value of the column by which its table is sorted at
/// first.
fn held(row: &Row, sort: usize) -> Option<u64> {
    match row.values.get(sort) {
        Some(Value::Bytes(bytes)) => Some(*bytes),
        _ => None,
    }
}
