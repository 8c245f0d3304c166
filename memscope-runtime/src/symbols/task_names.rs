//! The names of unannotated tasks: the future that Tokio polls. The symbol of the poll function of
//! its type says it, or the stack of a task.

use super::{Lookup, call_at};
use crate::{
    alloc::{
        cells,
        unannotated::{
            self,
            stack_trace::{self, Named},
        },
    },
    config,
    model::{
        brackets::{first_argument, qualified, split_as, without_arguments},
        symbol::{self, is_wrapper, without_closures},
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
    stack_trace::each_waiting(|address| {
        if !call_at(address).is_settled {
            reserve::push(into, address);
        }
    });
}

/// Names all types and tasks whose functions were looked up.
pub(super) fn name_waiting() {
    for kind in cells::without_symbol().filter(|_| config::names()) {
        let call = call_at(kind.poll());
        match call.name {
            _ if !call.is_settled => {}
            Lookup::NotLookedUp => {}
            Lookup::Unknown => kind.has_no_symbol(false),
            Lookup::Known(symbol) => {
                let symbol = call.detail.typed.unwrap_or(symbol);
                match future_of(symbol) {
                    Some(name) => unannotated::name_type(kind, name),
                    // Where the function's type is kept, it is one without a name.
                    None => kind.has_no_symbol(symbol.contains('<')),
                }
            }
        }
    }
    stack_trace::name_waiting(|addresses| {
        let mut names: Vec<&'static str> = Vec::new();
        for address in addresses {
            let call = call_at(address);
            if !call.is_settled {
                return Named::NotYet;
            }
            if let Lookup::Known(name) = call.name {
                let own = call.detail.typed.unwrap_or(name);
                for name in call.detail.inlined.iter().copied().chain([own]) {
                    reserve::push(&mut names, name);
                }
            }
        }
        name_of(&names).map_or(Named::Never, |name| Named::By(name.to_owned()))
    });
}

/// Returns the name of the future that Tokio polls, or of the closure that it runs. `names`: of the
/// functions on the stack, innermost first.
///
/// The type parameter of Tokio's function says it, where the mangling keeps it. Otherwise it is the
/// outermost function that Tokio calls, wrappers excluded.
fn name_of<'n>(names: &[&'n str]) -> Option<&'n str> {
    let tokio = names.iter().position(|name| is_tokio(name))?;
    // Beyond it another task may be polled, inside of which this one is.
    let outermost = names[tokio..].iter().position(|name| name.contains("task::raw::poll"));
    let polled = &names[tokio..outermost.map_or(names.len(), |at| tokio + at + 1)];
    let by_type = polled.iter().filter(|name| is_tokio(name)).find_map(|name| future_of(name));
    by_type.or_else(|| {
        // What is inlined into Tokio's function is in no frame; an allocator is not what it calls.
        let inside = names[..tokio].iter().rposition(|name| symbol::is_allocator_entry(name));
        let mut called = names[inside.map_or(0, |entry| entry + 1)..tokio].iter().rev();
        let called = called.find(|name| !is_wrapper(name) || is_worker(name))?;
        (!is_worker(called)).then(|| future_name(called))
    })
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

/// Returns the future whose type is a parameter of Tokio's function.
fn future_of(tokio: &str) -> Option<&str> {
    let (_, function) = of_tokio(tokio)?;
    future_in(first_argument(function)?)
}

/// Looks through wrappers to the future that they hold.
fn future_in(mut name: &str) -> Option<&str> {
    // What a trait object holds, a name does not say.
    let is_type = |name: &str| !name.starts_with("dyn ") && !name.starts_with(['(', '[', '&', '*']);
    while is_type(name) && is_wrapper(name) {
        name = first_argument(name)?;
    }
    // A parameter that is only a letter was not kept.
    (is_type(name) && name.contains("::")).then(|| future_name(name))
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
    without_closures(of)
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
            assert_eq!(name_of(names), expected, "{names:?}");
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
            ("T", None),
        ] {
            assert_eq!(future_of(&core(parameter)), expected, "{parameter}");
        }
    }
}
