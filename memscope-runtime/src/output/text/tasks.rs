//! The table of tasks: living ones stand below their parents.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use super::{
    LEAST_UNANNOTATED, MOST_ROWS, NAME_COLUMNS, NONE, NOT_MEASURED, counters, item_cells, more,
    number, size,
    table::{Column, Table},
};
use crate::{
    model::{
        Items, TaskCounters, TaskId, TaskMemoryProfile, TaskState,
        human::{cell, count},
    },
    primitives::{order, reserve},
    snapshot::{MemorySnapshot, ranking::Ranking, sum},
};

/// How many ended tasks of one site get a row each; more share one.
const MOST_ALIKE: usize = 3;

impl MemorySnapshot {
    pub(super) fn task_table(&self, f: &mut fmt::Formatter<'_>, ranking: Ranking) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("TASK"),
            Column::Left("NAME"),
            Column::Left("STATE"),
            Column::Right("LIVE"),
            Column::Right("PEAK"),
        ]);
        let is_whole = f.alternate();
        counters::heads().for_each(|column| table.widen(column));
        for title in ["FREED", "BY OTHERS", "BLOCKS", "POLLS"] {
            table.widen(Column::Right(title));
        }
        let has_items = self.tasks().iter().any(|task| task.items.is_some());
        if has_items {
            table.widen(Column::Right("ITEMS"));
            table.widen(Column::Right("PER ITEM"));
        }
        let has_waits = self.tasks().iter().any(|task| task.await_point.is_some());
        if has_waits {
            table.widen(Column::Right("WAITS"));
        }
        let (most, most_alike) =
            if f.alternate() { (usize::MAX, usize::MAX) } else { (MOST_ROWS, MOST_ALIKE) };
        let is_shown = |task: &TaskMemoryProfile, live_bytes| {
            is_whole || task.is_annotated || live_bytes >= LEAST_UNANNOTATED
        };
        // Many ended tasks that each left little behind are much together.
        let (mut single, mut alike) = group(self.tasks(), most_alike, ranking);
        let mut small = Rows::new();
        alike.retain(|group| {
            let live_bytes = sum(group.iter().map(|task| task.live_bytes));
            let is_shown = group.first().is_none_or(|task| is_shown(task, live_bytes));
            if !is_shown {
                for task in group {
                    reserve::push(&mut small, *task);
                }
            }
            is_shown
        });
        single.retain(|task| {
            let is_shown = is_shown(task, task.live_bytes);
            if !is_shown {
                reserve::push(&mut small, *task);
            }
            is_shown
        });
        let lines = Tree::of(&single, ranking).lines(most);
        let all = single.len() + alike.len();
        let shown = most.min(lines.len() + alike.len());
        let (before, behind) = alike.split_at(before(&alike, &lines, ranking));
        let mut left = shown;
        for group in before.iter().take(left) {
            table.push(group_row(group, has_items, has_waits));
            left -= 1;
        }
        for (depth, task) in lines.iter().take(left) {
            table.push(task_row(*depth, task, has_items, has_waits));
            left -= 1;
        }
        for group in behind.iter().take(left) {
            table.push(group_row(group, has_items, has_waits));
        }
        if shown != 0 {
            write!(f, "{table}{}", more(all, shown, "rows"))?;
        }
        let is_unknown =
            |task: &TaskMemoryProfile| task.state == TaskState::Unknown && task.live_bytes == 0;
        let unknown = small.iter().filter(|task| is_unknown(task)).count();
        for (number, what) in [
            (small.len() - unknown, "of less than 1 KiB"),
            (unknown, "that hold nothing: whether they live is not known"),
        ] {
            match number {
                0 => {}
                1 => writeln!(f, "… and 1 unannotated task {what}")?,
                number => writeln!(f, "… and {} unannotated tasks {what}", count(number as u64))?,
            }
        }
        if shown + small.len() == 0 { Ok(()) } else { writeln!(f) }
    }
}

