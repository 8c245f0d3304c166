//! What the copy of the process is told before it is made: where roots lie.
//!
//! The copy has it in its memory, and only reads it.

use std::fs;

use memscope_layout::{Symbols, Variable};

use super::{threads::Threads, typed::Types};
use crate::{
    alloc::thread_places,
    model::RootKind,
    picture::{Maps, Range},
    primitives::gaps::gaps,
    symbols::modules::{self, Module},
};

/// A root, and where it lies.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) kept: Kept,
    /// It claims only what nothing else reaches.
    pub(super) is_weak: bool,
    pub(super) name: RootName,
}

/// Where a root lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kept {
    /// In these ranges of [`Plan::ranges`], from the first to the one before the second number.
    Ranges(usize, usize),
    /// On the stack of this thread.
    Stack(usize),
    /// In the files that are mapped and are no modules.
    Files,
    /// Beside the blocks of the graph, in the memory that has them: in blocks from before.
    Before,
}

/// How a root is named, once it is known that it holds anything.
#[derive(Debug)]
pub(super) enum RootName {
    /// The variable of the program with this number; of a thread-local, and the thread.
    Variable(usize, Option<usize>),
    /// The thread's memory of this kind.
    Thread(usize, RootKind),
    /// Named by this text.
    Text(String, RootKind),
}

/// All roots but the tasks.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) roots: Vec<Root>,
    pub(super) ranges: Vec<Range>,
    pub(super) threads: Threads,
    pub(super) types: Types,
    modules: Vec<Range>,
    symbols: Option<Symbols>,
    variables: Vec<Variable>,
    /// Whether each of these is memscope's own, and no root: it knows tasks that it does not hold.
    is_own: Vec<bool>,
}

/// What the symbols of memscope's variables contain.
const OWN: &[u8] = b"16memscope_runtime";

/// The most debug information that one graph reads, for the lines of statics.
const MOST_DEBUG_BYTES: u64 = 32 << 20;

/// Thread-locals get a root for each thread, up to this many roots.
const MOST_THREAD_LOCALS: usize = 1 << 16;

impl Plan {
    /// Looks for all roots. `stack`: an address on this thread's stack, below all that is in use.
    /// `None` if the threads are not known.
    pub(super) fn make(stack: usize) -> Option<Self> {
        let mut plan = Self {
            roots: Vec::new(),
            ranges: Vec::new(),
            threads: Threads::read(stack)?,
            types: Types::read(),
            modules: Vec::new(),
            symbols: None,
            variables: Vec::new(),
            is_own: Vec::new(),
        };
        for module in &modules::loaded().modules {
            plan.add_module(module);
        }
        for thread in 0..plan.threads.all.len() {
            plan.add(Kept::Stack(thread), true, RootName::Thread(thread, RootKind::Stack));
        }
        plan.add(Kept::Files, true, RootName::Text("mapped files".to_owned(), RootKind::Other));
        // Must come last: it claims what not even the other weak ones do.
        let before = "blocks from before, and memory of C libraries".to_owned();
        plan.add(Kept::Before, true, RootName::Text(before, RootKind::Other));
        Some(plan)
    }

    fn add(&mut self, kept: Kept, is_weak: bool, name: RootName) {
        self.roots.push(Root { kept, is_weak, name });
    }

    fn add_module(&mut self, module: &Module) {
        let ranges =
            module.writable().iter().map(|(start, end)| Range { start: *start, end: *end });
        let segments: Vec<Range> = ranges.collect();
        self.modules.extend(&segments);
        if module.is_program() {
            self.symbols = module.open();
            if let Some(symbols) = &self.symbols {
                symbols.variables(|variable, symbol| {
                    self.variables.push(variable);
                    self.is_own.push(symbol.windows(OWN.len()).any(|part| part == OWN));
                });
            }
            self.add_statics(module, &segments);
            self.add_thread_locals(module);
        } else {
            let file = fs::canonicalize(module.path()).unwrap_or_else(|_| module.path().to_owned());
            let file = file.file_name().map_or_else(String::new, |it| it.to_string_lossy().into());
            let name = RootName::Text(format!("statics of {file}"), RootKind::Other);
            let first = self.ranges.len();
            self.ranges.extend(segments);
            self.add(Kept::Ranges(first, self.ranges.len()), true, name);
        }
    }

    /// Adds each static of the program, and what lies between them.
    fn add_statics(&mut self, module: &Module, segments: &[Range]) {
        let mut statics: Vec<(Range, usize)> = Vec::new();
        for (number, variable) in self.variables.iter().enumerate() {
            let start = module.in_memory(variable.address);
            let end = start.saturating_add(usize::try_from(variable.size).unwrap_or(0));
            if !variable.is_thread_local && segments.iter().any(|it| it.contains(start)) {
                statics.push((Range { start, end }, number));
            }
        }
        statics.sort_unstable_by_key(|(range, number)| (range.start, range.end, *number));
        // Two names of one static are one root.
        statics.dedup_by_key(|(range, _)| range.start);
        let mut rest = Vec::new();
        for segment in segments {
            let inside = statics.iter().filter(|(range, _)| segment.contains(range.start));
            rest.extend(between(*segment, inside.map(|(range, _)| *range)));
        }
        for (range, number) in statics {
            if self.is_own(number) {
                continue;
            }
            let at = self.ranges.len();
            self.ranges.push(range);
            self.add(Kept::Ranges(at, at + 1), false, RootName::Variable(number, None));
        }
        let at = self.ranges.len();
        self.ranges.extend(rest);
        let name = RootName::Text("statics without a name".to_owned(), RootKind::Static);
        self.add(Kept::Ranges(at, self.ranges.len()), false, name);
    }

