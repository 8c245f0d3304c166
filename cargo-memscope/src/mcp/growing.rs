//! The tool `why_growing`: all that the snapshot says about one subject, the most important first.

use std::cmp::Reverse;

use memscope_runtime::{
    analysis::{Leak, NotJudged},
    async_memory::{
        AwaitPoint, HandOver, MemorySnapshot, Place, SharedProfile, SiteProfile, StackProfile,
        TaskMemoryProfile, VariableProfile, VariableSiteProfile,
    },
};
use serde_json::json;

use super::{
    answer::{Answer, Facts, Row, Rows},
    course::Course,
    finding, holders,
    quote::{Width, at, bytes, place, quoted, several, shown},
    source::Taken,
    stack::{self, OUTSIDE},
    subject::{Subject, is_of},
    verdict::{memory, memory_lines},
    waits,
};

/// The most rows of one kind that are not about the subject alone.
const MOST: usize = 10;

/// One thing that the snapshot says about the subject.
enum Clue<'a> {
    Finding(&'a Leak),
    NotJudged(&'a NotJudged),
    Course(Course, String),
    Site(&'a SiteProfile),
    Task(&'a TaskMemoryProfile),
    VariableSite(&'a VariableSiteProfile),
    Variable(&'a VariableProfile),
    Shared(&'a SharedProfile),
    Stack(&'a StackProfile),
    Waits(&'a AwaitPoint, u64),
    FreedBy(&'a HandOver),
}

/// Answers about a subject.
pub(super) fn answer<'a>(taken: &'a Taken, subject: &Subject) -> Answer<'a> {
    let snapshot = &taken.snapshot;
    let mut clues = match subject {
        Subject::Site(index) => of_site(taken, &snapshot.sites()[*index]),
        Subject::Task(index) => of_task(taken, &snapshot.tasks()[*index]),
        Subject::Variable(rows) => of_variables(taken, rows),
        Subject::Shared(index) => of_shared(taken, &snapshot.shared()[*index]),
        Subject::Stack(rows) => of_stacks(taken, rows),
        Subject::Process => of_process(taken),
        Subject::Outside => of_outside(taken),
    };
    // Findings come first, then the course. The others keep their order.
    clues.sort_by_key(|clue| match clue {
        Clue::Finding(_) => 0,
        Clue::Course(..) => 1,
        Clue::NotJudged(_) => 2,
        _ => 3,
    });
    let what = match subject {
        Subject::Site(_) => "site",
        Subject::Task(_) => "task",
        Subject::Variable(_) => "variable",
        Subject::Shared(_) => "shared",
        Subject::Stack(_) => "stack",
        Subject::Process => "process",
        Subject::Outside => "outside",
    };
    let mut lines = memory_lines(snapshot);
    let found = clues.iter().filter(|it| matches!(it, Clue::Finding(_))).count();
    let early = clues.iter().filter(|it| matches!(it, Clue::NotJudged(_))).count();
    lines.push(match (found, early) {
        (0, 0) => format!("no finding is about this {what}: no cause of a growth is known"),
        (0, _) => {
            format!("no finding is about this {what} yet; rows `not judged` say what rises and why")
        }
        _ => format!(
            "{} about this {what}, with causes and cures as far as they are known",
            several(found as u64, "finding", "findings")
        ),
    });
    if clues.iter().any(|it| matches!(it, Clue::Stack(_))) {
        lines.extend((!taken.notes.is_empty()).then(|| taken.note()));
    } else {
        lines.push(format!("no sampled stack is of it; {}", stack::how(snapshot)));
    }
    let mut facts = Facts::new();
    facts.insert("memory".to_owned(), memory(snapshot));
    facts.insert("subject".to_owned(), what.into());
    facts.insert("findings".to_owned(), found.into());
    let has_graph = snapshot.heap_graph().is_some();
    let rows = Rows::of(clues, move |clue, width| row(snapshot, clue, has_graph, width));
    Answer { lines, facts, rows }
}

fn row(snapshot: &MemorySnapshot, clue: &Clue<'_>, has_graph: bool, width: Width) -> Row {
    match clue {
        Clue::Finding(leak) => finding::row(leak, has_graph, width),
        Clue::NotJudged(note) => finding::not_judged(note, width),
        Clue::Course(course, what) => course.row(&quoted(what, width.name())),
        Clue::Site(site) => holders::site_row(site, width),
        Clue::Task(task) => holders::task_row(snapshot, task, width),
        Clue::VariableSite(row) => holders::variable_row(row, width),
        Clue::Variable(row) => variable_row(row, width),
        Clue::Shared(row) => holders::shared_row(row, width),
        Clue::Stack(row) => stack::row(snapshot, row, width),
        Clue::Waits(point, tasks) => waits_row(point, *tasks, width),
        Clue::FreedBy(row) => freed_row(row, width),
    }
}

fn findings(taken: &Taken, is: impl Fn(&Leak) -> bool) -> Vec<Clue<'_>> {
    taken.leaks().iter().filter(|leak| is(leak)).map(Clue::Finding).collect()
}

/// Notes on what rises and is not judged yet, if they are about this name.
fn early<'a>(taken: &'a Taken, name: &str) -> impl Iterator<Item = Clue<'a>> {
    // A note begins with the name, which may be cut.
    let start: String = shown(name, usize::MAX).chars().take(30).collect();
    let notes = taken.leaks().not_judged().iter();
    notes.filter(move |note| note.why.starts_with(&start)).map(Clue::NotJudged)
}

fn largest_stacks<'a>(
    snapshot: &'a MemorySnapshot,
    is: impl Fn(&StackProfile) -> bool + 'a,
) -> impl Iterator<Item = Clue<'a>> {
    let is_it = move |stack: &&StackProfile| stack.live_samples != 0 && is(stack);
    snapshot.stacks().iter().filter(is_it).map(Clue::Stack)
}

/// Returns the await points of some tasks, with the number of tasks that wait there.
fn await_points(
    snapshot: &MemorySnapshot,
    is: impl Fn(&TaskMemoryProfile) -> bool,
) -> Vec<Clue<'_>> {
    let mut counts = vec![0_u64; snapshot.await_points().len()];
    for task in snapshot.tasks().iter().filter(|task| is(task)) {
        let place = task.await_point.and_then(|it| usize::try_from(it).ok());
        if let Some(count) = place.and_then(|it| counts.get_mut(it)) {
            *count += 1;
        }
    }
    let mut points: Vec<_> = snapshot.await_points().iter().zip(counts).collect();
    points.retain(|(_, count)| *count != 0);
    points.sort_by_key(|(_, count)| Reverse(*count));
    points.into_iter().map(|(point, count)| Clue::Waits(point, count)).collect()
}

fn of_site<'a>(taken: &'a Taken, site: &'a SiteProfile) -> Vec<Clue<'a>> {
    let snapshot = &taken.snapshot;
    let index = snapshot.sites().iter().position(|it| std::ptr::eq(it, site));
    let is_own = |place: &Place| is_of(place, site);
    let is_task = |task: &TaskMemoryProfile| {
        task.name == site.name && task.line == site.line && task.file == site.file
    };
    let mut clues = findings(taken, |leak| is_own(&leak.place));
    let course = Course::of(snapshot, |it| it.task.is_none() && is_own(&it.place));
    clues.push(Clue::Course(course, site.name.clone()));
    clues.extend(early(taken, &site.name));
    clues.push(Clue::Site(site));
    clues
        .extend(largest_stacks(snapshot, move |stack| stack.site.is_some() && stack.site == index));
    let variables = snapshot.variables().iter();
    let is_in = |it: &&VariableProfile| it.live && it.task_site.as_ref().is_some_and(is_own);
    clues.extend(variables.filter(is_in).map(Clue::Variable));
    clues.extend(await_points(snapshot, is_task));
    let is_between = |row: &&HandOver| row.from.as_ref().is_some_and(is_own);
    clues.extend(snapshot.hand_overs().iter().filter(is_between).map(Clue::FreedBy));
    let mut tasks: Vec<_> = snapshot.tasks().iter().filter(|task| is_task(task)).collect();
    tasks.sort_by_key(|task| (Reverse(task.live_bytes), task.id));
    clues.extend(tasks.into_iter().map(Clue::Task));
    clues
}

fn of_task<'a>(taken: &'a Taken, task: &'a TaskMemoryProfile) -> Vec<Clue<'a>> {
    let snapshot = &taken.snapshot;
    let is_own = |place: &Place| {
        place.name == task.name && place.line == task.line && place.file == task.file
    };
    let mut clues = findings(taken, |leak| leak.task == Some(task.id) || is_own(&leak.place));
    let course = Course::of(snapshot, |it| it.task == Some(task.id));
    clues.push(Clue::Course(course, format!("task #{}", task.id)));
    clues.extend(early(taken, &task.name));
    clues.push(Clue::Task(task));
    clues.extend(snapshot.await_point_of(task).map(|point| Clue::Waits(point, point.tasks)));
    let id = task.id;
    clues.extend(largest_stacks(snapshot, move |stack| stack.task == Some(id)));
    let variables = snapshot.variables().iter().filter(|it| it.live && it.task == Some(task.id));
    clues.extend(variables.map(Clue::Variable));
    let site = snapshot
        .sites()
        .iter()
        .find(|site| site.name == task.name && site.line == task.line && site.file == task.file);
    clues.extend(site.map(Clue::Site));
    let children = snapshot.tasks().iter().filter(|it| it.parent == Some(task.id));
    clues.extend(children.map(Clue::Task));
    clues
}

fn of_variables<'a>(taken: &'a Taken, rows: &[usize]) -> Vec<Clue<'a>> {
    let snapshot = &taken.snapshot;
    let sites: Vec<&VariableSiteProfile> =
        rows.iter().filter_map(|row| snapshot.variable_sites().get(*row)).collect();
    let is_named = |name: &str| sites.iter().any(|site| site.name == name);
    let mut clues = findings(taken, |leak| leak.variables.iter().any(|it| is_named(it)));
    clues.extend(sites.iter().copied().map(Clue::VariableSite));
    let is_of = |it: &&VariableProfile| {
        sites
            .iter()
            .any(|site| site.name == it.name && site.line == it.line && site.file == it.file)
    };
    clues.extend(snapshot.variables().iter().filter(is_of).map(Clue::Variable));
    clues
}

