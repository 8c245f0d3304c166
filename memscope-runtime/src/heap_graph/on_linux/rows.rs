//! The rows of a graph, from what the copy of the process has told.

#[cfg(all(feature = "layout", feature = "tokio"))]
use super::variables::{self, Cell};
use super::{
    plan::{Plan, RootName},
    wire::{self, Group},
};
use crate::{
    accounting::{Site, stacks},
    model::{HeapGraph, HeapStep, HeldBy, RootKind, StackFrame, TaskId, Unreachable, symbol, text},
    picture::{Asker, END, Refused, START},
    symbols::{self, Lookup},
};
#[cfg(all(feature = "layout", feature = "tokio"))]
use crate::{alloc::cells::HeaderWords, await_points::layouts};

/// The frames of a stack that are shown.
const MOST_FRAMES: usize = 24;

/// The most tasks whose variables are looked for: those that hold most.
#[cfg(all(feature = "layout", feature = "tokio"))]
const MOST_TASKS: usize = 256;

/// What the copy has told.
pub(super) enum Heard {
    Graph(HeapGraph),
    /// The copy had no memory for the graph, or no room.
    NoRoom,
}

/// Reads what the copy tells, and asks it for the variables of tasks.
pub(super) fn read(asker: &mut Asker<'_>, plan: &Plan) -> Result<Heard, Refused> {
    if asker.word()? != START {
        return Err(Refused::Broken);
    }
    let mut rows = Rows::default();
    loop {
        match asker.word()? {
            END => break,
            wire::NO_ROOM => return Ok(Heard::NoRoom),
            what => rows.read(what, asker, plan)?,
        }
    }
    rows.declare(plan);
    #[cfg(all(feature = "layout", feature = "tokio"))]
    rows.find_variables(asker)?;
    Ok(Heard::Graph(rows.graph))
}

/// The rows, and what is found out of them at the end.
#[derive(Default)]
struct Rows {
    graph: HeapGraph,
    /// The rows of variables of the program, and the numbers of these.
    declared: Vec<(usize, usize)>,
    /// The rows of tasks, and their cells.
    #[cfg(all(feature = "layout", feature = "tokio"))]
    cells: Vec<(usize, Cell)>,
}

impl Rows {
    fn read(&mut self, what: u64, asker: &mut Asker<'_>, plan: &Plan) -> Result<(), Refused> {
        let graph = &mut self.graph;
        match what {
            wire::TOTALS => {
                let [blocks, bytes, live_blocks, live_bytes] = asker.words()?;
                (graph.blocks, graph.bytes) = (blocks, bytes);
                graph.blocks_from_before = live_blocks.saturating_sub(blocks);
                graph.bytes_from_before = live_bytes.saturating_sub(bytes);
            }
            wire::ROOT => {
                let root = usize::try_from(asker.word()?).ok().and_then(|it| plan.roots.get(it));
                let root = root.ok_or(Refused::Broken)?;
                if let RootName::Variable(number, _) = root.name {
                    self.declared.push((graph.roots.len(), number));
                }
                graph.roots.push(held(named(plan, &root.name), asker)?);
            }
            wire::CELL => {
                let [task, id, site, address, bytes, vtable, state] = asker.words()?;
                #[cfg(all(feature = "layout", feature = "tokio"))]
                if vtable != 0 && self.cells.len() < MOST_TASKS {
                    let (address, bytes) = (address as usize, bytes as usize);
                    let cell = Cell { address, bytes, words: HeaderWords { vtable, state } };
                    self.cells.push((graph.roots.len(), cell));
                }
                #[cfg(not(all(feature = "layout", feature = "tokio")))]
                let _ = (address, bytes, vtable, state);
                graph.roots.push(held(cell(task, id, site), asker)?);
            }
            wire::RUNTIME => {
                let name = "Tokio runtime".to_owned();
                let row = HeldBy { name, kind: RootKind::Runtime, ..HeldBy::default() };
                graph.roots.push(held(row, asker)?);
            }
            wire::SHARED => {
                [graph.shared_bytes, graph.shared_blocks] = asker.words()?;
                let mut steps: Vec<_> = wire::groups(asker)?.into_iter().map(step).collect();
                steps.sort_by_key(|step| std::cmp::Reverse(step.retained_bytes));
                graph.shared = steps;
            }
            wire::LEAK => {
                let [site, stack, task, in_cycle, bytes, blocks, leaks] = asker.words()?;
                let (site, stack) = (site_name(site), frames(stack));
                let (in_cycle, task) = (in_cycle != 0, TaskId::new(task));
                let leak = Unreachable { bytes, blocks, leaks, in_cycle, site, task, stack };
                graph.unreachable.push(leak);
            }
            _ => return Err(Refused::Broken),
        }
        Ok(())
    }

