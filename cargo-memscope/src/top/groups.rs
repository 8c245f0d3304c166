//! Groups rows: each group has a row with the sums, and its rows below that.

use std::collections::{HashMap, HashSet};

use super::table::{Kind, Row, Table, Value};

/// Inserts a row above the rows of each group. A sum is unknown if one of its parts is.
pub(super) fn group(table: &mut Table) {
    let name_at = table.columns.iter().position(|it| it.kind == Kind::Name).unwrap_or(0);
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for mut row in std::mem::take(&mut table.rows) {
        let at = *indices.entry(row.group.clone()).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        row.level = 1;
        groups[at].push(row);
    }
    for members in groups {
        let mut values: Vec<Value> = (0..table.columns.len())
            .map(|at| {
                let all = members.iter().map(|it| it.values.get(at).unwrap_or(&Value::Unknown));
                if table.columns[at].adds { Value::sum(all) } else { Value::Unknown }
            })
            .collect();
        let name = members.first().map(|it| it.group.clone()).unwrap_or_default();
        if let Some(value) = values.get_mut(name_at) {
            *value =
                Value::Text(format!("{name} ({})", super::number::count(members.len() as u64)));
        }
        table.rows.push(Row {
            key: format!("{GROUP}{name}"),
            values,
            share: members.iter().fold(0.0, |sum: f64, it| sum + it.share).min(1.0),
            is_left: members.iter().all(|it| it.is_left),
            severity: members.iter().filter_map(|it| it.severity).max(),
            ..Row::default()
        });
        table.rows.extend(members);
    }
}

/// The prefix of the keys of groups.
const GROUP: &str = "group:";

impl Row {
    /// Whether it stands for a group of rows.
    pub(super) fn is_group(&self) -> bool {
        self.key.starts_with(GROUP)
    }
}

/// Marks groups as open or folded, and removes the rows of folded ones.
pub(super) fn fold(table: &mut Table, folded: &HashSet<String>) {
    let name_at = table.columns.iter().position(|it| it.kind == Kind::Name).unwrap_or(0);
    let mut is_folded = false;
    table.rows.retain_mut(|row| {
        if !row.is_group() {
            return !is_folded;
        }
        is_folded = folded.contains(&row.key);
        if let Some(Value::Text(name)) = row.values.get_mut(name_at) {
            name.insert_str(0, if is_folded { "▸ " } else { "▾ " });
        }
        true
    });
}
