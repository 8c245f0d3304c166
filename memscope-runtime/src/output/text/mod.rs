//! A snapshot as text for people: aligned tables, largest first, and what stands out.

#[cfg(test)]
mod any_names;
mod await_points;
mod await_tree;
#[cfg(feature = "report-file")]
mod buffer;
mod counters;
mod cut;
mod diff;
mod future_sizes;
mod heap_graph;
mod heap_graph_diff;
mod leaks;
mod table;
mod highlights;
mod resident;
mod futures;
mod shared_owners;
mod sites;
#[cfg(feature = "report-file")]
mod selected;
mod stack_notes;
mod stacks;
mod tasks;
mod task_tree;
mod task_dump;
mod variables;

use std::fmt::{self, Write};

use crate::{
    alloc::own_work,
    model::{
        HumanBytes, Items, SiteProfile,
        human::{count, path_end},
    },
    primitives::reserve,
    snapshot::{MemorySnapshot, ranking::Ranking, sum},
};
use cut::Cut;
use table::common_folder;

#[cfg(feature = "report-file")]
pub(crate) use buffer::Buffer;
#[cfg(feature = "report-file")]
pub use selected::Selected;

/// How many rows of each table are printed; `{:#}` prints all.
pub(crate) const MOST_ROWS: usize = 20;
pub(crate) const NAME_COLUMNS: usize = 36;
pub(crate) const PLACE_COLUMNS: usize = 28;
/// Unannotated tasks are shown from this many bytes on. So is their site, from this many live bytes
/// or bytes of living futures on.
const LEAST_UNANNOTATED: u64 = 1_024;
const NOT_MEASURED: &str = "not measured";
const UNKNOWN: &str = "unknown";
/// Stands for a measured zero, so that the other numbers are easy to see.
pub(crate) const NONE: &str = "·";

/// Prints totals, sites, tasks, variables and what stands out, the largest live bytes first.
///
/// Each table has its first twenty rows, with the ended tasks of one site in one row. `{:#}` prints
/// every row and more columns. With a width, as in `{:120}`, longer lines are cut.
impl fmt::Display for MemorySnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(columns) = f.width() {
            return self.cut(f, columns);
        }
        let _work = own_work::work();
        if reserve::is_empty() {
            return f.write_str("no memory is left for a report\n");
        }
        self.totals(f)?;
        writeln!(f)?;
        self.tables(f, Ranking::Live)?;
        self.verdict(f)?;
        self.own_line(f)
    }
}

impl MemorySnapshot {
    /// Prints everything that has rows.
    fn tables(&self, f: &mut fmt::Formatter<'_>, ranking: Ranking) -> fmt::Result {
        if !self.sites().is_empty() || !self.tasks().is_empty() {
            self.site_table(f)?;
            self.task_table(f, ranking)?;
        }
        self.await_point_table(f)?;
        self.stack_table(f, ranking)?;
        self.shared_table(f)?;
        self.variable_tables(f)?;
        self.future_list(f)?;
        self.findings(f)?;
        if let Some(graph) = self.heap_graph() {
            writeln!(f, "\nwhat holds the memory")?;
            write!(f, "{graph}")?;
        }
        Ok(())
    }

    fn cut(&self, f: &mut fmt::Formatter<'_>, columns: usize) -> fmt::Result {
        let is_long = f.alternate();
        let mut cut = Cut::new(f, columns);
        if is_long { write!(cut, "{self:#}") } else { write!(cut, "{self}") }?;
        cut.finish()
    }

    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = self.process();
        if self.measured().is_yes() {
            let others = self.sites().iter().filter(|site| !site.is_annotated);
            let others = others.fold(0, |sum: u64, site| sum.saturating_add(site.live_bytes));
            let annotated = HumanBytes(process.tracked_bytes.saturating_sub(others));
            write!(f, "live memory: {annotated} in tasks + ")?;
            if others != 0 {
                write!(f, "{} in unannotated ones + ", HumanBytes(others))?;
            }
            let [untracked, whole] = [process.untracked_bytes, process.whole_bytes].map(HumanBytes);
            writeln!(f, "{untracked} untracked = {whole}")?;
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
        self.resident_lines(f)?;
        self.unannotated(f)?;
        let runtime = self.runtime();
        if runtime.measured && runtime.worker_threads != 0 {
            let [workers, cells] =
                [runtime.worker_bytes, runtime.cell_overhead_bytes].map(HumanBytes);
            let (thread, polls) =
                if runtime.worker_threads == 1 { ("thread", "polls") } else { ("threads", "poll") };
            write!(
                f,
                "runtime: {workers} of the untracked on {} {thread} that {polls} tasks",
                runtime.worker_threads
            )?;
            if runtime.cells != 0 {
                write!(f, ", {cells} around the futures in {} task cells", count(runtime.cells))?;
            }
            writeln!(f)?;
        }
        if !self.is_still() {
            writeln!(f, "tasks ended while this was read: totals may miss the last of them")?;
        }
        Ok(())
    }

