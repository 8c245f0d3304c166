//! The types of `impl` blocks: debug information has numbers in place of them, as in
//! `app::{impl#1}::call`, and symbols have the types.

use std::collections::{BTreeMap, BTreeSet};

use gimli::constants as dw;

use super::{scan::PollFunction, types::Types, units::EntryRef};
use crate::{
    coroutine::{Coroutine, StateKind},
    layouts::{end_of_impl, segments},
    symbolizer::without_arguments,
    symbols::readable,
};

/// The most different types that one block is seen with, as instances of a generic block have.
const MOST_INSTANCES: usize = 32;

/// Returns what stands for each block: `app::Service` for `app::{impl#0}`, and
/// `<app::Service as app::Call>` for one of a trait. Blocks with an ambiguous number are left out,
/// as crates in two versions have.
pub(crate) fn impls(
    types: &Types<'_, '_>,
    bodies: &[PollFunction],
    coroutines: &[Coroutine],
) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut note = |block: &str, name: String| {
        let names = found.entry(block.to_owned()).or_default();
        if names.len() < MOST_INSTANCES && types.units.limit.keep(block.len() + name.len()) {
            names.insert(name);
        }
    };
    for body in bodies {
        let Some(entry) = types.units.entry(body.at) else { continue };
        let path = types.path_in(body.at, &entry, body.parent);
        let Some(end) = end_of_impl(&path) else { continue };
        let Some(symbol) = symbol(types, body.at) else { continue };
        if let Some(name) = type_in_symbol(&symbol, segments(&path[end..]).len() - 1) {
            note(&path[..end], name);
        }
    }
    let known: BTreeSet<String> = found.keys().cloned().collect();
    for coroutine in coroutines {
        let Some(end) = end_of_impl(&coroutine.path) else { continue };
        let block = &coroutine.path[..end];
        if known.contains(block) {
            continue;
        }
        if let Some(name) = type_of_self(coroutine) {
            found.entry(block.to_owned()).or_default().insert(name);
        }
    }
    found.into_iter().filter_map(|(block, names)| Some((block, one_of(names)?))).collect()
}

/// Returns the name that all instances of a block share.
fn one_of(names: BTreeSet<String>) -> Option<String> {
    let mut shared: BTreeSet<String> = if names.len() == 1 {
        names
    } else {
        names.iter().map(|it| without_arguments(it)).collect()
    };
    let one = shared.pop_first()?;
    shared.is_empty().then_some(one)
}

/// Returns the readable symbol of a function.
fn symbol(types: &Types<'_, '_>, at: EntryRef) -> Option<String> {
    let entry = types.units.entry(at)?;
    let own = entry.attr_value(dw::DW_AT_linkage_name).map(|it| (at.unit, it));
    let declared = || {
        let declared = types.units.referred(at, &entry, dw::DW_AT_specification)?;
        let entry = types.units.entry(declared)?;
        Some((declared.unit, entry.attr_value(dw::DW_AT_linkage_name)?))
    };
    let (unit, value) = own.or_else(declared)?;
    // What is cut off is not a name.
    readable(types.units.bytes(unit, value)?).filter(|it| !it.ends_with('…'))
}

/// Returns the type, or `<type as trait>`, in the symbol of a function that is this many names
/// below its block.
fn type_in_symbol(symbol: &str, below: usize) -> Option<String> {
    let mut names = segments(symbol);
    // Arguments of functions are names of their own: `work::<u8>`.
    let first = names.first().copied();
    names.retain(|it| Some(*it) == first || !it.starts_with('<'));
    let kept = names.len().checked_sub(below).filter(|it| *it > 0)?;
    if let [one] = names[..kept]
        && let Some(inner) = one.strip_prefix('<').and_then(|it| it.strip_suffix('>'))
    {
        // `<app::Service>` is the type alone.
        let is_trait = crate::layouts::top_level(inner).contains(" as ");
        return Some(if is_trait { one } else { inner }.to_owned());
    }
    // A number says no more than before.
    let name = names[..kept].join("::");
    (!name.contains("{impl#") && !name.contains("{{")).then_some(name)
}

/// Returns the type of a method's `self`, without the references to it.
fn type_of_self(coroutine: &Coroutine) -> Option<String> {
    let end = end_of_impl(&coroutine.path)?;
    if segments(&coroutine.path[end..]).len() != 3 {
        return None;
    }
    let first = coroutine.states.iter().find(|it| it.kind == StateKind::Unresumed)?;
    let own = first.members.iter().find(|it| &*it.name == "self")?;
    let mut name: &str = &own.type_name;
    loop {
        let inner = ["&mut ", "&"].iter().find_map(|it| name.strip_prefix(it));
        let pinned = || name.strip_prefix("core::pin::Pin<")?.strip_suffix('>');
        match inner.or_else(pinned) {
            Some(inner) => name = inner,
            None => break,
        }
    }
    let is_type = !name.contains(['{', '&', '*']) && !name.starts_with("alloc::");
    is_type.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_what_a_symbol_has_in_place_of_the_block() {
        for (symbol, below, expected) in [
            ("app::Foo::call::{{closure}}", 2, Some("app::Foo")),
            ("<app::Foo>::call::{closure#0}", 2, Some("app::Foo")),
            ("<app::Foo as app::Call>::call::{{closure}}", 2, Some("<app::Foo as app::Call>")),
            ("<app::Gen<u8>>::call::<u64>::{closure#0}::{closure#0}", 3, Some("app::Gen<u8>")),
            (
                "<[u8; 3] as app::Call<fn(u8) -> u8>>::call::{closure#0}",
                2,
                Some("<[u8; 3] as app::Call<fn(u8) -> u8>>"),
            ),
            (
                "<app::Gen<<u8 as app::A>::B>>::call::{closure#0}",
                2,
                Some("app::Gen<<u8 as app::A>::B>"),
            ),
            ("call", 2, None),
            ("a::b", 2, None),
            ("a::{impl#0}::b::{closure#0}", 2, None),
        ] {
            assert_eq!(type_in_symbol(symbol, below).as_deref(), expected, "{symbol}");
        }
    }

    #[test]
    fn instances_share_the_name_without_arguments_and_other_types_share_none() {
        let one = |names: &[&str]| one_of(names.iter().map(|it| (*it).to_owned()).collect());
        assert_eq!(one(&["a::A<u8>"]).as_deref(), Some("a::A<u8>"));
        assert_eq!(one(&["a::A<u8>", "a::A<b::C<u8>>"]).as_deref(), Some("a::A"));
        assert_eq!(
            one(&["<a::A<u8> as a::T>", "<a::A<i8> as a::T>"]).as_deref(),
            Some("<a::A as a::T>")
        );
        assert_eq!(one(&["a::A", "a::B"]), None);
        assert_eq!(one(&[]), None);
    }
}
