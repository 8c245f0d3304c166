//! The rows of a graph, from what the copy of the process has told.

#[cfg(all(feature = "layout", feature = "tokio"))]
use super::variables::{self, Cell, Variable};
use super::{
    plan::{Plan, RootName},
    wire::{self, Group},
};
use crate::{
    accounting::{Site, stacks},
    model::{HeapGraph, HeapStep, HeldBy, RootKind, StackFrame, TaskId, Unreachable, symbol, text},
    picture::{Asker, END, Refused, START},
    symbols::{self, Call},
};
#[cfg(all(feature = "layout", feature = "tokio"))]
use crate::{alloc::cells::HeaderWords, await_points::layouts};

/// The frames of a stack that are shown.
const MOST_FRAMES: usize = 24;

/// The most tasks whose variables are looked for: those that hold most.
#[cfg(all(feature = "layout", feature = "tokio"))]
const MOST_TASKS: usize = 256;

/// What the copy may tell at most, in bytes.
const MOST_TOLD: u64 = 256 << 20;

/// What the copy has told, as numbers.
#[derive(Default)]
pub(super) struct Told {
    /// Without roots and steps, which are below.
    graph: HeapGraph,
    roots: Vec<Root>,
    shared: Vec<Group>,
    leaks: Vec<[u64; 7]>,
}

/// A root, and what it holds.
struct Root {
    what: What,
    retained_bytes: u64,
    reachable_bytes: u64,
    reachable_is_whole: bool,
    blocks: u64,
    largest: Vec<Group>,
}

enum What {
    /// The root with this number in the plan.
    Planned(usize),
    Task(Task),
    Runtime,
}

struct Task {
    /// Memscope's id; 0: not known.
    own_id: u64,
    tokio_id: u64,
    /// The index of the site + 1; 0: not known.
    site: u64,
    #[cfg(all(feature = "layout", feature = "tokio"))]
    cell: Cell,
    #[cfg(all(feature = "layout", feature = "tokio"))]
    variable: Option<Variable>,
}

/// Hears what the copy tells. `asks`: asks it for the variables of tasks then. `None`: the copy had
/// no memory for the graph, or no room.
pub(super) fn hear(
    asker: &mut Asker<'_>,
    plan: &Plan,
    asks: bool,
) -> Result<Option<Told>, Refused> {
    if asker.word()? != START {
        return Err(Refused::Broken);
    }
    let mut told = Told::default();
    loop {
        match asker.word()? {
            END => break,
            wire::NO_ROOM => return Ok(None),
            what => told.hear(what, asker, plan)?,
        }
        if asker.taken_bytes() > MOST_TOLD {
            return Err(Refused::Broken);
        }
    }
    #[cfg(all(feature = "layout", feature = "tokio"))]
    if asks {
        told.find_variables(asker)?;
    }
    #[cfg(not(all(feature = "layout", feature = "tokio")))]
    let _ = asks;
    Ok(Some(told))
}

impl Told {
    fn hear(&mut self, what: u64, asker: &mut Asker<'_>, plan: &Plan) -> Result<(), Refused> {
        let graph = &mut self.graph;
        match what {
            wire::TOTALS => {
                let [blocks, bytes, live_blocks, live_bytes] = asker.words()?;
                (graph.blocks, graph.bytes) = (blocks, bytes);
                graph.blocks_from_before = live_blocks.saturating_sub(blocks);
                graph.bytes_from_before = live_bytes.saturating_sub(bytes);
            }
            wire::ROOT => {
                let number = usize::try_from(asker.word()?).ok();
                let number = number.filter(|number| *number < plan.roots.len());
                let number = number.ok_or(Refused::Broken)?;
                self.roots.push(Root::hear(What::Planned(number), asker)?);
            }
            wire::CELL => {
                let task = Task::of(asker.words()?);
                self.roots.push(Root::hear(What::Task(task), asker)?);
            }
            wire::RUNTIME => self.roots.push(Root::hear(What::Runtime, asker)?),
            wire::SHARED => {
                [graph.shared_bytes, graph.shared_blocks] = asker.words()?;
                self.shared = wire::groups(asker)?;
            }
            wire::LEAK => self.leaks.push(asker.words()?),
            _ => return Err(Refused::Broken),
        }
        Ok(())
    }

