//! The comparison of two snapshots, as text.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, NONE, PLACE_COLUMNS, folder, more, place,
    table::{Column, Table},
};
use crate::{
    analysis::diff::{Presence, SnapshotDiff},
    model::{
        HumanBytes,
        human::{cell, count, path_end},
    },
};

/// Prints the totals and what changed, largest growth first: the first twenty rows of each table,
/// or every row with `{:#}`.
impl fmt::Display for SnapshotDiff {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.same_process {
            writeln!(f, "these are snapshots of two processes: a difference, not a growth")?;
        }
        let process = &self.process;
        if self.measured {
            let [tracked, untracked, whole] =
                [process.tracked_bytes, process.untracked_bytes, process.whole_bytes].map(bytes);
            write!(f, "live memory: {tracked} in tasks, {untracked} untracked, {whole} in all")?;
        } else {
            write!(f, "live memory: not measured in both")?;
        }
        match self.elapsed_ns {
            Some(ns) => {
                #[expect(clippy::cast_precision_loss, reason = "shown in tenths of a second")]
                let seconds = ns as f64 / 1e9;
                writeln!(f, ", {seconds:.1} s later")?;
            }
            None => writeln!(f)?,
        }
        let [spawned, ended, active] = [process.spawned, process.ended, process.active].map(number);
        writeln!(f, "tasks: {spawned} created, {ended} ended, {active} alive")?;
        if !self.is_still {
            writeln!(
                f,
                "tasks ended while one of the two was read: totals may miss the last of them"
            )?;
        }
        if !self.sites.is_empty() {
            self.site_table(f)?;
        }
        if !self.variable_sites.is_empty() {
            self.variable_table(f)?;
        }
        if self.rows_left_out != 0 {
            writeln!(f, "{} rows left out for want of memory", count(self.rows_left_out))?;
        }
        Ok(())
    }
}

impl SnapshotDiff {
    #[inline]
    fn site_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("SITE"),
            Column::Left("TYPE"),
            Column::Left("AT"),
            Column::Left("ROW"),
            Column::Right("LIVE"),
            Column::Right("OF ENDED"),
            Column::Right("ALLOCATED"),
            Column::Right("ALIVE"),
            Column::Right("CREATED"),
            Column::Right("ENDED"),
        ]);
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let folder = folder(f, self.sites.iter().map(|row| &*row.file));
        for row in self.sites.iter().take(most) {
            table.push(vec![
                cell(&row.name, NAME_COLUMNS),
                row.task_type.to_string(),
                place(&row.file, row.line, folder),
                row.presence.to_string(),
                bytes(row.live_bytes),
                bytes(row.retained_bytes),
                bytes(row.allocated_bytes),
                number(row.active),
                number(row.spawned),
                number(row.ended),
            ]);
        }
        write!(f, "\n{table}{}", more(self.sites.len(), most, "sites"))
    }

    #[inline]
    fn variable_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("VARIABLE"),
            Column::Left("TYPE"),
            Column::Left("AT"),
            Column::Left("ROW"),
            Column::Right("HEAP LIVE"),
            Column::Right("LIVE"),
            Column::Right("REGISTERED"),
            Column::Right("ENDED"),
        ]);
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let folder = folder(f, self.variable_sites.iter().map(|row| &*row.file));
        for row in self.variable_sites.iter().take(most) {
            table.push(vec![
                cell(&row.name, NAME_COLUMNS),
                path_end(&row.type_name, PLACE_COLUMNS),
                place(&row.file, row.line, folder),
                row.presence.to_string(),
                bytes(row.live_bytes),
                number(row.live),
                number(row.registered),
                number(row.ended),
            ]);
        }
        write!(f, "\n{table}{}", more(self.variable_sites.len(), most, "variables"))
    }
}

impl fmt::Display for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Both => "",
            Self::New => "new",
            Self::Gone => "gone",
        })
    }
}

fn signed(change: i64, shown: impl fmt::Display) -> String {
    match change {
        0 => NONE.to_owned(),
        1.. => format!("+{shown}"),
        _ => format!("-{shown}"),
    }
}

#[inline]
fn bytes(change: i64) -> String {
    signed(change, HumanBytes(change.unsigned_abs()))
}

#[inline]
fn number(change: i64) -> String {
    signed(change, count(change.unsigned_abs()))
}
