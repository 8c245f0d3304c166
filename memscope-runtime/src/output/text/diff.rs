//! The comparison of two snapshots, as text.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, NONE, PLACE_COLUMNS, folder, more, place,
    stacks::{FUNCTIONS, FUNCTIONS_OF_LONG, NO_TASK, code},
    table::{Column, Table},
};
use crate::{
    alloc::own_work,
    analysis::{changes::Presence, diff::SnapshotDiff},
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
        let _work = own_work::work();
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
        if !self.stacks.is_empty() {
            self.stack_table(f)?;
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

impl SnapshotDiff {
    #[inline]
    fn stack_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("ROW"),
            Column::Right("LIVE"),
            Column::Right("±"),
            Column::Right("ALLOCATED"),
            Column::Right("±"),
            Column::Left("SITE"),
            Column::Left("CODE"),
        ]);
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let functions = if f.alternate() { FUNCTIONS_OF_LONG } else { FUNCTIONS };
        // A change that the estimates do not show is none.
        let estimate = |is_change: bool, change: i64, error: u64| {
            if is_change {
                [format!("≈ {}", bytes(change)), HumanBytes(error).to_string()]
            } else {
                [NONE.to_owned(), NONE.to_owned()]
            }
        };
        for row in self.stacks.iter().take(most) {
            let [live, live_error] =
                estimate(row.is_live_change(), row.live_bytes, row.live_error_bytes);
            let [allocated, allocated_error] =
                estimate(row.is_allocated_change(), row.allocated_bytes, row.allocated_error_bytes);
            let site = row.site.as_ref();
            table.push(vec![
                row.presence.to_string(),
                live,
                live_error,
                allocated,
                allocated_error,
                site.map_or_else(
                    || if row.is_untracked { NO_TASK } else { NONE }.to_owned(),
                    |it| cell(&it.name, NAME_COLUMNS),
                ),
                code(&row.frames, functions),
            ]);
        }
        write!(f, "\nwhere the code allocates (estimates)\n{table}")?;
        write!(f, "{}", more(self.stacks.len(), most, "stacks"))
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
pub(super) fn bytes(change: i64) -> String {
    signed(change, HumanBytes(change.unsigned_abs()))
}

#[inline]
pub(super) fn number(change: i64) -> String {
    signed(change, count(change.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::analysis::fixture;

    #[test]
    fn stacks_that_changed_are_shown_with_how_sure_that_is() {
        let snapshot = |mib: u64, samples: u64| {
            fixture::snapshot(&json!({
                "stacks": [{
                    "frames": [
                        { "function": "shop::cache::Cache<K,V>::insert", "address": 1 }, { "function": "main", "address": 2 },
                    ],
                    "is_untracked": true, "live_bytes": mib << 20, "allocated_bytes": 800 << 20, "live_samples": samples, "samples": 400,
                }],
                "stacks_measured": "on", "stack_interval_bytes": 2 << 20,
            }))
        };
        let shown = snapshot(800, 400).diff(&snapshot(200, 100)).to_string();
        let expected = "
where the code allocates (estimates)
ROW          LIVE         ±  ALLOCATED  ±  SITE       CODE
     ≈ +600.0 MiB  96.2 MiB          ·  ·  (no task)  shop::cache::Cache::insert ← … 1 library frame
";
        assert!(shown.ends_with(expected), "{shown}");
        let same = snapshot(210, 105).diff(&snapshot(200, 100)).to_string();
        assert!(!same.contains("where the code"), "{same}");
    }
}