    /// Finds the variables of the tasks that hold most.
    #[cfg(all(feature = "layout", feature = "tokio"))]
    fn find_variables(&mut self, asker: &mut Asker<'_>) -> Result<(), Refused> {
        let tasks = self.roots.iter_mut().filter_map(|root| match &mut root.what {
            What::Task(task) => Some((task, root.retained_bytes)),
            What::Planned(_) | What::Runtime => None,
        });
        for (task, retained_bytes) in tasks.take(MOST_TASKS) {
            task.variable = variables::find(asker, task.cell, retained_bytes)?;
        }
        Ok(())
    }

    /// Looks up the calls of all stacks at one time.
    fn look_up_calls(&self) {
        let of_roots = self.roots.iter().flat_map(|root| &root.largest);
        let groups = of_roots.chain(&self.shared).map(|group| group.stack);
        let leaks = self.leaks.iter().map(|&[_, stack, ..]| stack);
        let calls: Vec<usize> = groups.chain(leaks).flat_map(calls).collect();
        symbols::resolve(&calls);
        // A round for names, and one for lines: what is not told then has a name alone.
        if symbols::explain(&calls) {
            let _ = symbols::explain(&calls);
        }
    }

    /// The graph, with the names of all that it has.
    pub(super) fn named(self, plan: &Plan) -> HeapGraph {
        self.look_up_calls();
        let mut graph = self.graph;
        // Rows of variables of the program, and the numbers of these.
        let (mut rows, mut numbers) = (Vec::new(), Vec::new());
        for root in self.roots {
            let row = match root.what {
                What::Planned(number) => {
                    let Some(planned) = plan.roots.get(number) else { continue };
                    if let RootName::Variable(number, _) = planned.name {
                        rows.push(graph.roots.len());
                        numbers.push(number);
                    }
                    named(plan, &planned.name)
                }
                What::Task(task) => task.row(),
                What::Runtime => HeldBy {
                    name: "Tokio runtime".to_owned(),
                    kind: RootKind::Runtime,
                    ..HeldBy::default()
                },
            };
            graph.roots.push(HeldBy {
                retained_bytes: root.retained_bytes,
                reachable_bytes: root.reachable_bytes,
                reachable_is_whole: root.reachable_is_whole,
                blocks: root.blocks,
                largest: root.largest.into_iter().map(step).collect(),
                ..row
            });
        }
        plan.declared(&numbers, |index, file, line| {
            if let Some(row) = rows.get(index).and_then(|row| graph.roots.get_mut(*row)) {
                row.file = Some(text::file(file).into_owned());
                row.line = Some(line);
            }
        });
        graph.shared = self.shared.into_iter().map(step).collect();
        graph.shared.sort_by_key(|step| std::cmp::Reverse(step.retained_bytes));
        graph.unreachable = self.leaks.into_iter().map(leak).collect();
        graph
    }
}

impl Root {
    fn hear(what: What, asker: &mut Asker<'_>) -> Result<Self, Refused> {
        let [retained_bytes, reachable_bytes, is_whole, blocks] = asker.words()?;
        Ok(Self {
            what,
            retained_bytes,
            reachable_bytes,
            reachable_is_whole: is_whole != 0,
            blocks,
            largest: wire::groups(asker)?,
        })
    }
}

fn named(plan: &Plan, name: &RootName) -> HeldBy {
    match name {
        RootName::Variable(number, thread) => {
            let kind = if thread.is_some() { RootKind::ThreadLocal } else { RootKind::Static };
            let name = plan.variable_name(*number).unwrap_or_else(|| "without a name".to_owned());
            let thread = thread.map(|thread| plan.threads.name(thread));
            HeldBy { name: plain(&name).to_owned(), kind, thread, ..HeldBy::default() }
        }
        RootName::Thread(thread, kind) => {
            let of = plan.threads.name(*thread);
            let name = match kind {
                RootKind::Stack => format!("stack of {of}"),
                _ => format!("thread-local memory of {of}"),
            };
            HeldBy { name, kind: *kind, thread: Some(of), ..HeldBy::default() }
        }
        RootName::Text(name, kind) => {
            HeldBy { name: name.clone(), kind: *kind, ..HeldBy::default() }
        }
    }
}

