//! The await points as a tree: chains that begin with the same `.await`s stand below them.

use std::{cmp::Reverse, collections::HashMap};

use super::MemorySnapshot;
use crate::{
    alloc::own_work,
    model::{AwaitFrame, AwaitNode, AwaitPoint, p50_and_p99},
    primitives::{order, reserve},
};

/// A node while the tree grows, in a list of all.
#[derive(Default)]
struct Branch<'s> {
    node: AwaitNode<'s>,
    parent: Option<usize>,
    children: Vec<usize>,
}

impl MemorySnapshot {
    /// The await points as a tree, from the tasks' own functions to the innermost `.await`s: its
    /// lines from top to bottom, each with its depth. Lines that stand side by side are sorted by
    /// live bytes.
    ///
    /// ```
    /// use memscope_runtime::async_memory::get_memory_snapshot;
    ///
    /// let snapshot = get_memory_snapshot();
    /// for node in snapshot.await_tree() {
    ///     let indent = 2 * node.depth;
    ///     println!("{:indent$}{} at {}:{}", "", node.function, node.file, node.line);
    ///     println!("{:indent$}  {} tasks, {} bytes", "", node.tasks, node.live_bytes);
    /// }
    /// // It is plain data. In the JSON of a snapshot stand the rows that it is made of.
    /// assert_eq!(serde_json::to_string(&snapshot.await_tree()).unwrap(), "[]");
    /// ```
    pub fn await_tree(&self) -> Vec<AwaitNode<'_>> {
        self.await_tree_of(|point| point.frames.iter().collect())
    }

    /// The tree of those frames of each await point that `shown` returns.
    pub(crate) fn await_tree_of(
        &self,
        shown: impl Fn(&AwaitPoint) -> Vec<&AwaitFrame>,
    ) -> Vec<AwaitNode<'_>> {
        let _work = own_work::work();
        let mut nodes = flat(branches(self.await_points(), shown));
        self.time(&mut nodes);
        nodes
    }

    /// Measures the waiting below each node that has several below it.
    fn time(&self, nodes: &mut [AwaitNode<'_>]) {
        let mut waits: Vec<Vec<u64>> = vec![Vec::new(); self.await_points().len()];
        for task in self.tasks() {
            let point = task.await_point.and_then(|it| waits.get_mut(usize::try_from(it).ok()?));
            let (Some(point), Some(idle_ns)) = (point, task.idle_ns) else { continue };
            // A missing row is noticed below, where the tasks of each point are counted.
            if reserve::grow(point) {
                point.push(idle_ns);
            }
        }
        let ends = ends(nodes);
        for at in (0..nodes.len()).rev() {
            let (end, is_above) = (ends[at], nodes[at].point.is_none());
            let below = match nodes.get(at + 1) {
                Some(child) if is_above && ends[at + 1] == end => {
                    [child.waited_p50_ns, child.waited_p99_ns]
                }
                Some(_) if is_above => {
                    let points = nodes[at..end].iter().filter_map(|it| it.point);
                    let mut all: Vec<u64> = points.flat_map(|it| &waits[it]).copied().collect();
                    if all.len() as u64 == nodes[at].timed {
                        p50_and_p99(&mut all)
                    } else {
                        [None; 2]
                    }
                }
                _ => continue,
            };
            [nodes[at].waited_p50_ns, nodes[at].waited_p99_ns] = below;
        }
    }
}

/// For each node, the index of the first later node that is not below it.
pub(crate) fn ends(nodes: &[AwaitNode<'_>]) -> Vec<usize> {
    let mut ends = vec![0; nodes.len()];
    for at in (0..nodes.len()).rev() {
        let mut end = at + 1;
        while nodes.get(end).is_some_and(|it| it.depth > nodes[at].depth) {
            end = ends[end];
        }
        ends[at] = end;
    }
    ends
}

/// Builds the tree. Its first branch is above all others, and is no line.
fn branches<'s>(
    points: &'s [AwaitPoint],
    shown: impl Fn(&'s AwaitPoint) -> Vec<&'s AwaitFrame>,
) -> Vec<Branch<'s>> {
    let mut branches = vec![Branch::default()];
    let mut known: HashMap<_, usize> = HashMap::new();
    for (index, point) in points.iter().enumerate() {
        let frames = shown(point);
        let (last, above) = match frames.split_last() {
            Some((last, above)) => (Some(*last), above),
            None => (None, &[][..]),
        };
        let mut at = Some(0);
        for frame in above {
            at = at.and_then(|parent| {
                let key = (parent, &*frame.function, &*frame.file, frame.line);
                let known_at = known.get(&key).copied();
                known_at.or_else(|| {
                    let has_room = reserve::room(&mut known);
                    let child = grow(&mut branches, parent, Some(frame)).filter(|_| has_room)?;
                    known.insert(key, child);
                    Some(child)
                })
            });
        }
        let Some(leaf) = at.and_then(|parent| grow(&mut branches, parent, last)) else {
            reserve::leave_out(1);
            continue;
        };
        let node = &mut branches[leaf].node;
        node.point = Some(index);
        [node.waited_p50_ns, node.waited_p99_ns] = [point.waited_p50_ns, point.waited_p99_ns];
        let mut at = Some(leaf);
        while let Some(branch) = at.map(|at| &mut branches[at]) {
            add(&mut branch.node, point);
            at = branch.parent;
        }
    }
    branches
}

/// Adds a child to a branch. Returns `None` if there is no memory for it.
fn grow<'s>(
    branches: &mut Vec<Branch<'s>>,
    parent: usize,
    frame: Option<&'s AwaitFrame>,
) -> Option<usize> {
    let mut node = AwaitNode { measured: true, ..AwaitNode::default() };
    if let Some(frame) = frame {
        (node.function, node.file, node.line) = (&frame.function, &frame.file, frame.line);
    }
    let child = branches.len();
    if !reserve::has_room(branches) || !reserve::grow(&mut branches[parent].children) {
        return None;
    }
    branches.push(Branch { node, parent: Some(parent), children: Vec::new() });
    branches[parent].children.push(child);
    Some(child)
}

/// Adds the tasks of an await point to a line above it.
pub(crate) fn add(node: &mut AwaitNode<'_>, point: &AwaitPoint) {
    node.tasks = node.tasks.saturating_add(point.tasks);
    node.measured &= point.measured;
    node.live_bytes = node.live_bytes.saturating_add(point.live_bytes);
    node.future_size_bytes = node.future_size_bytes.max(point.future_size_bytes);
    node.timed = node.timed.saturating_add(point.timed);
    node.waited_sum_ns = node.waited_sum_ns.saturating_add(point.waited_sum_ns);
}

/// The nodes from top to bottom.
fn flat(mut branches: Vec<Branch<'_>>) -> Vec<AwaitNode<'_>> {
    let mut nodes = Vec::new();
    let mut open = vec![(0, None)];
    while let Some((at, depth)) = open.pop() {
        let mut children = std::mem::take(&mut branches[at].children);
        order::by_key(&mut children, |it| {
            let node = &branches[*it].node;
            (Reverse(node.live_bytes), Reverse(node.tasks))
        });
        if let Some(depth) = depth {
            reserve::push(&mut nodes, AwaitNode { depth, ..branches[at].node });
        }
        let below = depth.map_or(0, |depth| depth + 1);
        open.extend(children.into_iter().rev().map(|child| (child, Some(below))));
    }
    nodes
}
