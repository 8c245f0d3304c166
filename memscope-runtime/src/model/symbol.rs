//! Names of functions as symbols have them: whose code they are, and a short form.
//!
//! Both manglings are read in their demangled form: `<app::Cache as core::ops::drop::Drop>::drop`
//! and `app::serve::{{closure}}` (legacy), `<app::Cache>::fill::<u8>` and
//! `app::serve::{closure#0}` (v0).

use super::brackets::{qualified, split_as, without_arguments};

/// Whose code a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A function of memscope or another allocator, or one that the compiler puts around them.
    Allocator,
    /// A function of the standard library, the C library or the language's runtime.
    Standard,
    /// A function of an executor, or of a framework that calls the program's code.
    Runtime,
    /// Any other: the program's, or a library's that it calls.
    Other,
}

/// Whether the function is an entry of the allocator: code calls it to get memory.
pub(crate) fn is_allocator_entry(name: &str) -> bool {
    let rest = name.strip_prefix("__rustc::").unwrap_or(name);
    let functions = ["alloc", "alloc_zeroed", "realloc"];
    rest.strip_prefix("__rust_").is_some_and(|function| functions.contains(&function))
        || name.contains(" as core::alloc::global::GlobalAlloc>::")
}

/// The most calls of a stack among which the outermost allocator's entry is looked for.
pub(crate) const MOST_ALLOCATOR_CALLS: usize = 32;

/// How many calls of a stack are inside of allocators: those up to the entry of the outermost
/// allocator, if it is near, and those of memscope. Names are empty where they are not known.
pub(crate) fn allocator_calls(names: &[&str]) -> usize {
    let mut near = names.iter().take(MOST_ALLOCATOR_CALLS);
    let first = near.rposition(|name| is_allocator_entry(name)).map_or(0, |entry| entry + 1);
    let is_own = |name: &&&str| !name.is_empty() && Code::of(name) == Code::Allocator;
    first + names.iter().skip(first).take_while(is_own).count()
}

const STANDARD: [&str; 12] = [
    "alloc",
    "compiler_builtins",
    "core",
    "hashbrown",
    "panic_unwind",
    "proc_macro",
    "rustc_std_workspace_alloc",
    "rustc_std_workspace_core",
    "rustc_std_workspace_std",
    "std",
    "std_detect",
    "test",
];

/// Crates that run or wrap futures, threads and requests. A name that ends in `_` stands for all
/// that begin with it.
const RUNTIME: [&str; 27] = [
    "actix_",
    "async_executor",
    "async_io",
    "async_std",
    "async_task",
    "axum",
    "axum_",
    "futures",
    "futures_",
    "h2",
    "http_body",
    "http_body_",
    "hyper",
    "hyper_",
    "matchit",
    "mio",
    "pin_project",
    "pin_project_",
    "rayon",
    "rayon_",
    "smol",
    "tokio",
    "tokio_",
    "tonic",
    "tower",
    "tower_",
    "tracing",
];

/// Crates, of the list above and others, whose futures have no name of their own, because they wrap
/// a program's futures.
#[cfg_attr(
    not(all(feature = "symbols", feature = "tokio")),
    allow(dead_code, reason = "for the names of tasks")
)]
const WRAPPERS: [&str; 7] =
    ["async_std", "bytes", "futures", "futures_", "tokio", "tokio_", "tracing"];

fn is_of(list: &[&str], name: &str) -> bool {
    list.iter().any(|entry| *entry == name || (entry.ends_with('_') && name.starts_with(entry)))
}

/// Whether a type or function stands between an executor and a program's future and has no name of
/// its own. Such code is the standard library's, memscope's, or that of a crate of wrappers.
#[cfg_attr(
    not(all(feature = "symbols", feature = "tokio")),
    allow(dead_code, reason = "for the names of tasks")
)]
pub(crate) fn is_wrapper(name: &str) -> bool {
    // Functions of the C library, and symbols without a path.
    let Some(owner) = owner(name.trim_start_matches(['&', '*', '(', '['])) else { return true };
    matches!(Code::of_crate(owner), Code::Allocator | Code::Standard) || is_of(&WRAPPERS, owner)
}

impl Code {
    /// Whose code a call is. Line tables name functions without a path; then the file tells it.
    pub(crate) fn of_call(name: &str, file: Option<&str>) -> Self {
        match file {
            Some(file) if !name.contains("::") => Self::of_file(file),
            _ => Self::of(name),
        }
    }

