//! Finds the tasks of Tokio: the functions that poll them, and the blocks that they are in.
//!
//! `tokio::runtime::task::raw::poll<T, S>` polls the tasks whose future is a `T`, and each of them
//! is in a `tokio::runtime::task::core::Cell<T, S>`. Tokio keeps the address of that function in
//! the task itself.

use std::collections::{BTreeMap, HashMap};

use gimli::{AttributeValue, constants as dw};

use super::{
    same_types::is_same,
    scan::{NO_PARENT, PollFunction},
    shapes::FutureTypes,
    types::Types,
    units::EntryRef,
};
use crate::{
    shape::FutureType,
    task_layout::{Output, Room, TaskLayout},
};

/// Where the functions and the blocks are.
const POLLS: (&str, &str) = ("tokio::runtime::task::raw", "poll");
const CELLS: (&str, &str) = ("tokio::runtime::task::core", "Cell");

/// The most wrappers around the stage of a task.
const MOST_WRAPPERS: u32 = 8;

/// Returns the layout of each type of task, ordered by the link-time address of the function that
/// polls it. It is `None` if it is not known, or if several types of tasks share the function.
pub(crate) fn tasks<'d>(
    types: &Types<'_, 'd>,
    polls: &[PollFunction],
    cells: &[PollFunction],
    is_loaded: impl Fn(u64) -> bool,
    future_types: &mut FutureTypes<'_, '_, 'd>,
) -> Vec<(u64, Option<TaskLayout>)> {
    let mut by_arguments: HashMap<&'d str, Vec<EntryRef>> = HashMap::new();
    let mut by_future: HashMap<(EntryRef, &'d str), EntryRef> = HashMap::new();
    for (at, arguments) in cells.iter().filter_map(|it| within(types, it, CELLS)) {
        by_arguments.entry(arguments).or_default().push(at);
        by_future.extend(future(types, at).map(|it| ((it, arguments), at)));
    }
    // Several units may describe a function, and the linker may have merged functions.
    let mut cells_at: BTreeMap<u64, Vec<EntryRef>> = BTreeMap::new();
    for (at, arguments) in polls.iter().filter_map(|it| within(types, it, POLLS)) {
        let Some(address) = address(types, at).filter(|it| is_loaded(*it)) else { continue };
        // Two futures may have one name: functions of two blocks, or of a library and a program of
        // one name. A unit has one entry for each of them.
        let of_unit = future(types, at).and_then(|it| by_future.get(&(it, arguments)));
        let of_all = || by_arguments.get(arguments).map_or(&[][..], |it| it);
        let cells = of_unit.map_or_else(of_all, std::slice::from_ref);
        cells_at.entry(address).or_default().extend(cells);
    }
    let mut tasks = Vec::with_capacity(cells_at.len());
    for (address, cells) in cells_at {
        let layouts: Vec<_> = cells.iter().map(|it| layout(types, *it, future_types)).collect();
        tasks.push((address, only(layouts, future_types.all())));
    }
    tasks
}

/// The one layout of all; `None` if they differ. Each unit has types of its own.
fn only(layouts: Vec<Option<TaskLayout>>, types: &[FutureType]) -> Option<TaskLayout> {
    let mut layouts = layouts.into_iter();
    let first = layouts.next()??;
    let is_it = |it: TaskLayout| {
        is_same(types, it.future_type, first.future_type)
            && TaskLayout { future_type: first.future_type, ..it } == first
    };
    layouts.all(|it| it.is_some_and(is_it)).then_some(first)
}

/// Returns the future of a task, by the first generic argument of a function or a type.
fn future(types: &Types<'_, '_>, at: EntryRef) -> Option<EntryRef> {
    const MOST_LINKS: u32 = 4;
    let (mut at, mut found) = (at, None);
    for _ in 0..MOST_LINKS {
        types.units.each_child(at, |at, child| {
            let is_it = found.is_none() && child.tag() == dw::DW_TAG_template_type_parameter;
            if is_it {
                found = types.referred(at, child, dw::DW_AT_type);
            }
        });
        if found.is_some() {
            return found;
        }
        let entry = types.units.entry(at)?;
        at = [dw::DW_AT_abstract_origin, dw::DW_AT_specification]
            .into_iter()
            .find_map(|name| types.units.referred(at, &entry, name))?;
    }
    None
}

/// Returns the generic arguments of a function or a type, if it has this name in this module.
fn within<'d>(
    types: &Types<'_, 'd>,
    it: &PollFunction,
    (module, name): (&str, &str),
) -> Option<(EntryRef, &'d str)> {
    let own = types.units.name(it.at, &types.units.entry(it.at)?)?;
    let arguments = own.strip_prefix(name)?.strip_prefix('<')?.strip_suffix('>')?;
    let is_there = it.parent != NO_PARENT
        && types.namespace(it.at.unit, it.parent, 0).is_some_and(|path| &*path == module);
    is_there.then_some((it.at, arguments))
}

