//! The details of rows that are neither sites nor tasks: every column in full, and further facts.

use super::{
    Line,
    frames::{FEW, more, stacks, variables},
};
use crate::top::{
    context::Context,
    number::bytes,
    report::name,
    stacks::frame_name,
    table::{Row, Value},
    tables::variable_key,
};

pub(super) fn lines(
    context: &Context<'_>,
    row: &Row,
    titles: &[&str],
) -> Option<(&'static str, String, Vec<Line>)> {
    let (kind, rest) = row.key.split_once(':')?;
    let snapshot = &context.report.snapshot;
    let mut lines = columns(row, titles);
    let kind = match kind {
        "fn" => {
            let calls = |it: &&memscope_runtime::async_memory::StackProfile| {
                it.samples > 0 && it.frames.iter().any(|frame| frame_name(frame) == rest)
            };
            lines.extend(stacks(snapshot.stacks().iter().filter(calls)));
            "Function"
        }
        "var" => {
            let is_one = |it: &&memscope_runtime::async_memory::VariableProfile| {
                variable_key(&it.name, &it.type_name, &it.file, it.line) == row.key
            };
            lines.extend(variables(snapshot.variables().iter().filter(is_one)));
            "Variable"
        }
        "root" => {
            lines.extend(held(context, row));
            "Root"
        }
        "wait" => "Await point",
        "free" => "Freed by others",
        _ => "Row",
    };
    Some((kind, String::new(), lines))
}

/// Returns the values of all columns. No width cuts them here.
fn columns(row: &Row, titles: &[&str]) -> Vec<Line> {
    let pairs = titles.iter().zip(&row.values);
    pairs
        .filter(|it| !matches!(it.1, Value::Change(_)))
        .map(|(title, value)| match value {
            Value::Text(text) => Line::Text(text.clone()),
            value => Line::Pair((*title).to_owned(), value.shown()),
        })
        .collect()
}

/// The largest blocks that a root holds.
fn held(context: &Context<'_>, row: &Row) -> Vec<Line> {
    let roots = context.graph.map_or(&[][..], |it| &it.roots);
    let title = row.values.first();
    let is_root = |it: &&memscope_runtime::async_memory::HeldBy| {
        Some(&Value::text(name(&it.title()))) == title
            && row.values.get(3) == Some(&Value::Bytes(it.retained_bytes))
    };
    let Some(root) = roots.iter().find(is_root).filter(|it| !it.largest.is_empty()) else {
        return Vec::new();
    };
    let mut lines = vec![Line::Section("Largest that it holds".to_owned(), "retained")];
    lines.extend(root.largest.iter().take(FEW).map(|it| {
        let site = it.site.as_deref().map_or_else(|| "blocks".to_owned(), name);
        Line::Pair(format!("{} × {site}", it.blocks), bytes(it.retained_bytes))
    }));
    lines.extend(more(root.largest.len()));
    lines
}
