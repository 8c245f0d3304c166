//! The tree of a dump: the places where tasks wait, one below the other.

use std::{cmp::Reverse, collections::BTreeMap, iter};

use super::{NONE, heap_graph::number_of, number, table::Table};
use crate::model::{
    AwaitBranch, AwaitFrame, DumpedTask, HumanBytes, MOST_NAME, TaskState,
    await_point::FUTURES_IN,
    human::{cell, of_crate, path_end},
};

/// Columns for a line of the tree in `{:#}`, and for why a walk ends.
pub(super) const LONG_LINE_COLUMNS: usize = 1_000;

/// A line about one task, and those below it.
#[derive(Debug)]
pub(super) struct Line {
    text: String,
    below: Vec<Self>,
    /// Whether the bytes of the task are in a line above.
    is_repeated: bool,
    /// How many futures of a list the line is about; 0 for any other line.
    futures: u64,
}

/// The lines of one task: its name, the functions that wait, and what is waited for. What several
/// futures side by side wait for is below that.
pub(super) fn lines(task: &DumpedTask) -> Line {
    let name = cell(&task.name, MOST_NAME);
    let end = match task.state {
        TaskState::Running => "running".to_owned(),
        state if state.is_ended() => match task.has_handle {
            Some(true) => format!("{state}, and its JoinHandle is held"),
            _ => format!("{state}, and its cell is still there"),
        },
        _ => task.unknown.clone().unwrap_or_default(),
    };
    match &task.await_point {
        Some(point) => chain(name, &point.frames, &point.stops, &point.branches, None),
        None => chain(name, &[], &end, &[], None),
    }
}

/// Makes a line for each function, each below the one that awaits it. `futures` is the number of
/// futures of a list to which they belong, 0 for any other future, and `None` for what the task
/// itself awaits.
fn chain(
    first: String,
    frames: &[AwaitFrame],
    stops: &str,
    branches: &[AwaitBranch],
    futures: Option<u64>,
) -> Line {
    let (is_repeated, futures) = (futures.is_some(), futures.unwrap_or(0));
    let mut texts: Vec<String> = iter::once(first).chain(frames.iter().map(function)).collect();
    if let Some(last) = texts.last_mut().filter(|_| !stops.is_empty()) {
        let between = match last.as_bytes() {
            [] => "",
            [.., b':'] => " ",
            _ => ": ",
        };
        last.push_str(between);
        last.push_str(&cell(stops, LONG_LINE_COLUMNS));
    }
    let all = branches.len();
    let perhaps = if stops.contains(", perhaps for ") { "perhaps " } else { "" };
    let is_list = stops.contains(FUTURES_IN);
    let branch = |(index, branch): (usize, &AwaitBranch)| {
        // Tasks with other numbers of futures at the same places share the line.
        let (number, between) = if is_list {
            (String::new(), "")
        } else {
            (format!("{perhaps}{} of {all}:", index + 1), " ")
        };
        let (text, below) = match branch.frames.split_first() {
            Some((first, below)) => ([&*number, between, &*function(first)].concat(), below),
            None => (number, &[][..]),
        };
        let futures = if is_list { branch.futures.saturating_mul(futures.max(1)) } else { futures };
        chain(text, below, &branch.stops, &branch.branches, Some(futures))
    };
    let mut below: Vec<Line> = branches.iter().enumerate().map(branch).collect();
    let mut texts = texts.into_iter().rev();
    let text = texts.next().unwrap_or_default();
    let mut line = Line { text, below, is_repeated, futures };
    for text in texts {
        below = vec![line];
        line = Line { text, below, is_repeated, futures };
    }
    line
}

fn function(frame: &AwaitFrame) -> String {
    let place = path_end(of_crate(&frame.file), MOST_NAME);
    let function = cell(&frame.function, MOST_NAME);
    if place.is_empty() { function } else { format!("{function} ({place}:{})", frame.line) }
}

