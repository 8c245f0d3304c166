//! The tool `largest_holders`: the rows of one table with the most live bytes.

use std::cmp::Reverse;

use memscope_runtime::async_memory::{
    HeapGraph, HeldBy, MemorySnapshot, SharedProfile, SiteProfile, TaskMemoryProfile,
    VariableSiteProfile,
};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Facts, Row, Rows},
    quote::{Width, at, bytes, place, quoted, seconds, shown},
    source::Taken,
    stack::{self, OUTSIDE},
    verdict::{memory, memory_lines},
    waits::waits_at,
};
use crate::error::Error;

/// A table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum By {
    /// Places that make tasks, and what is outside of tasks: all live bytes.
    #[default]
    Sites,
    /// Single tasks, living and ended.
    Tasks,
    /// Variables of `track_var!`.
    Variables,
    /// Owners of `shared("name", …)`.
    Shared,
    /// By call stack.
    Stacks,
    /// What holds memory: statics, threads, tasks; needs `MEMSCOPE_HOLDERS=on`.
    Roots,
}

/// A row of the table of sites.
enum Site<'a> {
    Of(&'a SiteProfile),
    Outside(u64),
}

impl Site<'_> {
    fn live_bytes(&self) -> u64 {
        match self {
            Self::Of(site) => site.live_bytes,
            Self::Outside(bytes) => *bytes,
        }
    }
}

/// Answers with the rows of a table, the largest first.
pub(super) fn answer(taken: &Taken, by: By) -> Result<Answer<'_>, Error> {
    let snapshot = &taken.snapshot;
    let mut lines = memory_lines(snapshot);
    let mut facts = Facts::new();
    facts.insert("memory".to_owned(), memory(snapshot));
    let rows = match by {
        By::Sites => {
            let mut sites: Vec<Site<'_>> = snapshot.sites().iter().map(Site::Of).collect();
            sites.push(Site::Outside(snapshot.process().untracked_bytes));
            sites.sort_by_key(|site| Reverse(site.live_bytes()));
            let is_measured = snapshot.measured().is_yes();
            Rows::of(sites, move |site, width| match site {
                Site::Of(site) => site_row(site, width),
                Site::Outside(live) => outside_row(*live, is_measured),
            })
        }
        By::Tasks => {
            let mut tasks: Vec<&TaskMemoryProfile> = snapshot.tasks().iter().collect();
            tasks.sort_by_key(|task| (Reverse(task.live_bytes), task.id));
            lines.extend(left_out(snapshot.tool().rows_left_out, "rows of tasks"));
            Rows::of(tasks, |task, width| task_row(snapshot, task, width))
        }
        By::Variables => {
            let mut rows: Vec<&VariableSiteProfile> = snapshot.variable_sites().iter().collect();
            rows.sort_by_key(|row| Reverse(row.live_bytes));
            if rows.is_empty() {
                lines.push("no variable is registered: `track_var!(x)` does it".to_owned());
            }
            Rows::of(rows, |row, width| variable_row(row, width))
        }
        By::Shared => {
            let mut rows: Vec<&SharedProfile> = snapshot.shared().iter().collect();
            rows.sort_by_key(|row| Reverse(row.live_bytes));
            if rows.is_empty() {
                lines.push("there is no shared owner: `shared(\"cache\", || …)` makes one".into());
            }
            Rows::of(rows, |row, width| shared_row(row, width))
        }
        By::Stacks => {
            lines.push(stack::how(snapshot));
            lines.extend((!taken.notes.is_empty()).then(|| taken.note()));
            let stacks = snapshot.stacks();
            Rows::new(stacks.len(), |index, width| stack::row(snapshot, &stacks[index], width))
        }
        By::Roots => {
            let Some(graph) = snapshot.heap_graph() else {
                return Err(Error::new("there is no graph of the heap in this report"));
            };
            let (words, data) = graph_facts(graph);
            lines.push(words);
            facts.insert("graph".to_owned(), data);
            Rows::new(graph.roots.len(), |index, width| root_row(&graph.roots[index], width))
        }
    };
    Ok(Answer { lines, facts, rows })
}

fn left_out(rows: u64, what: &str) -> Option<String> {
    (rows != 0).then(|| format!("{rows} {what} are not in the snapshot: sums have them"))
}

/// A size as text, or that it is not measured.
pub(super) fn size(is_measured: bool, size: u64) -> String {
    if is_measured { bytes(size) } else { "not measured".to_owned() }
}

/// A size as data, or `null` if it is not measured.
pub(super) fn size_data(is_measured: bool, size: u64) -> Value {
    if is_measured { size.into() } else { Value::Null }
}

fn outside_row(live: u64, is_measured: bool) -> Row {
    let text = format!("{}: {} live", quoted(OUTSIDE, 280), size(is_measured, live));
    let live = size_data(is_measured, live);
    Row { text, data: json!({ "row": "outside", "name": OUTSIDE, "live_bytes": live }) }
}

