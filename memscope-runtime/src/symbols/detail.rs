//! What debug information adds to a symbol: the program's functions that were inlined there, lines,
//! and the type parameters that the older mangling drops.

use memscope_layout::Frame;

use super::{Detail, Inlined, Line, kept_bytes};
use crate::{
    model::symbol::{Code, same_function, short},
    primitives::{arena, reserve},
};

/// The most inlined functions of one address that are kept, the innermost ones.
const MOST_INLINED: usize = 8;

/// What debug information may add to a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// The function is the program's, or a library's.
    Lines,
    /// The symbol names none of the program's code: that may be inlined there.
    Names,
}

pub(super) static NOTHING: Detail = Detail { inlined: &[], typed: None, line: None };

impl Wanted {
    pub(super) fn of(symbol: &str) -> Self {
        match Code::of(symbol) {
            _ if !symbol.contains("::") => Self::Nothing,
            Code::Runtime | Code::Standard => Self::Names,
            Code::Other => Self::Lines,
            Code::Allocator => Self::Nothing,
        }
    }
}

impl Detail {
    /// Chooses what is kept of the functions at an address, which debug information has there, the
    /// innermost first. `keep` keeps a text.
    pub(super) fn of(
        symbol: &str,
        frames: &[Frame],
        mut keep: impl FnMut(&str) -> Option<&'static str>,
    ) -> &'static Self {
        let Some((own, inlined)) = frames.split_last() else { return &NOTHING };
        let name = own.function.as_deref().unwrap_or_default();
        // The code is of several functions, and debug information is of one of them.
        if !is_of(name, symbol) {
            return &NOTHING;
        }
        let is_kept = |name: &str| Code::of(name) == Code::Other;
        let mut kept: Vec<Inlined> = Vec::new();
        let all = inlined.iter().filter_map(|it| Some((it, it.function.as_deref()?)));
        for (frame, name) in all.filter(|it| is_kept(it.1)).take(MOST_INLINED) {
            if let Some(name) = keep(name) {
                reserve::push(&mut kept, Inlined { name, line: line(frame, &mut keep) });
            }
        }
        let typed = typed(symbol, name).and_then(|name| keep(&name));
        let line = if is_kept(symbol) { line(own, &mut keep) } else { None };
        if kept.is_empty() && typed.is_none() && line.is_none() {
            return &NOTHING;
        }
        let inlined = arena::keep_copy(&kept).unwrap_or_default();
        kept_bytes::note(inlined);
        let Some(detail) = arena::keep(Self { inlined, typed, line }) else { return &NOTHING };
        kept_bytes::note(detail);
        detail
    }
}

fn line(frame: &Frame, mut keep: impl FnMut(&str) -> Option<&'static str>) -> Option<Line> {
    let (file, number) = (frame.file.as_deref()?, frame.line?);
    Some(Line { file: keep(file)?, number })
}

/// Whether a name in debug information may be that of the function with this symbol. In line tables
/// it is the last part of the path, or is missing.
fn is_of(name: &str, symbol: &str) -> bool {
    let before_arguments = name.split('<').next().unwrap_or_default().trim_end_matches("::");
    if name.starts_with('<') || before_arguments.contains("::") {
        return same_function(name, symbol);
    }
    let path = short(symbol);
    match before_arguments.chars().next() {
        // `_` is the part in which the names of several functions differ.
        None => path.split("::").all(|part| part != "_"),
        Some('{') => symbol.contains("::{"),
        Some(_) => path.rsplit("::").next() == Some(before_arguments),
    }
}

