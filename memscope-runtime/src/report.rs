//! A snapshot as people read it: aligned tables, largest first, and what stands out.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use crate::{
    profile::{SiteProfile, TaskMemoryProfile},
    snapshot::MemorySnapshot,
    table::{Column, HumanBytes, Table, cell, common_folder, count, path_end},
    task::TaskId,
};

/// Rows printed of each table; all of them with `{:#}`.
const MOST_ROWS: usize = 20;
/// Ended tasks of one site that get a row each; more share one.
const MOST_ALIKE: usize = 3;
/// Findings of one kind.
const MOST_FINDINGS: usize = 3;
const NAME_COLUMNS: usize = 36;
const PLACE_COLUMNS: usize = 28;
const NOT_MEASURED: &str = "not measured";
/// Nothing at all, measured: so that what is not nothing can be seen.
const NONE: &str = "·";

/// Prints totals, sites, tasks and what stands out, the largest live bytes first.
///
/// Of each table the first twenty rows, ended tasks of one site in one row; `{:#}` prints every row and more columns.
impl fmt::Display for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.totals(f)?;
        if !self.sites().is_empty() {
            self.site_table(f)?;
            self.task_table(f)?;
            self.findings(f)?;
        }
        self.own_line(f)
    }
}

impl MemorySnapshot {
    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process();
        if self.measured().is_yes() {
            let [tracked, untracked, whole] =
                [process.tracked_bytes, process.untracked_bytes, process.whole_bytes]
                    .map(HumanBytes);
            writeln!(f, "live memory: {tracked} in tasks + {untracked} untracked = {whole}")?;
        } else {
            writeln!(f, "live memory: {NOT_MEASURED} ({})", self.measured().reason())?;
        }
        writeln!(
            f,
            "tasks: {} alive, {} at most at one time, {} created in {:.1} s",
            count(self.active_task_count() as u64),
            count(self.peak_concurrent_tasks() as u64),
            count(self.spawned_task_count()),
            self.observed_seconds(),
        )?;
        if !self.is_still() {
            writeln!(f, "tasks ended while this was read: totals may miss the last of them")?;
        }
        Ok(())
    }

    fn site_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: &[Column] = &[
            Column::Left("SITE"),
            Column::Left("TYPE"),
            Column::Left("AT"),
            Column::Right("ALIVE"),
            Column::Right("DONE"),
            Column::Right("CANCELLED"),
            Column::Right("PANICKED"),
            Column::Right("LIVE"),
            Column::Right("OF ENDED"),
            Column::Right("PEAK/TASK"),
            Column::Right("ALLOCATED"),
            Column::Right("FUTURE"),
        ];
        let is_long = f.alternate();
        let mut table = Table::new(if is_long { HEAD } else { &HEAD[..HEAD.len() - 1] });
        let folder =
            if is_long { 0 } else { common_folder(self.sites().iter().map(|site| &*site.file)) };
        let most = if is_long { usize::MAX } else { MOST_ROWS };
        for site in self.sites().iter().take(most) {
            table.push(site_row(site, folder));
        }
        writeln!(f, "\n{table}{}", more(self.sites().len(), most, "sites"))
    }

    fn task_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&[
            Column::Left("TASK"),
            Column::Left("NAME"),
            Column::Left("STATE"),
            Column::Right("LIVE"),
            Column::Right("PEAK"),
            Column::Right("ALLOCATED"),
            Column::Right("FREED"),
            Column::Right("BY OTHERS"),
            Column::Right("BLOCKS"),
            Column::Right("POLLS"),
        ]);
        let (most, most_alike) =
            if f.alternate() { (usize::MAX, usize::MAX) } else { (MOST_ROWS, MOST_ALIKE) };
        let (single, alike) = group(self.tasks(), most_alike);
        let lines = Tree::of(&single).lines(most);
        for (depth, task) in &lines {
            table.push(task_row(*depth, task));
        }
        for group in alike.iter().take(most - lines.len()) {
            table.push(group_row(group));
        }
        let (all, shown) = (single.len() + alike.len(), most.min(lines.len() + alike.len()));
        writeln!(f, "{table}{}", more(all, shown, "rows"))
    }

    /// What a reader would look for in the tables: who left memory behind, who was cut off, who holds most.
    fn findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut findings = Vec::new();
        let mut of_each =
            |kind: &str, number: fn(&SiteProfile) -> u64, text: &dyn Fn(&SiteProfile) -> String| {
                let mut sites: Vec<&SiteProfile> =
                    self.sites().iter().filter(|site| number(site) != 0).collect();
                sites.sort_by_key(|site| Reverse(number(site)));
                for site in sites.iter().take(MOST_FINDINGS) {
                    findings.push(format!(
                        "{kind:9}  {}: {}",
                        cell(&site.name, NAME_COLUMNS),
                        text(site)
                    ));
                }
            };
        of_each("retained", |site| site.retained_bytes, &|site| {
            let ended = site.spawned.saturating_sub(site.active).max(1);
            let (left, each) =
                (HumanBytes(site.retained_bytes), HumanBytes(site.retained_bytes / ended));
            let tasks = if ended == 1 { "task" } else { "tasks" };
            format!("{left} left behind by {} ended {tasks}, {each} each", count(ended))
        });
        of_each("cancelled", |site| site.cancelled, &|site| share(site.cancelled, site.spawned));
        of_each("panicked", |site| site.panicked, &|site| share(site.panicked, site.spawned));
        let alive =
            self.tasks().iter().filter(|task| !task.state.is_ended() && task.live_bytes != 0);
        if let Some(task) = alive.max_by_key(|task| task.live_bytes) {
            findings.push(format!(
                "largest    {} (task #{}): alive with {} in {} {}",
                cell(&task.name, NAME_COLUMNS),
                task.id,
                HumanBytes(task.live_bytes),
                count(task.live_blocks),
                if task.live_blocks == 1 { "block" } else { "blocks" },
            ));
        }
        if findings.is_empty() {
            return Ok(());
        }
        writeln!(f, "what stands out\n  {}\n", findings.join("\n  "))
    }

    fn own_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = self.tool();
        write!(f, "memscope itself: {} of records", HumanBytes(tool.own_bytes))?;
        if tool.ended_tasks_forgotten != 0 {
            let kept = self.tasks().iter().filter(|task| task.state.is_ended()).count();
            write!(f, "; rows of the last {} ended tasks, sums of all", count(kept as u64))?;
        }
        let lost = [
            (tool.tasks_in_other, "tasks of sites past the limit (in `(other)`)"),
            (tool.events_dropped, "rows dropped"),
            (tool.tasks_without_record, "tasks untracked for want of memory"),
        ];
        for (number, what) in lost.iter().filter(|(number, _)| *number != 0) {
            write!(f, "; {} {what}", count(*number))?;
        }
        writeln!(f)
    }
}

