//! Memory that is known one by one: state machines of living tasks, and live variables.

use std::{borrow::Cow, collections::HashMap};

use serde::{Deserialize, Serialize};

use super::future_sizes::TOKIO_LIMIT_BYTES;
use crate::{
    alloc::own_work,
    model::{Error, Extent, Place, SiteProfile, TaskId, TaskMemoryProfile, VariableProfile},
    primitives::reserve,
    snapshot::{MemorySnapshot, get_memory_snapshot},
};

/// What an [`AllocationInfo`] describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AllocationKind {
    /// The state machine of a living task.
    StateMachine,
    /// A live variable that `track_var!` registered.
    Variable,
}

/// Memory that is known one by one: a state machine or a variable.
///
/// A program can write an analyser of its own from these alone:
///
/// ```
/// use memscope_runtime::async_memory::{get_memory_snapshot, track};
///
/// let task = track(async { std::future::pending::<u8>().await });
/// let allocations = get_memory_snapshot().allocations();
/// let is_future = |name: &str| name.contains("Future") || name.contains("async");
/// let sizes: Vec<usize> =
///     allocations.iter().filter(|it| is_future(&it.type_name)).map(|it| it.size).collect();
/// assert_eq!(sizes.len(), 1);
/// # drop(task);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationInfo {
    /// What it is.
    pub kind: AllocationKind,
    /// For a state machine, the size of its type in bytes; for a variable, the heap bytes that it
    /// holds.
    pub size: usize,
    /// For the future of an `async fn` or block, `async app::handler`; for any other future,
    /// `Future <type>`; for a variable, its own type.
    pub type_name: Cow<'static, str>,
    /// The task's name, or the variable as it is written in `track_var!`.
    pub name: String,
    /// The task it belongs to; `None`: outside every task.
    pub task: Option<TaskId>,
    /// The place of the annotation or call that made the task; for a variable, the place of its
    /// `track_var!`.
    pub place: Place,
    /// For a variable, the size of the value itself. It is not in `size`, because the value mostly
    /// lies in the state machine of its task and would be counted twice. 0 for a state machine.
    pub stack_bytes: usize,
    /// For a state machine, the bytes of the arguments that `#[tracked]` found passed by value;
    /// `None` where it was made otherwise.
    pub argument_bytes: Option<usize>,
    /// Whether Tokio moved the state machine into a box of its own when it was spawned, because it
    /// was too large. `None` where that is not known: for a variable, and for a task that was
    /// spawned otherwise than by `spawn_tracked` or `.spawn()`.
    pub boxed_by_tokio: Option<bool>,
    /// For a variable, how to read its heap bytes.
    pub extent: Option<Extent>,
}

/// Gives access to what this process tracks; a handle without contents.
#[derive(Clone, Copy, Debug, Default)]
pub struct GlobalTracker {
    _private: (),
}

/// Returns the tracker of this process.
///
/// ```
/// use memscope_runtime::{analysis::AsyncAnalyzer, get_global_tracker};
///
/// # fn main() -> Result<(), memscope_runtime::Error> {
/// let allocations = get_global_tracker().get_active_allocations()?;
/// let report = AsyncAnalyzer::new().analyze_future_states(&allocations);
/// assert_eq!(report.async_allocation_count, 0, "no task is alive");
/// # Ok(())
/// # }
/// ```
pub fn get_global_tracker() -> GlobalTracker {
    GlobalTracker::default()
}

impl GlobalTracker {
    /// Takes a snapshot and lists its [`allocations`](MemorySnapshot::allocations).
    ///
    /// # Errors
    ///
    /// If there is no memory for all of them.
    pub fn get_active_allocations(&self) -> Result<Vec<AllocationInfo>, Error> {
        let snapshot = get_memory_snapshot();
        let work = own_work::work();
        let allocations = snapshot.list();
        match work.left_out().saturating_add(snapshot.tool().rows_left_out) {
            0 => Ok(allocations),
            rows => Err(Error::no_memory(rows)),
        }
    }
}

impl MemorySnapshot {
    /// Lists the memory that is known one by one: the state machines of living tasks, in the order
    /// of their ids, then the live variables.
    ///
    /// The state machines are listed even where sizes are not measured, because their size is that
    /// of their type. The list stops where there is no memory for more:
    /// [`get_active_allocations`](GlobalTracker::get_active_allocations) returns an error then.
    pub fn allocations(&self) -> Vec<AllocationInfo> {
        let _work = own_work::work();
        self.list()
    }

    /// [`allocations`](Self::allocations) without a work guard of its own: for callers that have
    /// one.
    fn list(&self) -> Vec<AllocationInfo> {
        let mut sites: HashMap<(&str, &str, u32), &SiteProfile> = HashMap::new();
        for site in self.sites() {
            if reserve::room(&mut sites) {
                sites.insert((&*site.name, &*site.file, site.line), site);
            }
        }
        // For an unannotated task neither the end nor the size of its state machine is known.
        let living = self.tasks().iter().filter(|task| task.is_annotated && !task.state.is_ended());
        let site =
            |task: &TaskMemoryProfile| sites.get(&(&*task.name, &*task.file, task.line)).copied();
        let mut all = reserve::rows(living, |task| {
            reserve::spend(3 * task.name.len());
            Some(AllocationInfo::of_task(task, site(task)))
        });
        for variable in self.variables().iter().filter(|variable| variable.live) {
            if reserve::has_room(&mut all) {
                all.push(AllocationInfo::of_variable(variable));
                reserve::spend(3 * variable.name.len());
            } else {
                reserve::leave_out(1);
            }
        }
        all
    }
}