fn task_row(
    depth: usize,
    task: &TaskMemoryProfile,
    has_items: bool,
    has_waits: bool,
) -> Vec<String> {
    let in_units = |bytes| size(task.measured, bytes);
    let branch =
        if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat((depth - 1).min(8))) };
    let mut row = vec![
        format!("{branch}#{}", task.id),
        cell(&task.name, NAME_COLUMNS),
        state(task),
        in_units(task.live_bytes),
        in_units(task.peak_bytes),
    ];
    row.extend(counters::cells(task.counters(), task.measured));
    row.extend([
        in_units(task.freed_bytes),
        in_units(task.freed_elsewhere_bytes),
        if task.measured { number(task.live_blocks) } else { NOT_MEASURED.to_owned() },
        polls(task.poll_count, task.is_annotated),
    ]);
    if has_items {
        row.extend(item_cells(task.items, task.measured));
    }
    if has_waits {
        // The number of the row in the table of await points.
        row.push(task.await_point.map_or_else(|| NONE.to_owned(), |point| format!("@{point}")));
    }
    row
}

/// The polls of tasks without annotations are counted by the runtime's hooks alone.
fn polls(polls: u64, is_annotated: bool) -> String {
    if is_annotated || polls != 0 { number(polls) } else { NOT_MEASURED.to_owned() }
}

/// The state of a task. For a finished task, also what keeps its cell, if that is known.
fn state(task: &TaskMemoryProfile) -> String {
    match task.has_handle.filter(|_| task.state.is_ended()) {
        Some(true) => format!("{}, unjoined", task.state),
        Some(false) => format!("{}, kept", task.state),
        None => task.state.to_string(),
    }
}

/// One row for ended tasks of one site: sums, and the highest peak.
fn group_row(group: &[&TaskMemoryProfile], has_items: bool, has_waits: bool) -> Vec<String> {
    let measured = group.iter().all(|task| task.measured);
    let sum = |field: fn(&TaskMemoryProfile) -> u64| sum(group.iter().map(|task| field(task)));
    let in_units = |bytes| size(measured, bytes);
    let counters =
        group.iter().fold(TaskCounters::default(), |sum, task| sum.plus(task.counters()));
    let items = group.iter().filter_map(|task| task.items).reduce(Items::and);
    let mut row = vec![
        format!("{} tasks", count(group.len() as u64)),
        group.first().map_or(String::new(), |task| cell(&task.name, NAME_COLUMNS)),
        "ended".to_owned(),
        in_units(sum(|task| task.live_bytes)),
        in_units(group.iter().map(|task| task.peak_bytes).max().unwrap_or(0)),
    ];
    row.extend(counters::cells(counters, measured));
    row.extend([
        in_units(sum(|task| task.freed_bytes)),
        in_units(sum(|task| task.freed_elsewhere_bytes)),
        if measured { number(sum(|task| task.live_blocks)) } else { NOT_MEASURED.to_owned() },
        polls(sum(|task| task.poll_count), group.iter().any(|task| task.is_annotated)),
    ]);
    if has_items {
        row.extend(item_cells(items, measured));
    }
    if has_waits {
        row.push(NONE.to_owned());
    }
    row
}

type Rows<'a> = Vec<&'a TaskMemoryProfile>;

/// The figure of these tasks by which rows are sorted.
fn weight<'a>(tasks: impl Iterator<Item = &'a TaskMemoryProfile>, ranking: Ranking) -> u64 {
    tasks.fold(0, |sum, task| ranking.and(sum, ranking.of_task(task)))
}

