//! The table of waits: a tree of awaits, from the task's own function down to the innermost await,
//! or from the innermost await up.

use std::collections::HashMap;

use memscope_runtime::async_memory::AwaitPoint;

use crate::top::{
    context::Context,
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, text},
};

const COLUMNS: &[Column] = &[
    names("AWAIT POINT"),
    text("PLACE", 40, 2),
    numbers("TASKS", 1),
    numbers("HELD", 0),
    numbers("EACH", 4),
    numbers("MEAN WAIT", 3),
    numbers("99 % WAIT AT MOST", 5),
];

/// One await of the tree, and the sums of the tasks below it.
#[derive(Debug, Default)]
struct Node {
    key: String,
    function: String,
    place: String,
    level: u16,
    tasks: u64,
    bytes: u64,
    is_unmeasured: bool,
    timed: u64,
    waited_ns: u64,
    longest_ns: Option<u64>,
    children: Vec<usize>,
}

pub(super) fn table(context: &Context<'_>) -> Table {
    let empty =
        context.no_await_points().unwrap_or_else(|| "No task waits at a known await.".to_owned());
    let rows = rows(&tree(context), context.whole());
    Table::new(COLUMNS, rows, 3, empty)
}

/// Makes the tree of all awaits. The first node is the root.
fn tree(context: &Context<'_>) -> Vec<Node> {
    let mut nodes = vec![Node::default()];
    let mut indices: HashMap<(usize, String), usize> = HashMap::new();
    let is_leaf_first = context.group.is_some();
    for point in context.report.snapshot.await_points() {
        let mut at = 0;
        let frames =
            point.frames.iter().map(|it| (name(&it.function), place(&it.file, Some(it.line))));
        let unknown = || (format!("(not known: {})", name(&point.stops)), String::new());
        let mut frames: Vec<_> =
            if point.frames.is_empty() { vec![unknown()] } else { frames.collect() };
        if is_leaf_first {
            frames.reverse();
        }
        for (function, place) in frames {
            let id = (at, format!("{function} {place}"));
            let next = indices.get(&id).copied().unwrap_or_else(|| {
                let next = nodes.len();
                let key =
                    if at == 0 { "wait:".to_owned() } else { format!("{} > ", nodes[at].key) };
                let (key, level) = (format!("{key}{}", id.1), nodes[at].level.saturating_add(1));
                nodes.push(Node { key, function, place, level, ..Node::default() });
                nodes[at].children.push(next);
                indices.insert(id, next);
                next
            });
            nodes[next].add(point);
            at = next;
        }
    }
    nodes
}

impl Node {
    fn add(&mut self, point: &AwaitPoint) {
        self.tasks = self.tasks.saturating_add(point.tasks);
        self.bytes = self.bytes.saturating_add(point.live_bytes);
        self.is_unmeasured |= !point.measured;
        self.timed = self.timed.saturating_add(point.timed);
        self.waited_ns = self.waited_ns.saturating_add(point.waited_sum_ns);
        self.longest_ns = self.longest_ns.max(point.waited_p99_ns);
    }

    fn row(&self, whole: u64) -> Row {
        let bytes = |bytes: u64| Value::bytes((!self.is_unmeasured).then_some(bytes));
        Row {
            key: self.key.clone(),
            level: self.level - 1,
            values: vec![
                Value::text(&*self.function),
                Value::text(&*self.place),
                Value::Count(self.tasks),
                bytes(self.bytes),
                self.bytes.checked_div(self.tasks).map_or(Value::Unknown, bytes),
                Value::time(self.waited_ns.checked_div(self.timed)),
                Value::time(self.longest_ns),
            ],
            share: share(self.bytes, whole),
            search: format!("{} {}", self.function, self.place),
            ..Row::default()
        }
    }
}

/// Returns the nodes as rows, each followed by the rows below it.
fn rows(nodes: &[Node], whole: u64) -> Vec<Row> {
    let mut rows = Vec::with_capacity(nodes.len() - 1);
    let mut open: Vec<usize> = nodes[0].children.iter().rev().copied().collect();
    while let Some(at) = open.pop() {
        rows.push(nodes[at].row(whole));
        open.extend(nodes[at].children.iter().rev());
    }
    rows
}