pub(super) fn site_row(site: &SiteProfile, width: Width) -> Row {
    let place = place(&site.file, Some(site.line), width.place());
    let of = |it| size(site.measured, it);
    let text = format!(
        "site {}{}: {} live, of these {} left behind by ended tasks; {} alive of {} tasks; \
         at most {} in one; {} allocated so far",
        quoted(&site.name, width.name()),
        at(&place),
        of(site.live_bytes),
        of(site.retained_bytes),
        site.active,
        site.spawned,
        of(site.peak_bytes),
        of(site.allocated_bytes),
    );
    let data_of = |it| size_data(site.measured, it);
    let data = json!({
        "row": "site",
        "name": shown(&site.name, width.name()),
        "at": place,
        "live_bytes": data_of(site.live_bytes),
        "retained_bytes": data_of(site.retained_bytes),
        "active": site.active,
        "spawned": site.spawned,
        "peak_bytes": data_of(site.peak_bytes),
        "allocated_bytes": data_of(site.allocated_bytes),
    });
    Row { text, data }
}

pub(super) fn task_row(snapshot: &MemorySnapshot, task: &TaskMemoryProfile, width: Width) -> Row {
    let place = place(&task.file, Some(task.line), width.place());
    let waits = snapshot.await_point_of(task).map(|it| waits_at(it, width));
    let mut text = format!(
        "task #{} {}{}: {} live, {} at most; {}",
        task.id,
        quoted(&task.name, width.name()),
        at(&place),
        size(task.measured, task.live_bytes),
        size(task.measured, task.peak_bytes),
        task.state,
    );
    if let Some(idle) = task.idle_ns {
        say!(text, ", not polled for {} s", seconds(idle));
    }
    if let Some(waits) = &waits {
        say!(text, ", waits at {}", quoted(waits, width.sentence()));
    }
    if let Some(parent) = task.parent {
        say!(text, ", of task #{parent}");
    }
    let data = json!({
        "row": "task",
        "id": task.id,
        "name": shown(&task.name, width.name()),
        "at": place,
        "state": task.state,
        "live_bytes": size_data(task.measured, task.live_bytes),
        "peak_bytes": size_data(task.measured, task.peak_bytes),
        "idle_ns": task.idle_ns,
        "waits_at": waits,
        "parent": task.parent,
    });
    Row { text, data }
}

pub(super) fn variable_row(row: &VariableSiteProfile, width: Width) -> Row {
    let place = place(&row.file, Some(row.line), width.place());
    let text = format!(
        "variable {} of type {}{}: {} live in {} of {} registered, {} not followed; the largest \
         had {}",
        quoted(&row.name, width.name()),
        quoted(&row.type_name, width.name()),
        at(&place),
        bytes(row.live_bytes),
        row.live,
        row.registered,
        row.unfollowed,
        bytes(row.largest_bytes),
    );
    let data = json!({
        "row": "variable",
        "name": shown(&row.name, width.name()),
        "type": shown(&row.type_name, width.name()),
        "at": place,
        "live_bytes": row.live_bytes,
        "live": row.live,
        "registered": row.registered,
        "unfollowed": row.unfollowed,
        "largest_bytes": row.largest_bytes,
    });
    Row { text, data }
}

pub(super) fn shared_row(row: &SharedProfile, width: Width) -> Row {
    let of = |it| size(row.measured, it);
    let text = format!(
        "shared owner {}: {} live in {} blocks, {} at most, {} allocated so far",
        quoted(&row.name, width.name()),
        of(row.live_bytes),
        row.live_blocks,
        of(row.peak_bytes),
        of(row.allocated_bytes),
    );
    let data = json!({
        "row": "shared",
        "name": shown(&row.name, width.name()),
        "live_bytes": size_data(row.measured, row.live_bytes),
        "live_blocks": row.live_blocks,
        "peak_bytes": size_data(row.measured, row.peak_bytes),
        "allocated_bytes": size_data(row.measured, row.allocated_bytes),
    });
    Row { text, data }
}

fn graph_facts(graph: &HeapGraph) -> (String, Value) {
    let lost = graph.unreachable_bytes();
    let words = format!(
        "graph of the heap: {} in {} blocks; {} held by several roots together; {} that nothing \
         leads to; the program stood still for {} ms for it",
        bytes(graph.bytes),
        graph.blocks,
        bytes(graph.shared_bytes),
        bytes(lost),
        graph.pause_ns / 1_000_000,
    );
    let data = json!({
        "bytes": graph.bytes, "blocks": graph.blocks, "shared_bytes": graph.shared_bytes,
        "unreachable_bytes": lost, "pause_ns": graph.pause_ns,
    });
    (words, data)
}

fn root_row(root: &HeldBy, width: Width) -> Row {
    let (file, line) = root.place();
    let place = place(file.unwrap_or_default(), line, width.place());
    let kind = serde_json::to_value(root.kind).unwrap_or_default();
    let mut text = format!(
        "root {} ({}){}: holds {} alone, {} of {} blocks reachable",
        quoted(&root.name, width.name()),
        kind.as_str().unwrap_or_default(),
        at(&place),
        bytes(root.retained_bytes),
        bytes(root.reachable_bytes),
        root.blocks,
    );
    if let Some(variable) = &root.variable {
        say!(text, ", by variable {}", quoted(variable, width.name()));
    }
    let data = json!({
        "row": "root",
        "name": shown(&root.name, width.name()),
        "kind": kind,
        "at": place,
        "task": root.task,
        "variable": root.variable.as_ref().map(|it| shown(it, width.name())),
        "held_alone_bytes": root.retained_bytes,
        "reachable_bytes": root.reachable_bytes,
        "reachable_is_whole": root.reachable_is_whole,
        "blocks": root.blocks,
    });
    Row { text, data }
}