impl AllocationInfo {
    fn of_task(task: &TaskMemoryProfile, site: Option<&SiteProfile>) -> Self {
        let arguments = site.and_then(|site| site.argument_bytes);
        Self {
            kind: AllocationKind::StateMachine,
            size: bytes(task.future_size_bytes),
            type_name: shown_type(&task.future_type),
            name: task.name.clone(),
            task: Some(task.id),
            place: Place { name: task.name.clone(), file: task.file.clone(), line: task.line },
            stack_bytes: 0,
            argument_bytes: arguments.map(bytes),
            boxed_by_tokio: site.and_then(|site| is_boxed(task, site)),
            extent: None,
        }
    }

    fn of_variable(variable: &VariableProfile) -> Self {
        let VariableProfile { name, file, line, .. } = variable;
        Self {
            kind: AllocationKind::Variable,
            size: bytes(variable.heap_bytes),
            type_name: variable.type_name.clone(),
            name: name.clone(),
            task: variable.task,
            place: Place { name: name.clone(), file: file.clone(), line: *line },
            stack_bytes: bytes(variable.stack_bytes),
            argument_bytes: None,
            boxed_by_tokio: None,
            extent: Some(variable.extent),
        }
    }
}

/// The count of the site, where it is the same for all its tasks; otherwise what the size alone
/// proves.
fn is_boxed(task: &TaskMemoryProfile, site: &SiteProfile) -> Option<bool> {
    let machine = bytes(task.future_size_bytes);
    match site.boxed_by_tokio {
        _ if task.cell_bytes == 0 => None,
        0 => Some(false),
        boxed if boxed >= site.spawned => Some(true),
        _ if machine > TOKIO_LIMIT_BYTES => Some(true),
        _ if machine <= TOKIO_LIMIT_BYTES - WRAPPER_BYTES => Some(false),
        _ => None,
    }
}

/// The most that `Tracked` adds to a state machine with an alignment of up to 8.
const WRAPPER_BYTES: usize = 16;

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Shows a type under a name that a search for futures finds.
fn shown_type(type_name: &str) -> Cow<'static, str> {
    const BODY: &str = "::{{closure}}";
    match type_name.strip_suffix(BODY) {
        Some(function) => format!("async {function}").into(),
        None => format!("Future {type_name}").into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analysis::fixture::{site, snapshot, task, variable};

    #[test]
    fn a_search_for_futures_by_name_finds_the_state_machines_and_nothing_else() {
        let snapshot = snapshot(&json!({
            "tasks": [
                task(1, "handler", &json!({ "future_size_bytes": 100 })),
                task(2, "timer", &json!({ "future_type": "tokio::time::Sleep", "future_size_bytes": 20 })),
                task(3, "nested", &json!({ "future_type": "app::run::{{closure}}::{{closure}}", "future_size_bytes": 3 })),
                task(4, "over", &json!({ "state": "completed" })),
            ],
            "variables": [
                variable("cache", 1, &json!({})),
                variable("gone", 1, &json!({ "live": false })),
            ],
        }));
        let allocations = snapshot.allocations();
        let found: Vec<(&str, usize)> = allocations
            .iter()
            .filter(|it| it.type_name.contains("Future") || it.type_name.contains("async"))
            .map(|it| (&*it.type_name, it.size))
            .collect();
        let expected = [
            ("async app::handler", 100),
            ("Future tokio::time::Sleep", 20),
            ("async app::run::{{closure}}", 3),
        ];
        assert_eq!(found, expected);
        let others: Vec<_> =
            allocations.iter().filter(|it| it.kind == AllocationKind::Variable).collect();
        assert_eq!(others.len(), 1, "{others:?}");
        assert_eq!(
            (others[0].name.as_str(), others[0].size, others[0].stack_bytes),
            ("cache", 4096, 24)
        );
    }

    #[test]
    fn state_machines_are_known_where_sizes_are_not_measured() {
        let snapshot = snapshot(&json!({
            "measured": "not_installed",
            "tasks": [task(1, "handler", &json!({ "measured": false, "live_bytes": 0, "future_size_bytes": 100 }))],
        }));
        let allocations = snapshot.allocations();
        assert_eq!(allocations.len(), 1);
        assert_eq!((allocations[0].size, allocations[0].boxed_by_tokio), (100, None));
    }

    #[test]
    fn a_box_of_tokio_is_said_only_where_it_was_counted() {
        let boxed = |cell: u64, boxed: u64, size: u64| {
            let snapshot = snapshot(&json!({
                "sites": [site("s", &json!({ "spawned": 4, "boxed_by_tokio": boxed }))],
                "tasks": [task(1, "s", &json!({ "cell_bytes": cell, "future_size_bytes": size }))],
            }));
            snapshot.allocations()[0].boxed_by_tokio
        };
        assert_eq!(boxed(0, 0, 100_000), None, "spawned by others");
        assert_eq!(boxed(256, 0, 64), Some(false));
        assert_eq!(boxed(256, 4, 100_000), Some(true));
        assert_eq!([boxed(256, 2, 64), boxed(256, 2, 100_000)], [Some(false), Some(true)]);
    }
}
