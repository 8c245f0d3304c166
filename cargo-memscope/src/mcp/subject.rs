//! Finds what an agent asks about by name: a site, a task, a variable, a shared owner or a
//! function.

use memscope_runtime::async_memory::{MemorySnapshot, Place, SiteProfile};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;

use super::{
    quote::{place, quoted, shown},
    stack::OUTSIDE,
};
use crate::error::Error;

/// The most bytes of a name in an error, and how many names it lists.
const NAME_BYTES: usize = 90;
const MOST_NAMED: usize = 6;

/// What a name is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(crate = "rmcp::schemars")]
pub(super) enum Kind {
    Site,
    Task,
    Variable,
    Shared,
    Stack,
    Process,
}

/// What a name stands for, as indices of the snapshot's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Site(usize),
    Task(usize),
    /// Rows of `variable_sites`.
    Variable(Vec<usize>),
    Shared(usize),
    /// Rows of `stacks` that have the function.
    Stack(Vec<usize>),
    Process,
    Outside,
}

/// Whether the agent asks for this name, in full or as an answer has shown it.
fn is(name: &str, asked: &str) -> bool {
    name == asked || is_shown_as(name, asked)
}

fn is_shown_as(name: &str, asked: &str) -> bool {
    let of = |most: usize| shown(name, most) == asked;
    // The numbers are the widths of names in rows. A name that is not cut is the same in all
    // widths.
    of(280) || asked.ends_with('…') && of(70)
}

/// Whether the text of a row contains the words, in any case.
fn has(text: &str, asked: &str) -> bool {
    text.to_lowercase().contains(&asked.to_lowercase())
}

/// Finds what a name stands for. The first kind with a row of this whole name counts. If there is
/// none, the only row that contains the name counts.
pub(super) fn find(
    snapshot: &MemorySnapshot,
    name: &str,
    kind: Option<Kind>,
) -> Result<Subject, Error> {
    let wants = |it: Kind| kind.is_none_or(|kind| kind == it);
    if kind == Some(Kind::Process) || kind.is_none() && matches!(name.trim(), "" | "process") {
        return Ok(Subject::Process);
    }
    if wants(Kind::Site) && matches!(name, OUTSIDE | "(outside every task)" | "untracked") {
        return Ok(Subject::Outside);
    }
    if name.trim().is_empty() {
        return Err(Error::new("`name` is empty: leave it out to ask about the process"));
    }
    if wants(Kind::Task)
        && let Some(found) = task(snapshot, name)
    {
        return found;
    }
    let variables: Vec<usize> = indices(snapshot.variable_sites(), |it| is(&it.name, name));
    let stacks = |is: &dyn Fn(&str) -> bool| {
        let any = |frames: &[memscope_runtime::async_memory::StackFrame]| {
            frames.iter().any(|frame| is(&frame.function))
        };
        indices(snapshot.stacks(), |stack| any(&stack.frames))
    };
    if wants(Kind::Site)
        && let Some(site) = site(snapshot, name)
    {
        return site.map(Subject::Site);
    }
    if wants(Kind::Variable) && !variables.is_empty() {
        return Ok(Subject::Variable(variables));
    }
    if wants(Kind::Shared)
        && let Some(index) = snapshot.shared().iter().position(|it| is(&it.name, name))
    {
        return Ok(Subject::Shared(index));
    }
    if wants(Kind::Stack) {
        let is_function = |it: &str| is(it, name) || it.ends_with(&format!("::{name}"));
        let found = stacks(&is_function);
        if !found.is_empty() {
            return Ok(Subject::Stack(found));
        }
    }
    // A part of a name is enough if only one row contains it.
    let sites = indices(snapshot.sites(), |it| has(&it.name, name));
    if let ([index], true) = (&sites[..], wants(Kind::Site)) {
        return Ok(Subject::Site(*index));
    }
    if sites.is_empty() && wants(Kind::Variable) {
        let parts = indices(snapshot.variable_sites(), |it| has(&it.name, name));
        if let [index] = parts[..] {
            return Ok(Subject::Variable(vec![index]));
        }
    }
    if sites.is_empty() && wants(Kind::Stack) {
        let found = stacks(&|it: &str| has(it, name));
        if !found.is_empty() {
            return Ok(Subject::Stack(found));
        }
    }
    Err(unknown(snapshot, name, kind, &sites))
}

