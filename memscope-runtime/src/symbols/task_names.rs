//! The names of unannotated tasks: the future that Tokio polls. The symbol of the poll function of
//! its type says it, or the stack of a task.

use std::ops::Range;

use super::{Lookup, call_at, drop_glue};
use crate::{
    alloc::{
        cells::{self, CellType},
        unannotated::{
            self,
            stack_trace::{self, Call, Named},
        },
    },
    config,
    model::{
        brackets::{first_argument, qualified, split_as, without_arguments},
        symbol::{self, is_wrapper, without_closures},
        text,
    },
    primitives::reserve,
};

/// How many tasks and types wait for their names.
pub(super) fn waiting() -> u64 {
    let types = if config::names() { cells::without_symbol().count() as u64 } else { 0 };
    stack_trace::waiting_count() + types
}

/// The poll functions of types without a name, and the addresses in the stacks of tasks that wait
/// for one.
pub(super) fn addresses(into: &mut Vec<usize>) {
    if config::names() {
        for kind in cells::without_symbol() {
            reserve::push(into, kind.poll());
        }
    }
    stack_trace::each_waiting(|call| {
        for address in [Some(call.address), call.callee].into_iter().flatten() {
            if !call_at(address).is_named {
                reserve::push(into, address);
            }
        }
    });
}

/// Names all types and tasks whose functions were looked up.
pub(super) fn name_waiting() {
    if config::names() {
        name_types();
    }
    stack_trace::name_waiting(|calls| {
        let mut names: Vec<&'static str> = Vec::new();
        let mut callees: Vec<Option<&'static str>> = Vec::new();
        for Call { address, callee } in calls {
            let place = call_at(address);
            let callee = callee.map(call_at);
            if !place.is_named || callee.is_some_and(|callee| !callee.is_named) {
                return Named::NotYet;
            }
            let Some(own) = function_in(&place) else { continue };
            let mut callee = callee.as_ref().and_then(function_in);
            for name in place.detail.inlined.iter().map(|it| it.name).chain([own]) {
                if reserve::grow(&mut callees) && reserve::push(&mut names, name) {
                    callees.push(callee);
                    // What encloses it calls no other.
                    callee = Some(name);
                }
            }
        }
        let Some(found) = name_of(&names) else { return Named::Never };
        let is_of_type = found.calls.is_none_or(|mut calls| {
            calls.all(|at| callees.get(at + 1).copied().flatten() == names.get(at).copied())
        });
        Named::By { name: found.name.to_owned(), is_of_type }
    });
}

/// Names the types whose poll function was looked up: by its type parameters, or else by the
/// function that drops such a task.
fn name_types() {
    let mut untyped: Vec<&'static CellType> = Vec::new();
    for kind in cells::without_symbol() {
        let call = call_at(kind.poll());
        if !call.is_named {
            continue;
        }
        match function_in(&call) {
            Some(symbol) if type_of(symbol).is_some() || symbol.contains('<') => {
                name_type(kind, symbol);
            }
            _ if reserve::push(&mut untyped, kind) => {}
            _ => kind.has_no_symbol(false),
        }
    }
    let vtables: Vec<usize> = untyped.iter().map(|kind| kind.vtable()).collect();
    let found = drop_glue::cells_of(&vtables);
    for kind in untyped {
        match found.iter().find(|cell| cell.0 == kind.vtable()) {
            Some((_, cell)) if type_of(cell).is_some() => name_type(kind, cell),
            _ => kind.has_no_symbol(false),
        }
    }
}

/// Names a type by a function or a type of Tokio's that has the future as its first parameter.
fn name_type(kind: &'static CellType, tokio: &str) {
    if let Some(future) = type_of(tokio) {
        kind.note_future(&text::type_name(future));
    }
    match future_of(tokio) {
        Some(name) => unannotated::name_type(kind, name),
        // Its type is one without a name.
        None => kind.has_no_symbol(true),
    }
}

