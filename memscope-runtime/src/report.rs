//! A snapshot as people read it: aligned tables, largest first.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use crate::{
    profile::{SiteProfile, TaskMemoryProfile},
    snapshot::MemorySnapshot,
    table::{Column, Table, bytes, cell, count, path_end},
    task::TaskId,
};

/// Rows printed of each table; all with `{:#}`.
const MOST_ROWS: usize = 20;
const NAME_COLUMNS: usize = 36;
const PLACE_COLUMNS: usize = 28;
const NOT_MEASURED: &str = "not measured";

/// Prints totals, sites and tasks, the largest live bytes first: twenty rows of each, or all with `{:#}`.
impl fmt::Display for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if f.alternate() { usize::MAX } else { MOST_ROWS };
        self.totals(f)?;
        if !self.sites().is_empty() {
            self.site_table(f, most)?;
            self.task_table(f, most)?;
        }
        self.own_line(f)
    }
}

impl MemorySnapshot {
    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process();
        if self.measured().is_yes() {
            let [tracked, untracked, whole] =
                [process.tracked_bytes, process.untracked_bytes, process.whole_bytes].map(bytes);
            writeln!(f, "live memory: {tracked} in tasks + {untracked} untracked = {whole}")?;
        } else {
            writeln!(f, "live memory: {NOT_MEASURED} ({})", self.measured().reason())?;
        }
        writeln!(
            f,
            "tasks: {} alive, {} at most at one time, {} created",
            count(self.active_task_count() as u64),
            count(self.peak_concurrent_tasks() as u64),
            count(self.spawned_task_count()),
        )?;
        if !self.is_still() {
            writeln!(f, "tasks ended while this was read: totals may miss the last of them")?;
        }
        Ok(())
    }

    fn site_table(&self, f: &mut fmt::Formatter<'_>, most: usize) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("SITE"),
            Column::Left("TYPE"),
            Column::Left("AT"),
            Column::Right("ALIVE"),
            Column::Right("DONE"),
            Column::Right("CANCELLED"),
            Column::Right("PANICKED"),
            Column::Right("LIVE"),
            Column::Right("RETAINED"),
            Column::Right("PEAK/TASK"),
            Column::Right("ALLOCATED"),
            Column::Right("FUTURE"),
        ]);
        for site in self.sites().iter().take(most) {
            table.push(site_row(site));
        }
        writeln!(f, "\n{table}{}", more(self.sites().len(), most, "sites"))
    }

    fn task_table(&self, f: &mut fmt::Formatter<'_>, most: usize) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("TASK"),
            Column::Left("NAME"),
            Column::Left("STATE"),
            Column::Right("LIVE"),
            Column::Right("PEAK"),
            Column::Right("ALLOCATED"),
            Column::Right("FREED"),
            Column::Right("ELSEWHERE"),
            Column::Right("BLOCKS"),
            Column::Right("POLLS"),
        ]);
        let lines = Tree::of(self.tasks()).lines(most);
        for (depth, task) in &lines {
            table.push(task_row(*depth, task));
        }
        writeln!(f, "{table}{}", more(self.tasks().len(), lines.len(), "tasks"))
    }

    fn own_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = self.tool();
        write!(f, "memscope itself: {} of records", bytes(tool.own_bytes))?;
        let notes = [
            (tool.ended_tasks_forgotten, "ended tasks without a row (summed in their site)"),
            (tool.tasks_in_other, "tasks of sites past the limit (in `(other)`)"),
            (tool.events_dropped, "rows dropped"),
            (tool.tasks_without_record, "tasks untracked for want of memory"),
        ];
        for (number, what) in notes.iter().filter(|(number, _)| *number != 0) {
            write!(f, " · {} {what}", count(*number))?;
        }
        writeln!(f)
    }
}

