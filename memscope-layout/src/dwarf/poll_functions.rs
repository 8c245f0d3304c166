//! The functions that poll coroutines. Their variables provide lines and, in debug builds, offsets.

use std::{collections::HashMap, sync::Arc};

use gimli::{AttributeValue, Operation, constants as dw};

use super::{
    scan::PollFunction,
    types::Types,
    units::{Entry, EntryRef},
};
use crate::source_location::Place;

/// A variable in the body of a poll function.
#[derive(Clone, Debug)]
pub(crate) struct Variable<'d> {
    pub(crate) name: &'d str,
    pub(crate) type_: EntryRef,
    pub(crate) type_name: Arc<str>,
    pub(crate) size: Option<u64>,
    /// The offset in the coroutine; `None` if the code keeps the variable elsewhere, or in several
    /// places.
    pub(crate) offset: Option<u64>,
    pub(crate) place: Option<Place>,
}

impl Variable<'_> {
    /// Returns `true` if another unit described the same variable.
    fn is_same(&self, other: &Self) -> bool {
        (self.name, &self.type_name, self.size, self.offset, &self.place)
            == (other.name, &other.type_name, other.size, other.offset, &other.place)
    }
}

/// All poll functions, by their paths.
#[derive(Debug)]
pub(crate) struct PollFunctions<'t, 'u, 'd> {
    types: &'t Types<'u, 'd>,
    by_path: HashMap<Arc<str>, Vec<EntryRef>>,
}

impl<'t, 'u, 'd> PollFunctions<'t, 'u, 'd> {
    pub(crate) fn new(types: &'t Types<'u, 'd>, found: &[PollFunction]) -> Self {
        let mut by_path: HashMap<_, Vec<EntryRef>> = HashMap::new();
        for body in found {
            if let Some(entry) = types.units.entry(body.at) {
                let path = types.path_in(body.at, &entry, body.parent);
                by_path.entry(path).or_default().push(body.at);
            }
        }
        Self { types, by_path }
    }

    /// Returns the variables of a coroutine's body, each once.
    ///
    /// Several units may contain a function with this path, and two versions of a crate contain
    /// different ones. Only functions that begin at the coroutine's line are used.
    pub(crate) fn variables(&self, coroutine: &str, begins: Option<&Place>) -> Vec<Variable<'d>> {
        let mut variables = Vec::new();
        let Some(path) = body_path(coroutine) else { return variables };
        let units = self.types.units;
        for &at in self.by_path.get(path.as_str()).into_iter().flatten() {
            let Some(entry) = units.entry(at) else { continue };
            if begins.is_some() && units.place(at, &entry).as_ref() != begins {
                continue;
            }
            units.each_below(at, |_, at, entry| {
                if entry.tag() == dw::DW_TAG_variable
                    && let Some(variable) = self.variable(at, entry)
                    && !variables.iter().any(|it: &Variable<'d>| it.is_same(&variable))
                {
                    variables.push(variable);
                }
                entry.tag() == dw::DW_TAG_lexical_block
            });
        }
        variables
    }

    fn variable(&self, at: EntryRef, entry: &Entry<'d>) -> Option<Variable<'d>> {
        let units = self.types.units;
        let type_ = self.types.referred(at, entry, dw::DW_AT_type)?;
        Some(Variable {
            name: units.name(at, entry)?,
            type_,
            type_name: self.types.name(type_),
            size: self.types.size(type_),
            offset: self.offset(at, entry),
            place: units.place(at, entry),
        })
    }

    /// Returns the offset in the coroutine. The location must have the form "this many bytes from
    /// the address on the stack".
    fn offset(&self, at: EntryRef, entry: &Entry<'d>) -> Option<u64> {
        let AttributeValue::Exprloc(location) = entry.attr_value(dw::DW_AT_location)? else {
            return None;
        };
        let encoding = self.types.units.unit(at.unit)?.inner.encoding();
        let mut operations = location.operations(encoding);
        let mut next = || operations.next().ok().flatten();
        matches!(next()?, Operation::FrameOffset { .. } | Operation::RegisterOffset { .. })
            .then_some(())?;
        matches!(next()?, Operation::Deref { .. }).then_some(())?;
        match (next(), next()) {
            (None, _) => Some(0),
            (Some(Operation::PlusConstant { value }), None) => Some(value),
            _ => None,
        }
    }
}

/// Returns the path of the poll function: `…::{async_fn_env#0}<T>` is polled by
/// `…::{async_fn#0}<T>`.
fn body_path(coroutine: &str) -> Option<String> {
    // The enclosing item and the arguments may be coroutines as well. Only the last one at the
    // level of the path itself counts.
    let mut depth = 0u32;
    let mut found = None;
    for (at, byte) in coroutine.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if at == 0 || coroutine.as_bytes()[at - 1] != b'-' => {
                depth = depth.saturating_sub(1);
            }
            b'_' if depth == 0 && coroutine[at..].starts_with("_env#") => found = Some(at),
            _ => {}
        }
    }
    found.map(|at| format!("{}{}", &coroutine[..at], &coroutine[at + "_env".len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_coroutine_has_its_path_without_env() {
        let of = |path| body_path(path).unwrap();
        assert_eq!(of("a::f::{async_fn_env#0}"), "a::f::{async_fn#0}");
        assert_eq!(
            of("a::f::{async_fn_env#0}::{async_block_env#1}<a::g::{async_fn_env#0}>"),
            "a::f::{async_fn_env#0}::{async_block#1}<a::g::{async_fn_env#0}>"
        );
        assert_eq!(
            of("a::f::{closure_env#0}::{async_block_env#0}<fn(u8) -> u8, a::g::{async_fn_env#0}>"),
            "a::f::{closure_env#0}::{async_block#0}<fn(u8) -> u8, a::g::{async_fn_env#0}>"
        );
        assert_eq!(body_path("a::S"), None);
    }
}
