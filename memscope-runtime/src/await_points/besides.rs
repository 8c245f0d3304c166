//! The step into a hand-written type that has all else that it may wait for in `Option`s.

use memscope_layout::{FutureType, Layouts, OptionBesides, Shape, TypeId};

use super::{
    grow::add,
    known::Rule,
    layouts::{self, usize_of},
    resolve::{Reach, StepKind},
    tree::{Node, Step},
};
use crate::primitives::StaticRef;

/// The step that asks whether each of these is `None`; `None` for any other type.
pub(super) fn step(
    layouts: &Layouts,
    id: TypeId,
    future: &FutureType,
    start: u64,
    reach: Reach,
) -> Option<Step> {
    let is_asked = reach.is_still()
        && matches!(future.shape, Shape::Struct(_))
        && !future.options_besides.is_empty()
        && reach.rule(layouts, future) == Rule::ByHand;
    is_asked.then(|| {
        let all = future.options_besides.clone().into_boxed_slice();
        let (if_none, if_some) = (StaticRef::none(), StaticRef::none());
        Step::Options(Box::new(Options { id, start, all, if_none, if_some }))
    })
}

/// A type that has such `Option`s, and how a walk goes on in it.
#[derive(Debug)]
pub(crate) struct Options {
    id: TypeId,
    start: u64,
    all: Box<[OptionBesides]>,
    if_none: StaticRef<Node>,
    if_some: StaticRef<Node>,
}

impl Options {
    /// Whether all are `None`. `at`: the start of the block that the walk is in. `number`: the
    /// integer of a size at an address; `None` if it cannot be read.
    pub(super) fn are_none(
        &self,
        at: usize,
        mut number: impl FnMut(usize, u8) -> Option<u64>,
    ) -> Option<bool> {
        let at = at.wrapping_add(usize_of(self.start));
        for option in &self.all {
            let size = u8::try_from(option.discriminant.size).ok()?;
            let address = at.wrapping_add(usize_of(option.discriminant.offset));
            if !option.is_none(number(address, size)?) {
                return Some(false);
            }
        }
        Some(true)
    }
}

impl Node {
    /// The child for `Option`s that are all `None`, or not.
    pub(super) fn with_options(&'static self, are_none: bool) -> Option<&'static Self> {
        let Step::Options(options) = &self.step else { return None };
        let place = if are_none { &options.if_none } else { &options.if_some };
        place.get().or_else(|| {
            let layouts = layouts::kept()?;
            add(place, self.child(), || {
                let nothing_else = Some(are_none);
                let way = StepKind { nothing_else, ..StepKind::begin(self.reach) };
                way.find_step(layouts, options.id, options.start)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_none_by_the_value_for_none_or_for_some() {
        let of = |text: &str| -> OptionBesides { serde_json::from_str(text).expect("an option") };
        let pointer = of(r#"{"discriminant": {"offset": 8, "size": 8}, "none": 0, "some": null}"#);
        let tagged = of(r#"{"discriminant": {"offset": 16, "size": 1}, "none": null, "some": 1}"#);
        let options = Options {
            id: serde_json::from_str("0").expect("a number"),
            start: 100,
            all: [pointer, tagged].into(),
            if_none: StaticRef::none(),
            if_some: StaticRef::none(),
        };
        let are_none = |first: u64, second: Option<u64>| {
            options.are_none(1000, |address, size| match (address, size) {
                (1108, 8) => Some(first),
                (1116, 1) => second,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(are_none(0, Some(0)), Some(true));
        assert_eq!(are_none(4096, Some(0)), Some(false));
        assert_eq!(are_none(0, Some(1)), Some(false));
        assert_eq!(are_none(0, None), None, "not to be read");
    }
}