fn of_shared<'a>(taken: &'a Taken, shared: &'a SharedProfile) -> Vec<Clue<'a>> {
    let snapshot = &taken.snapshot;
    let is_own = |place: &Place| place.name == shared.name && place.file.is_empty();
    let mut clues = findings(taken, |leak| is_own(&leak.place));
    let timeline = snapshot.timeline();
    let is_listed = |place: &Place| timeline.shared.iter().any(|it| it.place == *place);
    let course = Course::of(snapshot, |it| it.place.name == shared.name && is_listed(&it.place));
    clues.push(Clue::Course(course, shared.name.clone()));
    clues.extend(early(taken, &shared.name));
    clues.push(Clue::Shared(shared));
    clues
}

fn of_stacks<'a>(taken: &'a Taken, rows: &[usize]) -> Vec<Clue<'a>> {
    let snapshot = &taken.snapshot;
    let stacks: Vec<&StackProfile> =
        rows.iter().filter_map(|row| snapshot.stacks().get(*row)).collect();
    let sites: Vec<&SiteProfile> = {
        let mut indices: Vec<usize> = stacks.iter().filter_map(|stack| stack.site).collect();
        indices.sort_unstable();
        indices.dedup();
        indices.into_iter().filter_map(|index| snapshot.sites().get(index)).collect()
    };
    let mut clues = findings(taken, |leak| sites.iter().any(|site| is_of(&leak.place, site)));
    clues.extend(stacks.into_iter().map(Clue::Stack));
    for site in sites {
        let course = Course::of(snapshot, |it| it.task.is_none() && is_of(&it.place, site));
        clues.push(Clue::Course(course, site.name.clone()));
        clues.push(Clue::Site(site));
    }
    clues
}