    fn of_file(file: &str) -> Self {
        let file = file.replace('\\', "/");
        // Cargo's folder of a crate is `NAME-1.2.3`.
        let is_version = |it: &str| it.starts_with(|digit: char| digit.is_ascii_digit());
        let name_of = |folder: &str| {
            let (name, _) = folder.rsplit_once('-').filter(|(_, it)| is_version(it))?;
            Some(name.replace('-', "_"))
        };
        if file.starts_with("/rustc/") || file.contains("/rustlib/src/rust/library/") {
            return Self::Standard;
        }
        // `registry/src/INDEX/NAME-1.2.3/…`.
        let folder = file.split('/').skip_while(|it| *it != "registry").nth(3);
        folder.and_then(name_of).map_or(Self::Other, |name| Self::of_crate(&name))
    }

    /// Whose code the function of this name is.
    pub(crate) fn of(name: &str) -> Self {
        if is_allocator_entry(name) {
            return Self::Allocator;
        }
        let Some(owner) = owner(name) else { return Self::Standard };
        Self::of_crate(owner)
    }

    fn of_crate(name: &str) -> Self {
        if ["memscope_runtime", "memscope_rs", "__rustc"].contains(&name) {
            Self::Allocator
        } else if is_of(&STANDARD, name) {
            Self::Standard
        } else if is_of(&RUNTIME, name) {
            Self::Runtime
        } else {
            Self::Other
        }
    }
}

/// The crate whose code it is. `None` for a function without a path, as C has them.
///
/// A method of a trait is code of the type's crate or of the trait's crate. Of the two it is the
/// one that is not the standard library's.
pub(crate) fn owner(name: &str) -> Option<&str> {
    let Some((qualified, _)) = qualified(name) else {
        let end = name.find("::")?;
        return is_word(&name[..end]).then_some(&name[..end]);
    };
    let (of, implemented) = split_as(qualified);
    let of = krate(of);
    let implemented = implemented.and_then(krate);
    match (of, implemented) {
        (Some(of), Some(implemented)) if Code::of_crate(of) == Code::Standard => Some(implemented),
        (of, implemented) => of.or(implemented).or(Some("core")),
    }
}

/// The most levels at which types within types are looked at.
const MOST_DEPTH: usize = 8;

/// The crate that a type or trait is of; `None` for type parameters, tuples and the like.
fn krate(path: &str) -> Option<&str> {
    krate_within(path, MOST_DEPTH)
}

fn krate_within(path: &str, depth: usize) -> Option<&str> {
    let depth = depth.checked_sub(1)?;
    let mut path = path.trim_start();
    loop {
        let before = path;
        for prefix in ["&", "*const ", "*mut ", "mut ", "dyn ", "[", "("] {
            path = path.strip_prefix(prefix).unwrap_or(path).trim_start();
        }
        // `'a ` behind a reference.
        if let Some((lifetime, rest)) = path.split_once(' ')
            && lifetime.starts_with('\'')
        {
            path = rest;
        }
        if path == before {
            break;
        }
    }
    if let Some((inner, _)) = qualified(path) {
        let (of, implemented) = split_as(inner);
        let implemented = || implemented.and_then(|path| krate_within(path, depth));
        return krate_within(of, depth).or_else(implemented);
    }
    let word = path.find("::").map_or("", |end| &path[..end]);
    is_word(word).then_some(word)
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|it| it.is_alphanumeric() || it == '_')
}

/// The name without generic arguments, closures and hash: `app::Cache::fill`.
///
/// The body of an async function is a closure in it, and is named like the function. A method of a
/// trait is named by its type, or by the trait if the type is of the standard library.
pub(crate) fn short(name: &str) -> String {
    short_within(without_hash(name), MOST_DEPTH)
}

fn short_within(name: &str, depth: usize) -> String {
    let short = match qualified(name) {
        Some((inside, rest)) => {
            let (of, implemented) = split_as(inside);
            let has_crate = krate(of).is_some_and(|of| Code::of_crate(of) != Code::Standard);
            let shown = match implemented {
                Some(implemented) if !has_crate && krate(implemented).is_some() => implemented,
                _ => of,
            };
            // A type within a type, as `<<app::A as app::B>::C as core::fmt::Debug>`.
            let shown = if shown.starts_with('<') && depth != 0 {
                short_within(shown, depth - 1)
            } else {
                without_arguments(shown)
            };
            shown + &without_arguments(rest)
        }
        None => without_arguments(name),
    };
    without_closures(&short).to_owned()
}