/// The function at a place in the code, with its type parameters where they are known.
fn function_in(place: &super::Call) -> Option<&'static str> {
    match place.name {
        Lookup::Known(name) => Some(place.detail.typed.unwrap_or(name)),
        _ => None,
    }
}

/// The name of a task, found on its stack.
#[derive(Debug, PartialEq, Eq)]
struct Found<'n> {
    name: &'n str,
    /// The functions from the one that it names to the one that Tokio's calls. `None`: a type
    /// parameter of Tokio's function says the name.
    calls: Option<Range<usize>>,
}

/// Returns the name of the future that Tokio polls, or of the closure that it runs. `names`: of the
/// functions on the stack, innermost first.
///
/// The type parameter of Tokio's function says it, where the mangling keeps it. Otherwise it is the
/// outermost function that Tokio's calls, wrappers excluded.
fn name_of<'n>(names: &[&'n str]) -> Option<Found<'n>> {
    let tokio = names.iter().position(|name| is_tokio(name))?;
    // Beyond it another task may be polled, inside of which this one is.
    let outermost = names[tokio..].iter().position(|name| name.contains("task::raw::poll"));
    let polled = &names[tokio..outermost.map_or(names.len(), |at| tokio + at + 1)];
    let by_type = polled.iter().filter(|name| is_tokio(name)).find_map(|name| future_of(name));
    if let Some(name) = by_type {
        return Some(Found { name, calls: None });
    }
    // What is inlined into Tokio's function is in no frame; an allocator is not what it calls.
    let inside = names[..tokio].iter().rposition(|name| symbol::is_allocator_entry(name));
    let first = inside.map_or(0, |entry| entry + 1);
    let is_named = |name: &&str| !is_wrapper(name) || is_worker(name);
    let called = first + names[first..tokio].iter().rposition(is_named)?;
    let name = *names.get(called)?;
    // A wrapper that holds several futures says that tasks of the type differ.
    let is_choice = names[called..tokio].iter().any(|name| holds_several(name));
    let calls = if is_choice { called..names.len() } else { called..tokio };
    (!is_worker(name)).then(|| Found { name: future_name(name), calls: Some(calls) })
}

/// Returns whether this is a frame of Tokio that polls a future or runs a closure.
fn is_tokio(name: &str) -> bool {
    match of_tokio(name) {
        // Excludes the frames in which a task spawns another one.
        Some((TASK, function)) => without_arguments(function).contains("poll"),
        Some(_) => true,
        None => false,
    }
}

const TASK: &str = "tokio::runtime::task::";
const BLOCKING: &str = "tokio::runtime::blocking::";

/// Returns the module of Tokio that a function is in, and the rest of its name.
fn of_tokio(name: &str) -> Option<(&'static str, &str)> {
    let name = name.trim_start_matches(['<', '&']);
    [TASK, BLOCKING].into_iter().find_map(|module| Some((module, name.strip_prefix(module)?)))
}

/// Returns the type of the future that is a parameter of Tokio's function.
fn type_of(tokio: &str) -> Option<&str> {
    let (_, function) = of_tokio(tokio)?;
    // A parameter that is only a letter was not kept.
    first_argument(function).filter(|name| name.contains("::"))
}

/// Returns the name of the future whose type is a parameter of Tokio's function.
fn future_of(tokio: &str) -> Option<&str> {
    future_in(type_of(tokio)?)
}

/// Looks through wrappers to the future that they hold.
fn future_in(mut name: &str) -> Option<&str> {
    // What a trait object holds, a name does not say.
    let is_type = |name: &str| !name.starts_with("dyn ") && !name.starts_with(['(', '[', '&', '*']);
    while is_type(name) && is_wrapper(name) {
        if holds_several(name) {
            break;
        }
        name = first_argument(name)?;
    }
    (is_type(name) && name.contains("::")).then(|| future_name(name))
}