fn of_process(taken: &Taken) -> Vec<Clue<'_>> {
    let snapshot = &taken.snapshot;
    let mut clues = findings(taken, |_| true);
    clues.push(Clue::Course(Course::of_process(snapshot, false), "the process".to_owned()));
    clues.extend(taken.leaks().not_judged().iter().map(Clue::NotJudged));
    // The courses that rose, the steepest first.
    let mut rising: Vec<(i64, Course, String)> = Vec::new();
    let outside = Course::of_process(snapshot, true);
    rising.extend(outside.rise().map(|rise| (rise, outside, OUTSIDE.to_owned())));
    let timeline = snapshot.timeline();
    for trend in timeline.sites.iter().chain(&timeline.shared) {
        let course = Course::of(snapshot, |it| it.task.is_none() && it.place == trend.place);
        let name = &trend.place.name;
        rising.extend(course.rise().map(|rise| (rise, course, name.clone())));
    }
    rising.retain(|(rise, ..)| *rise > 0);
    rising.sort_by_key(|(rise, ..)| Reverse(*rise));
    rising.truncate(MOST);
    clues.extend(rising.into_iter().map(|(_, course, name)| Clue::Course(course, name)));
    clues.extend(snapshot.sites().iter().take(MOST).map(Clue::Site));
    clues.extend(largest_stacks(snapshot, |_| true).take(MOST));
    clues
}

