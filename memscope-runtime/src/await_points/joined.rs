//! The futures of a join, some of which may be over.

use memscope_layout::{Field, Layouts, Shape, TypeId};

use super::{
    asked::{Asked, variant},
    candidates::side_by_side,
    known,
    layouts::written,
    resolve::{Reach, StepKind, polls, resolve},
    tree::Step,
    walk_end::WalkEnd,
};

/// The most futures of one join that a walk asks whether they are over.
const MOST_JOINED: usize = 32;

/// The futures of a `join!` or `join`: a walk asks one after the other whether it is over. What is
/// over is not waited for.
#[derive(Debug)]
pub(crate) struct Joined {
    tuple: TypeId,
    start: u64,
    /// The index of the one that is asked, and those that are not over of the ones before it.
    asked: usize,
    waiting: Vec<usize>,
}

impl Joined {
    /// Those of the value at `start`, the first of which is asked first.
    pub(super) const fn new(tuple: TypeId, start: u64) -> Self {
        Self { tuple, start, asked: 0, waiting: Vec::new() }
    }

    /// How a walk goes on once the one that is asked is known to be in this variant.
    pub(super) fn resolve(&self, layouts: &Layouts, variant: &str, reach: Reach) -> StepKind {
        let Some(tuple) = layouts.future_type(self.tuple) else {
            return StepKind::end(WalkEnd::NotUnderstood);
        };
        let Shape::Struct(fields) = &tuple.shape else {
            return StepKind::end(WalkEnd::NotUnderstood);
        };
        let mut waiting = self.waiting.clone();
        if variant == known::JOINED_FUTURE {
            waiting.push(self.asked);
        }
        if self.asked + 1 < fields.len() {
            let next = Self { asked: self.asked + 1, waiting, ..*self };
            return match next.step(layouts) {
                Some(step) => StepKind::new(step, reach),
                None => StepKind::end(WalkEnd::NotUnderstood),
            };
        }
        let waiting: Vec<&Field> = waiting.iter().filter_map(|at| fields.get(*at)).collect();
        match waiting[..] {
            [] => StepKind::end(WalkEnd::Leaf(written(&tuple.name))),
            [field] => {
                let start = self.start.saturating_add(field.offset);
                let mut way = resolve(layouts, field.future_type, start, reach);
                if polls(tuple) > fields.len() && way.beside.is_none() {
                    way.beside = Some(written(&tuple.name));
                }
                way
            }
            ref several => {
                let stop = side_by_side(layouts, tuple, several, self.start);
                StepKind { reach, ..StepKind::end(stop) }
            }
        }
    }

    /// The step that asks; `None` if these are not the futures of such a join.
    pub(super) fn step(self, layouts: &Layouts) -> Option<Step> {
        let tuple = layouts.future_type(self.tuple)?;
        let Shape::Struct(fields) = &tuple.shape else { return None };
        let is_joined = |it: &Field| {
            it.is_certain && layouts.future_type(it.future_type).is_some_and(known::may_be_over)
        };
        if !(1..=MOST_JOINED).contains(&fields.len()) || !fields.iter().all(is_joined) {
            return None;
        }
        let field = fields.get(self.asked)?;
        let (id, start) = (field.future_type, self.start.saturating_add(field.offset));
        let Shape::Enum { discriminant: Some(it), variants } = &layouts.future_type(id)?.shape
        else {
            return None;
        };
        Some(variant(id, start, *it, variants, Some(Asked::Joined(self))))
    }
}
