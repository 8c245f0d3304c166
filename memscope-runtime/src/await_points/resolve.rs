//! Decides how a walk goes on from a type: makes a step of its layout.

use memscope_layout::{Discriminant, Field, FutureType, Layouts, Shape, TypeId, Variant};

use super::{
    function_name::function,
    known::{self, Rule},
    layouts::short,
    tree::{MOST_DEPTH, Step},
    walk_end::{Branch, WalkEnd},
};
use crate::primitives::{StaticRef, order};

/// The most states or variants of one type: only a damaged file has more.
const MOST_CHILDREN: usize = 1 << 12;
/// The most futures of one `join!` that a walk asks whether they are over.
const MOST_JOINED: usize = 8;

/// How far a walk may read from a node on: [`walk`](super::walk::walk) says why.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    /// Everything: the path so far has only compiled code and known wrappers.
    Everything,
    /// The path is in a value of this type, which was written by hand. The walk reads what is plain
    /// besides futures, and follows no pointer.
    ByHand(TypeId),
    /// The path is in a function that such a value has. The walk follows no pointer.
    Inline(TypeId),
}

/// How a walk goes on from a node, and the tuple that the node is a part of.
#[derive(Debug)]
pub(super) struct StepKind {
    pub(super) step: Step,
    pub(super) beside: Option<String>,
    pub(super) reach: Reach,
}

impl StepKind {
    pub(super) const fn end(stop: WalkEnd) -> Self {
        // Nothing is read beyond an end, but the branches of one that has several futures.
        Self { step: Step::End(stop), beside: None, reach: Reach::Everything }
    }
}

/// How many types the tuple of this name is made of, as `select!` and `join!` make them; 0 for
/// another type. A tuple is no future itself: it stands for several.
fn arity(name: &str) -> usize {
    let Some(inside) = name.strip_prefix('(').and_then(|it| it.strip_suffix(')')) else {
        return 0;
    };
    let (mut depth, mut last, mut commas) = (0_i32, b' ', 0);
    for byte in inside.trim_end_matches(',').bytes() {
        match (std::mem::replace(&mut last, byte), byte) {
            (_, b'<' | b'(' | b'[') => depth += 1,
            // The arrow of a function's type is not a bracket.
            (b'-', b'>') => {}
            (_, b'>' | b')' | b']') => depth -= 1,
            (_, b',') if depth == 0 => commas += 1,
            _ => {}
        }
    }
    if inside.is_empty() { 0 } else { commas + 1 }
}

/// How a walk goes on in a value of this type that begins at `start`.
pub(super) fn resolve(layouts: &Layouts, id: TypeId, start: u64, reach: Reach) -> StepKind {
    let mut way = StepKind { step: Step::End(WalkEnd::TooDeep), beside: None, reach };
    way.step = way.find(layouts, id, start);
    way
}

/// How a walk goes on in this variant of the enum at `start`.
pub(super) fn resolve_variant(
    layouts: &Layouts,
    enumeration: &FutureType,
    variant: &Variant,
    start: u64,
    reach: Reach,
) -> StepKind {
    if known::is_output(enumeration, &variant.name) {
        return StepKind::end(WalkEnd::NoFuture(short(&enumeration.name)));
    }
    match only(layouts, enumeration, &variant.fields, start, false) {
        Ok(field) => resolve(layouts, field.future_type, start.saturating_add(field.offset), reach),
        Err(stop) => StepKind { reach, ..StepKind::end(stop) },
    }
}

/// The futures of a `join!`: a walk asks one after the other whether it is over. What is over is
/// not waited for.
#[derive(Debug)]
pub(crate) struct Joined {
    tuple: TypeId,
    start: u64,
    /// The index of the one that is asked, and those that are not over of the ones before it.
    asked: usize,
    waiting: Vec<usize>,
}