    /// Prints how many unannotated tasks there are; none of the numbers above includes them.
    fn unannotated(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = || self.sites().iter().filter(|site| !site.is_annotated);
        let sum = |number: fn(&SiteProfile) -> u64| sum(sites().map(number));
        let (seen, active, ended) =
            (sum(|site| site.spawned), sum(|site| site.active), sum(SiteProfile::ended));
        if seen == 0 {
            return Ok(());
        }
        write!(f, "unannotated tasks: {} seen, ", count(seen))?;
        if sites().any(|site| site.ends_unknown) {
            write!(f, "{} of them alive or with bytes that they left behind", count(active))?;
        } else {
            write!(f, "{} of them alive", count(active))?;
        }
        if ended != 0 {
            write!(f, ", {} ended", count(ended))?;
        }
        writeln!(f)
    }

    fn own_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = self.tool();
        write!(f, "memscope itself: {} of records", HumanBytes(tool.own_bytes))?;
        if tool.ended_tasks_forgotten != 0 {
            let kept = self.tasks().iter().filter(|task| task.state.is_ended()).count();
            write!(f, "; rows of the last {} ended tasks, sums of all", count(kept as u64))?;
        }
        let lost = [
            (tool.tasks_in_other, "task", "of sites past the limit (in `(other)`)"),
            (tool.events_dropped, "row", "dropped"),
            (tool.tasks_without_record, "task", "untracked for want of memory"),
            (tool.stacks_dropped, "sample", "of call stacks dropped"),
            (tool.await_points_refused, "poll", "whose await point had no room"),
            (
                tool.rows_left_out.saturating_add(reserve::left_out()),
                "row",
                "left out for want of memory",
            ),
            (tool.owner_words_refused, "free", "of blocks whose owner's word was written over"),
            (tool.owner_slots_refused, "large block", "untracked for want of memory"),
            (tool.names_left_out, "function", "without a name, as there were too many"),
            (tool.names_awaited, "name", "being looked up, for the next report"),
        ];
        for (number, thing, what) in lost.iter().filter(|(number, ..)| *number != 0) {
            let plural = if *number == 1 { "" } else { "s" };
            write!(f, "; {} {thing}{plural} {what}", count(*number))?;
        }
        writeln!(f)?;
        if tool.ring_events_dropped != 0 {
            // Running the collecting thread, or more of its rounds, loses fewer events.
            let fewer = if tool.collector_is_running {
                "a shorter `MEMSCOPE_SAMPLE_EVERY`, down to 10ms,"
            } else {
                "`memscope_rs::init()` or `MEMSCOPE_SAMPLE_EVERY=100ms`"
            };
            let dropped = count(tool.ring_events_dropped);
            writeln!(
                f,
                "{dropped} events dropped: `events()` misses them, no sum does; {fewer} has them collected in time"
            )?;
        }
        Ok(())
    }
}

fn size(measured: bool, bytes: u64) -> String {
    match bytes {
        _ if !measured => NOT_MEASURED.to_owned(),
        0 => NONE.to_owned(),
        bytes => HumanBytes(bytes).to_string(),
    }
}

/// Formats how many items there were, and the average size of one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, for people")]
fn item_cells(items: Option<Items>, measured: bool) -> [String; 2] {
    match items {
        None => [NONE.to_owned(), NONE.to_owned()],
        Some(items) => [number(items.count), size(measured, items.mean_bytes().round() as u64)],
    }
}

fn number(number: u64) -> String {
    if number == 0 { NONE.to_owned() } else { count(number) }
}

