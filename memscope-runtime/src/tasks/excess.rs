//! Reports a task that holds more than its budget at the end of a poll.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    accounting::{Record, budget, stacks, variable},
    alloc::{
        current::{Entered, exempt},
        over_budget::note,
        warn,
    },
    config,
    model::{
        AllocatingCode, Holder, OverBudget, TaskId,
        human::cell,
        symbol::{self, Code, short},
    },
    primitives::{order, reserve},
    symbols,
};

/// The most variables, and the most pieces of code, that are named.
const MOST_HOLDERS: usize = 5;

/// Makes the ends of polls report tasks that are above their budgets. Must be called before any
/// task has a budget.
pub(crate) fn prepare() {
    static LOOK: fn(&'static Record) = look;
    budget::on_excess(&LOOK);
}

/// Looks at a task that may hold more than its budget, and reports its first excess.
#[cold]
#[inline(never)]
fn look(record: &'static Record) {
    let Some((live, budget)) = record.bytes_over_budget() else {
        return record.watch_in_allocator();
    };
    if !record.tell_over_budget() {
        return;
    }
    record.note_over_budget(live);
    note(record, live, budget);
    let Some(call) = config::on_over_budget() else { return };
    let Some(over) = exempt(|| of(record, live, budget)) else { return };
    let called = catch_unwind(AssertUnwindSafe(|| {
        let _untracked = Entered::untracked();
        call(&over);
    }));
    if called.is_err() {
        let name = cell(&over.name, 60);
        warn(format_args!("the function of `on_over_budget` has panicked, called for {name}"));
    }
    exempt(|| drop(over));
}

/// The task's excess, with its largest holders and the code that allocated most.
pub(super) fn of(record: &Record, live_bytes: u64, budget_bytes: u64) -> Option<OverBudget> {
    let task = TaskId::new(record.tally().id())?;
    let name = record.site().map_or("", |site| site.name).to_owned();
    let mut variables: Vec<_> =
        variable::read().filter(|variable| variable.task == task.as_u64()).collect();
    order::by(&mut variables, |a, b| b.heap_bytes.cmp(&a.heap_bytes));
    let holders = variables.iter().take(MOST_HOLDERS).map(|variable| Holder {
        name: variable.site.key.name.to_owned(),
        file: variable.site.key.file.to_owned(),
        line: variable.site.key.line,
        heap_bytes: variable.heap_bytes,
    });
    let holders = holders.collect();
    let codes = exempt(|| largest_codes(task.as_u64()));
    let allocated_at = codes.into_iter().flatten().map(Found::shown).collect();
    Some(OverBudget { task, name, live_bytes, budget_bytes, holders, allocated_at })
}

/// Code that allocated live blocks. Names and files are kept for good.
#[derive(Clone, Copy)]
struct Found {
    function: &'static str,
    place: Option<(&'static str, u32)>,
    live_bytes: u64,
    samples: u64,
}

/// Returns the code that allocated most of what a task holds, the most bytes first. Must be called
/// inside `exempt`.
fn largest_codes(task: u64) -> [Option<Found>; MOST_HOLDERS] {
    let stacks = stacks::read_task(task);
    if !stacks.is_empty() {
        symbols::wait_for_names_once();
    }
    let mut found: Vec<Found> = Vec::new();
    for stack in stacks {
        let Some((function, place)) = allocates(stack.frames) else { continue };
        let is_same = |it: &&mut Found| it.function == function && it.place == place;
        if let Some(same) = found.iter_mut().find(is_same) {
            same.live_bytes = same.live_bytes.saturating_add(stack.live_bytes());
            same.samples += stack.live_samples;
            continue;
        }
        let (live_bytes, samples) = (stack.live_bytes(), stack.live_samples);
        reserve::push(&mut found, Found { function, place, live_bytes, samples });
    }
    order::by(&mut found, |a, b| b.live_bytes.cmp(&a.live_bytes));
    std::array::from_fn(|at| found.get(at).copied())
}

/// Returns the innermost function of the program or of a library that it calls. If no such name is
/// known by now, returns the innermost function of an executor or a channel.
fn allocates(frames: &[usize]) -> Option<(&'static str, Option<(&'static str, u32)>)> {
    // A return address is behind its call.
    let call_at = |address: &usize| symbols::call_at(address.saturating_sub(1));
    let mut names = [""; symbol::MOST_ALLOCATOR_CALLS];
    for (name, address) in names.iter_mut().zip(frames) {
        *name = call_at(address).name.text();
    }
    let mut of_runtime = None;
    for address in frames.iter().skip(symbol::allocator_calls(&names)) {
        let call = call_at(address);
        let inlined = call.detail.inlined.iter().map(|it| (it.name, it.line));
        for (name, line) in inlined.chain([(call.name.text(), call.detail.line)]) {
            let line = line.map(|it| (it.file, it.number));
            match Code::of_call(name, line.map(|it| it.0)) {
                _ if name.is_empty() => {}
                Code::Other => return Some((name, line)),
                Code::Runtime => of_runtime = of_runtime.or(Some((name, line))),
                Code::Allocator | Code::Standard => {}
            }
        }
    }
    of_runtime
}

impl Found {
    fn shown(self) -> AllocatingCode {
        AllocatingCode {
            function: short(self.function),
            file: self.place.map(|(file, _)| file.to_owned()),
            line: self.place.map(|(_, line)| line),
            live_bytes: self.live_bytes,
            live_samples: self.samples,
        }
    }
}
