//! The streams that are polled as sinks as well.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{scan::PollFunction, types::Types};

/// The functions of sinks that wait.
const POLLS: [&str; 3] = ["poll_ready", "poll_flush", "poll_close"];
/// The crate whose streams are sinks if what they are made of is one.
const CRATE: &str = "futures_util::";

/// The generic arguments of the functions that poll sinks, by module.
#[derive(Debug)]
pub(super) struct Sinks<'d>(HashMap<Arc<str>, HashSet<&'d str>>);

impl<'d> Sinks<'d> {
    /// `polls`: all functions whose names begin with `poll`.
    pub(super) fn new(types: &Types<'_, 'd>, polls: &[PollFunction]) -> Self {
        let mut found: HashMap<_, HashSet<_>> = HashMap::new();
        for it in polls {
            let name = types.units.entry(it.at).and_then(|entry| types.units.name(it.at, &entry));
            let Some((own, arguments)) = name.and_then(|it| it.split_once('<')) else { continue };
            if !POLLS.contains(&own) {
                continue;
            }
            let block = types.namespace(it.at.unit, it.parent, 0);
            let Some(block) = block.filter(|it| it.starts_with(CRATE)) else { continue };
            let module = block.split("::{impl#").next().unwrap_or_default();
            found.entry(module.into()).or_default().insert(arguments);
        }
        Self(found)
    }

    /// Returns `true` if the program polls this type as a sink. The arguments of the type come
    /// first among those of the functions.
    pub(super) fn has(&self, type_name: &str) -> bool {
        let Some((path, arguments)) = type_name.split_once('<') else { return false };
        let Some((module, _)) = path.rsplit_once("::") else { return false };
        let Some(own) = arguments.strip_suffix('>') else { return false };
        let is_own =
            |all: &&str| all.strip_prefix(own).is_some_and(|rest| rest.starts_with(['>', ',']));
        self.0.get(module).is_some_and(|all| all.iter().any(is_own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_sink_if_a_function_of_its_module_has_its_arguments() {
        let of = HashSet::from(["app::Lines, app::Wait, app::F, u8>", "app::Other>"]);
        let sinks = Sinks(HashMap::from([("futures_util::stream::then".into(), of)]));
        assert!(sinks.has("futures_util::stream::then::Then<app::Lines, app::Wait, app::F>"));
        assert!(sinks.has("futures_util::stream::then::Then<app::Other>"));
        assert!(!sinks.has("futures_util::stream::then::Then<app::Lines, app::Waits>"));
        assert!(!sinks.has("futures_util::stream::map::Map<app::Lines, app::Wait, app::F>"));
        assert!(!sinks.has("futures_util::stream::then::Then"));
    }
}