fn size(measured: bool, bytes: u64) -> String {
    match bytes {
        _ if !measured => NOT_MEASURED.to_owned(),
        0 => NONE.to_owned(),
        bytes => HumanBytes(bytes).to_string(),
    }
}

fn number(number: u64) -> String {
    if number == 0 { NONE.to_owned() } else { count(number) }
}

/// `folder`: how many bytes at the start of the file's path go without saying.
fn site_row(site: &SiteProfile, folder: usize) -> Vec<String> {
    let in_units = |bytes| size(site.measured, bytes);
    let file = site.file.get(folder..).unwrap_or(&site.file);
    vec![
        cell(&site.name, NAME_COLUMNS),
        site.task_type.to_string(),
        if file.is_empty() {
            NONE.to_owned()
        } else {
            path_end(&format!("{file}:{}", site.line), PLACE_COLUMNS)
        },
        number(site.active),
        number(site.completed),
        number(site.cancelled),
        number(site.panicked),
        in_units(site.live_bytes),
        in_units(site.retained_bytes),
        in_units(site.peak_bytes),
        in_units(site.allocated_bytes),
        HumanBytes(site.future_size_bytes).to_string(),
    ]
}

fn task_row(depth: usize, task: &TaskMemoryProfile) -> Vec<String> {
    let in_units = |bytes| size(task.measured, bytes);
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
        if task.measured { number(task.live_blocks) } else { NOT_MEASURED.to_owned() },
        number(task.poll_count),
    ]
}

