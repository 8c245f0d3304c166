//! The ends of walks in a type that has several futures, or perhaps waits for something else.

use memscope_layout::{Field, FutureType, Layouts};

use super::{
    known,
    layouts::written,
    tuple::{MOST_NAMED, named},
    walk_end::{Branch, WalkEnd},
};
use crate::primitives::StaticRef;

/// The end of a walk in a type that polls the futures in these fields, side by side.
pub(super) fn side_by_side(
    layouts: &Layouts,
    future: &FutureType,
    several: &[&Field],
    start: u64,
) -> WalkEnd {
    WalkEnd::SideBySide {
        name: written(&future.name),
        count: several.len(),
        futures: functions(layouts, several),
        branches: branches(several, start),
    }
}

/// The same in a type that was written by hand, and may poll some of them.
pub(super) fn some_of(
    layouts: &Layouts,
    future: &FutureType,
    several: &[&Field],
    start: u64,
) -> WalkEnd {
    WalkEnd::SomeOf {
        name: written(&future.name),
        futures: functions(layouts, several),
        branches: branches(several, start),
    }
}

/// The same in one that may wait for something else that it has. `is_closed`: the rest leads to no
/// function. Otherwise what it waits for may be none of these, and no line of them is named.
pub(super) fn perhaps(
    layouts: &Layouts,
    future: &FutureType,
    fields: &[&Field],
    start: u64,
    is_closed: bool,
) -> WalkEnd {
    WalkEnd::Perhaps {
        name: written(&future.name),
        futures: functions(layouts, fields),
        branches: if is_closed { branches(fields, start) } else { Box::default() },
    }
}

/// The futures in these fields of a value that begins at `start`.
fn branches(fields: &[&Field], start: u64) -> Box<[Branch]> {
    let branches = fields.iter().map(|field| Branch {
        to: field.future_type,
        start: start.saturating_add(field.offset),
        is_certain: field.is_certain,
        child: StaticRef::none(),
    });
    branches.collect()
}

/// What the futures in these fields are, as people write them.
fn functions(layouts: &Layouts, several: &[&Field]) -> Vec<String> {
    let names = several.iter().take(MOST_NAMED).map(|field| {
        let future = layouts.future_type(known::inside(layouts, field.future_type));
        named(future.map_or("", |it| &it.name))
    });
    names.collect()
}
