//! One of many snapshots for the live page: the largest rows, and how many others there are.

use std::collections::HashMap;

use memscope_runtime::{
    __server::{head, largest_tasks},
    async_memory::MemorySnapshot,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::html;

/// For the names of the lists, and the numbers of what they leave out.
const NAMES: usize = 1_000;

/// The most tasks of which a row is made.
const MOST_TASKS: usize = 500;

/// Writes a snapshot as JSON for the live page, like [`page_json`](crate::page_json), in about
/// `most_bytes`: of each list the largest rows, as far as they fit.
///
/// `left_out` says of each list how many rows are not in it. The sums of the process are whole, and
/// what [`leaks`](MemorySnapshot::leaks) finds is found in the whole snapshot. Where the findings
/// alone are larger than `most_bytes`, so is the text.
///
/// ```
/// use memscope_runtime::async_memory::{MemorySnapshot, get_memory_snapshot};
///
/// let update = memscope_export::page_update(&get_memory_snapshot(), 200_000);
/// assert!(update.len() <= 200_000);
/// assert!(MemorySnapshot::from_json(&update).is_ok());
/// ```
///
/// # Panics
///
/// Never: all keys of a snapshot are text.
pub fn page_update(snapshot: &MemorySnapshot, most_bytes: usize) -> String {
    let mut update = Update::new(snapshot, most_bytes);
    let (tasks, other_tasks) = largest_tasks(snapshot, MOST_TASKS);
    let stacks = update.choose(snapshot.stacks(), 20);
    let tasks_chosen = update.choose(&tasks, 20);
    let sites = update.rows("sites", snapshot.sites(), 30, &referred(&stacks, "site"));
    let points = snapshot.await_points();
    let points = update.rows("await_points", points, 5, &referred(&tasks_chosen, "await_point"));
    // The latest, in order, of the tasks that have a row.
    let is_shown = |task| tasks[..tasks_chosen.len()].iter().any(|row| row.id == task);
    let events = snapshot.events().iter().rev().filter(|event| is_shown(event.task));
    let mut events = update.choose(&events.collect::<Vec<_>>(), 2);
    events.reverse();
    update.put("events", events, snapshot.events().len());
    update.put("stacks", moved(stacks, "site", &sites), snapshot.stacks().len());
    let all_tasks = tasks.len() + other_tasks;
    update.put("tasks", moved(tasks_chosen, "await_point", &points), all_tasks);
    let series = update.choose(&snapshot.timeline().sites, 15);
    update.head["timeline"]["sites"] = series.into();
    update.rows("trends", snapshot.trends(), 3, &[]);
    update.rows("variable_sites", snapshot.variable_sites(), 3, &[]);
    update.rows("variables", snapshot.variables(), 1, &[]);
    update.rows("hand_overs", snapshot.hand_overs(), 1, &[]);
    update.rows("shared", snapshot.shared(), 1, &[]);
    update.rows("over_budget", snapshot.over_budget(), 1, &[]);
    update.head.insert("left_out".to_owned(), update.left_out.into());
    serde_json::to_string(&update.head).expect("a snapshot is JSON")
}

struct Update {
    head: Map<String, Value>,
    left_out: Map<String, Value>,
    /// What the lists may take together.
    bytes: usize,
}

impl Update {
    fn new(snapshot: &MemorySnapshot, most_bytes: usize) -> Self {
        let head = html::value(&head(snapshot), &snapshot.leaks());
        let bytes = most_bytes.saturating_sub(size(&head) + NAMES);
        let Value::Object(head) = head else { unreachable!("a snapshot is an object") };
        Self { head, left_out: Map::new(), bytes }
    }

    /// The first rows that fit into a share of the bytes.
    fn choose(&self, rows: &[impl Serialize], percent: usize) -> Vec<Value> {
        let mut left = self.bytes / 100 * percent;
        let fitting = rows.iter().map(value).map_while(|row| {
            left = left.checked_sub(size(&row) + 1)?;
            Some(row)
        });
        fitting.collect()
    }

    /// Puts the rows of a list that others refer to by their index, and as many of the first as fit
    /// beside them. Returns the new index of each.
    fn rows(
        &mut self,
        name: &str,
        rows: &[impl Serialize],
        percent: usize,
        referred: &[usize],
    ) -> HashMap<usize, usize> {
        let mut chosen = self.choose(rows, percent);
        let mut indices: HashMap<usize, usize> = (0..chosen.len()).map(|at| (at, at)).collect();
        for at in referred.iter().filter(|at| **at < rows.len()) {
            indices.entry(*at).or_insert_with(|| {
                chosen.push(value(&rows[*at]));
                chosen.len() - 1
            });
        }
        self.put(name, chosen, rows.len());
        indices
    }

    fn put(&mut self, name: &str, rows: Vec<Value>, all: usize) {
        let left_out = all - rows.len();
        if left_out != 0 {
            self.left_out.insert(name.to_owned(), left_out.into());
        }
        self.head.insert(name.to_owned(), rows.into());
    }
}

fn value(row: impl Serialize) -> Value {
    serde_json::to_value(row).expect("a row is JSON")
}

/// The length of this value as text.
fn size(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("a value is JSON");
    count.0
}

/// The indices that these rows have in this field.
fn referred(rows: &[Value], field: &str) -> Vec<usize> {
    let index = |row: &Value| usize::try_from(row[field].as_u64()?).ok();
    rows.iter().filter_map(index).collect()
}

/// The rows with the new indices in this field.
fn moved(mut rows: Vec<Value>, field: &str, indices: &HashMap<usize, usize>) -> Vec<Value> {
    for row in &mut rows {
        let at = row[field].as_u64().and_then(|at| usize::try_from(at).ok());
        if let Some(new) = at.and_then(|at| indices.get(&at)) {
            row[field] = (*new).into();
        }
    }
    rows
}
