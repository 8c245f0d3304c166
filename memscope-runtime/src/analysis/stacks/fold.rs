//! Folds a stack to the functions of the program: runs of frames between them become a number.

use crate::model::{
    StackFrame,
    human::of_crate,
    symbol::{Code, short},
};

/// A file and a line in it.
pub(crate) type Place = (String, u32);

/// A piece of a folded stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fold {
    /// A function; the address if the name is not known. And the place of the innermost call in it,
    /// if that is known: a library's file begins with its crate.
    Function(String, Option<Place>),
    /// This many frames of libraries or runtimes, or frames beyond the last that is shown.
    Folded(u64),
}

/// The innermost function that is not the standard library's: the code that allocates. Then those
/// of its callers that are neither the standard library's nor an executor's, the innermost first.
/// What stands between them is counted.
///
/// Calls of one function by itself, and closures in it, are shown as one. At most `most` functions
/// are shown.
pub(crate) fn fold(frames: &[StackFrame], most: usize) -> Vec<Fold> {
    let mut folds: Vec<Fold> = Vec::new();
    let mut shown = 0;
    let code = |frame: &StackFrame| match &*frame.function {
        "" => None,
        name => Some(Code::of_call(name, frame.file.as_deref())),
    };
    let has_own = frames.iter().any(|frame| code(frame) == Some(Code::Other));
    for frame in frames {
        let code = code(frame);
        let name = code.map_or_else(|| frame.to_string(), |_| short(&frame.function));
        let is_first = shown == 0;
        let is_wanted = match code {
            Some(Code::Other) => true,
            // The frame in which the stack leaves the standard library.
            Some(Code::Runtime) => is_first,
            Some(Code::Standard | Code::Allocator) => false,
            // Without any name, the addresses are all there is.
            None => !has_own,
        };
        if !is_wanted || shown == most {
            if !is_first || code.is_none() {
                count(&mut folds);
            }
            continue;
        }
        let is_same = matches!(folds.last(), Some(Fold::Function(last, _)) if *last == name);
        if !is_same {
            let place = frame.file.as_deref().zip(frame.line);
            let place = place.map(|(file, line)| (of_crate(file).to_owned(), line));
            folds.push(Fold::Function(name, place));
            shown += 1;
        }
    }
    folds
}