/// One row for ended tasks of one site: sums, and the highest peak.
fn group_row(group: &[&TaskMemoryProfile]) -> Vec<String> {
    let measured = group.iter().all(|task| task.measured);
    let sum =
        |field: fn(&TaskMemoryProfile) -> u64| group.iter().map(|task| field(task)).sum::<u64>();
    let in_units = |bytes| size(measured, bytes);
    vec![
        format!("{} tasks", count(group.len() as u64)),
        group.first().map_or(String::new(), |task| cell(&task.name, NAME_COLUMNS)),
        "ended".to_owned(),
        in_units(sum(|task| task.live_bytes)),
        in_units(group.iter().map(|task| task.peak_bytes).max().unwrap_or(0)),
        in_units(sum(|task| task.allocated_bytes)),
        in_units(sum(|task| task.freed_bytes)),
        in_units(sum(|task| task.freed_elsewhere_bytes)),
        if measured { number(sum(|task| task.live_blocks)) } else { NOT_MEASURED.to_owned() },
        number(sum(|task| task.poll_count)),
    ]
}

fn share(part: u64, all: u64) -> String {
    format!("{} of {} tasks", count(part), count(all))
}

/// What a cut table leaves out.
fn more(all: usize, shown: usize, what: &str) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        left => format!("… and {} more {what} (all of them with `{{:#}}`)\n", count(left as u64)),
    }
}

type Rows<'a> = Vec<&'a TaskMemoryProfile>;

/// The tasks that get a row each, and the ended ones that share one with their like, the largest group first.
fn group(tasks: &[TaskMemoryProfile], most_alike: usize) -> (Rows<'_>, Vec<Rows<'_>>) {
    let mut ended: BTreeMap<_, Rows<'_>> = BTreeMap::new();
    let mut single = Rows::new();
    for task in tasks {
        if task.state.is_ended() {
            ended
                .entry((&task.name, task.task_type, &task.file, task.line))
                .or_default()
                .push(task);
        } else {
            single.push(task);
        }
    }
    let mut alike = Vec::new();
    for group in ended.into_values() {
        if group.len() > most_alike {
            alike.push(group);
        } else {
            single.extend(group);
        }
    }
    alike.sort_by_key(|group| Reverse(group.iter().map(|task| task.live_bytes).sum::<u64>()));
    (single, alike)
}

/// Tasks under their parents, each level by the live bytes of a task and all below it.
struct Tree<'a> {
    roots: Rows<'a>,
    children: HashMap<TaskId, Rows<'a>>,
}

