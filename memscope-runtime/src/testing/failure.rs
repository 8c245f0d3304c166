//! The text of a test that took too much memory: at most 25 lines.

use std::{cmp::Reverse, collections::HashSet, time::Instant};

use crate::{
    analysis::stacks::{Fold, fold},
    model::{
        HumanBytes, SiteProfile, StackFrame, StackProfile, StacksState, TaskId, TaskMemoryProfile,
        VariableProfile,
        human::{cell, count, file_end, path_end},
    },
    snapshot::{MemorySnapshot, build::get_memory_snapshot},
    symbols,
};

/// How many of each are named: with the other lines at most 24.
const MOST_TASKS: usize = 3;
const MOST_VARIABLES: usize = 3;
const MOST_STACKS: usize = 2;
const FUNCTIONS: usize = 2;
/// Among this many functions of a stack.
const FUNCTIONS_SEARCHED: usize = 8;

/// How often the names of functions are looked up for one text: other tests allocate meanwhile.
const MOST_LOOK_UPS: u32 = 3;

/// Which bytes a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Those that live now.
    Live,
    /// All that were allocated.
    Allocated,
}

/// What is over its limit.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) title: String,
    /// At most five.
    pub(super) lines: Vec<String>,
    pub(super) holds: Holds,
}

impl Failure {
    /// The text. `tasks`: those that the failure is about, the test's own first.
    pub(super) fn text(self, tasks: &[TaskMemoryProfile]) -> String {
        let snapshot = snapshot();
        let Self { title, mut lines, holds } = self;
        for line in &mut lines {
            line.insert_str(0, "  ");
        }
        lines.insert(0, title);
        add_tasks(&mut lines, tasks);
        add_variables(&mut lines, &snapshot, tasks);
        add_stacks(&mut lines, &snapshot, tasks, holds);
        lines.join("\n")
    }
}

/// A snapshot with the names of functions.
fn snapshot() -> MemorySnapshot {
    let mut snapshot = get_memory_snapshot();
    for _ in 0..MOST_LOOK_UPS {
        if snapshot.stack_names_pending() == 0 {
            break;
        }
        symbols::look_up_until(Instant::now() + symbols::MOST_LOOKING_UP);
        snapshot = get_memory_snapshot();
    }
    snapshot
}

fn add_tasks(lines: &mut Vec<String>, tasks: &[TaskMemoryProfile]) {
    let mut largest: Vec<_> = tasks.iter().collect();
    largest.sort_by_key(|task| Reverse((task.peak_bytes, task.allocation_count)));
    lines.push("tasks".to_owned());
    for task in largest.iter().take(MOST_TASKS) {
        let [live, peak, all] =
            [task.live_bytes, task.peak_bytes, task.allocated_bytes].map(HumanBytes);
        lines.push(format!(
            "  `{}` ({}:{}): {live} live, {peak} peak, {all} in {} allocations",
            cell(&task.name, 40),
            path_end(&task.file, 40),
            task.line,
            count(task.allocation_count),
        ));
    }
    add_more(lines, largest.len(), MOST_TASKS);
}

fn add_variables(lines: &mut Vec<String>, snapshot: &MemorySnapshot, tasks: &[TaskMemoryProfile]) {
    let ids = ids(tasks);
    let is_held =
        |it: &&VariableProfile| it.live && it.task.is_some_and(|task| ids.contains(&task));
    let mut held: Vec<_> = snapshot.variables().iter().filter(is_held).collect();
    if held.is_empty() {
        return;
    }
    held.sort_by_key(|variable| Reverse(variable.heap_bytes));
    lines.push("live variables".to_owned());
    for variable in held.iter().take(MOST_VARIABLES) {
        lines.push(format!(
            "  `{}` ({}:{}): {}, {}",
            cell(&variable.name, 40),
            path_end(&variable.file, 40),
            variable.line,
            HumanBytes(variable.heap_bytes),
            cell(&variable.type_name, 40),
        ));
    }
    add_more(lines, held.len(), MOST_VARIABLES);
}

fn add_stacks(
    lines: &mut Vec<String>,
    snapshot: &MemorySnapshot,
    tasks: &[TaskMemoryProfile],
    holds: Holds,
) {
    match snapshot.stacks_measured() {
        StacksState::On => {}
        StacksState::Off | StacksState::Disabled => return,
        StacksState::Unsupported => {
            lines.push("which code allocates is not measured on this system".to_owned());
            return;
        }
    }
    let bytes = |stack: &StackProfile| match holds {
        Holds::Live => stack.live_bytes,
        Holds::Allocated => stack.allocated_bytes,
    };
    let (word, ids) = (if holds == Holds::Live { "live" } else { "allocated" }, ids(tasks));
    let is_theirs =
        |stack: &&StackProfile| bytes(stack) != 0 && is_of(stack, snapshot.sites(), tasks, &ids);
    let mut stacks: Vec<_> = snapshot.stacks().iter().filter(is_theirs).collect();
    let interval = snapshot.stack_interval_bytes();
    if stacks.is_empty() {
        lines.push(format!(
            "no stack of it is among the samples (one in about {}): for more, run it alone with \
             MEMSCOPE_STACKS=64",
            HumanBytes(interval)
        ));
        return;
    }
    stacks.sort_by_key(|stack| Reverse(bytes(stack)));
    lines.push(format!("the code that allocates (by samples, one in {})", HumanBytes(interval)));
    for stack in stacks.iter().take(MOST_STACKS) {
        let samples = if holds == Holds::Live { stack.live_samples } else { stack.samples };
        let plural = if samples == 1 { "" } else { "s" };
        let size = HumanBytes(bytes(stack));
        lines.push(format!("  ≈ {size} {word}, {} sample{plural}", count(samples)));
        lines.extend(functions(&stack.frames));
    }
    add_more(lines, stacks.len(), MOST_STACKS);
}

/// The test's functions of a stack, the innermost first. A function and its closures are one.
fn functions(frames: &[StackFrame]) -> Vec<String> {
    let (mut names, mut lines) = (HashSet::new(), Vec::new());
    for fold in fold(frames, FUNCTIONS_SEARCHED) {
        let Fold::Function(name, place) = fold else { continue };
        if lines.len() == FUNCTIONS || name.starts_with("memscope_r") || !names.insert(name.clone())
        {
            continue;
        }
        let name = path_end(&name, 60);
        lines.push(match place {
            Some((file, line)) => format!("    {name} ({}:{line})", file_end(&file, 60)),
            None => format!("    {name}"),
        });
    }
    lines
}

/// Whether all that was sampled at this stack is these tasks': they have what is live, or are all
/// tasks of its site.
fn is_of(
    stack: &StackProfile,
    sites: &[SiteProfile],
    tasks: &[TaskMemoryProfile],
    ids: &HashSet<TaskId>,
) -> bool {
    let is_at = |site: &SiteProfile, task: &TaskMemoryProfile| {
        (site.line, &*site.file, &*site.name) == (task.line, &*task.file, &*task.name)
    };
    let is_all = |site: &SiteProfile| {
        let theirs = tasks.iter().filter(|task| is_at(site, task)).count();
        theirs as u64 == site.spawned
    };
    stack.task.is_some_and(|task| ids.contains(&task))
        || stack.site.and_then(|site| sites.get(site)).is_some_and(is_all)
}

fn ids(tasks: &[TaskMemoryProfile]) -> HashSet<TaskId> {
    tasks.iter().map(|task| task.id).collect()
}

fn add_more(lines: &mut Vec<String>, all: usize, most: usize) {
    if all > most {
        lines.push(format!("  … and {} more", all - most));
    }
}
