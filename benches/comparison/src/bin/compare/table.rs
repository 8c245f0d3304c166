//! The tables: a row for each contender, a column for each case.

use std::fmt::Write;

use comparison::statistics::Quartiles;
use comparison_loops::{Case, Kind};

use crate::{
    contender::{self, Inner},
    rounds::{Key, Results},
};

/// Everything that was measured, as Markdown.
pub(crate) fn all(results: &Results) -> String {
    let mut notes = Notes::default();
    let mut text = String::new();
    for inner in Inner::ALL {
        let head = format!("Allocation over {}: nanoseconds bare, ratios to that", inner.title());
        one(&mut text, &head, results, inner, Kind::Allocation, &mut notes);
    }
    let head = "Tasks: nanoseconds bare, ratios to that";
    one(&mut text, head, results, Inner::Glibc, Kind::Task, &mut notes);
    for inner in Inner::ALL {
        let head = format!("Resident bytes of a live block over {}", inner.title());
        one(&mut text, &head, results, inner, Kind::Blocks, &mut notes);
    }
    let head = "Resident bytes of tasks and threads";
    one(&mut text, head, results, Inner::Glibc, Kind::Tasks, &mut notes);
    for (number, note) in notes.0.iter().enumerate() {
        let _ = writeln!(text, "[^{}]: {note}", number + 1);
    }
    text
}

/// What does not fit into a cell.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    /// The number of a note.
    fn number(&mut self, note: String) -> usize {
        let known = self.0.iter().position(|known| *known == note);
        known.unwrap_or_else(|| {
            self.0.push(note);
            self.0.len() - 1
        }) + 1
    }
}

fn one(
    text: &mut String,
    head: &str,
    results: &Results,
    inner: Inner,
    kind: Kind,
    notes: &mut Notes,
) {
    let has =
        |key: Key| results.get(&key).is_some_and(|s| !s.runs.is_empty() || s.failure.is_some());
    let cases: Vec<Case> = Case::ALL
        .into_iter()
        .filter(|case| case.kind() == kind && has((0, inner, *case)))
        .collect();
    let rows: Vec<usize> = (0..contender::ALL.len())
        .filter(|&index| cases.iter().any(|&case| has((index, inner, case))))
        .collect();
    if rows.is_empty() {
        return;
    }
    let knowing = if matches!(kind, Kind::Task) { "sees of tasks" } else { "knows of memory" };
    let _ = write!(text, "| {head} | {knowing} |");
    for case in &cases {
        let _ = write!(text, " {} |", case.title());
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(cases.len()));
    for index in rows {
        let contender = &contender::ALL[index];
        let says = if matches!(kind, Kind::Task) { contender.sees } else { contender.knows };
        let _ = write!(text, "| {} | {says} |", contender.title());
        for &case in &cases {
            let _ = write!(text, " {} |", cell(results, (index, inner, case), notes));
        }
        text.push('\n');
    }
    text.push('\n');
}

fn cell(results: &Results, key: Key, notes: &mut Notes) -> String {
    let (_, _, case) = key;
    let Some(series) = results.get(&key) else { return "–".to_owned() };
    if let Some(failure) = &series.failure {
        return format!("failed[^{}]", notes.number(format!("It {failure}.")));
    }
    let figures = || series.runs.iter().map(|run| &run.figure);
    let own = Quartiles::of(figures().map(|figure| figure.value).collect());
    let Some(own) = own else { return "–".to_owned() };
    let ratio = Quartiles::of(series.runs.iter().filter_map(|run| run.ratio).collect());
    let shown = match (case.kind(), ratio) {
        (Kind::Allocation | Kind::Task, None) => nanoseconds(own),
        (Kind::Allocation | Kind::Task, Some(ratio)) => ratios(ratio),
        (Kind::Blocks, None) => format!("{:.1}", own.median),
        (Kind::Blocks, Some(ratio)) => format!("{:.1} (×{:.3})", own.median, ratio.median),
        (Kind::Tasks, _) => bytes(own.median),
    };
    let capped = figures().filter(|figure| figure.is_capped).map(|figure| figure.operations);
    let Some(least) = capped.min() else { return shown };
    let note = if case == Case::MillionTasks {
        format!("After {least} tasks: no more were run, for want of time or memory.")
    } else {
        "With fewer repetitions than the others, since it takes so long.".to_owned()
    };
    format!("{shown}[^{}]", notes.number(note))
}

fn nanoseconds(figure: Quartiles) -> String {
    let digits = usize::from(figure.median < 100.0);
    format!("{:.digits$} ({:.digits$}–{:.digits$})", figure.median, figure.lower, figure.upper)
}

fn ratios(ratio: Quartiles) -> String {
    let digits = if ratio.median < 10.0 { 2 } else { 0 };
    format!("**{:.digits$}** ({:.digits$}–{:.digits$})", ratio.median, ratio.lower, ratio.upper)
}

fn bytes(figure: f64) -> String {
    match figure {
        small if small.abs() < 10_000.0 => format!("{small:.0} B"),
        some if some < 10.0 * 1024.0 * 1024.0 => format!("{:.1} KiB", some / 1024.0),
        many => format!("{:.1} MiB", many / 1024.0 / 1024.0),
    }
}
