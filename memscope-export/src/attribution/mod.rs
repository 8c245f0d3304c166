//! Each exact figure of a snapshot, divided among the stacks and tasks that are known.
//!
//! A site's bytes are exact, and those of its stacks are estimates. The stacks keep their estimates
//! as long as these do not exceed the exact figure; otherwise they are scaled down to it. The rest
//! is a part without a stack. So the parts of a site always add up to its exact figure.

mod fit;
mod tasks;

use std::collections::HashMap;

use fit::fit;
use memscope_runtime::async_memory::{
    AwaitPoint, MemorySnapshot, SiteProfile, StackProfile, TaskId, TaskMemoryProfile,
};
use tasks::SiteTasks;

/// What a profile is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PprofKind {
    /// What is live now: `live_bytes` and `live_blocks`.
    Live,
    /// What was allocated so far: `allocated_bytes` and `allocations`.
    Allocated,
}

/// What holds the bytes, or has allocated them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'s> {
    Site(&'s SiteProfile),
    /// Tasks whose site has no row in the snapshot.
    NoRow,
    /// Code outside every task.
    NoTask,
}

/// What is known of the code that a part belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Calls<'s> {
    /// The stack that allocated.
    Stack(&'s StackProfile),
    /// The chain of `.await`s at which the tasks that hold it wait.
    Await(&'s AwaitPoint),
    Unknown,
}

/// How a figure was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// It was counted.
    Exact,
    /// It is an estimate from this many samples.
    Estimate { samples: u64 },
    /// It is the rest of a counted figure without the estimates of stacks.
    Rest,
}

/// A part of a snapshot's bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'s> {
    pub(crate) owner: Owner<'s>,
    pub(crate) calls: Calls<'s>,
    /// The task that has it, if it is one task alone.
    pub(crate) task: Option<TaskId>,
    /// Where the tasks that have it wait.
    pub(crate) await_point: Option<&'s AwaitPoint>,
    pub(crate) basis: Basis,
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
}

/// All parts of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Parts<'s> {
    /// Together they are at most `i64::MAX` bytes and blocks, as formats have signed numbers.
    pub(crate) rows: Vec<Part<'s>>,
    /// Whether figures were larger than this limit, and were cut.
    pub(crate) is_cut: bool,
}

/// An exact figure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figure {
    bytes: u64,
    blocks: u64,
}

/// A stack, and what it keeps of its estimate.
#[derive(Debug)]
struct Estimate<'s> {
    stack: &'s StackProfile,
    /// The row of the task that has it, if it is one task alone.
    task: Option<&'s TaskMemoryProfile>,
    /// The id of that task. A task without a row has only this.
    id: Option<TaskId>,
    bytes: u64,
}

impl<'s> Parts<'s> {
    /// Divides the snapshot's figures. Where sizes are not measured there are no parts.
    pub(crate) fn of(snapshot: &'s MemorySnapshot, kind: PprofKind) -> Self {
        let mut parts = Self::default();
        if !snapshot.measured().is_yes() {
            return parts;
        }
        let tasks = match kind {
            PprofKind::Live => SiteTasks::of(snapshot),
            // The rows of most tasks that have allocated are gone.
            PprofKind::Allocated => SiteTasks::default(),
        };
        let mut stacks = stacks_by_owner(snapshot, kind, &tasks);
        let mut held_by_tasks = tasks::Held::default();
        for (place, (owner, figure)) in owners(snapshot, kind).into_iter().enumerate() {
            let mut estimates = std::mem::take(&mut stacks[place]);
            let of_site = tasks.of_site(place);
            fit_to_tasks(&mut estimates);
            fit(&mut estimates, figure.bytes);
            estimates.retain(|it| it.bytes != 0);
            let of_stacks: u64 = estimates.iter().map(|it| it.bytes).sum();
            let mut rest = Figure { bytes: figure.bytes - of_stacks, ..figure };
            let mut basis = if of_stacks == 0 { Basis::Exact } else { Basis::Rest };
            if let Some(held) = tasks::divide(rest, of_site, &estimates) {
                rest = held.rest;
                basis = Basis::Exact;
                held_by_tasks.add(place, owner, held);
            }
            parts.rows.extend(estimates.iter().map(|it| it.part(owner, kind, snapshot)));
            parts.rows.push(Part { basis, ..Part::new(owner, rest) });
        }
        parts.rows.extend(held_by_tasks.parts(snapshot));
        parts.rows.retain(|part| part.bytes != 0 || part.blocks != 0);
        parts.limit();
        parts
    }