/// How many groups come before the first task, because the figure by which rows are sorted is
/// larger. If rows are sorted by live bytes, groups of ended tasks come after the tasks.
fn before(groups: &[Rows<'_>], lines: &[(usize, &TaskMemoryProfile)], ranking: Ranking) -> usize {
    let first = lines.iter().enumerate().take_while(|(at, (depth, _))| *at == 0 || *depth != 0);
    let first = weight(first.map(|(_, (_, task))| *task), ranking);
    match ranking {
        Ranking::Live => 0,
        Ranking::Peak | Ranking::Allocated | Ranking::Retained => {
            groups.partition_point(|group| weight(group.iter().copied(), ranking) > first)
        }
    }
}

/// Splits the tasks into those with a row each and groups of similar ended ones, largest group
/// first.
fn group(
    tasks: &[TaskMemoryProfile],
    most_alike: usize,
    ranking: Ranking,
) -> (Rows<'_>, Vec<Rows<'_>>) {
    let mut ended: BTreeMap<_, Rows<'_>> = BTreeMap::new();
    let mut single = Rows::new();
    for task in tasks {
        if reserve::is_short() {
            reserve::leave_out(1);
        } else if task.state.is_ended() {
            let key = (&task.name, task.task_type, &task.file, task.line);
            reserve::push(ended.entry(key).or_default(), task);
        } else {
            reserve::push(&mut single, task);
        }
    }
    let mut alike = Vec::new();
    for group in ended.into_values() {
        if group.len() > most_alike {
            reserve::push(&mut alike, group);
        } else {
            for task in group {
                reserve::push(&mut single, task);
            }
        }
    }
    order::by_key(&mut alike, |group| Reverse(weight(group.iter().copied(), ranking)));
    (single, alike)
}

/// Tasks below their parents. Each level is sorted by the figures of a task and of all tasks below
/// it.
struct Tree<'a> {
    roots: Rows<'a>,
    children: HashMap<TaskId, Rows<'a>>,
}

impl<'a> Tree<'a> {
    fn of(tasks: &[&'a TaskMemoryProfile], ranking: Ranking) -> Self {
        let mut known: HashSet<TaskId> = HashSet::new();
        // Without memory for this set, all tasks are shown at the top level.
        if known.try_reserve(tasks.len()).is_ok() {
            known.extend(tasks.iter().map(|task| task.id));
        }
        // A task that was adopted at its first poll may be older than its parent. Only younger
        // tasks are shown below their parents, so there are no cycles.
        let parent_of = |task: &TaskMemoryProfile| {
            task.parent.filter(|parent| *parent < task.id && known.contains(parent))
        };
        let mut weighed = reserve::rows(tasks, |task| Some((ranking.of_task(task), *task)));
        order::by_key(&mut weighed, |(_, task)| Reverse(task.id));
        // Youngest first: everything below a task is summed before the task itself.
        let mut below: HashMap<TaskId, u64> = HashMap::new();
        for (weight, task) in &mut weighed {
            *weight = ranking.and(*weight, below.get(&task.id).copied().unwrap_or(0));
            if let Some(parent) = parent_of(task).filter(|_| reserve::room(&mut below)) {
                let sum = below.entry(parent).or_default();
                *sum = ranking.and(*sum, *weight);
            }
        }
        order::by_key(&mut weighed, |(weight, task)| {
            (Reverse(*weight), task.state.is_ended(), Reverse(task.allocated_bytes), task.id)
        });
        let mut roots = Rows::new();
        let mut children: HashMap<TaskId, Rows<'_>> = HashMap::new();
        for (_, task) in weighed {
            match parent_of(task).filter(|_| reserve::room(&mut children)) {
                Some(parent) => reserve::push(children.entry(parent).or_default(), task),
                None => reserve::push(&mut roots, task),
            };
        }
        Self { roots, children }
    }

    /// Returns the first `most` lines, each with its depth.
    fn lines(&self, most: usize) -> Vec<(usize, &'a TaskMemoryProfile)> {
        let mut lines = Vec::new();
        let mut left = reserve::rows(self.roots.iter().rev(), |task| Some((0, *task)));
        while let Some((depth, task)) = left.pop() {
            if lines.len() == most {
                break;
            }
            reserve::push(&mut lines, (depth, task));
            let below = self.children.get(&task.id).map_or(&[][..], Vec::as_slice);
            for child in below.iter().rev() {
                reserve::push(&mut left, (depth + 1, *child));
            }
        }
        lines
    }
}
