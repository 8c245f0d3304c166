//! The details of one row: its figures, where it waits, its variables and stacks.

mod frames;
mod site;
mod task;
mod others;

use super::{
    context::Context,
    findings,
    number::{self, sign},
    table::Row,
};

/// One line of a detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A heading, and the words to its right.
    Section(String, &'static str),
    /// A name, and its figure to the right.
    Pair(String, String),
    /// A function, and its place to the right.
    Frame(String, String),
    Text(String),
    /// A remark, which is drawn dim.
    Dim(String),
    /// A finding's title, with its severity.
    Finding(memscope_runtime::analysis::Severity, String),
}

/// The details of a row that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    pub(super) kind: &'static str,
    pub(super) title: String,
    pub(super) place: String,
    pub(super) lines: Vec<Line>,
}

impl Detail {
    /// Collects everything that is known of this row.
    pub(super) fn of(context: &Context<'_>, row: &Row, titles: &[&str]) -> Self {
        let mut lines = finding_lines(context, &row.key);
        let found = match row.key.split(':').next() {
            Some("task") => task::lines(context, &row.key),
            Some("site") => site::lines(context, &row.key),
            _ => None,
        };
        let found = found.or_else(|| others::lines(context, row, titles));
        let (kind, place, known) = found.unwrap_or_else(|| ("Row", String::new(), Vec::new()));
        if let Some(super::table::Value::Change(by)) = row.values.last() {
            let exact = format!(
                "{}{} B",
                sign(*by),
                number::count(u64::try_from(by.unsigned_abs()).unwrap_or(u64::MAX))
            );
            lines.push(Line::Pair("Live, against the moment before".to_owned(), exact));
        }
        lines.extend(known);
        let title = row.values.iter().find_map(|it| match it {
            super::table::Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        Self { kind, title: title.unwrap_or_default(), place, lines }
    }
}

fn finding_lines(context: &Context<'_>, key: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for it in findings::of_row(&context.report.leaks, key) {
        lines.push(Line::Finding(it.severity, it.title));
        lines.extend([Line::Text(it.figures), Line::Text(it.evidence)]);
        lines.push(Line::Text(format!("fix: {}", it.fix)));
    }
    lines
}
