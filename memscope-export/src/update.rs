//! Writes an update of the live page: the largest rows of a snapshot, and how many others there
//! are.

use std::collections::HashMap;

use memscope_runtime::{
    __server::{head, largest_tasks},
    analysis::Leaks,
    async_memory::{MemorySnapshot, StackProfile, TaskMemoryProfile},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::html;

/// The bytes that are kept for the names of the lists and the numbers of rows that they leave out.
const NAMES: usize = 1_000;

/// The most tasks that have a row.
const MOST_TASKS: usize = 500;

/// Writes a snapshot as JSON for the live page, like [`page_json`](crate::page_json), in about
/// `most_bytes`: of each list the largest rows, as far as they fit.
///
/// `left_out` says how many rows each list lacks. The sums of the process, and the findings of
/// [`leaks`](MemorySnapshot::leaks), are those of the whole snapshot. If the findings alone are
/// larger than `most_bytes`, so is the text.
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
    page_update_with(snapshot, &snapshot.leaks(), most_bytes)
}

/// Writes what [`page_update`] does, with findings of an earlier snapshot. Looking for findings
/// takes most of the time of an update of many tasks.
///
/// # Panics
///
/// Never: all keys of a snapshot are text.
pub fn page_update_with(snapshot: &MemorySnapshot, leaks: &Leaks, most_bytes: usize) -> String {
    let mut update = Update::new(snapshot, leaks, most_bytes);
    let (mut tasks, other_tasks) = largest_tasks(snapshot, MOST_TASKS);
    let all_tasks = tasks.len() + other_tasks;
    let mut stacks: Vec<StackProfile> = update.fitting(snapshot.stacks(), 20).cloned().collect();
    let fitting = update.fitting(&tasks, 20).count();
    tasks.truncate(fitting);

    let referred: Vec<usize> = stacks.iter().filter_map(|stack| stack.site).collect();
    let sites = update.rows("sites", snapshot.sites(), 30, &referred);
    for stack in &mut stacks {
        stack.site = stack.site.map(|site| moved(site, &sites));
    }
    let referred: Vec<usize> = tasks.iter().filter_map(await_point).collect();
    let points = update.rows("await_points", snapshot.await_points(), 5, &referred);
    for task in &mut tasks {
        if let Some(point) = await_point(task) {
            task.await_point = u32::try_from(moved(point, &points)).ok();
        }
    }
    // The latest events of the tasks that have a row, in order.
    let is_shown = |task| tasks.iter().any(|row| row.id == task);
    let events = snapshot.events().iter().rev().filter(|event| is_shown(event.task));
    let events: Vec<_> = events.collect();
    let mut events: Vec<_> = update.fitting(&events, 2).copied().collect();
    events.reverse();
    update.put("events", events.into_iter(), snapshot.events().len());
    update.put("stacks", stacks.iter(), snapshot.stacks().len());
    update.put("tasks", tasks.iter(), all_tasks);
    update.timeline(snapshot);
    update.rows("trends", snapshot.trends(), 3, &[]);
    update.rows("variable_sites", snapshot.variable_sites(), 3, &[]);
    update.rows("variables", snapshot.variables(), 1, &[]);
    update.rows("hand_overs", snapshot.hand_overs(), 1, &[]);
    update.rows("shared", snapshot.shared(), 1, &[]);
    update.rows("over_budget", snapshot.over_budget(), 1, &[]);
    update.end()
}

/// JSON text that grows.
// PERF: rows are written as text at once. A tree of values takes several times as long.
struct Update {
    text: Vec<u8>,
    left_out: Map<String, Value>,
    /// The bytes that the lists may take together.
    bytes: usize,
}

impl Update {
    /// Writes all fields but the lists: see [`LISTS`].
    fn new(snapshot: &MemorySnapshot, leaks: &Leaks, most_bytes: usize) -> Self {
        let Value::Object(mut head) = html::value(&head(snapshot)) else {
            unreachable!("a snapshot is an object")
        };
        head.retain(|name, _| !LISTS.contains(&&**name));
        let mut text = text(&head);
        // More fields follow.
        text.pop();
        text.extend_from_slice(b",\"leaks\":");
        push(&mut text, leaks);
        let process = count(&snapshot.timeline().process);
        let bytes = most_bytes.saturating_sub(text.len() + process + NAMES);
        Self { text, left_out: Map::new(), bytes }
    }