/// Finds the site of a name. Returns `None` if no site has this whole name.
pub(super) fn site(snapshot: &MemorySnapshot, name: &str) -> Option<Result<usize, Error>> {
    let sites = snapshot.sites();
    let title = |it: &SiteProfile| format!("{} ({}:{})", it.name, it.file, it.line);
    let at = |it: &SiteProfile| place(&it.file, Some(it.line), 160);
    if let Some(index) = sites.iter().position(|it| title(it) == name || at(it) == name) {
        return Some(Ok(index));
    }
    let same = indices(sites, |it| is(&it.name, name));
    match same[..] {
        [] => None,
        [index] => Some(Ok(index)),
        // Rows are in the order of their live bytes.
        _ => Some(Err(several(snapshot, name, &same))),
    }
}

fn task(snapshot: &MemorySnapshot, name: &str) -> Option<Result<Subject, Error>> {
    let id: u64 = name.strip_prefix("task ").unwrap_or(name).strip_prefix('#')?.parse().ok()?;
    let index = snapshot.tasks().iter().position(|task| task.id.as_u64() == id);
    Some(index.map(Subject::Task).ok_or_else(|| {
        Error::new(format!(
            "the snapshot has no row of task #{id}: it has not been, or it ended and its row is \
             not kept; it has {} of {} tasks",
            snapshot.tasks().len(),
            snapshot.spawned_task_count()
        ))
    }))
}

fn indices<T>(rows: &[T], is: impl Fn(&T) -> bool) -> Vec<usize> {
    rows.iter().enumerate().filter(|(_, it)| is(it)).map(|(index, _)| index).collect()
}

/// Returns a name of a site that a later call can use.
fn title(site: &SiteProfile) -> String {
    quoted(&format!("{} ({}:{})", site.name, site.file, site.line), NAME_BYTES)
}

fn several(snapshot: &MemorySnapshot, name: &str, sites: &[usize]) -> Error {
    let titles: Vec<String> =
        sites.iter().take(MOST_NAMED).map(|it| title(&snapshot.sites()[*it])).collect();
    Error::new(format!(
        "{} sites are called {}; name one, the largest first: {}{}",
        sites.len(),
        quoted(name, NAME_BYTES),
        titles.join(", "),
        more(sites.len())
    ))
}

fn more(all: usize) -> String {
    all.checked_sub(MOST_NAMED)
        .filter(|left| *left != 0)
        .map_or_else(String::new, |left| format!(" and {left} more"))
}

fn unknown(snapshot: &MemorySnapshot, name: &str, kind: Option<Kind>, parts: &[usize]) -> Error {
    let shown = quoted(name, NAME_BYTES);
    if parts.len() > 1 {
        return several(snapshot, name, parts);
    }
    let names = |all: &mut dyn Iterator<Item = &str>| {
        let all: Vec<String> = all.take(MOST_NAMED).map(|it| quoted(it, NAME_BYTES)).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    };
    let sites = names(&mut snapshot.sites().iter().map(|it| &*it.name));
    let variables = names(&mut snapshot.variable_sites().iter().map(|it| &*it.name));
    let shared = names(&mut snapshot.shared().iter().map(|it| &*it.name));
    let of = kind.map_or_else(String::new, |kind| format!(" of kind {kind:?}").to_lowercase());
    Error::new(format!(
        "nothing{of} in this snapshot is called {shown}. The largest sites: {sites}; variables: \
         {variables}; shared owners: {shared}. Also known: \"#7\" for a task, \"process\", \
         \"{OUTSIDE}\", and functions of stacks. `largest_holders` lists all"
    ))
}

/// Whether a row's place is the place of a site.
pub(super) fn is_of(place: &Place, site: &SiteProfile) -> bool {
    place.name == site.name && place.line == site.line && place.file == site.file
}