/// The name without the closures at its end. The body of an async function is a closure in it.
pub(crate) fn without_closures(mut name: &str) -> &str {
    let is_closure = |last: &str| last.starts_with('{') && last.ends_with('}');
    while let Some((outer, _)) =
        name.rsplit_once("::").filter(|it| !it.0.is_empty() && is_closure(it.1))
    {
        name = outer;
    }
    name
}

/// Whether two names are of one function in the source, whatever type parameters they show.
pub fn same_function(one: &str, other: &str) -> bool {
    short(one) == short(other)
}

/// Legacy symbols end with `::h` and sixteen digits, if they are not demangled in the short form.
pub(crate) fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash)) if hash.len() == 16 && hash.chars().all(|it| it.is_ascii_hexdigit()) => {
            path
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn code_is_of_the_crate_that_wrote_it() {
        for (name, code) in [
            // Legacy mangling.
            ("alloc::raw_vec::finish_grow", Code::Standard),
            ("alloc::vec::Vec<T,A>::reserve::h0123456789abcdef", Code::Standard),
            (
                "<alloc::vec::Vec<T> as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
                Code::Standard,
            ),
            ("app::cache::Cache::fill::h0123456789abcdef", Code::Other),
            ("app::serve::{{closure}}", Code::Other),
            ("<app::Cache as core::ops::drop::Drop>::drop", Code::Other),
            ("<alloc::vec::Vec<u8> as app::Encode>::encode", Code::Other),
            ("<&mut T as app::Encode>::encode", Code::Other),
            (
                "<hyper::server::conn::http1::Connection<I,S> as core::future::future::Future>::poll",
                Code::Runtime,
            ),
            ("<F as axum::handler::Handler<(M,T1),S>>::call", Code::Runtime),
            ("<core::pin::Pin<P> as core::future::future::Future>::poll", Code::Standard),
            (
                "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
                Code::Standard,
            ),
            ("core::ops::function::FnOnce::call_once{{vtable.shim}}", Code::Standard),
            ("tokio::runtime::task::raw::poll", Code::Runtime),
            (
                "<futures_util::future::future::map::Map<Fut,F> as core::future::future::Future>::poll",
                Code::Runtime,
            ),
            ("tower_http::trace::future::ResponseFuture::poll", Code::Runtime),
            ("__rustc::__rust_alloc", Code::Allocator),
            ("memscope_runtime::alloc::allocator::alloc", Code::Allocator),
            ("<app::Counting as core::alloc::global::GlobalAlloc>::alloc", Code::Allocator),
            ("<T as core::convert::Into<U>>::into", Code::Standard),
            ("serde_json::value::to_value", Code::Other),
            // v0 mangling.
            ("<app::Cache>::fill::<u8>", Code::Other),
            ("app::serve::{closure#0}", Code::Other),
            ("<alloc::vec::Vec<app::Row>>::push", Code::Standard),
            (
                "<alloc::vec::Vec<app::Row> as core::iter::traits::collect::Extend<app::Row>>::extend::<I>",
                Code::Standard,
            ),
            ("core::ptr::drop_in_place::<app::Cache>", Code::Standard),
            (
                "tokio::runtime::task::raw::poll::<app::serve::{closure#0}, alloc::sync::Arc<S>>",
                Code::Runtime,
            ),
            (
                "<core::pin::Pin<&mut app::serve::{closure#0}> as core::future::future::Future>::poll",
                Code::Standard,
            ),
            (
                "<fn(&str) -> app::Row as core::ops::function::FnOnce<(&str,)>>::call_once",
                Code::Standard,
            ),
            ("<dyn app::Handler as app::HandlerExt>::go", Code::Other),
            ("<(app::A, u8) as core::fmt::Debug>::fmt", Code::Other),
            // C.
            ("main", Code::Standard),
            ("__libc_start_main", Code::Standard),
            ("_start", Code::Standard),
            ("", Code::Standard),
        ] {
            assert_eq!(Code::of(name), code, "{name}");
        }
    }

    #[test]
    fn a_function_without_a_path_is_judged_by_its_file() {
        for (file, code) in [
            ("/rustc/0123abcd/library/core/src/hint.rs", Code::Standard),
            (
                "/root/.cargo/registry/src/index-1a2b/tokio-1.54.0/src/runtime/task/raw.rs",
                Code::Runtime,
            ),
            ("/root/.cargo/registry/src/index-1a2b/tower-http-0.6.1/src/lib.rs", Code::Runtime),
            ("/root/.cargo/registry/src/index-1a2b/serde_json-1.0.154/src/de.rs", Code::Other),
            ("/build/memscope-runtime/src/alloc.rs", Code::Other),
            ("src/main.rs", Code::Other),
        ] {
            assert_eq!(Code::of_call("work", Some(file)), code, "{file}");
        }
        assert_eq!(Code::of_call("malloc", None), Code::Standard);
        assert_eq!(Code::of_call("tokio::spawn", Some("src/main.rs")), Code::Runtime);
    }

    #[test]
    fn calls_inside_of_allocators_are_left_out_and_those_of_tracked_tasks_are_not() {
        assert_eq!(allocator_calls(&["memscope_runtime::alloc::charge::charge", "app::fill"]), 1);
        let wrapped = [
            "memscope_runtime::alloc::charge::charge",
            "app::Counting::count",
            "<app::Counting as core::alloc::global::GlobalAlloc>::alloc",
            "__rustc::__rust_alloc",
            "alloc::vec::Vec<T>::push",
            "<memscope_runtime::tasks::future::Tracked<F> as core::future::future::Future>::poll",
        ];
        assert_eq!(allocator_calls(&wrapped), 4);
        assert_eq!(
            allocator_calls(&["alloc::vec::Vec<T>::push", "memscope_runtime::tasks::poll"]),
            0
        );
        assert_eq!(allocator_calls(&["", ""]), 0);
    }

    #[test]
    fn what_stands_between_tokio_and_the_future_is_passed_over() {
        assert!(is_wrapper("<core::pin::Pin<P> as core::future::future::Future>::poll"));
        assert!(is_wrapper(
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once"
        ));
        assert!(is_wrapper("<futures_util::future::Map<F> as core::future::future::Future>::poll"));
        assert!(is_wrapper("pthread_cond_wait") && is_wrapper("tokio::time::sleep::Sleep"));
        assert!(!is_wrapper("<hyper::Connection as core::future::future::Future>::poll"));
        assert!(!is_wrapper("app::core::run") && !is_wrapper("core_of_app::run"));
    }

    #[test]
    fn names_are_shortened_to_what_is_written_in_the_source() {
        for (name, shown) in [
            ("app::cache::Cache::fill::h0123456789abcdef", "app::cache::Cache::fill"),
            ("app::serve::{{closure}}::{{closure}}", "app::serve"),
            ("app::serve::{closure#0}::{closure#1}", "app::serve"),
            ("app::serve::{closure#0}::inner", "app::serve::{closure#0}::inner"),
            ("<app::Cache<K,V>>::fill::<u8>", "app::Cache::fill"),
            ("alloc::vec::Vec<T,A>::push", "alloc::vec::Vec::push"),
            ("<app::Cache as core::ops::drop::Drop>::drop", "app::Cache::drop"),
            ("<alloc::vec::Vec<u8> as app::Encode<u8>>::encode", "app::Encode::encode"),
            ("<&mut T as app::Encode>::encode", "app::Encode::encode"),
            ("<F as axum::handler::Handler<(M,T1),S>>::call", "axum::handler::Handler::call"),
            ("app::map::<fn(u8) -> u8>", "app::map"),
            ("<<app::A as app::B>::C as core::fmt::Debug>::fmt", "app::A::C::fmt"),
            ("core::ptr::drop_in_place::<app::Cache>", "core::ptr::drop_in_place"),
            ("main", "main"),
            ("{{closure}}", "{{closure}}"),
        ] {
            assert_eq!(short(name), shown, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_has_an_owner_and_a_short_form_no_longer_than_itself(
            name in r"[<>:\[\](){}&',# a-zé0-9_-]{0,60}( as )?[<>: a-z]{0,40}"
        ) {
            let _ = Code::of(&name);
            prop_assert!(short(&name).len() <= name.len());
        }

        #[test]
        fn deep_brackets_are_no_deep_recursion(depth in 0..2_000_usize) {
            let name = "<".repeat(depth) + "app::A";
            let closed = name.clone() + &">".repeat(depth) + "::go";
            for name in [name, closed] {
                let _ = (Code::of(&name), short(&name));
            }
        }
    }
}