    /// Returns the first rows that fit into a share of the bytes.
    fn fitting<'r, T: Serialize>(
        &self,
        rows: &'r [T],
        percent: usize,
    ) -> impl Iterator<Item = &'r T> + use<'r, T> {
        let mut left = self.bytes / 100 * percent;
        rows.iter().take_while(move |row| match left.checked_sub(count(row) + 1) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
    }

    /// Writes the rows of a list that other rows refer to by their index, and as many of the first
    /// rows as fit beside them. Returns the new index of each.
    fn rows(
        &mut self,
        name: &str,
        rows: &[impl Serialize],
        percent: usize,
        referred: &[usize],
    ) -> HashMap<usize, usize> {
        let mut chosen: Vec<usize> = (0..self.fitting(rows, percent).count()).collect();
        let mut indices: HashMap<usize, usize> = chosen.iter().map(|at| (*at, *at)).collect();
        for at in referred.iter().filter(|at| **at < rows.len()) {
            indices.entry(*at).or_insert_with(|| {
                chosen.push(*at);
                chosen.len() - 1
            });
        }
        self.put(name, chosen.iter().map(|at| &rows[*at]), rows.len());
        indices
    }

    /// Writes these rows of a list that has `all` rows.
    fn put(&mut self, name: &str, rows: impl ExactSizeIterator<Item = impl Serialize>, all: usize) {
        let left_out = all - rows.len();
        if left_out != 0 {
            self.left_out.insert(name.to_owned(), left_out.into());
        }
        self.name(name);
        self.list(rows);
    }

    /// Writes all points of the process, and of the largest sites and shared owners.
    fn timeline(&mut self, snapshot: &MemorySnapshot) {
        let timeline = snapshot.timeline();
        let sites: Vec<_> = self.fitting(&timeline.sites, 14).collect();
        let shared: Vec<_> = self.fitting(&timeline.shared, 1).collect();
        self.name("timeline");
        self.text.extend_from_slice(b"{\"process\":");
        push(&mut self.text, &timeline.process);
        self.text.extend_from_slice(b",\"sites\":");
        self.list(sites.into_iter());
        self.text.extend_from_slice(b",\"shared\":");
        self.list(shared.into_iter());
        self.text.push(b'}');
    }

    fn name(&mut self, name: &str) {
        self.text.push(b',');
        push(&mut self.text, name);
        self.text.push(b':');
    }

    fn list(&mut self, rows: impl Iterator<Item = impl Serialize>) {
        self.text.push(b'[');
        for (at, row) in rows.enumerate() {
            if at != 0 {
                self.text.push(b',');
            }
            push(&mut self.text, &row);
        }
        self.text.push(b']');
    }

    fn end(mut self) -> String {
        self.name("left_out");
        push(&mut self.text, &self.left_out);
        self.text.push(b'}');
        String::from_utf8(self.text).expect("JSON is text")
    }
}

/// The lists of a snapshot, which are written one by one.
const LISTS: [&str; 12] = [
    "await_points",
    "events",
    "hand_overs",
    "over_budget",
    "shared",
    "sites",
    "stacks",
    "tasks",
    "timeline",
    "trends",
    "variable_sites",
    "variables",
];

fn await_point(task: &TaskMemoryProfile) -> Option<usize> {
    task.await_point.and_then(|at| usize::try_from(at).ok())
}

/// The new index of a row. An index that is not a row's stays the same.
fn moved(at: usize, indices: &HashMap<usize, usize>) -> usize {
    indices.get(&at).copied().unwrap_or(at)
}

fn text(value: &impl Serialize) -> Vec<u8> {
    let mut text = Vec::new();
    push(&mut text, value);
    text
}

fn push(text: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    serde_json::to_writer(text, value).expect("a snapshot is JSON");
}

/// The length of this value as text.
fn count(value: &impl Serialize) -> usize {
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
