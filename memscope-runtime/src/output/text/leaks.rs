//! Leak findings, as text.

use std::{collections::HashMap, fmt};

use super::table::{Column, Table};
use crate::{
    alloc::own_work,
    analysis::{
        Leak, LeakKind, Leaks,
        leaks::{
            age, at,
            wording::{percent, several},
        },
    },
    model::{
        HandOver, HumanBytes, Place,
        human::{cell, count},
    },
    snapshot::MemorySnapshot,
};

/// How many findings are printed; `{:#}` prints all.
const MOST_SHOWN: usize = 10;
/// How many rows of frees by others are printed; `{:#}` prints all.
const MOST_CROSS_FREES: usize = 8;

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The tables take memory from its reserve, also in a process that has only read a file.
        let _work = own_work::work();
        let most = if f.alternate() { usize::MAX } else { MOST_SHOWN };
        self.print_worst(f, most)?;
        if !self.not_judged().is_empty() {
            writeln!(f, "not judged")?;
        }
        for note in self.not_judged().iter().take(most) {
            writeln!(f, "  {note}")?;
        }
        if !self.backlogs().is_empty() {
            writeln!(f, "waiting in channels")?;
        }
        for backlog in self.backlogs().iter().take(most) {
            writeln!(f, "  {backlog}")?;
        }
        cross_frees(self.hand_overs(), f)
    }
}

/// How many findings, and how many notes, a report of a snapshot prints; `{:#}` prints all.
const MOST_IN_REPORT: usize = 3;

impl MemorySnapshot {
    /// Prints what leaks or grows, with its cure, and what cannot be judged.
    pub(super) fn verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.measured().is_yes() {
            // The first line says so.
            return Ok(());
        }
        let leaks = self.leaks();
        let most = if f.alternate() { usize::MAX } else { MOST_IN_REPORT };
        leaks.print_worst(f, most)?;
        for note in leaks.not_judged().iter().take(most) {
            writeln!(f, "  not judged  {note}")?;
        }
        writeln!(f)
    }
}

impl Leaks {
    /// Prints the worst findings.
    fn print_worst(&self, f: &mut fmt::Formatter<'_>, most: usize) -> fmt::Result {
        match self.len() as u64 {
            0 if !self.measured => writeln!(f, "leaks: not measured")?,
            0 => writeln!(f, "leaks: none found")?,
            found => writeln!(f, "leaks: {}", several(found, "finding", "findings"))?,
        }
        for leak in self.iter().take(most) {
            writeln!(f, "  {}", leak.to_string().replace('\n', "\n  "))?;
        }
        if self.len() > most {
            writeln!(
                f,
                "  … and {} more (all of them with `{{:#}}`)",
                count((self.len() - most) as u64)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, severity, bytes, .. } = self;
        write!(f, "{severity:6}  {kind:8}  {}: {}", at(&self.place), HumanBytes(*bytes))?;
        match (kind, self.task) {
            (LeakKind::Retained, _) => {
                write!(f, " in {}", several(self.count, "ended task", "ended tasks"))?;
                self.write_age(f, ", the first ended ", " ago")?;
            }
            (LeakKind::Stuck, _) => {
                write!(f, " in {}", several(self.count, "task", "tasks"))?;
                self.write_age(f, ", not polled for ", "")?;
            }
            (LeakKind::Unjoined, _) => {
                match self.count {
                    0 => write!(f, " in ended tasks")?,
                    tasks => write!(f, " in {}", several(tasks, "ended task", "ended tasks"))?,
                }
                self.write_age(f, ", rising for ", "")?;
            }
            (LeakKind::Growing, None) if self.count == 0 => {
                self.write_age(f, ", rising for ", "")?;
            }
            (LeakKind::Growing, Some(task)) => {
                match self.count {
                    0 | 1 => write!(f, " in task #{task}")?,
                    tasks => write!(f, " in {} living tasks", count(tasks))?,
                }
                self.write_age(f, ", rising for ", "")?;
            }
            (LeakKind::OverBudget, _) => {
                write!(f, " in the largest of {}", several(self.count, "task", "tasks"))?;
            }
            (LeakKind::Kept | LeakKind::Unseen | LeakKind::Lost, _) => {}
            (LeakKind::Growing, None) => {
                write!(f, " in {}", several(self.count, "ended task", "ended tasks"))?;
                self.write_age(f, ", rising for ", "")?;
            }
        }
        if let Some(per_day) = self.bytes_per_day.filter(|&per_day| per_day != 0) {
            write!(f, ", {} a day", HumanBytes(per_day))?;
        }
        write!(f, "\n        {}", cell(&self.evidence, 900))?;
        if let Some(code) = &self.allocated_at {
            write!(f, " Allocated at {}.", cell(code, 600))?;
        }
        if !self.variables.is_empty() {
            let names: Vec<String> =
                self.variables.iter().take(5).map(|name| format!("`{}`", cell(name, 40))).collect();
            write!(f, " In it: {}.", names.join(", "))?;
        }
        write!(f, "\n        fix: {}", cell(&self.fix, 400))?;
        // Files of earlier versions lack the reason.
        if self.certainty_reason.is_empty() {
            return Ok(());
        }
        write!(f, "\n        how sure: {}: {}", self.certainty, cell(&self.certainty_reason, 300))
    }
}

impl Leak {
    fn write_age(&self, f: &mut fmt::Formatter<'_>, before: &str, after: &str) -> fmt::Result {
        self.oldest_ns.map_or(Ok(()), |ns| write!(f, "{before}{}{after}", age(ns)))
    }
}

/// Prints nothing if each site frees what it allocates.
fn cross_frees(hand_overs: &[HandOver], f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
    let most = if f.alternate() { usize::MAX } else { MOST_CROSS_FREES };
    for row in hand_overs.iter().take(most) {
        let given = given.get(&row.from.as_ref()).copied().unwrap_or(0);
        table.push(vec![
            name(row.from.as_ref()),
            if row.from.is_some() && row.from == row.to {
                "another of these".to_owned()
            } else {
                name(row.to.as_ref())
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

fn name(place: Option<&Place>) -> String {
    place.map_or("(outside every task)".to_owned(), at)
}
