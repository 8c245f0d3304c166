//! The tool `where_tasks_wait`: await points, and tasks that are no longer polled.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use memscope_runtime::async_memory::{
    AwaitPoint, AwaitPoints, DumpedTask, MemorySnapshot, TaskDump, TaskState,
};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{
    answer::{Answer, Facts, Row, Rows},
    holders::{size, size_data},
    quote::{Width, bytes, quoted, seconds, several, shown},
    source::Taken,
};
use crate::error::Error;

/// The most bytes of a reason that is not the server's own.
const WHY_BYTES: usize = 300;
/// The most task ids that are named in a group.
const MOST_IDS: usize = 4;

/// Which tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum Of {
    /// Of tracked tasks.
    #[default]
    AwaitPoints,
    /// Every task of the running program, annotated or not, the longest not polled first; it
    /// stands still for some ms.
    HungTasks,
}

/// Returns the place in the program's own code at which a task waits, with the function around it.
pub(super) fn waits_at(point: &AwaitPoint, width: Width) -> String {
    let (at, above) = point.own();
    let frame = |it: &memscope_runtime::async_memory::AwaitFrame| {
        let place = super::quote::place(&it.file, Some(it.line), width.place());
        if place.is_empty() { shown(&it.function, width.place()) } else { place }
    };
    match (at.map(frame), above.map(frame)) {
        (Some(at), Some(above)) => format!("{at} under {above}"),
        (Some(at), None) => at,
        (None, _) => "(not known)".to_owned(),
    }
}

/// Answers about await points.
pub(super) fn await_points(taken: &Taken) -> Answer<'_> {
    let snapshot = &taken.snapshot;
    let points = snapshot.await_points();
    let mut lines = Vec::new();
    let (state, why) = measured(snapshot.await_points_measured());
    lines.extend(why);
    let idle = snapshot.tasks().iter().filter(|task| task.state == TaskState::Idle);
    let unknown = idle.filter(|task| task.await_point.is_none()).count();
    if state == "on" {
        lines.push(format!(
            "{} at which tasks wait; of {} it is not known, as they were not polled since this is \
             noted",
            several(points.len() as u64, "await point", "await points"),
            several(unknown as u64, "idle task", "idle tasks"),
        ));
    }
    let mut facts = Facts::new();
    facts.insert("await_points".to_owned(), state.into());
    facts.insert("idle_tasks_without_a_place".to_owned(), unknown.into());
    let rows = Rows::new(points.len(), |index, width| point_row(&points[index], width));
    Answer { lines, facts, rows }
}

fn measured(state: &AwaitPoints) -> (&'static str, Option<String>) {
    match state {
        AwaitPoints::On => ("on", None),
        AwaitPoints::Off => (
            "off",
            Some(
                "where tasks wait is not noted: it takes the feature `layout` and \
                 `MEMSCOPE_AWAIT_POINTS=on`. Of a running program, `of`: \"hung_tasks\" needs \
                 the feature alone"
                    .to_owned(),
            ),
        ),
        AwaitPoints::Unavailable(why) => (
            "unavailable",
            Some(format!("where tasks wait is not known: {}", quoted(why, WHY_BYTES))),
        ),
    }
}

pub(super) fn point_row(point: &AwaitPoint, width: Width) -> Row {
    let place = waits_at(point, width);
    let function = point.own().0.map_or_else(String::new, |it| shown(&it.function, width.name()));
    let mut text = format!(
        "await point {} in {}: {}, {} live; {}",
        quoted(&place, usize::MAX),
        quoted(&function, usize::MAX),
        several(point.tasks, "task waits", "tasks wait"),
        size(point.measured, point.live_bytes),
        quoted(&point.stops, width.place()),
    );
    match (point.waited_p50_ns, point.waited_p99_ns) {
        (Some(p50), Some(p99)) => {
            say!(
                text,
                "; waited so far {} s (median) and {} s (p99) of {} timed",
                seconds(p50),
                seconds(p99),
                several(point.timed, "task", "tasks"),
            );
        }
        _ => text += "; how long is not measured",
    }
    let data = json!({
        "row": "await_point",
        "at": place,
        "function": function,
        "waits_for": shown(&point.stops, width.place()),
        "tasks": point.tasks,
        "live_bytes": size_data(point.measured, point.live_bytes),
        "waited_p50_ns": point.waited_p50_ns,
        "waited_p99_ns": point.waited_p99_ns,
        "timed": point.timed,
    });
    Row { text, data }
}

/// Tasks of one name that wait at one place.
#[derive(Debug, Default)]
struct Group<'a> {
    ids: Vec<u64>,
    tasks: u64,
    live_bytes: u64,
    /// The number of tasks whose bytes are measured.
    measured: u64,
    /// The longest known time without a poll, and the number of tasks for which the time is known.
    longest_idle_ns: Option<u64>,
    idle_known: u64,
    example: Option<&'a DumpedTask>,
}