/// Returns whether this is a wrapper that holds several futures: its type does not say which of
/// them runs.
fn holds_several(name: &str) -> bool {
    const SEVERAL: [&str; 9] = [
        "either::Either<",
        "join::Join",
        "race::Race",
        "select::Select<",
        "select_all::SelectAll<",
        "select_ok::SelectOk<",
        "try_join::TryJoin",
        "try_select::TrySelect<",
        "join_all::JoinAll<",
    ];
    let name = name.trim_start_matches(['<', '&', '*', '(', '[']);
    let path = name.find('<').map_or(name, |end| &name[..=end]);
    is_wrapper(name) && SEVERAL.iter().any(|it| path.contains(it))
}

/// Returns whether this is a function of Tokio's schedulers: then the task is a worker of Tokio's.
fn is_worker(name: &str) -> bool {
    name.trim_start_matches('<').starts_with("tokio::runtime::scheduler::")
}

/// Shortens a symbol to the name of the future:
/// `<hyper::Connection<I, S> as core::future::future::Future>::poll` is `hyper::Connection<I, S>`,
/// and the body of an async function is the function.
fn future_name(symbol: &str) -> &str {
    let of = match qualified(symbol).map(|(inside, _)| split_as(inside)) {
        Some((of, Some(_))) => of,
        _ => symbol,
    };
    let name = without_closures(of);
    // The type parameters of an async function are those of its type; stacks do not show them.
    if name.len() == of.len() { name } else { without_last_arguments(name) }
}

