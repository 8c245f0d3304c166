//! The details of a task.

use memscope_runtime::async_memory::TaskMemoryProfile;

use super::{
    Line,
    frames::{FEW, backtrace, more, stacks, variables},
};
use crate::top::{
    context::Context,
    number::{UNKNOWN, bytes, count, duration},
    report::{name, place},
    tables::task_key,
};

pub(super) fn lines(context: &Context<'_>, key: &str) -> Option<(&'static str, String, Vec<Line>)> {
    let snapshot = &context.report.snapshot;
    let task = snapshot.tasks().iter().find(|it| task_key(it) == key)?;
    let mut lines = figures(task);
    lines.extend(waits(context, task));
    lines.extend(variables(snapshot.variables().iter().filter(|it| it.task == Some(task.id))));
    lines.extend(family(context, task));
    lines.extend(stacks(snapshot.stacks().iter().filter(|it| it.task == Some(task.id))));
    if !task.future_type.is_empty() && task.future_type != "not known" {
        lines.push(Line::Section("Type".to_owned(), ""));
        lines.push(Line::Text(name(&task.future_type)));
    }
    Some(("Task", place(&task.file, Some(task.line)), lines))
}

fn figures(task: &TaskMemoryProfile) -> Vec<Line> {
    let size = |title: &str, size: u64| {
        let shown = if task.measured { bytes(size) } else { UNKNOWN.to_owned() };
        Line::Pair(title.to_owned(), shown)
    };
    let about = if task.timing_is_estimate { "≈ " } else { "" };
    let time = |title: &str, ns: Option<u64>| {
        let shown = ns.map_or_else(|| UNKNOWN.to_owned(), |ns| format!("{about}{}", duration(ns)));
        Line::Pair(title.to_owned(), shown)
    };
    let state = match task.idle_ns {
        Some(ns) if !task.state.is_ended() => {
            format!("{}, not polled for {}", task.state, duration(ns))
        }
        _ => task.state.to_string(),
    };
    let is_counted = task.is_annotated || task.poll_count > 0;
    let polls = if is_counted { count(task.poll_count) } else { UNKNOWN.to_owned() };
    let mut lines = vec![
        Line::Pair("Task".to_owned(), format!("#{}", task.id)),
        Line::Pair("State".to_owned(), state),
        size("Live", task.live_bytes),
        size("Peak", task.peak_bytes),
        size("Allocated", task.allocated_bytes),
        size("Freed by others", task.freed_elsewhere_bytes),
        Line::Pair("Blocks, live".to_owned(), count(task.live_blocks)),
        Line::Pair("Polls".to_owned(), polls),
        time("Busy", task.busy_ns),
        time("Waited", task.wait_ns),
    ];
    if task.future_size_bytes > 0 {
        let size = bytes(task.future_size_bytes);
        lines.push(Line::Pair("State machine".to_owned(), size));
    }
    lines
}

fn waits(context: &Context<'_>, task: &TaskMemoryProfile) -> Vec<Line> {
    let mut lines = vec![Line::Section("Await backtrace".to_owned(), "outermost first")];
    let point = context.report.snapshot.await_point_of(task);
    match point {
        _ if task.state.is_ended() => lines.push(Line::Dim("It has ended.".to_owned())),
        Some(point) => lines.extend(backtrace(point)),
        None => {
            let never = || "It has not waited since await points are noted.".to_owned();
            lines.push(Line::Dim(context.no_await_points().unwrap_or_else(never)));
        }
    }
    lines
}

fn family(context: &Context<'_>, task: &TaskMemoryProfile) -> Vec<Line> {
    let snapshot = &context.report.snapshot;
    let children: Vec<_> =
        snapshot.tasks().iter().filter(|it| it.parent == Some(task.id)).collect();
    let parent = task.parent.map(|id| (id, snapshot.task(id)));
    if children.is_empty() && parent.is_none() {
        return Vec::new();
    }
    let line = |is: &str, it: &TaskMemoryProfile| {
        let size = if it.measured { bytes(it.live_bytes) } else { UNKNOWN.to_owned() };
        Line::Pair(format!("{is} #{} {}", it.id, name(&it.name)), size)
    };
    let mut lines = vec![Line::Section("Family".to_owned(), "live")];
    match parent {
        Some((_, Some(parent))) => lines.push(line("parent", parent)),
        Some((id, None)) => {
            lines.push(Line::Dim(format!("parent #{id}, which has no row any more")));
        }
        None => {}
    }
    lines.extend(children.iter().take(FEW).map(|it| line("child", it)));
    lines.extend(more(children.len()));
    lines
}