impl Joined {
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
                Some(step) => StepKind { step, beside: None, reach },
                None => StepKind::end(WalkEnd::NotUnderstood),
            };
        }
        let waiting: Vec<&Field> = waiting.iter().filter_map(|at| fields.get(*at)).collect();
        match waiting[..] {
            [] => StepKind::end(WalkEnd::Leaf(short(&tuple.name))),
            [field] => {
                let start = self.start.saturating_add(field.offset);
                let mut way = resolve(layouts, field.future_type, start, reach);
                if arity(&tuple.name) > fields.len() && way.beside.is_none() {
                    way.beside = Some(short(&tuple.name));
                }
                way
            }
            ref several => {
                let stop = side_by_side(layouts, tuple, several, self.start);
                StepKind { reach, ..StepKind::end(stop) }
            }
        }
    }

    /// The step that asks; `None` if these are not the futures of a `join!`.
    fn step(self, layouts: &Layouts) -> Option<Step> {
        let tuple = layouts.future_type(self.tuple)?;
        let Shape::Struct(fields) = &tuple.shape else { return None };
        let is_joined = |it: &Field| {
            it.is_certain && layouts.future_type(it.future_type).is_some_and(known::is_joined)
        };
        if !(2..=MOST_JOINED).contains(&fields.len()) || !fields.iter().all(is_joined) {
            return None;
        }
        let field = fields.get(self.asked)?;
        let (id, start) = (field.future_type, self.start.saturating_add(field.offset));
        let Shape::Enum { discriminant: Some(it), variants } = &layouts.future_type(id)?.shape
        else {
            return None;
        };
        Some(variant(id, start, *it, variants, Some(self)))
    }
}

impl StepKind {
    fn find(&mut self, layouts: &Layouts, mut id: TypeId, mut start: u64) -> Step {
        let mut drops_last = false;
        // Each turn goes into a field, and no type contains itself.
        for _ in 0..MOST_DEPTH {
            let Some(future) = layouts.future_type(id) else {
                return Step::End(WalkEnd::NotUnderstood);
            };
            if let Err(stop) = self.enter(layouts, id, future) {
                return Step::End(stop);
            }
            let fields = match &future.shape {
                Shape::Coroutine(coroutine) => return state(layouts, *coroutine, start),
                Shape::Pointer { to, .. } => {
                    return offset(start, 0).map_or(Step::End(WalkEnd::NotUnderstood), |offset| {
                        Step::Pointer { offset, to: *to, child: StaticRef::none() }
                    });
                }
                Shape::TraitObject { data_offset, vtable_offset, .. } => {
                    let (data, vtable) =
                        (offset(start, *data_offset), offset(start, *vtable_offset));
                    let (Some(data), Some(vtable)) = (data, vtable) else {
                        return Step::End(WalkEnd::NotUnderstood);
                    };
                    return Step::Object { data, vtable, children: StaticRef::none() };
                }
                Shape::Enum { discriminant: Some(it), variants } => {
                    return variant(id, start, *it, variants, None);
                }
                Shape::Enum { discriminant: None, variants } => {
                    variants.first().map_or(&[][..], |it| &it.fields)
                }
                Shape::Struct(fields) => {
                    let joined = Joined { tuple: id, start, asked: 0, waiting: Vec::new() };
                    if matches!(self.reach, Reach::Everything)
                        && arity(&future.name) > 1
                        && let Some(step) = joined.step(layouts)
                    {
                        return step;
                    }
                    fields
                }
                _ => return Step::End(WalkEnd::Leaf(short(&future.name))),
            };
            match only(layouts, future, fields, start, drops_last) {
                Ok(field) => (id, start) = (field.future_type, start.saturating_add(field.offset)),
                Err(stop) => return Step::End(stop),
            }
            if arity(&future.name) > 1 || known::polls_several(future) {
                self.beside = Some(short(&future.name));
            }
            drops_last = known::drops_last(future);
        }
        Step::End(WalkEnd::TooDeep)
    }

    /// Checks whether a value of this type may be read, and sets how far the walk may read in it.
    fn enter(&mut self, layouts: &Layouts, id: TypeId, future: &FutureType) -> Result<(), WalkEnd> {
        let name_of = |id| layouts.future_type(id).map_or_else(String::new, |it| short(&it.name));
        match (&future.shape, self.reach) {
            (_, Reach::Everything) | (Shape::Leaf, _) => {}
            (Shape::Coroutine(_), Reach::ByHand(by) | Reach::Inline(by)) => {
                self.reach = Reach::Inline(by);
            }
            (
                Shape::Pointer { .. } | Shape::TraitObject { .. },
                Reach::ByHand(by) | Reach::Inline(by),
            ) => {
                return Err(WalkEnd::PointerByHand(short(&future.name), name_of(by)));
            }
            (_, Reach::ByHand(by)) if !future.is_plain_besides => {
                return Err(WalkEnd::ByHand(name_of(by)));
            }
            _ => {}
        }
        if matches!(future.shape, Shape::Struct(_) | Shape::Enum { .. })
            && known::rule(layouts, future) == Rule::ByHand
        {
            if !future.is_plain_besides {
                return Err(WalkEnd::ByHand(name_of(id)));
            }
            if !future.is_data_besides {
                return Err(WalkEnd::Perhaps(name_of(id), functions(layouts, &all_fields(future))));
            }
            self.reach = Reach::ByHand(id);
        }
        Ok(())
    }
}