/// The path of a thread-local that `thread_local!` has declared, without what the macro has added.
fn plain(name: &str) -> &str {
    let end = name.find("::{constant#").or_else(|| name.find("::{{constant}}"));
    let name = end.map_or(name, |end| name.get(..end).unwrap_or(name));
    name.strip_suffix("::__RUST_STD_INTERNAL_VAL").unwrap_or(name)
}

impl Task {
    #[cfg_attr(
        not(all(feature = "layout", feature = "tokio")),
        expect(unused_variables, reason = "nothing is asked of the cell")
    )]
    fn of([own_id, tokio_id, site, address, bytes, vtable, state]: [u64; 7]) -> Self {
        Self {
            own_id,
            tokio_id,
            site,
            #[cfg(all(feature = "layout", feature = "tokio"))]
            cell: Cell {
                address: address as usize,
                bytes: bytes as usize,
                words: HeaderWords { vtable, state },
            },
            #[cfg(all(feature = "layout", feature = "tokio"))]
            variable: None,
        }
    }

    fn row(&self) -> HeldBy {
        let index = self.site.checked_sub(1).and_then(|site| u32::try_from(site).ok());
        // A site that has no name of its own says less than the number of the task.
        let has_name = |site: &&Site| !site.name.is_empty() && !site.name.starts_with('(');
        let site = index.and_then(Site::at).filter(has_name);
        let row = HeldBy {
            name: site
                .map_or_else(|| format!("Tokio task {}", self.tokio_id), |it| it.name.to_owned()),
            kind: RootKind::Task,
            task: TaskId::new(self.own_id),
            file: site
                .filter(|site| !site.file.is_empty())
                .map(|site| text::file(site.file).into_owned()),
            line: site.map(|site| site.line).filter(|line| *line != 0),
            ..HeldBy::default()
        };
        #[cfg(all(feature = "layout", feature = "tokio"))]
        if let Some(Variable { name, place, .. }) = self.variable {
            return HeldBy {
                variable: Some(layouts::short(name)),
                variable_file: place.map(|place| text::file(&place.file).into_owned()),
                variable_line: place.map(|place| place.line),
                ..row
            };
        }
        row
    }
}

fn leak([site, stack, task, in_cycle, bytes, blocks, leaks]: [u64; 7]) -> Unreachable {
    let (site, stack) = (site_name(site), frames(stack));
    let (in_cycle, task) = (in_cycle != 0, TaskId::new(task));
    Unreachable { bytes, blocks, leaks, in_cycle, site, task, stack }
}

fn step(group: Group) -> HeapStep {
    HeapStep {
        blocks: group.blocks,
        own_bytes: group.own_bytes,
        retained_bytes: group.bytes,
        site: site_name(group.site),
        task: TaskId::new(group.task),
        stack: frames(group.stack),
    }
}

/// The name of the site with this index; `None` for what no task has made.
fn site_name(index: u64) -> Option<String> {
    Some(Site::at(u32::try_from(index).ok()?)?.name.to_owned())
}

/// The calls of the stack with this index + 1.
fn calls(stack: u64) -> impl Iterator<Item = usize> {
    let index = stack.checked_sub(1).and_then(|index| u32::try_from(index).ok());
    let addresses = index.and_then(stacks::frames).unwrap_or_default();
    // A return address is behind its call.
    addresses.iter().map(|address| address.saturating_sub(1))
}

/// The calls of the stack with this index + 1, without those inside of allocators.
fn frames(stack: u64) -> Vec<StackFrame> {
    let calls: Vec<(usize, Call)> =
        calls(stack).map(|address| (address, symbols::call_at(address))).collect();
    let names: Vec<_> = calls.iter().map(|call| call.1.name.text()).collect();
    let shown = calls.iter().skip(symbol::allocator_calls(&names)).take(MOST_FRAMES);
    let frames = shown.flat_map(|&(address, call)| {
        call.frames(StackFrame { address: address as u64, ..StackFrame::default() })
    });
    frames.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_local_has_the_name_that_the_program_gave_it() {
        assert_eq!(plain("app::CACHE::{constant#0}::{closure#0}::VAL"), "app::CACHE");
        assert_eq!(plain("app::CACHE::{{constant}}::{{closure}}::VAL"), "app::CACHE");
        assert_eq!(plain("app::CACHE"), "app::CACHE");
    }
}
