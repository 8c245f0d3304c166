//! The step into an enum, and what is asked of the enum beside its variant.

use memscope_layout::{Discriminant, FutureType, Layouts, Shape, TypeId, Variant};

use super::{
    joined::Joined,
    known,
    layouts::written,
    resolve::{MOST_CHILDREN, Reach, StepKind, offset, resolve, resolve_variant, size},
    tree::Step,
    walk_end::WalkEnd,
};
use crate::primitives::{StaticRef, order};

/// What an enum is a part of, where its variant says more than what is in it.
#[derive(Debug)]
pub(crate) enum Asked {
    /// One of the futures of a join: it is asked whether it is over.
    Joined(Joined),
    /// The future of what a source has given. Where there is none, the source is waited for.
    Source(Source),
}

/// A type that polls the future of what its source has given, and without one its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    id: TypeId,
    start: u64,
    field: &'static str,
}

impl Source {
    /// Returns `None` if the value of this type at `start` has no source.
    pub(super) fn of(future: &FutureType, id: TypeId, start: u64) -> Option<Self> {
        let field = known::sourced(future)?.source;
        Some(Self { id, start, field })
    }

    /// How a walk goes on without a future.
    fn resolve(self, layouts: &Layouts, reach: Reach) -> StepKind {
        let Some(future) = layouts.future_type(self.id) else {
            return StepKind::end(WalkEnd::NotUnderstood);
        };
        let fields = if let Shape::Struct(fields) = &future.shape { &fields[..] } else { &[] };
        match fields.iter().find(|it| &*it.name == self.field && it.is_certain) {
            Some(field) => {
                resolve(layouts, field.future_type, self.start.saturating_add(field.offset), reach)
            }
            None => StepKind { reach, ..StepKind::end(WalkEnd::Leaf(written(&future.name))) },
        }
    }
}

impl Asked {
    /// How a walk goes on once the enum at `start` is known to be in this variant.
    pub(super) fn resolve(
        &self,
        layouts: &Layouts,
        enumeration: &FutureType,
        variant: &Variant,
        start: u64,
        reach: Reach,
    ) -> StepKind {
        match self {
            Self::Joined(joined) => joined.resolve(layouts, &variant.name, reach),
            Self::Source(source) if &*variant.name == "None" => source.resolve(layouts, reach),
            Self::Source(_) => resolve_variant(layouts, enumeration, variant, start, reach),
        }
    }
}

/// The step into the current variant of the enum at `start`.
pub(super) fn variant(
    enumeration: TypeId,
    start: u64,
    it: Discriminant,
    variants: &[Variant],
    asked: Option<Asked>,
) -> Step {
    let mut values: Vec<_> = variants.iter().map(|it| it.value).collect();
    order::by_key(&mut values, Option::is_none);
    match (offset(start, it.offset), size(it)) {
        (Some(offset), Some(size)) if values.len() <= MOST_CHILDREN => {
            let children = values.iter().map(|value| (*value, StaticRef::none())).collect();
            let asked = asked.map(Box::new);
            Step::Variant { offset, size, start, enumeration, asked, children }
        }
        _ => Step::End(WalkEnd::NotUnderstood),
    }
}