/// Leaves out the type parameters at the end of a function's name.
fn without_last_arguments(name: &str) -> &str {
    let (mut depth, mut last, mut start) = (0_usize, ' ', None);
    for (at, character) in name.char_indices() {
        match character {
            '<' => {
                if depth == 0 {
                    start = Some(at);
                }
                depth += 1;
            }
            '>' if last != '-' => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = character;
    }
    match start {
        Some(start) if start != 0 && depth == 0 && name.ends_with('>') => {
            name[..start].trim_end_matches("::")
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_is_named_as_it_is_written() {
        for (symbol, name) in [
            ("app::serve::{{closure}}", "app::serve"),
            ("app::serve::{{closure}}::{{closure}}", "app::serve"),
            ("app::serve::{closure#0}::{closure#12}", "app::serve"),
            (
                "<hyper::server::Connection<I,S> as core::future::future::Future>::poll",
                "hyper::server::Connection<I,S>",
            ),
            ("<app::A<<B as b::C>::D> as core::future::Future>::poll", "app::A<<B as b::C>::D>"),
            ("app::work", "app::work"),
            ("app::work<tokio::A,fn() -> u8>::{{closure}}", "app::work"),
            ("app::work::<tokio::A, fn() -> u8>::{closure#0}", "app::work"),
            ("<app::Server<T>>::{closure#0}", "<app::Server<T>>"),
        ] {
            assert_eq!(future_name(symbol), name);
        }
    }

    #[test]
    fn a_task_that_spawns_another_is_named_by_what_polls_it() {
        assert!(is_tokio("tokio::runtime::task::core::Core<T,S>::poll::{{closure}}"));
        assert!(is_tokio("<tokio::runtime::blocking::task::BlockingTask<T> as Future>::poll"));
        assert!(!is_tokio("tokio::runtime::task::core::Cell<T,S>::new"));
        assert!(!is_tokio("tokio::runtime::task::list::OwnedTasks<S>::bind"));
        assert!(is_tokio("<tokio::runtime::task::core::Core<app::f, S>>::poll::{closure#0}"));
        assert!(!is_tokio("<tokio::runtime::task::core::Cell<app::poll_it::{closure#0}, S>>::new"));
        assert!(!is_tokio("<app::Of<tokio::runtime::task::JoinHandle>>::poll"));
    }

    #[test]
    fn a_stack_has_the_name_of_what_tokio_polls() {
        const LEGACY: &str = "tokio::runtime::task::raw::poll";
        const V0: &str =
            "tokio::runtime::task::raw::poll::<app::serve::{closure#0}, alloc::sync::Arc<S>>";
        for (names, expected) in [
            (&["malloc", "app::read", "app::serve::{{closure}}", LEGACY][..], Some("app::serve")),
            (&["malloc", "app::read", LEGACY], Some("app::read")),
            (&["malloc", "alloc::vec::Vec<T>::push", LEGACY], None),
            (&["malloc", "alloc::vec::Vec<T>::push", V0], Some("app::serve")),
            (&["malloc", "<app::Count as core::alloc::global::GlobalAlloc>::alloc", LEGACY], None),
            (&["app::serve::{{closure}}"], None),
            (
                &[
                    "malloc",
                    "app::work",
                    "<tokio::runtime::blocking::task::BlockingTask<T> as \
              core::future::future::Future>::poll",
                    LEGACY,
                ],
                Some("app::work"),
            ),
            (&["tokio::runtime::task::core::Core<T,S>::poll", "app::other"], None),
            (
                &[
                    "pthread_cond_wait",
                    "parking_lot::condvar::Condvar::wait",
                    "tokio::runtime::scheduler::multi_thread::worker::run",
                    "<tokio::runtime::blocking::task::BlockingTask<T> as Future>::poll",
                    LEGACY,
                ],
                None,
            ),
            (&["malloc", LEGACY, "tokio::task::local::LocalSet::tick", V0], None),
        ] {
            assert_eq!(name_of(names).map(|found| found.name), expected, "{names:?}");
        }
    }

    #[test]
    fn the_parameters_of_tokios_functions_are_looked_through() {
        let core = |of: &str| format!("<tokio::runtime::task::core::Core<{of}, S>>::poll");
        for (parameter, expected) in [
            ("app::serve::{closure#0}", Some("app::serve")),
            ("app::Connection<u8, fn() -> u8>", Some("app::Connection<u8, fn() -> u8>")),
            ("core::pin::Pin<alloc::boxed::Box<app::serve::{closure#0}>>", Some("app::serve")),
            ("futures_util::future::Map<app::serve::{closure#0}, app::f>", Some("app::serve")),
            (
                "core::pin::Pin<alloc::boxed::Box<futures_util::future::either::Either<app::f, app::g>>>",
                Some("futures_util::future::either::Either<app::f, app::g>"),
            ),
            ("tokio::runtime::blocking::task::BlockingTask<app::f::{closure#1}>", Some("app::f")),
            (
                "core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future<Output = ()>>>",
                None,
            ),
            ("core::pin::Pin<alloc::boxed::Box<dyn app::Service<Future = app::f>>>", None),
            ("core::pin::Pin<dyn core::future::Future<Output = app::f>>", None),
            ("(app::f, app::g)", None),
            (
                "futures_util::future::join::Join<app::f::{closure#0}, app::g::{closure#0}>",
                Some("futures_util::future::join::Join<app::f::{closure#0}, app::g::{closure#0}>"),
            ),
            ("tracing::instrument::Instrumented<app::serve::{closure#0}>", Some("app::serve")),
            (
                "futures_util::future::try_future::MapErr<app::serve::{closure#0}, app::f>",
                Some("app::serve"),
            ),
            ("tokio::time::timeout::Timeout<app::serve::{closure#0}>", Some("app::serve")),
            (
                "core::panic::unwind_safe::AssertUnwindSafe<app::serve::{closure#0}>",
                Some("app::serve"),
            ),
            (
                "hyper_util::server::conn::auto::UpgradeableConnection<I, S>",
                Some("hyper_util::server::conn::auto::UpgradeableConnection<I, S>"),
            ),
            ("T", None),
        ] {
            assert_eq!(future_of(&core(parameter)), expected, "{parameter}");
        }
    }
}