/// The only field that leads on, of a value that begins at `start`. `drops_last`: the type around
/// this one keeps it alive until it is dropped itself.
fn only<'l>(
    layouts: &Layouts,
    future: &FutureType,
    fields: &'l [Field],
    start: u64,
    drops_last: bool,
) -> Result<&'l Field, WalkEnd> {
    let fields: Vec<&Field> = match known::rule(layouts, future) {
        Rule::Polls(names) => fields.iter().filter(|it| names.contains(&&*it.name)).collect(),
        Rule::Part | Rule::ByHand => fields.iter().collect(),
    };
    let name = short(&future.name);
    match fields[..] {
        [field] if field.is_certain || drops_last => Ok(field),
        [_] => Err(WalkEnd::Uncertain(name)),
        [] => Err(WalkEnd::NoFuture(name)),
        ref several => {
            let is_work = |it: &&&Field| !known::is_signal(layouts, it.future_type);
            let mut works = several.iter().filter(is_work);
            match (works.next(), works.next()) {
                // The name of the tuple says that this is not all.
                (Some(field), None) if arity(&future.name) > 1 && field.is_certain => Ok(field),
                _ => Err(side_by_side(layouts, future, several, start)),
            }
        }
    }
}

/// All fields that lead to futures.
fn all_fields(future: &FutureType) -> Vec<&Field> {
    match &future.shape {
        Shape::Struct(fields) => fields.iter().collect(),
        Shape::Enum { variants, .. } => variants.iter().flat_map(|it| &it.fields).collect(),
        _ => Vec::new(),
    }
}

fn side_by_side(layouts: &Layouts, future: &FutureType, several: &[&Field], start: u64) -> WalkEnd {
    let branches = several.iter().map(|field| Branch {
        to: field.future_type,
        start: start.saturating_add(field.offset),
        child: StaticRef::none(),
    });
    WalkEnd::SideBySide {
        name: short(&future.name),
        futures: functions(layouts, several),
        branches: branches.collect(),
    }
}

/// What the futures in these fields are, as people write them.
fn functions(layouts: &Layouts, several: &[&Field]) -> Vec<String> {
    let names = several.iter().take(8).map(|field| {
        let id = field.future_type;
        let future = layouts.future_type(known::joined_future(layouts, id).unwrap_or(id));
        format!("`{}`", function(&future.map_or_else(String::new, |it| short(&it.name))))
    });
    names.collect()
}

fn state(layouts: &Layouts, index: usize, start: u64) -> Step {
    let Some(coroutine) = layouts.coroutines().get(index) else {
        return Step::End(WalkEnd::NotUnderstood);
    };
    let states = coroutine.states.iter().filter_map(|it| it.value?.checked_add(1)).max();
    let most =
        states.and_then(|most| usize::try_from(most).ok()).filter(|most| *most <= MOST_CHILDREN);
    match (coroutine.discriminant, most) {
        (Some(it), Some(most)) => match (offset(start, it.offset), size(it)) {
            (Some(offset), Some(size)) => {
                let children = (0..most).map(|_| StaticRef::none()).collect();
                Step::State {
                    offset,
                    size,
                    start,
                    coroutine: index,
                    first: StaticRef::none(),
                    children,
                }
            }
            _ => Step::End(WalkEnd::NotUnderstood),
        },
        _ => Step::End(WalkEnd::NotUnderstood),
    }
}

/// `joined`: the enum at `start` is one of these.
fn variant(
    enumeration: TypeId,
    start: u64,
    it: Discriminant,
    variants: &[Variant],
    joined: Option<Joined>,
) -> Step {
    let mut values: Vec<_> = variants.iter().map(|it| it.value).collect();
    order::by_key(&mut values, Option::is_none);
    match (offset(start, it.offset), size(it)) {
        (Some(offset), Some(size)) if values.len() <= MOST_CHILDREN => {
            let children = values.iter().map(|value| (*value, StaticRef::none())).collect();
            let joined = joined.map(Box::new);
            Step::Variant { offset, size, start, enumeration, joined, children }
        }
        _ => Step::End(WalkEnd::NotUnderstood),
    }
}

fn offset(start: u64, offset: u64) -> Option<usize> {
    usize::try_from(start.checked_add(offset)?).ok()
}

fn size(it: Discriminant) -> Option<u8> {
    u8::try_from(it.size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8))
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
}
