//! Types of tracked futures, for cells whose layout is not known.

use std::{
    collections::{HashMap, HashSet},
    ptr,
};

use super::{
    open_task::Open,
    task_name::{is_boxed, without_box},
};
use crate::{
    accounting::FutureType,
    model::brackets,
    picture::{AskedMemory, WORD},
};

/// The wrapper of a tracked future, up to the future's own type.
const WRAPPER: &str = "memscope_runtime::tasks::future::Tracked<";

/// The longest future that is read.
const MOST_WORDS: usize = (1 << 16) / WORD;

/// The types of the tracked futures that have no cell of their own, by their names.
pub(super) struct TrackedTypes(HashMap<String, Vec<&'static FutureType>>);

impl TrackedTypes {
    pub(super) fn of<'o>(open: impl Iterator<Item = &'o Open>) -> Self {
        let mut types: HashMap<String, Vec<&'static FutureType>> = HashMap::new();
        // PERF: there are far fewer types than tasks.
        let mut seen = HashSet::new();
        for future in open.map(|open| open.future) {
            if seen.insert(ptr::from_ref(future).addr()) {
                types.entry(plain(future.name())).or_default().push(future);
            }
        }
        Self(types)
    }

    /// The one tracked future that a cell has as its own, whose type's name this is. `record` looks
    /// up a word: whether it is the record of a task with such a future.
    ///
    /// A cell has old words that may be records of other tasks. So only the places where the own
    /// one may be count, and records of tasks of the right type.
    pub(super) fn find(
        &self,
        type_name: &str,
        behind_id: usize,
        record: impl Fn(usize, &'static FutureType) -> Option<usize>,
        memory: &mut AskedMemory<'_, '_>,
    ) -> Option<usize> {
        let types = self.in_task(type_name);
        let longest = types.iter().flat_map(|future| record_places(future)).max()?;
        // The future begins behind the id, or behind a word that says whether it is there.
        let starts = if is_boxed(type_name) {
            memory.words(behind_id, 2)
        } else {
            vec![behind_id, behind_id + WORD]
        };
        let mut found = Vec::new();
        for start in starts {
            let words = memory.words(start, (longest + 1).min(MOST_WORDS));
            for future in types {
                let there = record_places(future).filter_map(|place| words.get(place));
                found.extend(there.filter_map(|word| record(*word, future)));
            }
        }
        found.sort_unstable();
        found.dedup();
        if let [only] = found[..] { Some(only) } else { None }
    }

    /// The types that are tracked as a task's own future of this type.
    fn in_task(&self, type_name: &str) -> &[&'static FutureType] {
        let inner = without_box(type_name).strip_prefix(WRAPPER).and_then(argument);
        inner.and_then(|inner| self.0.get(&plain(inner))).map_or(&[], Vec::as_slice)
    }
}

/// Where the record's address may be, in words from the start of a tracked future: in front of the
/// future that it wraps, or behind that, with a word between them that says whether it is there.
fn record_places(future: &FutureType) -> impl Iterator<Item = usize> {
    let behind = future.size.div_ceil(WORD);
    [0, behind, behind + 1, behind + 2].into_iter()
}

/// A name as compilers and symbols write it alike.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let name = name.replace("{{closure}}", "{closure}").replace("::<", "<");
    let mut rest = name.as_str();
    while let Some(at) = rest.find("{closure#") {
        let (before, after) = rest.split_at(at);
        plain.extend([before, "{closure}"]);
        rest = after.find('}').and_then(|end| after.get(end + 1..)).unwrap_or_default();
    }
    plain + rest
}

/// What stands before the `>` that ends an argument.
fn argument(text: &str) -> Option<&str> {
    text.get(..brackets::closing(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_the_same_as_a_compiler_and_as_a_symbol_write_it() {
        for (compiler, symbol) in [
            ("app::handler::{{closure}}", "app::handler::{closure#0}"),
            ("app::of<u8>::{{closure}}", "app::of::<u8>::{closure#12}"),
            ("app::Own", "app::Own"),
        ] {
            assert_eq!(plain(compiler), plain(symbol));
        }
        assert_ne!(plain("app::one::{{closure}}"), plain("app::two::{closure#0}"));
        assert_eq!(argument("app::Of<fn(u8) -> u8>, x>>>"), Some("app::Of<fn(u8) -> u8>, x"));
        assert_eq!(argument("app::Of<u8"), None);
    }
}