impl<'a> Tree<'a> {
    fn of(tasks: &[&'a TaskMemoryProfile]) -> Self {
        let known: HashSet<TaskId> = tasks.iter().map(|task| task.id).collect();
        // A task that was adopted at its first poll may be older than its parent. Only younger ones are shown below
        // theirs, so that there are no cycles.
        let parent_of = |task: &TaskMemoryProfile| {
            task.parent.filter(|parent| *parent < task.id && known.contains(parent))
        };
        let mut by_id = tasks.to_vec();
        by_id.sort_unstable_by_key(|task| Reverse(task.id));
        // The youngest first, so that everything below a task is summed before the task itself.
        let mut below: HashMap<TaskId, u64> = HashMap::new();
        let mut weights: HashMap<TaskId, u64> = HashMap::new();
        for task in &by_id {
            let weight = task.live_bytes + below.get(&task.id).copied().unwrap_or(0);
            weights.insert(task.id, weight);
            if let Some(parent) = parent_of(task) {
                *below.entry(parent).or_default() += weight;
            }
        }
        by_id.sort_by_key(|task| {
            let weight = weights.get(&task.id).copied().unwrap_or(0);
            (Reverse(weight), task.state.is_ended(), Reverse(task.allocated_bytes), task.id)
        });
        let mut roots = Rows::new();
        let mut children: HashMap<TaskId, Rows<'_>> = HashMap::new();
        for task in by_id {
            match parent_of(task) {
                Some(parent) => children.entry(parent).or_default().push(task),
                None => roots.push(task),
            }
        }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn task(id: u64, parent: Option<u64>, name: &str, state: &str, live: u64) -> Value {
        json!({
            "id": id, "parent": parent, "name": name, "task_type": "network_intensive", "state": state,
            "file": "src/http/serve.rs", "line": 7, "measured": true, "live_bytes": live, "peak_bytes": 4096,
            "allocated_bytes": 8192, "allocation_count": 3, "freed_bytes": 8192 - live,
            "freed_elsewhere_bytes": 100, "live_blocks": 1, "future_size_bytes": 64, "future_type": "F",
            "poll_count": 1000, "busy_ns": 5, "wait_ns": null, "timing_is_estimate": false, "idle_ns": null,
            "cell_bytes": 0,
        })
    }

    fn site(name: &str, file: &str, live: u64, retained: u64, cancelled: u64) -> Value {
        json!({
            "name": name, "task_type": "network_intensive", "file": file, "line": 7, "measured": true,
            "spawned": 8, "active": 3, "completed": 5 - cancelled, "cancelled": cancelled, "panicked": 0,
            "live_bytes": live, "live_blocks": 8, "peak_bytes": 4096, "peak_sum_bytes": 4096,
            "allocated_bytes": 65536, "allocation_count": 24, "ended_allocated_bytes": 1000,
            "retained_bytes": retained, "unjoined_bytes": 0, "retained_tasks": 1, "oldest_retained_ns": null,
            "retained_waves": 1, "retained_by_eighth": [1, 0, 0, 0, 0, 0, 0, 0], "argument_bytes": null,
            "boxed_by_tokio": 0, "longest_wait_ns": 0, "future_size_bytes": 64, "wait_sum_ns": 0, "waits_timed": 0,
            "peak_histogram": [{ "up_to": 4095, "count": 8 }], "poll_histogram": [],
        })
    }

    fn snapshot(tasks: &[Value], sites: &[Value]) -> MemorySnapshot {
        let json = json!({
            "measured": "yes", "is_still": true, "timing_is_off": false, "observed_ns": 2_500_000_000_u64,
            "spawned_tasks": 16, "active_tasks": 3, "peak_concurrent_tasks": 4,
            "process": {
                "measured": true, "tracked_bytes": 7168, "untracked_bytes": 1024, "whole_bytes": 8192,
                "tracked_blocks": 8, "untracked_blocks": 1, "whole_blocks": 9,
                "tracked_allocated_bytes": 65536, "untracked_allocated_bytes": 2048,
            },
            "tool": {
                "own_bytes": 2048, "events_dropped": 2, "ended_tasks_forgotten": 3, "tasks_without_record": 0,
                "tasks_in_other": 0, "hand_overs_lost": 0,
            },
            "tasks": tasks, "sites": sites, "variables": [], "variable_sites": [], "hand_overs": [], "trends": [],
            "runtime": {
                "measured": true, "worker_threads": 0, "worker_bytes": 0, "cells": 0, "cell_overhead_bytes": 0,
            },
        });
        serde_json::from_value(json).expect("a snapshot")
    }

    #[test]
    fn a_report_reads_like_this() {
        let mut tasks = vec![
            task(1, None, "small", "idle", 512),
            task(2, None, "parent", "running", 0),
            task(5, Some(2), "child", "idle", 2048),
            task(6, Some(5), "grandchild", "completed", 1024),
        ];
        tasks.extend((10..15).map(|id| task(id, Some(2), "request\n", "completed", 700)));
        let sites = [
            site("request\n", "src/http/serve.rs", 4000, 3500, 0),
            site("child", "src/db.rs", 2048, 0, 2),
        ];
        let shown = snapshot(&tasks, &sites).to_string();
        let expected = "\
live memory: 7.0 KiB in tasks + 1.0 KiB untracked = 8.0 KiB
tasks: 3 alive, 4 at most at one time, 16 created in 2.5 s

SITE       TYPE     AT               ALIVE  DONE  CANCELLED  PANICKED     LIVE  OF ENDED  PEAK/TASK  ALLOCATED
request\\n  network  http/serve.rs:7      3     5          ·         ·  3.9 KiB   3.4 KiB    4.0 KiB   64.0 KiB
child      network  db.rs:7              3     3          2         ·  2.0 KiB         ·    4.0 KiB   64.0 KiB

TASK     NAME        STATE         LIVE     PEAK  ALLOCATED     FREED  BY OTHERS  BLOCKS  POLLS
#2       parent      running          ·  4.0 KiB    8.0 KiB   8.0 KiB      100 B       1  1,000
└ #5     child       idle       2.0 KiB  4.0 KiB    8.0 KiB   6.0 KiB      100 B       1  1,000
  └ #6   grandchild  completed  1.0 KiB  4.0 KiB    8.0 KiB   7.0 KiB      100 B       1  1,000
#1       small       idle         512 B  4.0 KiB    8.0 KiB   7.5 KiB      100 B       1  1,000
5 tasks  request\\n   ended      3.4 KiB  4.0 KiB   40.0 KiB  36.6 KiB      500 B       5  5,000

what stands out
  retained   request\\n: 3.4 KiB left behind by 5 ended tasks, 700 B each
  cancelled  child: 2 of 8 tasks
  largest    child (task #5): alive with 2.0 KiB in 1 block

memscope itself: 2.0 KiB of records; rows of the last 6 ended tasks, sums of all; 2 rows dropped
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn a_cut_table_says_what_is_left_out_and_the_long_form_leaves_out_nothing() {
        let tasks: Vec<Value> = (1..=50).map(|id| task(id, None, "alive", "idle", id)).collect();
        let sites: Vec<Value> =
            (1..=30).map(|id| site("many", &format!("{id}.rs"), id, 0, 0)).collect();
        let snapshot = snapshot(&tasks, &sites);
        let short = snapshot.to_string();
        assert!(
            short.contains("… and 30 more rows") && short.contains("… and 10 more sites"),
            "{short}"
        );
        assert!(
            short.contains("#50 ") && !short.contains("#30 "),
            "the largest are shown\n{short}"
        );
        let long = format!("{snapshot:#}");
        assert!(long.contains("#1 ") && long.contains("#50 ") && !long.contains('…'), "{long}");
        assert!(long.contains("FUTURE") && long.contains(" 30.rs:7"), "{long}");
    }

    #[test]
    fn a_tree_has_no_cycles_whoever_names_whom_as_parent() {
        let tasks = [
            task(1, Some(2), "a", "idle", 1),
            task(2, Some(1), "b", "idle", 1),
            task(3, Some(3), "c", "idle", 1),
            task(4, Some(99), "d", "idle", 1),
        ];
        let shown = snapshot(&tasks, &[site("s", "s.rs", 4, 0, 0)]).to_string();
        for id in 1..=4 {
            assert_eq!(shown.matches(&format!("#{id} ")).count(), 1, "{shown}");
        }
    }
}