/// Answers with all tasks of the process that wait.
pub(super) fn hung_tasks(taken: &Taken, least_ns: u64) -> Result<Answer<'_>, Error> {
    let Some(dump) = &taken.dump else {
        return Err(Error::new("there is no dump of all tasks"));
    };
    let idle: HashMap<u64, u64> = taken
        .snapshot
        .tasks()
        .iter()
        .filter_map(|task| Some((task.id.as_u64(), task.idle_ns?)))
        .collect();
    let mut groups: BTreeMap<(&str, String), Group<'_>> = BTreeMap::new();
    for task in waiting(dump) {
        let id = task.id.map(memscope_runtime::async_memory::TaskId::as_u64);
        let idle_ns = id.and_then(|id| idle.get(&id).copied());
        if idle_ns.is_some_and(|ns| ns < least_ns) {
            continue;
        }
        let place = task.await_point.as_ref().map(|it| waits_at(it, Width::Normal));
        let group = groups.entry((&task.name, place.unwrap_or_default())).or_default();
        group.ids.extend(id.filter(|_| group.ids.len() < MOST_IDS));
        group.tasks += 1;
        group.measured += u64::from(task.measured);
        group.live_bytes = group.live_bytes.saturating_add(task.live_bytes);
        group.longest_idle_ns = group.longest_idle_ns.max(idle_ns);
        group.idle_known += u64::from(idle_ns.is_some());
        group.example = group.example.or(Some(task));
    }
    let mut groups: Vec<((&str, String), Group<'_>)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, it)| Reverse((it.longest_idle_ns, it.live_bytes, it.tasks)));
    let (lines, facts) = dump_facts(&taken.snapshot, dump, least_ns);
    let rows = Rows::of(groups, |((name, _), group), width| group_row(name, group, width));
    Ok(Answer { lines, facts, rows })
}

fn waiting(dump: &TaskDump) -> impl Iterator<Item = &DumpedTask> {
    dump.tasks.iter().filter(|task| !task.running && !task.state.is_ended())
}

fn dump_facts(snapshot: &MemorySnapshot, dump: &TaskDump, least_ns: u64) -> (Vec<String>, Facts) {
    let (all, waits) = (dump.tasks.len(), waiting(dump).count());
    let running = dump.tasks.iter().filter(|task| task.running).count();
    let over = all - waits - running;
    let mut lines = vec![format!(
        "{}: {waits} waiting, {running} running, {over} over and still there; the program stood \
         still for {} ms for it. Rows are those that wait, by name and place, the longest not \
         polled first; where that time is not known, they come last",
        several(all as u64, "task", "tasks"),
        dump.pause_ns / 1_000_000,
    )];
    if least_ns != 0 {
        lines.push(format!("tasks polled less than {} s ago are left out", seconds(least_ns)));
    }
    lines.extend(measured_in_dump(&dump.await_points));
    if let Some(why) = &dump.missing {
        lines.push(format!("tasks without annotations are missing: {}", quoted(why, WHY_BYTES)));
    }
    let stuck = snapshot.leaks();
    let stuck =
        stuck.iter().filter(|it| it.kind == memscope_runtime::analysis::LeakKind::Stuck).count();
    if stuck != 0 {
        lines.push(format!("`verdict` has {stuck} of kind stuck"));
    }
    let facts = json!({
        "tasks": all, "waiting": waits, "running": running, "over": over,
        "pause_ns": dump.pause_ns, "workers": dump.workers,
    });
    let mut map = Facts::new();
    map.insert("dump".to_owned(), facts);
    (lines, map)
}

fn measured_in_dump(state: &AwaitPoints) -> Option<String> {
    match state {
        AwaitPoints::Unavailable(why) => {
            Some(format!("where they wait is not known: {}", quoted(why, WHY_BYTES)))
        }
        AwaitPoints::On | AwaitPoints::Off => None,
    }
}

fn group_row(name: &str, group: &Group<'_>, width: Width) -> Row {
    let point = group.example.and_then(|it| it.await_point.as_ref());
    let place = point.map(|it| waits_at(it, width));
    let unknown = group.example.and_then(|it| it.unknown.as_deref());
    let stops = point.map(|it| shown(&it.stops, width.place()));
    let mut text =
        format!("{} of {}", several(group.tasks, "task", "tasks"), quoted(name, width.name()));
    match (&place, unknown) {
        (Some(place), _) => say!(text, " at {}", quoted(place, usize::MAX)),
        (None, Some(why)) => say!(text, ": no place: {}", quoted(why, width.place())),
        (None, None) => text += ": no place is known",
    }
    if let Some(stops) = &stops {
        say!(text, ", {}", quoted(stops, usize::MAX));
    }
    match group.measured {
        0 => say!(text, "; bytes not measured"),
        all if all == group.tasks => say!(text, "; {} live", bytes(group.live_bytes)),
        some => {
            let live = bytes(group.live_bytes);
            say!(text, "; {live} live in the {some} that are measured");
        }
    }
    if let Some(ns) = group.longest_idle_ns {
        let known = several(group.idle_known, "task", "tasks");
        say!(text, "; not polled for {} s at most, known of {known}", seconds(ns));
    } else {
        text.push_str("; since when is not known");
    }
    if !group.ids.is_empty() {
        let ids: Vec<String> = group.ids.iter().map(|id| format!("#{id}")).collect();
        say!(text, "; such as {}", ids.join(", "));
    }
    let data = json!({
        "row": "waiting_tasks",
        "name": shown(name, width.name()),
        "at": place,
        "waits_for": stops,
        "no_place": unknown.filter(|_| place.is_none()).map(|it| shown(it, width.place())),
        "tasks": group.tasks,
        "live_bytes": size_data(group.measured != 0, group.live_bytes),
        "measured_tasks": group.measured,
        "longest_idle_ns": group.longest_idle_ns,
        "idle_known_of": group.idle_known,
        "ids": group.ids,
    });
    Row { text, data }
}