fn count(folds: &mut Vec<Fold>) {
    match folds.last_mut() {
        Some(Fold::Folded(frames)) => *frames += 1,
        _ => folds.push(Fold::Folded(1)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stack(functions: &[&str]) -> Vec<StackFrame> {
        let frames = functions.iter().zip(1..).map(|(function, address)| StackFrame {
            function: (*function).to_owned().into(),
            address,
            offset: Some(address),
            ..StackFrame::default()
        });
        frames.collect()
    }

    /// `a ← b ← …3`.
    fn shown(functions: &[&str]) -> String {
        let folds = fold(&stack(functions), 5);
        let words = folds.iter().map(|fold| match fold {
            Fold::Function(name, None) => name.clone(),
            Fold::Function(name, Some((file, line))) => format!("{name} ({file}:{line})"),
            Fold::Folded(frames) => format!("…{frames}"),
        });
        words.collect::<Vec<_>>().join(" ← ")
    }

    #[test]
    fn an_axum_handler_stands_above_all_that_calls_it() {
        let legacy = [
            "__rustc::__rust_alloc",
            "alloc::raw_vec::RawVecInner<A>::try_allocate_in",
            "alloc::vec::Vec<T>::with_capacity",
            "shop::cache::Cache::insert",
            "shop::orders::create::{{closure}}",
            "<F as axum::handler::Handler<(M,T1,T2),S>>::call::{{closure}}",
            "<core::pin::Pin<P> as core::future::future::Future>::poll",
            "<futures_util::future::future::map::Map<Fut,F> as core::future::future::Future>::poll",
            "<hyper::proto::h1::dispatch::Dispatcher<D,Bs,I,T> as core::future::future::Future>::poll",
            "tokio::runtime::task::raw::poll",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "start_thread",
        ];
        assert_eq!(shown(&legacy), "shop::cache::Cache::insert ← shop::orders::create ← …7");
        let v0 = [
            "<alloc::vec::Vec<u8>>::with_capacity",
            "<shop::cache::Cache>::insert",
            "shop::orders::create::{closure#0}",
            "<shop::orders::create as axum::handler::Handler<((axum::Json<shop::Order>,),), S>>::call::{closure#0}",
            "<core::pin::Pin<alloc::boxed::Box<dyn core::future::future::Future<Output = ()>>> as core::future::future::Future>::poll",
            "tokio::runtime::task::raw::poll::<shop::main::{closure#0}, alloc::sync::Arc<tokio::runtime::scheduler::multi_thread::handle::Handle>>",
        ];
        assert_eq!(
            shown(&v0),
            "shop::cache::Cache::insert ← shop::orders::create ← shop::orders::create::call ← …2"
        );
    }

    #[test]
    fn runtimes_between_functions_of_the_program_are_counted() {
        let stack = [
            "alloc::alloc::alloc",
            "shop::encode",
            "serde_json::to_vec",
            "core::ops::function::FnOnce::call_once",
            "tower::util::oneshot::Oneshot::poll",
            "shop::serve",
            "shop::main",
            "std::rt::lang_start",
            "main",
        ];
        assert_eq!(
            shown(&stack),
            "shop::encode ← serde_json::to_vec ← …2 ← shop::serve ← shop::main ← …2"
        );
    }

    #[test]
    fn what_a_runtime_allocates_for_itself_is_shown_as_the_runtimes() {
        let stack = [
            "alloc::boxed::Box<T>::new",
            "tokio::runtime::task::core::Cell<T,S>::new",
            "tokio::runtime::task::new_task",
            "tokio::task::spawn::spawn",
            "shop::accept::{{closure}}",
            "tokio::runtime::task::raw::poll",
        ];
        assert_eq!(shown(&stack), "tokio::runtime::task::core::Cell::new ← …2 ← shop::accept ← …1");
        assert_eq!(
            shown(&["alloc::alloc::alloc", "tokio::runtime::io::driver::Driver::new", "main"]),
            "tokio::runtime::io::driver::Driver::new ← …1"
        );
    }

    #[test]
    fn a_function_has_the_place_of_its_innermost_call() {
        let frames = [("app::walk::{{closure}}", 7), ("app::walk", 9), ("app::main", 3)];
        let frames = frames.map(|(function, line)| StackFrame {
            function: function.into(),
            file: Some("src/a.rs".into()),
            line: Some(line),
            ..StackFrame::default()
        });
        let place = |line| Some(("src/a.rs".to_owned(), line));
        let folds = [("app::walk", 7), ("app::main", 3)];
        let folds = folds.map(|(name, line)| Fold::Function(name.to_owned(), place(line)));
        assert_eq!(fold(&frames, 5), folds);
    }

    #[test]
    fn recursion_and_closures_are_shown_once_and_five_functions_at_most() {
        let same = ["app::walk", "app::walk::{{closure}}", "app::walk", "app::main"];
        assert_eq!(shown(&same), "app::walk ← app::main");
        let many = ["a::a", "b::b", "c::c", "d::d", "e::e", "f::f", "g::g"];
        assert_eq!(shown(&many), "a::a ← b::b ← c::c ← d::d ← e::e ← …2");
    }

    #[test]
    fn without_names_there_are_addresses_and_beside_names_they_are_counted() {
        assert_eq!(shown(&["", "alloc::alloc::alloc", ""]), "program+0x1 ← …1 ← program+0x3");
        assert_eq!(shown(&["", "", "app::fill", "", "main"]), "…2 ← app::fill ← …2");
        assert_eq!(shown(&[]), "");
    }

    proptest! {
        #[test]
        fn each_frame_is_shown_or_counted_or_inside_of_the_first(
            names in prop::collection::vec(r"(app|tokio|std|alloc|c)?(::)?[<>:a-z{}# ]{0,12}", 0..40)
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let folds = fold(&stack(&names), 5);
            let functions = folds.iter().filter(|fold| matches!(fold, Fold::Function(..))).count();
            let folded: u64 = folds.iter().map(|fold| match fold {
                Fold::Folded(frames) => *frames,
                Fold::Function(..) => 0,
            }).sum();
            prop_assert!(functions <= 5);
            prop_assert!(functions as u64 + folded <= names.len() as u64);
        }
    }
}
