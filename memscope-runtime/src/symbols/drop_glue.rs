//! The types of tasks, by the functions that drop their cells.
//!
//! The older mangling drops the type parameters of functions, but the compiler's *drop glue* has
//! its type in the name: `core::ptr::drop_in_place<tokio::runtime::task::core::Cell<F, S>>`. The
//! functions of a task's vtable call that of its cell. So the machine code of a vtable's functions
//! leads to the type of the task, without debug information.
//!
//! The compiler keeps functions with the same code once, and perhaps under one name. Then several
//! vtables lead to the same glue, and it names none of them.

use memscope_layout::Symbols;

use super::modules::{self, Module};
use crate::{
    alloc::cells,
    primitives::{order, reserve},
};

/// The most tables and calls that are looked at: a large program has some thousands.
const MOST: usize = 1 << 16;

/// How many calls may lead from a vtable's function to the glue. Optimised code has one.
const MOST_CALLS: u32 = 4;

/// Where the cells' glue begins, as an address in the file, and the type of the cell.
type Glue = (u64, String);

/// Looks for the types of tasks. Returns the vtables of `wanted` whose type is known, each with the
/// type of its cell: `tokio::runtime::task::core::Cell<F, S>`. Called by one thread at a time.
pub(super) fn cells_of(wanted: &[usize]) -> Vec<(usize, String)> {
    let Some(first) = wanted.first() else { return Vec::new() };
    let loaded = modules::loaded();
    let module = loaded.modules.iter().find(|it| it.file_address(*first).is_some());
    let file = module.and_then(|module| Some((module, module.open()?)));
    file.and_then(|(module, file)| search(module, &file, wanted)).unwrap_or_default()
}

fn search(module: &Module, file: &Symbols, wanted: &[usize]) -> Option<Vec<(usize, String)>> {
    // Functions and the vtables that lead to them.
    let mut reached: Vec<(u64, usize)> = Vec::new();
    cells::each_vtable(*wanted.first()?, |vtable, functions| {
        for function in functions.iter().filter_map(|it| module.file_address(*it)) {
            push(&mut reached, (function, vtable));
        }
    });
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let mut glue: Vec<Glue> = Vec::new();
    for _ in 0..MOST_CALLS {
        if reached.is_empty() {
            break;
        }
        let calls = calls_of(file, &mut reached)?;
        let mut next = Vec::new();
        let mut callees: Vec<u64> = calls.iter().map(|call| call.1).collect();
        order::by_key(&mut callees, |it| *it);
        callees.dedup();
        let mut is_inside = reserve::list(callees.len())?;
        is_inside.resize(callees.len(), false);
        let name = |index: usize, name: &str| {
            let callee = callees.get(index).copied().unwrap_or(0);
            match cell_of(name) {
                Some(cell) if !glue.iter().any(|it| it.0 == callee) => {
                    reserve::push(&mut glue, (callee, cell.to_owned()));
                }
                Some(_) => {}
                None => is_inside[index] = leads_on(name),
            }
        };
        file.find(&callees, name).ok()?;
        for (caller, callee) in calls {
            let from = reached.partition_point(|it| it.0 < caller);
            let vtables = reached.get(from..).unwrap_or_default();
            let is_glue = glue.iter().any(|it| it.0 == callee);
            let goes_on =
                callees.binary_search(&callee).is_ok_and(|at| is_inside.get(at) == Some(&true));
            for (_, vtable) in vtables.iter().take_while(|it| it.0 == caller) {
                if is_glue {
                    push(&mut ends, (callee, *vtable));
                } else if goes_on {
                    push(&mut next, (callee, *vtable));
                }
            }
        }
        reached = next;
    }
    Some(named(&mut ends, &glue, wanted))
}

/// The calls out of the functions that were reached, which are sorted here: caller and callee.
fn calls_of(file: &Symbols, reached: &mut Vec<(u64, usize)>) -> Option<Vec<(u64, u64)>> {
    order::by_key(reached, |it| *it);
    reached.dedup();
    let mut functions: Vec<u64> = reached.iter().map(|it| it.0).collect();
    functions.dedup();
    let mut calls = Vec::new();
    let call = |index: usize, callee| {
        if let Some(caller) = functions.get(index) {
            push(&mut calls, (*caller, callee));
        }
    };
    file.find_calls(&functions, call).ok()?;
    order::by_key(&mut calls, |it| *it);
    calls.dedup();
    Some(calls)
}