    /// Adds the program's thread-locals, those of each thread.
    fn add_thread_locals(&mut self, module: &Module) {
        let Some((own, size)) = module.thread_locals() else { return };
        let range = Range { start: own, end: own.saturating_add(size) };
        if !range.contains(thread_places::here()) {
            // Memscope is in a library, whose thread-locals may lie anywhere.
            return;
        }
        // The same in each thread.
        let distance = own.wrapping_sub(thread_places::here());
        let variables = self.variables.iter().enumerate();
        let names: Vec<_> = variables.filter(|(_, it)| it.is_thread_local).collect();
        let has_room = names.len() * self.threads.all.len() <= MOST_THREAD_LOCALS;
        let mut found = Vec::new();
        for (thread, it) in self.threads.all.iter().enumerate() {
            let Some(here) = it.here else { continue };
            let start = here.wrapping_add(distance);
            let mut rest = vec![Range { start, end: start.wrapping_add(size) }];
            for (number, variable) in names.iter().filter(|_| has_room) {
                let start = start.wrapping_add(usize::try_from(variable.address).unwrap_or(0));
                let end = start.wrapping_add(usize::try_from(variable.size).unwrap_or(0));
                let range = Range { start, end }.intersect(rest[0]);
                found.push((vec![range], RootName::Variable(*number, Some(thread))));
            }
            // What has a name of its own is dominated by both, so the rest is what lies between.
            if has_room && !names.is_empty() {
                let own = found.iter().rev().take(names.len()).map(|it| it.0[0]);
                rest = between(rest[0], own).collect();
            }
            found.push((rest, RootName::Thread(thread, RootKind::ThreadLocal)));
        }
        let of_program = found.into_iter().filter(|(_, name)| match name {
            RootName::Variable(number, _) => !self.is_own(*number),
            RootName::Thread(..) | RootName::Text(..) => true,
        });
        for (ranges, name) in of_program.collect::<Vec<_>>() {
            let at = self.ranges.len();
            self.ranges.extend(ranges);
            self.add(Kept::Ranges(at, self.ranges.len()), false, name);
        }
    }

    fn is_own(&self, variable: usize) -> bool {
        self.is_own.get(variable).copied().unwrap_or(false)
    }

    /// Whether a mapping has a part of a module.
    pub(super) fn has_module(&self, map: Range) -> bool {
        self.modules.iter().any(|module| {
            let common = module.intersect(map);
            common.start < common.end
        })
    }

    /// Whether a mapping has a stack, or a part of a module.
    pub(super) fn is_of_thread_or_module(&self, map: Range, maps: &Maps) -> bool {
        let stacks = || (0..self.threads.all.len()).filter_map(|it| self.stack(it, maps));
        self.has_module(map) || stacks().any(|stack| map.contains(stack.start))
    }

    /// The stack of a thread, as far as it is in use.
    pub(super) fn stack(&self, thread: usize, maps: &Maps) -> Option<Range> {
        self.threads.stack(thread, maps)
    }

    /// Calls `found` with each of these variables, as an index, that is a static whose declaration
    /// is known, and with the file and the line of that.
    pub(super) fn declared(&self, variables: &[usize], mut found: impl FnMut(usize, &str, u32)) {
        let Some(symbols) = &self.symbols else { return };
        let address = |number: &usize| {
            self.variables.get(*number).filter(|it| !it.is_thread_local).map(|it| it.address)
        };
        let mut sorted: Vec<(u64, usize)> = variables
            .iter()
            .enumerate()
            .filter_map(|(index, number)| Some((address(number)?, index)))
            .collect();
        sorted.sort_unstable();
        let addresses: Vec<u64> = sorted.iter().map(|(address, _)| *address).collect();
        // A damaged file tells nothing more.
        let _ = symbols.find_declared(&addresses, MOST_DEBUG_BYTES, |at, file, line| {
            if let Some((_, index)) = sorted.get(at) {
                found(*index, file, line);
            }
        });
    }

    /// The name of a variable.
    pub(super) fn variable_name(&self, number: usize) -> Option<String> {
        self.symbols.as_ref()?.variable_name(self.variables.get(number)?)
    }
}

/// What is left of a range without these.
fn between(range: Range, taken: impl Iterator<Item = Range>) -> impl Iterator<Item = Range> {
    let left = gaps(range.start..range.end, taken.map(|it| it.start..it.end));
    left.into_iter().map(|it| Range { start: it.start, end: it.end })
}
