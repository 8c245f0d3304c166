//! Resources: whole tables of the snapshot, with the fields of its JSON.

use rmcp::{
    ErrorData,
    model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{quote::quoted, server::said, source::Taken, state::State};
use crate::error::Error;

const START: &str = "memscope://";
const JSON: &str = "application/json";
/// The most bytes of the rows of one resource. Further rows are counted, and have an address.
const MOST_BYTES: usize = 16 << 20;

/// A table as it is described to a client.
struct Table {
    name: &'static str,
    description: &'static str,
}

const TABLES: [Table; 12] = [
    Table { name: "report", description: "The whole report as text, with every row" },
    Table { name: "findings", description: "What looks lost, and what could not be judged" },
    Table { name: "process", description: "The totals: memory, runtime, memscope's own" },
    Table { name: "sites", description: "Places that make tasks, the largest first" },
    Table { name: "tasks", description: "Tasks: the living, then those that ended" },
    Table { name: "variables", description: "Variables of `track_var!`, one by one" },
    Table { name: "variable-sites", description: "Variables of `track_var!`, by place" },
    Table { name: "stacks", description: "Call stacks, estimates from samples" },
    Table { name: "await-points", description: "Where tracked tasks wait" },
    Table { name: "timeline", description: "Live bytes over time, of the process and of sites" },
    Table {
        name: "task-dump",
        description: "Every task of a running program; it stands still for some milliseconds",
    },
    Table {
        name: "holders",
        description: "What holds the heap: needs MEMSCOPE_HOLDERS=on, and takes a moment",
    },
];

pub(super) fn all() -> Vec<Resource> {
    let resource = |table: &Table| {
        let mime = if table.name == "report" { "text/plain" } else { JSON };
        Resource::new(format!("{START}{}", table.name), table.name)
            .with_description(table.description)
            .with_mime_type(mime)
    };
    TABLES.iter().map(resource).collect()
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    let rows = ResourceTemplate::new(format!("{START}{{table}}?from={{row}}"), "rows")
        .with_description("The rows of a table from one on, of a new snapshot")
        .with_mime_type(JSON);
    vec![rows]
}

/// Reads a resource from a new snapshot.
pub(super) fn read(state: &State, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let (name, from) = address(uri).ok_or_else(|| {
        let known: Vec<String> = TABLES.iter().map(|it| format!("{START}{}", it.name)).collect();
        let uri = quoted(uri, 100);
        let message = format!("there is no resource {uri}; there are: {}", known.join(", "));
        ErrorData::resource_not_found(message, None)
    })?;
    let failed = |error: Error| ErrorData::internal_error(said(&error), None);
    let (text, mime) = if name == "report" {
        let taken = state.take(Ok).map_err(failed)?;
        (format!("{}\n\n{:#}", taken.line(true), taken.snapshot), "text/plain")
    } else {
        (table(state, name, from).map_err(failed)?.to_string(), JSON)
    };
    let contents = ResourceContents::text(text, uri).with_mime_type(mime);
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The table and the first row that an address names.
fn address(uri: &str) -> Option<(&'static str, usize)> {
    let path = uri.strip_prefix(START)?;
    let (name, from) = match path.split_once("?from=") {
        Some((name, from)) => (name, from.parse().ok()?),
        None => (path, 0),
    };
    let table = TABLES.iter().find(|it| it.name == name)?;
    Some((table.name, from))
}

fn table(state: &State, name: &str, from: usize) -> Result<Value, Error> {
    let taken = state.take(|mut taken| match name {
        "task-dump" => {
            taken.dump = Some(state.source().dump()?);
            Ok(taken)
        }
        "holders" if taken.snapshot.heap_graph().is_none() => {
            Ok(taken.with_graph(state.source().graph()?))
        }
        _ => Ok(taken),
    })?;
    let snapshot = &taken.snapshot;
    Ok(match name {
        "findings" => whole(&taken, taken.leaks()),
        "process" => whole(
            &taken,
            &json!({
                "measured": snapshot.measured(), "process": snapshot.process(),
                "resident": snapshot.resident(), "runtime": snapshot.runtime(),
                "tool": snapshot.tool(),
            }),
        ),
        "timeline" => whole(&taken, snapshot.timeline()),
        "holders" => whole(&taken, &snapshot.heap_graph()),
        "task-dump" => {
            let tasks = taken.dump.as_ref().map_or(&[][..], |dump| &dump.tasks);
            rows(&taken, name, tasks, from)
        }
        "sites" => rows(&taken, name, snapshot.sites(), from),
        "tasks" => rows(&taken, name, snapshot.tasks(), from),
        "variables" => rows(&taken, name, snapshot.variables(), from),
        "variable-sites" => rows(&taken, name, snapshot.variable_sites(), from),
        "stacks" => rows(&taken, name, snapshot.stacks(), from),
        _ => rows(&taken, name, snapshot.await_points(), from),
    })
}

fn whole(taken: &Taken, value: &impl Serialize) -> Value {
    json!({ "snapshot": taken.data(), "value": value })
}

/// Returns rows from `from` on, as many as there is room for.
fn rows(taken: &Taken, name: &str, all: &[impl Serialize], from: usize) -> Value {
    let (mut rows, mut used) = (Vec::new(), 0);
    for row in all.iter().skip(from) {
        let row = serde_json::to_value(row).unwrap_or_default();
        used += row.to_string().len();
        if used > MOST_BYTES && !rows.is_empty() {
            break;
        }
        rows.push(row);
    }
    let from = from.min(all.len());
    let next = from + rows.len();
    let left = all.len() - next;
    json!({
        "snapshot": taken.data(),
        "rows_total": all.len(),
        "rows_before": from,
        "rows_left_out": left,
        "next": (left != 0).then(|| format!("{START}{name}?from={next}")),
        "rows": rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::random_snapshots::empty;

    #[test]
    fn an_address_names_a_table_and_a_row() {
        assert_eq!(address("memscope://sites"), Some(("sites", 0)));
        assert_eq!(address("memscope://tasks?from=70"), Some(("tasks", 70)));
        for wrong in ["memscope://", "memscope://site", "file:///sites", "memscope://sites?from=x"]
        {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_left_out_is_counted_and_has_an_address() {
        let taken = Taken::of(empty());
        let large = vec!["x".repeat(1 << 20); 40];
        let first = rows(&taken, "sites", &large, 0);
        let shown = first["rows"].as_array().unwrap().len();
        assert_eq!(first["rows_left_out"], 40 - shown);
        assert_eq!(first["next"], format!("memscope://sites?from={shown}"));
        let mut seen = shown;
        while seen < 40 {
            let next = rows(&taken, "sites", &large, seen);
            assert_eq!(next["rows_before"], seen);
            seen += next["rows"].as_array().unwrap().len();
        }
        assert_eq!(rows(&taken, "sites", &large, 39)["next"], Value::Null);
        assert_eq!(rows(&taken, "sites", &large, 99)["rows_left_out"], 0);
    }
}