fn push<T>(list: &mut Vec<T>, item: T) {
    if list.len() < MOST {
        reserve::push(list, item);
    }
}

/// The type of each vtable: that of the one cell whose glue only this vtable leads to.
fn named(ends: &mut Vec<(u64, usize)>, glue: &[Glue], wanted: &[usize]) -> Vec<(usize, String)> {
    order::by_key(ends, |it| *it);
    ends.dedup();
    let is_own = |end: &&(u64, usize)| ends.iter().filter(|it| it.0 == end.0).count() == 1;
    let mut found = Vec::new();
    for vtable in wanted {
        let own = ends.iter().filter(|it| it.1 == *vtable).filter(is_own);
        let mut types =
            own.filter_map(|end| Some(glue.iter().find(|it| it.0 == end.0)?.1.as_str()));
        if let Some(cell) = types.next()
            && types.all(|it| it == cell)
        {
            reserve::push(&mut found, (*vtable, cell.to_owned()));
        }
    }
    found
}

/// Whether a function that is no glue may call that of a cell.
fn leads_on(name: &str) -> bool {
    name.contains("tokio::runtime::task::")
        || name.strip_prefix("core::mem::drop").is_some_and(|rest| !rest.starts_with(is_of_word))
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The type of the cell that this function drops, if it is the glue of one.
fn cell_of(symbol: &str) -> Option<&str> {
    let dropped = symbol.strip_prefix("core::ptr::drop_in_place")?;
    let dropped = dropped.strip_prefix("::").unwrap_or(dropped).strip_prefix('<')?;
    let dropped = dropped.strip_prefix("alloc::boxed::Box<").unwrap_or(dropped);
    let is_cell = dropped.starts_with("tokio::runtime::task::core::Cell<");
    // A cut name may lack the end of the type, as `…` says.
    (is_cell && dropped.ends_with('>')).then(|| dropped.trim_end_matches('>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glue_says_which_cell_it_drops() {
        const CELL: &str =
            "tokio::runtime::task::core::Cell<app::f::{{closure}},alloc::sync::Arc<S";
        for glue in [
            "core::ptr::drop_in_place<tokio::runtime::task::core::Cell<app::f::{{closure}},alloc::sync::Arc<S>>>",
            "core::ptr::drop_in_place<alloc::boxed::Box<tokio::runtime::task::core::Cell<app::f::{{closure}},alloc::sync::Arc<S>>>>",
            "core::ptr::drop_in_place::<tokio::runtime::task::core::Cell<app::f::{{closure}},alloc::sync::Arc<S>>>",
        ] {
            assert_eq!(cell_of(glue), Some(CELL), "{glue}");
        }
        for other in [
            "core::ptr::drop_in_place<tokio::runtime::task::core::Stage<app::f::{{closure}}>>",
            "core::ptr::drop_in_place<app::Holds<tokio::runtime::task::core::Cell<app::f,S>>>",
            "core::ptr::drop_in_place<tokio::runtime::task::core::Cell<app::f::{{clos…",
            "tokio::runtime::task::raw::dealloc",
        ] {
            assert_eq!(cell_of(other), None, "{other}");
        }
        for (name, leads) in [
            ("tokio::runtime::task::harness::Harness<T,S>::dealloc", true),
            ("core::mem::drop", true),
            ("core::mem::drop::<app::A>", true),
            ("core::mem::drop_all", false),
            ("app::serve", false),
        ] {
            assert_eq!(leads_on(name), leads, "{name}");
        }
    }

    #[test]
    fn glue_that_several_types_share_names_none_of_them() {
        let _work = crate::alloc::own_work::work();
        let glue = [(10, "a".to_owned()), (20, "b".to_owned()), (30, "c".to_owned())];
        let named = |ends: &[(u64, usize)]| named(&mut ends.to_vec(), &glue, &[1, 2, 3]);
        let expected = [(1, "a".to_owned()), (2, "b".to_owned())];
        assert_eq!(named(&[(10, 1), (20, 2), (10, 1)]), expected);
        assert_eq!(named(&[(10, 1), (20, 2), (30, 1)]), expected[1..], "one leads to two types");
        assert_eq!(named(&[(10, 1), (10, 3), (20, 2)]), expected[1..], "two lead to one");
        // The glue of the box is the type's own, although that of the cell is shared.
        assert_eq!(named(&[(30, 1), (30, 3), (10, 1), (20, 2)]), expected);
    }
}
