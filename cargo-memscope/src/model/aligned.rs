//! Gives the rows of an earlier report the lines of the later one. A line that was inserted above a
//! function moves all sites below it, but none of them is new.

use std::collections::{BTreeMap, HashSet};

use memscope_runtime::async_memory::MemorySnapshot;
use serde_json::Value;

/// The tables with lines, and the fields that identify a row without its line.
const TABLES: [(&str, &[&str]); 2] =
    [("sites", &["name", "task_type", "file"]), ("variable_sites", &["name", "type_name", "file"])];

/// A row's name.
type Name = Vec<String>;

/// Returns the earlier report with the later one's lines. Rows that have a partner at their line
/// stay. The other rows of one name and file are paired in order, if both reports have the same
/// number of them.
///
/// Returns `None` if there is nothing to change.
pub(crate) fn aligned(before: &str, after: &str) -> Option<MemorySnapshot> {
    let mut before: Value = serde_json::from_str(before).ok()?;
    let after: Value = serde_json::from_str(after).ok()?;
    let mut is_changed = false;
    for (table, fields) in TABLES {
        let later = lines(after.get(table)?, fields);
        let earlier = lines(before.get(table)?, fields);
        let mut moved: BTreeMap<(Name, u64), u64> = BTreeMap::new();
        for (name, own) in &earlier {
            let Some(theirs) = later.get(name) else { continue };
            let alone = |lines: &[u64], others: &[u64]| {
                let others: HashSet<u64> = others.iter().copied().collect();
                let mut alone: Vec<u64> =
                    lines.iter().copied().filter(|line| !others.contains(line)).collect();
                alone.sort_unstable();
                alone.dedup();
                alone
            };
            let (gone, new) = (alone(own, theirs), alone(theirs, own));
            if gone.len() == new.len() {
                moved
                    .extend(gone.into_iter().zip(new).map(|(old, new)| ((name.clone(), old), new)));
            }
        }
        let Some(rows) = before.get_mut(table).and_then(Value::as_array_mut) else { continue };
        for row in rows {
            let Some((name, line)) = key(row, fields) else { continue };
            if let (Some(line), Some(place)) = (moved.get(&(name, line)), row.get_mut("line")) {
                *place = (*line).into();
                is_changed = true;
            }
        }
    }
    if !is_changed {
        return None;
    }
    MemorySnapshot::from_json(&before.to_string()).ok()
}

fn key(row: &Value, fields: &[&str]) -> Option<(Name, u64)> {
    let text = |field: &&str| row.get(*field)?.as_str().map(str::to_owned);
    Some((fields.iter().map(text).collect::<Option<Name>>()?, row.get("line")?.as_u64()?))
}

fn lines(table: &Value, fields: &[&str]) -> BTreeMap<Name, Vec<u64>> {
    let mut lines: BTreeMap<Name, Vec<u64>> = BTreeMap::new();
    for (name, line) in table.as_array().into_iter().flatten().filter_map(|row| key(row, fields)) {
        lines.entry(name).or_default().push(line);
    }
    lines
}