    /// Keeps both sums in the range of signed numbers.
    fn limit(&mut self) {
        let mut left = Figure { bytes: i64::MAX.unsigned_abs(), blocks: i64::MAX.unsigned_abs() };
        for part in &mut self.rows {
            let kept =
                Figure { bytes: part.bytes.min(left.bytes), blocks: part.blocks.min(left.blocks) };
            self.is_cut |= (kept.bytes, kept.blocks) != (part.bytes, part.blocks);
            (part.bytes, part.blocks) = (kept.bytes, kept.blocks);
            left = Figure { bytes: left.bytes - kept.bytes, blocks: left.blocks - kept.blocks };
        }
        self.rows.retain(|part| part.bytes != 0 || part.blocks != 0);
    }
}

impl<'s> Part<'s> {
    fn new(owner: Owner<'s>, figure: Figure) -> Self {
        let Figure { bytes, blocks } = figure;
        let (calls, basis) = (Calls::Unknown, Basis::Exact);
        Self { owner, calls, task: None, await_point: None, basis, bytes, blocks }
    }
}

impl<'s> Estimate<'s> {
    fn part(&self, owner: Owner<'s>, kind: PprofKind, snapshot: &'s MemorySnapshot) -> Part<'s> {
        let samples = match kind {
            PprofKind::Live => self.stack.live_samples,
            PprofKind::Allocated => self.stack.samples,
        };
        Part {
            calls: Calls::Stack(self.stack),
            task: self.id,
            await_point: self.task.and_then(|task| snapshot.await_point_of(task)),
            basis: Basis::Estimate { samples },
            ..Part::new(owner, Figure { bytes: self.bytes, blocks: 0 })
        }
    }
}

/// All owners with their exact figures: the sites in their order, then tasks without a site's row,
/// then code outside every task.
fn owners(snapshot: &MemorySnapshot, kind: PprofKind) -> Vec<(Owner<'_>, Figure)> {
    let process = snapshot.process();
    let of_site = |site: &SiteProfile| match kind {
        PprofKind::Live => Figure { bytes: site.live_bytes, blocks: site.live_blocks },
        PprofKind::Allocated => Figure {
            // Bytes that were handed over count for the task that allocated them.
            bytes: site.allocated_bytes.saturating_sub(site.transferred_bytes),
            blocks: site.allocation_count,
        },
    };
    let (tracked, untracked) = match kind {
        PprofKind::Live => (
            Figure { bytes: process.tracked_bytes, blocks: process.tracked_blocks },
            Figure { bytes: process.untracked_bytes, blocks: process.untracked_blocks },
        ),
        PprofKind::Allocated => (
            Figure { bytes: process.tracked_allocated_bytes, blocks: 0 },
            Figure {
                bytes: process.untracked_allocated_bytes,
                blocks: process.untracked_allocation_count.unwrap_or(0),
            },
        ),
    };
    let mut owners: Vec<_> =
        snapshot.sites().iter().map(|site| (Owner::Site(site), of_site(site))).collect();
    let listed = |field: fn(&Figure) -> u64| {
        owners.iter().fold(0, |sum: u64, (_, figure)| sum.saturating_add(field(figure)))
    };
    let no_row = Figure {
        bytes: tracked.bytes.saturating_sub(listed(|it| it.bytes)),
        blocks: tracked.blocks.saturating_sub(listed(|it| it.blocks)),
    };
    owners.extend([(Owner::NoRow, no_row), (Owner::NoTask, untracked)]);
    owners
}

/// The estimates of each owner's stacks, in the order of [`owners`].
fn stacks_by_owner<'s>(
    snapshot: &'s MemorySnapshot,
    kind: PprofKind,
    tasks: &SiteTasks<'s>,
) -> Vec<Vec<Estimate<'s>>> {
    let sites = snapshot.sites().len();
    let mut stacks: Vec<Vec<Estimate<'s>>> = (0..sites + 2).map(|_| Vec::new()).collect();
    for stack in snapshot.stacks() {
        let place = if stack.is_untracked {
            sites + 1
        } else {
            stack.site.filter(|site| *site < sites).unwrap_or(sites)
        };
        let bytes = match kind {
            PprofKind::Live => stack.live_bytes,
            PprofKind::Allocated => stack.allocated_bytes,
        };
        // The stack's task is that of its live blocks.
        let id = stack.task.filter(|_| kind == PprofKind::Live);
        let task = id.and_then(|id| tasks.get(place, id));
        // If the task's row belongs to another site, the stack and the task do not fit together.
        let id = id.filter(|id| task.is_some() || !tasks.has(*id));
        stacks[place].push(Estimate { stack, task, id, bytes });
    }
    stacks
}

/// Scales down the estimates of each task that exceed what the task holds.
fn fit_to_tasks(estimates: &mut [Estimate<'_>]) {
    let mut of_task: HashMap<TaskId, (u64, Vec<&mut Estimate<'_>>)> = HashMap::new();
    for estimate in estimates {
        if let Some(task) = estimate.task {
            of_task.entry(task.id).or_insert((task.live_bytes, Vec::new())).1.push(estimate);
        }
    }
    for (live_bytes, mut estimates) in of_task.into_values() {
        fit(&mut estimates, live_bytes);
    }
}
