//! Recognises the closures that `tokio::select!` and `futures::select!` poll, by the names of their
//! types.

use std::{collections::HashMap, sync::Arc};

use super::{scan::PollFunction, types::Types};
use crate::shape::Select;

/// Returns the paths of the closures that these macros poll, given the functions that poll them,
/// and others of that name.
///
/// Functions of two blocks may have one path, and so their closures. If another `poll_fn` polls one
/// of them, it is not known which of them a macro polls: there is none then.
pub(crate) fn select_closures(
    types: &Types<'_, '_>,
    polls: &[PollFunction],
    others: &[PollFunction],
) -> HashMap<Arc<str>, Select> {
    let is_of_closure = |it: &&PollFunction| {
        let name = types.units.entry(it.at).and_then(|entry| types.units.name(it.at, &entry));
        name.is_some_and(|it| it.contains("::{closure_env#"))
    };
    let path =
        |it: &PollFunction| Some(types.path_in(it.at, &types.units.entry(it.at)?, it.parent));
    let all = polls.iter().chain(others.iter().filter(is_of_closure));
    let paths: Vec<_> = all.filter_map(path).collect();
    selects(paths.iter().filter_map(|it| polled_closure(it)))
}

/// The closures that only a macro polls, of all that a `poll_fn` polls.
fn selects<'p>(all: impl Iterator<Item = (&'p str, Option<Select>)>) -> HashMap<Arc<str>, Select> {
    let mut found: HashMap<&str, Option<Select>> = HashMap::new();
    for (closure, select) in all {
        found.entry(closure).and_modify(|it| *it = it.filter(|_| *it == select)).or_insert(select);
    }
    found.into_iter().filter_map(|(closure, select)| Some((closure.into(), select?))).collect()
}

/// Returns the closure that this instance of `PollFn::poll` calls, and whether a `select!` created
/// it.
///
/// Each macro defines an enum, the return type of the closure, in the function that contains both.
fn polled_closure(poll: &str) -> Option<(&str, Option<Select>)> {
    let of_futures = poll.strip_prefix("futures_util::future::poll_fn::{impl#");
    let of_tokio = poll.strip_prefix("core::future::poll_fn::{impl#");
    let (block, arguments) = of_tokio.or(of_futures)?.split_once("}::poll<")?;
    let arguments = arguments.strip_suffix('>').filter(|_| block.parse::<u32>().is_ok())?;
    let comma = top_level(arguments).find(|&at| arguments.as_bytes()[at..].starts_with(b", "))?;
    let (output, closure) = (&arguments[..comma], &arguments[comma + ", ".len()..]);
    let is_start = |at: &usize| closure.as_bytes()[*at..].starts_with(b"::{closure_env#");
    let start = top_level(closure).filter(is_start).last()?;
    let behind = output.strip_prefix(&closure[..start]).unwrap_or_default();
    let select = match (of_tokio, of_futures) {
        (Some(_), None) if behind.starts_with("::__tokio_select_util::Out<") => {
            Some(Select::OfTokio)
        }
        (None, Some(_)) if behind.starts_with("::__PrivResult<") => Some(Select::OfFutures),
        _ => None,
    };
    Some((closure, select))
}

/// Iterates over the positions in a type's name that are outside of all brackets.
fn top_level(name: &str) -> impl Iterator<Item = usize> {
    let (mut depth, mut last) = (0, b' ');
    name.bytes().enumerate().filter_map(move |(at, byte)| {
        match (std::mem::replace(&mut last, byte), byte) {
            (_, b'<' | b'(' | b'[') => depth += 1,
            // The arrow of a function's type is not a bracket.
            (b'-', b'>') => {}
            (_, b'>' | b')' | b']') => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select_closure(poll: &str) -> Option<(&str, Select)> {
        polled_closure(poll).and_then(|(closure, select)| Some((closure, select?)))
    }

    #[test]
    fn a_closure_that_something_else_polls_as_well_is_none_of_a_select() {
        let (futures, tokio) = (Some(Select::OfFutures), Some(Select::OfTokio));
        let found = selects(
            [("a", futures), ("b", futures), ("a", futures), ("b", None), ("c", None)].into_iter(),
        );
        assert_eq!(found, HashMap::from([("a".into(), Select::OfFutures)]));
        assert!(selects([("a", None), ("a", tokio), ("a", tokio)].into_iter()).is_empty());
    }

    #[test]
    fn a_closure_is_that_of_a_select_by_what_it_returns() {
        let poll = |output: &str, closure: &str| {
            format!("core::future::poll_fn::{{impl#2}}::poll<{output}, {closure}>")
        };
        let out = "app::f::{async_fn#0}::__tokio_select_util::Out<(), fn(u8) -> (u8, u8)>";
        let closure = "app::f::{async_fn#0}::{closure_env#1}<T, app::g::{closure_env#0}<u8, u8>>";
        assert_eq!(select_closure(&poll(out, closure)), Some((closure, Select::OfTokio)));
        let elsewhere = "app::h::{async_fn#0}::{closure_env#0}";
        assert_eq!(select_closure(&poll(out, elsewhere)), None, "another function's");
        assert_eq!(select_closure(&poll("()", closure)), None);
        let own = poll(out, closure).replace("core::future", "app");
        assert_eq!(select_closure(&own), None, "of another type");

        let of_futures = |output: &str| poll(output, closure).replace("core::", "futures_util::");
        let result = "app::f::{async_fn#0}::__PrivResult<(), u8>";
        let found = of_futures(result);
        assert_eq!(select_closure(&found), Some((closure, Select::OfFutures)));
        assert_eq!(select_closure(&of_futures(out)), None, "the other macro has another poll");
        assert_eq!(select_closure(&poll(result, closure)), None);
    }
}