/// The symbol with the type parameters that debug information has of the same function.
fn typed(symbol: &str, own: &str) -> Option<String> {
    let (path, arguments) = own.split_at(own.find("::<")?);
    let last = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    let is_wanted = symbol.starts_with("tokio::") && !symbol.contains('<');
    (is_wanted && last(path) == last(symbol)).then(|| [symbol, arguments].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_functions_are_kept_and_the_type_of_tokios() {
        let _work = crate::alloc::own_work::work();
        let keep = |name: &str| arena::keep_str(name);
        let functions = [
            "alloc::vec::Vec<T,A>::push",
            "app::fill",
            "app::serve::{{closure}}",
            "<core::pin::Pin<P> as core::future::future::Future>::poll",
            "poll::<app::serve::{closure#0}, S>",
        ];
        let functions = functions.map(|name| frame(name, 7));
        let of = |symbol: &str, functions: &[Frame]| *Detail::of(symbol, functions, keep);
        let detail = of("tokio::runtime::task::raw::poll", &functions);
        assert_eq!(names(&detail), ["app::fill", "app::serve::{{closure}}"]);
        let expected = "tokio::runtime::task::raw::poll::<app::serve::{closure#0}, S>";
        assert_eq!(detail.typed, Some(expected));
        // Where the symbol has them, or is of another function, or of another crate.
        for symbol in ["tokio::runtime::task::raw::poll::<T>", "tokio::a::drop", "std::a::poll"] {
            assert_eq!(of(symbol, &functions).typed, None, "{symbol}");
        }
        assert_eq!(of("tokio::a::poll", &[]).typed, None);
        let many = vec![frame("app::a", 7); 2 * MOST_INLINED];
        assert_eq!(of("app::a", &many).inlined.len(), MOST_INLINED);
    }

    #[test]
    fn lines_are_those_of_the_programs_functions() {
        let _work = crate::alloc::own_work::work();
        let of =
            |symbol: &str, functions: &[Frame]| *Detail::of(symbol, functions, arena::keep_str);
        let line = |number| Some(Line { file: "/src/a.rs", number });
        let functions =
            [frame("core::mem::take", 3), frame("app::fill", 7), frame("app::serve", 9)];
        let detail = of("app::serve", &functions);
        assert_eq!(detail.inlined, [Inlined { name: "app::fill", line: line(7) }]);
        assert_eq!(detail.line, line(9));
        // Line tables: the function has no path, or no name.
        for own in [frame("serve", 9), Frame { function: None, ..frame("", 9) }] {
            assert_eq!(of("app::serve", &[own]).line, line(9));
        }
        assert_eq!(of("std::thread::spawn", &[frame("std::thread::spawn", 9)]).line, None);
    }

    #[test]
    fn code_of_several_functions_has_no_lines() {
        let _work = crate::alloc::own_work::work();
        let line = |symbol: &str, own: &str| {
            let own = Frame {
                function: Some(own.to_owned()).filter(|it| !it.is_empty()),
                ..frame("", 9)
            };
            let detail = Detail::of(symbol, &[frame("app::fill", 7), own], arena::keep_str);
            assert_eq!(detail.inlined.is_empty(), detail.line.is_none());
            detail.line.is_some()
        };
        for (symbol, own) in [
            ("app::serve", "app::other"),
            ("app::_", "app::other"),
            // Line tables.
            ("app::serve", "other"),
            ("app::_", "serve"),
            ("app::_", ""),
            ("app::serve", "{closure#0}"),
        ] {
            assert!(!line(symbol, own), "{symbol} {own}");
        }
        for (symbol, own) in [
            ("app::serve", "app::serve"),
            ("app::serve::h0123456789abcdef", "serve"),
            ("app::Cache<_>::put", "app::Cache<u8>::put"),
            ("<app::Cache<u8> as app::Put>::put::<u16>", "put<app::Cache<u8>, u16>"),
            ("app::serve::{{closure}}", "{async_fn#0}"),
            ("app::serve::{closure#0}", "app::serve::{closure#0}"),
            ("app::serve", ""),
        ] {
            assert!(line(symbol, own), "{symbol} {own}");
        }
    }

    fn frame(name: &str, line: u32) -> Frame {
        Frame {
            function: Some(name.to_owned()),
            file: Some("/src/a.rs".to_owned()),
            line: Some(line),
            is_inlined: true,
        }
    }

    fn names(detail: &Detail) -> Vec<&str> {
        detail.inlined.iter().map(|it| it.name).collect()
    }

    #[test]
    fn code_of_the_program_is_looked_for_where_the_symbol_is_not_its_own() {
        for wanted in ["tokio::runtime::task::raw::poll", "core::ops::function::FnOnce::call_once"]
        {
            assert_eq!(Wanted::of(wanted), Wanted::Names, "{wanted}");
        }
        for own in ["app::fill", "serde_json::to_vec"] {
            assert_eq!(Wanted::of(own), Wanted::Lines, "{own}");
        }
        for unwanted in ["malloc", "__rustc::__rust_alloc"] {
            assert_eq!(Wanted::of(unwanted), Wanted::Nothing, "{unwanted}");
        }
    }
}