    /// Adds where statics are declared.
    fn declare(&mut self, plan: &Plan) {
        let numbers: Vec<usize> = self.declared.iter().map(|(_, number)| *number).collect();
        plan.declared(&numbers, |index, file, line| {
            let row = self.declared.get(index).and_then(|(row, _)| self.graph.roots.get_mut(*row));
            if let Some(row) = row {
                row.file = Some(text::file(file).into_owned());
                row.line = Some(line);
            }
        });
    }

    /// Adds the variables of tasks.
    #[cfg(all(feature = "layout", feature = "tokio"))]
    fn find_variables(&mut self, asker: &mut Asker<'_>) -> Result<(), Refused> {
        if !variables::are_known() {
            return Ok(());
        }
        for (row, cell) in &self.cells {
            let Some(row) = self.graph.roots.get_mut(*row) else { continue };
            if let Some(variable) = variables::find(asker, *cell, row.retained_bytes)? {
                row.variable = Some(layouts::short(variable.name));
                if let Some(place) = variable.place {
                    row.variable_file = Some(text::file(&place.file).into_owned());
                    row.variable_line = Some(place.line);
                }
            }
        }
        Ok(())
    }
}

/// Adds to a row what its root holds.
fn held(mut row: HeldBy, asker: &mut Asker<'_>) -> Result<HeldBy, Refused> {
    let [retained, reachable, is_whole, blocks] = asker.words()?;
    (row.retained_bytes, row.reachable_bytes) = (retained, reachable);
    (row.reachable_is_whole, row.blocks) = (is_whole != 0, blocks);
    row.largest = wire::groups(asker)?.into_iter().map(step).collect();
    Ok(row)
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

fn cell(task: u64, id: u64, site: u64) -> HeldBy {
    let site = site.checked_sub(1).and_then(|site| Site::at(u32::try_from(site).ok()?));
    let row = HeldBy { kind: RootKind::Task, task: TaskId::new(task), ..HeldBy::default() };
    match site {
        // A site that has no name of its own says less than the number of the task.
        Some(site) if !site.name.is_empty() && !site.name.starts_with('(') => HeldBy {
            name: site.name.to_owned(),
            file: (!site.file.is_empty()).then(|| text::file(site.file).into_owned()),
            line: (site.line != 0).then_some(site.line),
            ..row
        },
        _ => HeldBy { name: format!("Tokio task {id}"), ..row },
    }
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

/// The calls of the stack with this index + 1, without those inside of allocators.
fn frames(stack: u64) -> Vec<StackFrame> {
    let index = stack.checked_sub(1).and_then(|index| u32::try_from(index).ok());
    let Some(addresses) = index.and_then(stacks::frames) else { return Vec::new() };
    // A return address is behind its call.
    let calls: Vec<usize> = addresses.iter().map(|address| address.saturating_sub(1)).collect();
    symbols::resolve(&calls);
    let name = |call: &usize| match symbols::call_at(*call).name {
        Lookup::Known(name) => name,
        Lookup::Unknown | Lookup::NotLookedUp => "",
    };
    let names: Vec<&'static str> = calls.iter().map(name).collect();
    let first = symbol::allocator_calls(&names);
    let shown = calls.iter().zip(names).skip(first).take(MOST_FRAMES);
    let row = |(address, name): (&usize, &'static str)| StackFrame {
        function: name.into(),
        address: *address as u64,
        ..StackFrame::default()
    };
    shown.map(row).collect()
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