/// What some tasks have in common.
#[derive(Debug, Default)]
pub(super) struct Branch {
    line: String,
    /// The number of the task that was added last.
    last: Option<usize>,
    tasks: u64,
    /// Of tasks whose bytes are measured.
    bytes: u64,
    is_measured: bool,
    /// Whether its tasks and their bytes stand in a line above, as they wait for several futures.
    is_repeated: bool,
    /// How many futures of lists its tasks have here; 0 for any other line.
    futures: u64,
    /// The queues that its tasks wait in, and how many in each.
    queues: Queues,
    pub(super) branches: Vec<Self>,
}

/// Queues by their numbers, and how many tasks wait in each.
pub(super) type Queues = BTreeMap<u64, u64>;

impl Branch {
    pub(super) fn add(&mut self, number: usize, task: &DumpedTask, lines: &[Line]) {
        // Several futures of one task may wait in the same function.
        if self.last != Some(number) {
            self.last = Some(number);
            self.tasks += 1;
            self.bytes = self.bytes.saturating_add(task.live_bytes);
            self.is_measured |= task.measured;
        }
        for Line { text, below, is_repeated, futures } in lines {
            let known = self.branches.iter().position(|branch| branch.line == *text);
            let at = known.unwrap_or_else(|| {
                let new = Self { line: text.clone(), is_repeated: *is_repeated, ..Self::default() };
                self.branches.push(new);
                self.branches.len() - 1
            });
            if let Some(branch) = self.branches.get_mut(at) {
                branch.futures = branch.futures.saturating_add(*futures);
                branch.add(number, task, below);
                let is_last = below.is_empty() && !is_repeated;
                if let Some(queue) = task.queue.filter(|_| is_last) {
                    *branch.queues.entry(queue).or_default() += 1;
                }
            }
        }
    }

    /// Adds to each line in which queues its tasks wait, if several tasks of the dump wait in one.
    pub(super) fn tell_queues(&mut self, of_dump: &Queues) {
        let longest = self.queues.iter().max_by_key(|(queue, tasks)| (**tasks, Reverse(**queue)));
        if let Some((queue, tasks)) =
            longest.filter(|it| of_dump.get(it.0).is_some_and(|it| *it > 1))
        {
            let said = match self.queues.len() {
                1 if *tasks == self.tasks => format!(", in queue {queue}"),
                1 => format!(", {tasks} of them in queue {queue}"),
                queues => format!(", in {queues} queues, {tasks} of them in queue {queue}"),
            };
            self.line.push_str(&said);
        }
        self.branches.iter_mut().for_each(|branch| branch.tell_queues(of_dump));
    }

    pub(super) fn sort(&mut self) {
        self.branches.sort_by_key(|branch| {
            (Reverse(branch.tasks), Reverse(branch.bytes), branch.line.clone())
        });
        self.branches.iter_mut().for_each(Self::sort);
    }

    pub(super) fn rows(&self, most: usize, columns: usize, depth: usize, table: &mut Table) {
        for branch in self.branches.iter().take(most) {
            let bytes = match (branch.is_measured, branch.bytes) {
                _ if branch.is_repeated => String::new(),
                (false, _) => "?".to_owned(),
                (true, 0) => NONE.to_owned(),
                (true, bytes) => HumanBytes(bytes).to_string(),
            };
            let futures = match branch.futures {
                0 => String::new(),
                futures if futures == self.futures => String::new(),
                futures => format!("{}: ", number_of(futures, "future")),
            };
            let line = format!("{:1$}{futures}{2}", "", 2 * depth, branch.line);
            table.push(vec![number(branch.tasks), bytes, cell(&line, columns)]);
            branch.rows(most, columns, depth + 1, table);
            let left = branch.branches.len().saturating_sub(most);
            if left != 0 {
                let line = format!("{:1$}… and {left} more", "", 2 * (depth + 1));
                table.push(vec![String::new(), String::new(), line]);
            }
        }
    }
}
