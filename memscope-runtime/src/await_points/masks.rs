//! The step into the branches of a `select!` that are not disabled.

use memscope_layout::{Discriminant, FutureType, Layouts, TypeId};

use super::{
    cached_path::{OtherCheck, PathCheck},
    grow::{Draft, make},
    layouts,
    resolve::{Reach, StepKind, all_fields, offset, only, resolve_enabled, size},
    seen::Seen,
    tree::{Node, Step},
    tuple::Disabled,
    walk_end::WalkEnd,
};
use crate::{alloc::current::exempt, primitives::StaticRef};

/// The most masks of one `select!` that have nodes. At the others a walk ends.
const MOST_MASKS: usize = 64;
/// Stands for the others. A `select!` with such a mask has no branch that is enabled.
const OTHERS: u64 = u64::MAX;

/// The step that asks the closure of a `select!` which of its branches are disabled.
pub(super) fn step(id: TypeId, future: &FutureType, start: u64, reach: Reach) -> Option<Step> {
    let mask = future.select_mask.filter(|_| reach.has_all())?;
    Some(Step::Mask {
        pointer: offset(start, mask.pointer_offset)?,
        size: size(Discriminant { offset: 0, size: mask.size })?,
        start,
        closure: id,
        children: StaticRef::none(),
    })
}

/// How a walk goes on in this closure of a `select!`, once the mask of its branches is known.
fn resolve(
    layouts: &Layouts,
    closure: &FutureType,
    start: u64,
    mask: u64,
    reach: Reach,
) -> StepKind {
    match only(layouts, closure, &all_fields(closure), start, false, reach) {
        Ok(field) => {
            let start = start.saturating_add(field.offset);
            resolve_enabled(layouts, field.future_type, start, reach, Disabled(mask))
        }
        Err(stop) => StepKind { reach, ..StepKind::end(stop) },
    }
}

impl Node {
    /// The child for a `select!` with this mask.
    #[inline]
    pub(crate) fn with_mask(&'static self, mask: u64) -> Option<&'static Self> {
        let Step::Mask { children, .. } = &self.step else { return None };
        match children.find(mask) {
            Ok(child) => Some(child),
            Err((place, MOST_MASKS..)) => children.find(OTHERS).ok().or_else(|| {
                self.add_mask(mask, OTHERS, place, |_, _| StepKind::end(WalkEnd::TooManyMasks))
            }),
            Err((place, _)) => self.add_mask(mask, mask, place, |layouts, closure| {
                let Step::Mask { start, .. } = self.step else {
                    return StepKind::end(WalkEnd::NotUnderstood);
                };
                resolve(layouts, closure, start, mask, self.reach)
            }),
        }
    }

    /// Makes the child for this mask, which is known as `key` then.
    #[cold]
    #[inline(never)]
    fn add_mask(
        &'static self,
        mask: u64,
        key: u64,
        place: &'static StaticRef<Seen>,
        way: impl FnOnce(&Layouts, &FutureType) -> StepKind,
    ) -> Option<&'static Self> {
        let Step::Mask { pointer, size, closure, .. } = self.step else { return None };
        let layouts = layouts::kept()?;
        let closure = layouts.future_type(closure)?;
        let check = Some(PathCheck::Other(OtherCheck::Mask { pointer, size, is: mask }));
        let draft = Draft { check, ..self.child() };
        let node = exempt(|| make(draft, way(layouts, closure)))?;
        place.append(key, node)
    }
}