/// Formats a source location, without the first `folder` bytes of the path.
pub(crate) fn place(file: &str, line: u32, folder: usize) -> String {
    let file = file.get(folder..).unwrap_or(file);
    if file.is_empty() {
        return NONE.to_owned();
    }
    path_end(&format!("{file}:{line}"), PLACE_COLUMNS)
}

/// Returns how many leading bytes these paths have in common and need not show.
pub(crate) fn folder<'a>(
    f: &fmt::Formatter<'_>,
    mut files: impl Iterator<Item = &'a str>,
) -> usize {
    if f.alternate() { 0 } else { common_folder(&mut files) }
}

/// Says how many rows a cut table leaves out.
pub(crate) fn more(all: usize, shown: usize, what: &str) -> String {
    match all.saturating_sub(shown) {
        0 => String::new(),
        left => format!("… and {} more {what} (all of them with `{{:#}}`)\n", count(left as u64)),
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
            "cell_bytes": 0, "is_annotated": true,
        })
    }

    fn site(name: &str, file: &str, live: u64, retained: u64, cancelled: u64) -> Value {
        json!({
            "name": name, "task_type": "network_intensive", "file": file, "line": 7, "measured": true,
            "spawned": 8, "active": 3, "completed": 5 - cancelled, "cancelled": cancelled, "panicked": 0, "given_up": 0, "is_annotated": true,
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
                "tasks_in_other": 0, "hand_overs_lost": 0, "tasks_split": 0,
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

leaks: none found
  not judged  growing   needs 6 samples in 2 min; this is the first
  not judged  stuck     2 idle tasks with bytes: not known since when; a second snapshot will tell

memscope itself: 2.0 KiB of records; rows of the last 6 ended tasks, sums of all; 2 rows dropped
";
        assert_eq!(shown, expected, "\n{shown}");
    }

    #[test]
    fn of_tasks_whose_end_nothing_tells_nothing_is_said_to_be_alive() {
        let plain = |id, live| {
            let mut task = task(id, None, "(unannotated)", "unknown", live);
            task["is_annotated"] = json!(false);
            task
        };
        let mut place = site("(unannotated)", "", 5000, 0, 0);
        let seen = json!({
            "is_annotated": false, "spawned": 2001, "active": 1, "unknown": 1990, "given_up": 10,
            "completed": 0, "ends_unknown": true,
        });
        for (field, value) in seen.as_object().expect("fields") {
            place[field] = value.clone();
        }
        let tasks = [plain(1, 5000), plain(2, 500), plain(3, 0), plain(4, 0)];
        let shown = snapshot(&tasks, &[place]).to_string();
        for line in [
            "unannotated tasks: 2,001 seen, 1 of them alive or with bytes that they left behind\n",
            "2,001 seen  unknown    unknown   unknown  4.9 KiB",
            "#1    (unannotated)  unknown  4.9 KiB",
            "… and 1 unannotated task of less than 1 KiB\n",
            "… and 2 unannotated tasks that hold nothing: whether they live is not known\n",
            "largest    (unannotated) (task #1): holds 4.9 KiB in 1 block\n",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
        assert!(!shown.contains("alive with") && !shown.contains("left behind by"), "{shown}");
    }

    #[test]
    fn dropped_events_are_said_with_what_they_are_for_and_what_helps() {
        let shown = |running: bool| {
            let mut json = serde_json::to_value(snapshot(&[], &[])).expect("it can be written");
            json["tool"]["ring_events_dropped"] = json!(5_326);
            json["tool"]["collector_is_running"] = json!(running);
            let read: MemorySnapshot = serde_json::from_value(json).expect("and read");
            read.to_string()
        };
        let (without, with) = (shown(false), shown(true));
        for shown in [&without, &with] {
            assert!(
                shown.contains("\n5,326 events dropped: `events()` misses them, no sum does; "),
                "{shown}"
            );
        }
        assert!(without.contains("`memscope_rs::init()` or `MEMSCOPE_SAMPLE_EVERY=100ms`"));
        assert!(with.contains("; a shorter `MEMSCOPE_SAMPLE_EVERY`") && !with.contains("init()"));
        assert!(!snapshot(&[], &[]).to_string().contains("events dropped"));
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
