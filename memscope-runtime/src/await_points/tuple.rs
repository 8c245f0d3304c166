//! The tuples that `select!` and `join!` make of their futures, and which of these are disabled.

use memscope_layout::Field;

use super::{layouts::written, walk_end::WalkEnd};

/// The most futures side by side that are named.
pub(super) const MOST_NAMED: usize = 8;

/// The branches of a `select!` that are disabled. Bit 0 stands for the first one.
///
/// A walk reads it in the macro's closure, before it gets to the tuple of the futures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Disabled(pub(super) u64);

impl Disabled {
    /// Whether the field of the tuple is one of these: the first is `__0`.
    pub(super) fn has(self, field: &Field) -> bool {
        let index = field.name.strip_prefix("__").and_then(|it| it.parse().ok());
        index.is_some_and(|index| self.has_index(index))
    }

    fn has_index(self, index: usize) -> bool {
        u32::try_from(index)
            .ok()
            .and_then(|it| self.0.checked_shr(it))
            .is_some_and(|it| it & 1 != 0)
    }

    /// The types in this tuple that are not disabled.
    pub(super) fn enabled(self, tuple: &str) -> impl Iterator<Item = &str> {
        let elements = elements(tuple).into_iter().enumerate();
        elements.filter(move |(index, _)| !self.has_index(*index)).map(|(_, name)| name)
    }

    /// The tuple as people write it, and how many of its futures are disabled.
    pub(super) fn tuple(self, tuple: &str) -> String {
        let disabled = elements(tuple).len() - self.enabled(tuple).count();
        match disabled {
            0 => written(tuple),
            _ => format!("{}, {disabled} of them disabled", written(tuple)),
        }
    }

    /// Why a walk ends in this tuple if no function is in a future that is not disabled.
    pub(super) fn leaves(self, tuple: &str) -> WalkEnd {
        let names: Vec<&str> = self.enabled(tuple).collect();
        match names[..] {
            [name] => WalkEnd::Leaf(written(name)),
            [] => WalkEnd::Leaf(self.tuple(tuple)),
            _ => WalkEnd::SideBySide {
                name: self.tuple(tuple),
                count: names.len(),
                futures: names.into_iter().take(MOST_NAMED).map(named).collect(),
                branches: Box::default(),
            },
        }
    }

    /// The end, with what is disabled in this tuple if it is there.
    pub(super) fn note(self, tuple: &str, mut stop: WalkEnd) -> WalkEnd {
        if let WalkEnd::SideBySide { name, .. } = &mut stop {
            *name = self.tuple(tuple);
        }
        stop
    }
}

/// The types that the tuple of this name is made of, as `select!` and `join!` make them; none for
/// another type. A tuple is no future itself: it stands for several.
fn elements(name: &str) -> Vec<&str> {
    let inside = name.strip_prefix('(').and_then(|it| it.strip_suffix(')')).unwrap_or_default();
    arguments(inside.trim_end_matches(','))
}

/// The types in this list, which commas separate.
pub(super) fn arguments(inside: &str) -> Vec<&str> {
    let (mut depth, mut last, mut start, mut found) = (0_i32, b' ', 0, Vec::new());
    for (at, byte) in inside.bytes().enumerate() {
        match (std::mem::replace(&mut last, byte), byte) {
            (_, b'<' | b'(' | b'[') => depth += 1,
            // The arrow of a function's type is not a bracket.
            (b'-', b'>') => {}
            (_, b'>' | b')' | b']') => depth -= 1,
            (_, b',') if depth == 0 => {
                found.push(inside[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.extend((!inside.is_empty()).then(|| inside[start..].trim()));
    found
}

/// How many types the tuple of this name is made of; 0 for another type.
pub(super) fn arity(name: &str) -> usize {
    elements(name).len()
}

/// A future as a list of several has it.
pub(super) fn named(future: &str) -> String {
    format!("`{}`", written(future))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_a_place_for_several() {
        assert_eq!(arity("(app::Timer, app::run::{async_fn_env#0})"), 2);
        assert_eq!(arity("(app::run::{async_fn_env#0},)"), 1);
        assert_eq!(arity("(app::Pair<A, B>, (C, D), fn(A, B) -> C)"), 3);
        assert_eq!(arity("(app::Pair<A, B>,)"), 1);
        assert_eq!(arity("()"), 0);
        assert_eq!(arity("app::Pair<A, B>"), 0);
    }

    #[test]
    fn what_is_disabled_of_a_tuple_is_not_waited_for() {
        let tuple = "(app::A<u8, u8>, app::Timer, app::run::{async_fn_env#0})";
        let shown = "(app::A<u8, u8>, app::Timer, app::run)";
        let of = |mask, tuple| Disabled(mask).leaves(tuple).say();
        assert_eq!(of(0b101, tuple), "waits for app::Timer");
        let several = format!(
            "waits for 2 futures side by side in {shown}, 1 of them disabled: `app::A<u8, u8>`, \
             `app::Timer`"
        );
        assert_eq!(of(0b100, tuple), several);
        assert_eq!(of(0b111, tuple), format!("waits for {shown}, 3 of them disabled"));
        assert_eq!(of(u64::MAX, tuple), format!("waits for {shown}, 3 of them disabled"));
        assert!(!Disabled(u64::MAX).has_index(64), "a mask has no such bit");
        assert_eq!(Disabled(0).tuple(tuple), shown);
    }
}