fn address(types: &Types<'_, '_>, at: EntryRef) -> Option<u64> {
    match types.units.entry(at)?.attr_value(dw::DW_AT_low_pc)? {
        AttributeValue::Addr(address) => Some(address),
        AttributeValue::DebugAddrIndex(index) => types.units.address(at.unit, index),
        _ => None,
    }
}

/// Reads the layout of a block: `header`, `core` with `task_id` and `stage`, and more behind it.
fn layout<'d>(
    types: &Types<'_, 'd>,
    cell: EntryRef,
    future_types: &mut FutureTypes<'_, '_, 'd>,
) -> Option<TaskLayout> {
    let member = |at: EntryRef, name: &str| {
        let members = types.members(at);
        let found = members.into_iter().find(|it| it.name == name)?;
        Some((found.type_?, found.offset))
    };
    let (core, core_offset) = member(cell, "core")?;
    let (_, id_offset) = member(core, "task_id")?;
    let (mut stage, stage_offset) = member(core, "stage")?;
    let mut start = core_offset.checked_add(stage_offset)?;
    for _ in 0..MOST_WRAPPERS {
        if let Some(part) = types.variants(stage) {
            let running = part.variants.iter().find(|it| it.name == "Running")?;
            let [future] = &running.members[..] else { return None };
            let output = part.variants.iter().find(|it| it.name == "Finished").and_then(|it| {
                let [output] = &it.members[..] else { return None };
                let offset = start.checked_add(output.offset)?;
                Some(Output { has_output: it.value?, room: Room { offset, size: output.size? } })
            });
            let mut discriminant = part.discriminant?;
            discriminant.offset = discriminant.offset.checked_add(start)?;
            return Some(TaskLayout {
                size: types.size(cell)?,
                id_offset: core_offset.checked_add(id_offset)?,
                future_offset: start.checked_add(future.offset)?,
                future_type: future_types.find(future.type_?, true)?,
                stage: discriminant,
                has_future: running.value?,
                stage_room: types.size(stage).map(|size| Room { offset: start, size }),
                output,
            });
        }
        // A wrapper has one member.
        let members = types.members(stage);
        let [inner] = &members[..] else { return None };
        stage = inner.type_?;
        start = start.checked_add(inner.offset)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coroutine::Discriminant, shape::Shape, type_id::TypeId};

    #[test]
    fn layouts_that_differ_are_none() {
        let layout = |size, future| TaskLayout {
            size,
            id_offset: 40,
            future_offset: 56,
            future_type: TypeId(future),
            stage: Discriminant { offset: 48, size: 4 },
            has_future: 0,
            stage_room: None,
            output: None,
        };
        let future = |name| FutureType::of_tests(name, Shape::Leaf);
        let types = [future("a::f"), future("a::f"), future("a::g")];
        let size = |layouts: &[(u64, u32)]| {
            let of = |it: &(u64, u32)| Some(layout(it.0, it.1));
            only(layouts.iter().map(of).collect(), &types).map(|it| it.size)
        };
        assert_eq!(size(&[(256, 0), (256, 1)]), Some(256), "the same type, in two units");
        assert_eq!(size(&[(256, 0), (256, 2)]), None);
        assert_eq!(size(&[(256, 0), (384, 0)]), None);
        assert_eq!(size(&[]), None);
        assert_eq!(only(vec![Some(layout(256, 0)), None], &types), None);
    }
}
