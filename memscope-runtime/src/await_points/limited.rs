//! The step into a type that polls its stream only while its list has room for one more future.

use memscope_layout::{Count, Field, FutureType, Layouts, Limit, TypeId};

use super::{
    grow::add,
    layouts::{self, usize_of, written},
    resolve::{Reach, StepKind, all_fields, only, resolve},
    tree::{Node, Step},
    walk_end::WalkEnd,
};
use crate::primitives::StaticRef;

/// The field of the stream.
const STREAM: &str = "stream";

/// The step that asks whether the list of this type has room; `None` for a type without a limit.
pub(super) fn step(id: TypeId, future: &FutureType, start: u64, reach: Reach) -> Option<Step> {
    let limit = future.limit?;
    if reach.is_still() {
        return Some(Step::Limit(Box::new(Limited::new(id, start, limit))));
    }
    // Elsewhere the list is not read, and so it is not known whether the stream is polled.
    let is_stream = all_fields(future).iter().all(|it| &*it.name == STREAM);
    is_stream.then(|| Step::End(WalkEnd::Leaf(written(&future.name))))
}

/// A type that has such a limit, and how a walk goes on in it.
#[derive(Debug)]
pub(crate) struct Limited {
    id: TypeId,
    start: u64,
    limit: Limit,
    if_room: StaticRef<Node>,
    if_full: StaticRef<Node>,
}

impl Limited {
    pub(super) const fn new(id: TypeId, start: u64, limit: Limit) -> Self {
        Self { id, start, limit, if_room: StaticRef::none(), if_full: StaticRef::none() }
    }

    /// Whether the list is full. `at`: the start of the block that the walk is in. `word`: the word
    /// at an address; `None` if it cannot be read.
    pub(super) fn is_full(
        &self,
        at: usize,
        mut word: impl FnMut(usize) -> Option<usize>,
    ) -> Option<bool> {
        let at = at.wrapping_add(usize_of(self.start));
        let mut of = |offset: u64| word(at.wrapping_add(usize_of(offset)));
        let most = of(self.limit.most_offset)?;
        let count = match self.limit.count {
            Count::InFirst { first_offset, length_offset } => match of(first_offset)? {
                0 => 0,
                first => word(first.wrapping_add(usize_of(length_offset)))?,
            },
            Count::Between { first_offset, end_offset } => {
                of(end_offset)?.wrapping_sub(of(first_offset)?)
            }
            _ => return None,
        };
        Some(most != 0 && count >= most)
    }

    fn resolve(&self, layouts: &Layouts, is_full: bool, reach: Reach) -> StepKind {
        if !is_full {
            let way = StepKind { has_room: true, ..StepKind::begin(reach) };
            return way.find_step(layouts, self.id, self.start);
        }
        let Some(future) = layouts.future_type(self.id) else {
            return StepKind::end(WalkEnd::NotUnderstood);
        };
        let mut fields: Vec<&Field> =
            all_fields(future).into_iter().filter(|it| &*it.name != STREAM).collect();
        // Variants have them in common.
        fields.dedup_by_key(|it| it.offset);
        let stop = match fields[..] {
            [] => WalkEnd::Leaf(written(&future.name)),
            _ => match only(layouts, future, &fields, self.start, false, reach) {
                Ok(field) => {
                    let start = self.start.saturating_add(field.offset);
                    return resolve(layouts, field.future_type, start, reach);
                }
                Err(stop) => stop,
            },
        };
        StepKind { reach, ..StepKind::end(stop) }
    }
}

impl Node {
    /// The child for a list that is full, or has room.
    pub(super) fn with_limit(&'static self, is_full: bool) -> Option<&'static Self> {
        let Step::Limit(limited) = &self.step else { return None };
        let place = if is_full { &limited.if_full } else { &limited.if_room };
        place.get().or_else(|| {
            let layouts = layouts::kept()?;
            add(place, self.child(), || limited.resolve(layouts, is_full, self.reach))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a list is full, of a type at address 100 that has these words. A node is at 200.
    fn is_full(count: &str, words: [usize; 3]) -> Option<bool> {
        let limit = format!(r#"{{"most_offset": 0, "count": {count}}}"#);
        let limit: Limit = serde_json::from_str(&limit).expect("a limit");
        let id: TypeId = serde_json::from_str("0").expect("a number");
        let word = |address: usize| match address {
            208 => Some(3),
            _ => words.get(address.checked_sub(100)? / 8).copied(),
        };
        Limited::new(id, 0, limit).is_full(100, word)
    }

    #[test]
    fn a_list_is_full_with_as_many_as_its_limit() {
        const NODES: &str = r#"{"in_first": {"first_offset": 8, "length_offset": 8}}"#;
        const NUMBERS: &str = r#"{"between": {"first_offset": 8, "end_offset": 16}}"#;
        assert_eq!(is_full(NODES, [3, 200, 0]), Some(true));
        assert_eq!(is_full(NODES, [4, 200, 0]), Some(false));
        assert_eq!(is_full(NODES, [0, 200, 0]), Some(false), "no limit");
        assert_eq!(is_full(NODES, [1, 0, 0]), Some(false), "an empty list");
        assert_eq!(is_full(NODES, [1, 300, 0]), None, "not to be read");
        assert_eq!(is_full(NUMBERS, [2, 5, 7]), Some(true));
        assert_eq!(is_full(NUMBERS, [2, 5, 6]), Some(false));
        assert_eq!(is_full(NUMBERS, [2, usize::MAX, 1]), Some(true), "they begin below 0");
    }
}
