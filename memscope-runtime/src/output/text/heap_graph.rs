//! The graph of what holds the heap, as text: roots, what they share, and what none reaches.

use std::fmt;

use super::{
    MOST_ROWS, NAME_COLUMNS, NONE, PLACE_COLUMNS, more,
    table::{Column, Table},
};
use crate::{
    alloc::own_work,
    model::{
        HeapGraph, HeapStep, HeldBy, HumanBytes, RootKind, StackFrame, Unreachable,
        human::{cell, count, path_end},
    },
    output::text::number,
};

/// Columns for the way down from a root.
const WAY_COLUMNS: usize = 100;
/// Columns for the variable of a task.
const VARIABLE_COLUMNS: usize = 24;

/// Prints the roots, the ones that hold most alone first. Then come what several roots hold, and
/// what none reaches. Prints the first twenty of each; `{:#}` prints all.
impl fmt::Display for HeapGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _work = own_work::work();
        writeln!(
            f,
            "heap: {} in {}; the process stood still for {}, and went on for the rest of {}",
            HumanBytes(self.bytes),
            blocks(self.blocks),
            duration(self.pause_ns),
            duration(self.taken_ns),
        )?;
        if self.blocks_from_before != 0 {
            writeln!(
                f,
                "from before holders were on, and not looked into: {} in {}",
                HumanBytes(self.bytes_from_before),
                blocks(self.blocks_from_before),
            )?;
        }
        if self.running_threads != 0 {
            writeln!(
                f,
                "{} ran meanwhile: what only registers held counts as held by nothing",
                number_of(self.running_threads, "thread"),
            )?;
        }
        self.roots(f)?;
        self.several(f)?;
        self.nothing(f)
    }
}

impl HeapGraph {
    fn roots(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        let shown = || self.roots.iter().take(most);
        let has_variables = shown().any(|root| root.variable.is_some());
        let mut columns = vec![
            Column::Left("HELD BY"),
            Column::Left("AT"),
            Column::Left("KIND"),
            Column::Right("ALONE"),
            Column::Right("REACHES"),
            Column::Right("BLOCKS"),
            Column::Left("MOST OF IT"),
        ];
        if has_variables {
            columns.insert(1, Column::Left("VARIABLE"));
        }
        let mut table = Table::new(&columns);
        for root in shown() {
            let (file, line) = root.place();
            let mut row = vec![
                cell(&title(root), NAME_COLUMNS),
                place(file, line),
                root.kind.to_string(),
                size(root.retained_bytes),
                reaches(root),
                number(root.blocks),
                cell(&way(&root.largest), WAY_COLUMNS),
            ];
            if has_variables {
                let variable = root.variable.as_deref().unwrap_or_default();
                row.insert(1, cell(variable, VARIABLE_COLUMNS));
            }
            table.push(row);
        }
        write!(f, "\n{table}{}", more(self.roots.len(), most, "roots"))
    }

    fn several(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shared_blocks == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "\nheld by several roots, by none alone: {} in {}",
            HumanBytes(self.shared_bytes),
            blocks(self.shared_blocks),
        )?;
        for step in self.shared.iter().take(MOST_ROWS) {
            writeln!(
                f,
                "  {} through {}",
                HumanBytes(step.retained_bytes),
                cell(&kind_of(step), WAY_COLUMNS)
            )?;
        }
        Ok(())
    }

    fn nothing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unreachable.is_empty() {
            return writeln!(f, "\nheld by nothing: none");
        }
        let leaks = self.unreachable.iter();
        let in_all = leaks.fold(0, |sum: u64, leak| sum.saturating_add(leak.blocks));
        writeln!(
            f,
            "\nheld by nothing: {} in {}",
            HumanBytes(self.unreachable_bytes()),
            blocks(in_all),
        )?;
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        for leak in self.unreachable.iter().take(most) {
            writeln!(f, "  {} {}", HumanBytes(leak.bytes), cell(&lost(leak), WAY_COLUMNS))?;
        }
        f.write_str(&more(self.unreachable.len(), most, "kinds of leaks"))
    }
}

impl fmt::Display for RootKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static => "static",
            Self::ThreadLocal => "thread-local",
            Self::Task => "task",
            Self::Stack => "stack",
            Self::Runtime => "runtime",
            Self::Other => "other",
        })
    }
}

/// The name of a root, and what tells it from others of this name.
fn title(root: &HeldBy) -> String {
    match &root.task {
        Some(task) => format!("{} #{task}", root.name),
        None => title_of_kind(&root.name, root.kind, root.thread.as_deref()),
    }
}

/// The name of a kind of roots: thread-locals are told apart by their thread.
pub(super) fn title_of_kind(name: &str, kind: RootKind, thread: Option<&str>) -> String {
    match thread {
        Some(thread) if kind == RootKind::ThreadLocal => format!("{name} of {thread}"),
        _ => name.to_owned(),
    }
}

/// Where the root is in the source, as far as that is known.
pub(super) fn place(file: Option<&str>, line: Option<u32>) -> String {
    let Some(file) = file else { return String::new() };
    let line = line.map_or_else(String::new, |line| format!(":{line}"));
    path_end(&(file.to_owned() + &line), PLACE_COLUMNS)
}

fn reaches(root: &HeldBy) -> String {
    let bytes = size(root.reachable_bytes);
    if root.reachable_is_whole { bytes } else { format!("≥ {bytes}") }
}

fn size(bytes: u64) -> String {
    if bytes == 0 { NONE.to_owned() } else { HumanBytes(bytes).to_string() }
}

/// The way down from a root: `1 × 64.0 KiB → 2,000 × 9.8 KiB by fill`.
fn way(steps: &[HeapStep]) -> String {
    steps.iter().map(kind_of).collect::<Vec<_>>().join(" → ")
}

fn kind_of(step: &HeapStep) -> String {
    let mean = step.own_bytes.checked_div(step.blocks).unwrap_or(0);
    let made = format!("{} × {}", count(step.blocks), HumanBytes(mean));
    match maker(step.site.as_deref(), &step.stack) {
        Some(maker) => format!("{made} by {maker}"),
        None => made,
    }
}

/// The task that made the blocks, else the function.
fn maker(site: Option<&str>, stack: &[StackFrame]) -> Option<String> {
    site.map(str::to_owned).or_else(|| {
        let is_programs = |frame: &&StackFrame| {
            let name = frame.function.as_ref();
            !name.is_empty()
                && !["alloc::", "core::", "std::", "<"].iter().any(|it| name.starts_with(it))
        };
        stack.iter().find(is_programs).map(|frame| frame.function.clone().into_owned())
    })
}

fn lost(leak: &Unreachable) -> String {
    let kind = if leak.in_cycle { "cycle" } else { "lost block" };
    let made = format!("in {}, {} in all", number_of(leak.leaks, kind), blocks(leak.blocks));
    let by = match (maker(leak.site.as_deref(), &leak.stack), leak.task) {
        (Some(maker), Some(task)) => format!(", made by {maker} #{task}"),
        (Some(maker), None) => format!(", made by {maker}"),
        (None, _) => String::new(),
    };
    made + &by
}

fn blocks(number: u64) -> String {
    number_of(number, "block")
}

pub(super) fn number_of(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn duration(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", ns as f64 / 1e9),
    }
}
