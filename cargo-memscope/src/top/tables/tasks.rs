//! The table of tasks: living ones, and ended ones that have a row.

use memscope_runtime::async_memory::{AwaitPoint, TaskMemoryProfile, TaskState};

use crate::top::{
    context::Context,
    number::share,
    report::{name, place},
    table::{Column, Row, Table, Value, names, numbers, sums, text},
};

const COLUMNS: &[Column] = &[
    numbers("TASK", 2),
    names("NAME"),
    text("STATE", 10, 4),
    sums("LIVE", 0),
    sums("SHARE", 5),
    numbers("PEAK", 6),
    text("WAITS AT", 36, 3),
    numbers("NOT POLLED", 1),
    numbers("POLLS", 7),
    numbers("BUSY", 8),
    sums("ALLOCATED", 9),
];

pub(super) fn table(context: &Context<'_>) -> Table {
    let rows = context.report.snapshot.tasks().iter().map(|task| row(context, task)).collect();
    let empty = "No task lives, and no ended one is kept.".to_owned();
    Table::new(COLUMNS, rows, 3, empty)
}

/// The key of a task's row.
pub(in crate::top) fn key(task: &TaskMemoryProfile) -> String {
    format!("task:{}", task.id)
}

fn row(context: &Context<'_>, task: &TaskMemoryProfile) -> Row {
    let known = |bytes: u64| Value::bytes(task.measured.then_some(bytes));
    let whole = context.whole();
    let name = name(&task.name);
    let waits_at = waits_at(context, task);
    let polls = (task.is_annotated || task.poll_count > 0).then_some(task.poll_count);
    let busy = match task.busy_ns {
        Some(ns) if task.timing_is_estimate => Value::AboutTime(ns),
        ns => Value::time(ns),
    };
    let state = task.state.to_string();
    let at = place(&task.file, Some(task.line));
    let group = match context.group {
        Some("site") => format!("{name} {at}").trim_end().to_owned(),
        Some("state") => state.clone(),
        Some(_) if waits_at.is_empty() => "(not known)".to_owned(),
        Some(_) => waits_at.clone(),
        None => String::new(),
    };
    Row {
        key: key(task),
        search: format!("{name} #{} {state} {at} {waits_at}", task.id),
        values: vec![
            Value::Count(task.id.as_u64()),
            Value::text(name),
            Value::text(state),
            known(task.live_bytes),
            if task.measured { Value::Percent(task.live_bytes, whole) } else { Value::Unknown },
            known(task.peak_bytes),
            Value::text(waits_at),
            Value::time(task.idle_ns),
            Value::count(polls),
            busy,
            known(task.allocated_bytes),
        ],
        share: share(task.live_bytes, whole),
        is_left: task.state.is_ended() && task.live_bytes > 0,
        severity: context.severity(&key(task)),
        group,
        ..Row::default()
    }
}

/// Returns the innermost await in the program's own code. The text is empty if this is not known,
/// or if the task does not wait.
fn waits_at(context: &Context<'_>, task: &TaskMemoryProfile) -> String {
    if task.state.is_ended() || task.state == TaskState::Running {
        return String::new();
    }
    context.report.snapshot.await_point_of(task).map_or_else(String::new, own_place)
}

/// Returns where tasks wait, such as `src/db.rs:88`.
pub(in crate::top) fn own_place(point: &AwaitPoint) -> String {
    match point.own().0 {
        None => String::new(),
        Some(at) if at.file.is_empty() => name(&at.function),
        Some(at) => place(&at.file, Some(at.line)),
    }
}
