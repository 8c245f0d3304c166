//! What debug information adds to a symbol: the program's functions that were inlined there, and
//! the type parameters that the older mangling drops.

use super::kept_bytes;
use crate::{
    model::symbol::Code,
    primitives::{arena, reserve},
};

/// The most inlined functions of one address that are kept, the innermost ones.
const MOST_INLINED: usize = 8;

/// What debug information adds to a function's symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detail {
    /// Functions of the program, or of a library that it calls: the innermost first.
    pub(crate) inlined: &'static [&'static str],
    /// A function of Tokio's with its type parameters, if the symbol lacks them.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "it names tasks of Tokio"))]
    pub(crate) typed: Option<&'static str>,
}

pub(super) static NOTHING: Detail = Detail { inlined: &[], typed: None };

/// Whether a symbol names none of the program's code: that may be inlined there.
pub(super) fn is_wanted(symbol: &str) -> bool {
    symbol.contains("::") && matches!(Code::of(symbol), Code::Runtime | Code::Standard)
}

impl Detail {
    /// Chooses what is kept of the functions at an address, which debug information has there, the
    /// innermost first. `keep` keeps a name.
    pub(super) fn of(
        symbol: &str,
        functions: &[String],
        mut keep: impl FnMut(&str) -> Option<&'static str>,
    ) -> &'static Self {
        let Some((own, inlined)) = functions.split_last() else { return &NOTHING };
        let mut kept: Vec<&'static str> = Vec::new();
        for name in inlined.iter().filter(|name| Code::of(name) == Code::Other).take(MOST_INLINED) {
            if let Some(name) = keep(name) {
                reserve::push(&mut kept, name);
            }
        }
        let typed = typed(symbol, own).and_then(|name| keep(&name));
        if kept.is_empty() && typed.is_none() {
            return &NOTHING;
        }
        let inlined = arena::keep_copy(&kept).unwrap_or_default();
        kept_bytes::note(inlined);
        let Some(detail) = arena::keep(Self { inlined, typed }) else { return &NOTHING };
        kept_bytes::note(detail);
        detail
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
        let functions = functions.map(str::to_owned);
        let of = |symbol: &str, functions: &[String]| *Detail::of(symbol, functions, keep);
        let detail = of("tokio::runtime::task::raw::poll", &functions);
        assert_eq!(detail.inlined, ["app::fill", "app::serve::{{closure}}"]);
        let expected = "tokio::runtime::task::raw::poll::<app::serve::{closure#0}, S>";
        assert_eq!(detail.typed, Some(expected));
        // Where the symbol has them, or is of another function, or of another crate.
        for symbol in ["tokio::runtime::task::raw::poll::<T>", "tokio::a::drop", "std::a::poll"] {
            assert_eq!(of(symbol, &functions).typed, None, "{symbol}");
        }
        assert_eq!(of("tokio::a::poll", &[]).typed, None);
        let many = vec!["app::a".to_owned(); 2 * MOST_INLINED];
        assert_eq!(of("std::a", &many).inlined.len(), MOST_INLINED);
    }

    #[test]
    fn code_of_the_program_is_looked_for_where_the_symbol_is_not_its_own() {
        for wanted in ["tokio::runtime::task::raw::poll", "core::ops::function::FnOnce::call_once"]
        {
            assert!(is_wanted(wanted), "{wanted}");
        }
        for unwanted in ["app::fill", "malloc", "__rustc::__rust_alloc", "serde_json::to_vec"] {
            assert!(!is_wanted(unwanted), "{unwanted}");
        }
    }
}