fn of_outside(taken: &Taken) -> Vec<Clue<'_>> {
    let snapshot = &taken.snapshot;
    let is_site = |place: &Place| snapshot.sites().iter().any(|site| is_of(place, site));
    let mut clues = findings(taken, |leak| !is_site(&leak.place));
    clues.push(Clue::Course(Course::of_process(snapshot, true), OUTSIDE.to_owned()));
    clues.extend(early(taken, "(outside"));
    clues.extend(early(taken, "(untracked"));
    clues.extend(snapshot.shared().iter().map(Clue::Shared));
    clues.extend(largest_stacks(snapshot, |stack| stack.is_untracked));
    let is_from = |row: &&HandOver| row.from.is_none();
    clues.extend(snapshot.hand_overs().iter().filter(is_from).map(Clue::FreedBy));
    clues
}

fn variable_row(row: &VariableProfile, width: Width) -> Row {
    let place = place(&row.file, Some(row.line), width.place());
    let is_followed = row.extent.is_followed();
    let owner = row.task.map_or_else(|| OUTSIDE.to_owned(), |task| format!("task #{task}"));
    let text = format!(
        "variable {} of type {}{}: {} on the heap, {}, of {owner}",
        quoted(&row.name, width.name()),
        quoted(&row.type_name, width.name()),
        at(&place),
        holders::size(is_followed, row.heap_bytes),
        if row.live { "live" } else { "not seen to live" },
    );
    let data = json!({
        "row": "live_variable",
        "name": shown(&row.name, width.name()),
        "type": shown(&row.type_name, width.name()),
        "at": place,
        "heap_bytes": holders::size_data(is_followed, row.heap_bytes),
        "extent": row.extent,
        "live": row.live,
        "task": row.task,
    });
    Row { text, data }
}

fn waits_row(point: &AwaitPoint, tasks: u64, width: Width) -> Row {
    let mut row = waits::point_row(point, width);
    say!(row.text, "; of these {tasks} here");
    row.data["tasks_of_it"] = tasks.into();
    row
}

fn freed_row(row: &HandOver, width: Width) -> Row {
    let name = |side: &Option<Place>| match side {
        Some(it) => (shown(&it.name, width.name()), place(&it.file, Some(it.line), width.place())),
        None => (OUTSIDE.to_owned(), String::new()),
    };
    let ((from, from_at), (to, to_at)) = (name(&row.from), name(&row.to));
    let text = format!(
        "freed by others: of {}{} in all {} in {} blocks were freed by {}{}",
        quoted(&from, usize::MAX),
        at(&from_at),
        bytes(row.bytes),
        row.blocks,
        quoted(&to, usize::MAX),
        at(&to_at),
    );
    let data = json!({
        "row": "freed_by", "from": from, "from_at": from_at, "to": to, "to_at": to_at,
        "bytes": row.bytes, "blocks": row.blocks,
    });
    Row { text, data }
}
