//! Which tasks of a site hold its bytes, and where they wait.

use std::{cmp::Reverse, collections::HashMap};

use memscope_runtime::async_memory::{MemorySnapshot, TaskId, TaskMemoryProfile, TaskType};

use super::{Basis, Calls, Estimate, Figure, Owner, Part};

/// The most tasks that have a part of their own. The others share one for each site and await
/// point.
const MOST_TASKS: usize = 1_000;

/// The tasks that hold bytes, by the index of their site, and all tasks by their id.
#[derive(Debug, Default)]
pub(super) struct SiteTasks<'s> {
    of_site: Vec<Vec<&'s TaskMemoryProfile>>,
    /// All tasks that have a row, with the index of their site if it is clear.
    by_id: HashMap<TaskId, (Option<usize>, &'s TaskMemoryProfile)>,
}

/// What a task and its site have in common: the name, the place and the type.
type Key<'s> = (&'s str, &'s str, u32, TaskType, bool);

impl<'s> SiteTasks<'s> {
    /// Finds the site of each task. A task whose site is not clear is in none.
    pub(super) fn of(snapshot: &'s MemorySnapshot) -> Self {
        let mut places: HashMap<Key<'s>, Option<usize>> = HashMap::new();
        for (place, site) in snapshot.sites().iter().enumerate() {
            let key = (&*site.name, &*site.file, site.line, site.task_type, site.is_annotated);
            places.entry(key).and_modify(|it| *it = None).or_insert(Some(place));
        }
        let mut tasks = Self {
            of_site: snapshot.sites().iter().map(|_| Vec::new()).collect(),
            by_id: HashMap::new(),
        };
        for task in snapshot.tasks() {
            let key = (&*task.name, &*task.file, task.line, task.task_type, task.is_annotated);
            let place = places.get(&key).copied().flatten();
            tasks.by_id.insert(task.id, (place, task));
            if let Some(place) = place.filter(|_| task.live_bytes != 0) {
                tasks.of_site[place].push(task);
            }
        }
        tasks
    }

    pub(super) fn of_site(&self, place: usize) -> &[&'s TaskMemoryProfile] {
        self.of_site.get(place).map_or(&[], Vec::as_slice)
    }

    /// The row of a task, if the task is one of this site.
    pub(super) fn get(&self, place: usize, id: TaskId) -> Option<&'s TaskMemoryProfile> {
        self.by_id.get(&id).filter(|it| it.0 == Some(place)).map(|it| it.1)
    }

    /// Whether a task has a row.
    pub(super) fn has(&self, id: TaskId) -> bool {
        self.by_id.contains_key(&id)
    }
}

/// What tasks of one site hold beside their stacks, and what is left of the site's figure.
#[derive(Debug)]
pub(super) struct Division<'s> {
    tasks: Vec<HeldByTask<'s>>,
    pub(super) rest: Figure,
}

#[derive(Clone, Copy, Debug)]
struct HeldByTask<'s> {
    task: &'s TaskMemoryProfile,
    figure: Figure,
    basis: Basis,
}

/// Divides what is left of a site among its tasks. Returns `None` if a stack belongs to several
/// tasks. Then it is not known what each of them holds beside the stack.
pub(super) fn divide<'s>(
    mut rest: Figure,
    tasks: &[&'s TaskMemoryProfile],
    estimates: &[Estimate<'s>],
) -> Option<Division<'s>> {
    let mut of_task: HashMap<TaskId, u64> = HashMap::new();
    for estimate in estimates {
        // The estimates of a task do not exceed its bytes.
        *of_task.entry(estimate.task?.id).or_default() += estimate.bytes;
    }
    let mut found = Vec::with_capacity(tasks.len());
    for task in tasks {
        let of_stacks = of_task.get(&task.id).copied().unwrap_or(0);
        let bytes = task.live_bytes.saturating_sub(of_stacks);
        let figure = Figure { bytes, blocks: task.live_blocks };
        // The rows of a damaged file may have more than their site.
        rest = Figure {
            bytes: rest.bytes.checked_sub(figure.bytes)?,
            blocks: rest.blocks.checked_sub(figure.blocks)?,
        };
        let basis = if of_stacks == 0 { Basis::Exact } else { Basis::Rest };
        found.push(HeldByTask { task, figure, basis });
    }
    Some(Division { tasks: found, rest })
}

/// What the tasks of all sites hold.
#[derive(Debug, Default)]
pub(super) struct Held<'s> {
    /// Each with the index of its site.
    tasks: Vec<(usize, Owner<'s>, HeldByTask<'s>)>,
}

impl<'s> Held<'s> {
    pub(super) fn add(&mut self, place: usize, owner: Owner<'s>, division: Division<'s>) {
        self.tasks.extend(division.tasks.into_iter().map(|held| (place, owner, held)));
    }

    /// Returns a part for each of the largest tasks, and parts that the others share.
    pub(super) fn parts(mut self, snapshot: &'s MemorySnapshot) -> Vec<Part<'s>> {
        self.tasks.sort_by_key(|(_, _, held)| Reverse((held.figure.bytes, held.figure.blocks)));
        let mut parts: Vec<Part<'s>> = Vec::new();
        // The index in `parts`, by site and await point.
        let mut shared: HashMap<(usize, Option<u32>), usize> = HashMap::new();
        for (rank, (place, owner, held)) in self.tasks.into_iter().enumerate() {
            let await_point = snapshot.await_point_of(held.task);
            let part = Part {
                calls: await_point.map_or(Calls::Unknown, Calls::Await),
                task: (rank < MOST_TASKS).then_some(held.task.id),
                await_point,
                basis: held.basis,
                ..Part::new(owner, held.figure)
            };
            if rank < MOST_TASKS {
                parts.push(part);
                continue;
            }
            let key = (place, held.task.await_point.filter(|_| await_point.is_some()));
            if let Some(index) = shared.get(&key) {
                let sum = &mut parts[*index];
                // Both are parts of one site's figure.
                sum.bytes += part.bytes;
                sum.blocks += part.blocks;
                if part.basis == Basis::Rest {
                    sum.basis = Basis::Rest;
                }
            } else {
                shared.insert(key, parts.len());
                parts.push(part);
            }
        }
        parts
    }
}