fn site_row(site: &SiteProfile) -> Vec<String> {
    let in_units = |value| if site.measured { bytes(value) } else { NOT_MEASURED.to_owned() };
    vec![
        cell(&site.name, NAME_COLUMNS),
        site.task_type.to_string(),
        path_end(&format!("{}:{}", site.file, site.line), PLACE_COLUMNS),
        count(site.active),
        count(site.completed),
        count(site.cancelled),
        count(site.panicked),
        in_units(site.live_bytes),
        in_units(site.retained_bytes),
        in_units(site.peak_bytes),
        in_units(site.allocated_bytes),
        bytes(site.future_size_bytes),
    ]
}

fn task_row(depth: usize, task: &TaskMemoryProfile) -> Vec<String> {
    let in_units = |value| if task.measured { bytes(value) } else { NOT_MEASURED.to_owned() };
    let branch =
        if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat((depth - 1).min(8))) };
    vec![
        format!("{branch}#{}", task.id),
        cell(&task.name, NAME_COLUMNS),
        task.state.to_string(),
        in_units(task.live_bytes),
        in_units(task.peak_bytes),
        in_units(task.allocated_bytes),
        in_units(task.freed_bytes),
        in_units(task.freed_elsewhere_bytes),
        if task.measured { count(task.live_blocks) } else { NOT_MEASURED.to_owned() },
        count(task.poll_count),
    ]
}

/// What a cut table leaves out.
fn more(all: usize, shown: usize, what: &str) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        left => format!("… and {} more {what} (all of them with `{{:#}}`)\n", count(left as u64)),
    }
}

/// Tasks under their parents, each level by the live bytes of a task and all below it.
struct Tree<'a> {
    roots: Vec<&'a TaskMemoryProfile>,
    children: HashMap<TaskId, Vec<&'a TaskMemoryProfile>>,
}

impl<'a> Tree<'a> {
    fn of(tasks: &'a [TaskMemoryProfile]) -> Self {
        let known: HashSet<TaskId> = tasks.iter().map(|task| task.id).collect();
        // A child is younger than its parent, or was adopted at its first poll by a younger one: only the first kind is
        // shown under it, so that the tree has no cycles.
        let parent_of = |task: &TaskMemoryProfile| {
            task.parent.filter(|parent| *parent < task.id && known.contains(parent))
        };
        let mut children: HashMap<TaskId, Vec<&TaskMemoryProfile>> = HashMap::new();
        let mut roots = Vec::new();
        for task in tasks {
            match parent_of(task) {
                Some(parent) => children.entry(parent).or_default().push(task),
                None => roots.push(task),
            }
        }
        // Children have larger ids, so that going down the ids meets every subtree before its root.
        let mut by_id: Vec<&TaskMemoryProfile> = tasks.iter().collect();
        by_id.sort_unstable_by_key(|task| std::cmp::Reverse(task.id));
        let mut weights: HashMap<TaskId, u64> = HashMap::new();
        for task in by_id {
            let weight = *weights
                .entry(task.id)
                .and_modify(|below| *below += task.live_bytes)
                .or_insert(task.live_bytes);
            if let Some(parent) = parent_of(task) {
                *weights.entry(parent).or_default() += weight;
            }
        }
        let sort = |level: &mut Vec<&TaskMemoryProfile>| {
            level.sort_by_key(|task| {
                let weight = weights.get(&task.id).copied().unwrap_or(0);
                (
                    std::cmp::Reverse(weight),
                    task.state.is_ended(),
                    std::cmp::Reverse(task.allocated_bytes),
                    task.id,
                )
            });
        };
        sort(&mut roots);
        children.values_mut().for_each(sort);
        Self { roots, children }
    }

    /// The first `most` lines, each with its depth.
    fn lines(&self, most: usize) -> Vec<(usize, &'a TaskMemoryProfile)> {
        let mut lines = Vec::new();
        let mut left: Vec<(usize, &TaskMemoryProfile)> =
            self.roots.iter().rev().map(|task| (0, *task)).collect();
        while let Some((depth, task)) = left.pop() {
            if lines.len() == most {
                break;
            }
            lines.push((depth, task));
            let below = self.children.get(&task.id).map_or(&[][..], Vec::as_slice);
            left.extend(below.iter().rev().map(|child| (depth + 1, *child)));
        }
        lines
    }
}
