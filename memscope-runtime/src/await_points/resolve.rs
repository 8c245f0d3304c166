//! Decides how a walk goes on from a type: makes a step of its layout.

use memscope_layout::{Discriminant, Field, FutureType, Layouts, Shape, TypeId, Variant};

use super::{
    asked::{Asked, Source, variant},
    besides,
    candidates::{perhaps, side_by_side, some_of},
    joined::Joined,
    known::{self, Rule},
    layouts::written,
    limited,
    listed::{self, List},
    masks,
    tree::{MOST_DEPTH, Step},
    tuple::{Disabled, arity},
    walk_end::WalkEnd,
};
use crate::primitives::StaticRef;

/// The most states or variants of one type: only a damaged file has more.
pub(super) const MOST_CHILDREN: usize = 1 << 12;

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
    /// Everything: the memory is a copy that stands still. What a value waits for that was written
    /// by hand is as uncertain as elsewhere.
    Still,
    /// The same. The path is in a value that was written by hand, or in a part of one.
    StillByHand,
}

impl Reach {
    /// Whether a walk follows pointers, and asks numbers that stand elsewhere.
    pub(super) fn has_all(self) -> bool {
        matches!(self, Self::Everything) || self.is_still()
    }

    /// Whether the memory stands still.
    pub(super) fn is_still(self) -> bool {
        matches!(self, Self::Still | Self::StillByHand)
    }

    /// Whether the code that polls a tuple here was written by hand.
    fn is_by_hand(self) -> bool {
        matches!(self, Self::ByHand(_) | Self::StillByHand)
    }

    /// Whether the type may be polled here as a sink. A stream that is a sink as well polls then
    /// its sink, and not what it has of its stream.
    pub(super) fn may_be_sink(self, future: &FutureType) -> bool {
        self.is_by_hand() && future.is_sink
    }

    /// The rule of a type here.
    pub(super) fn rule(self, layouts: &Layouts, future: &FutureType) -> Rule {
        match known::rule(layouts, future) {
            Rule::Polls(_) if self.may_be_sink(future) => Rule::ByHand,
            rule => rule,
        }
    }
}

/// How a walk goes on from a node, and the tuple that the node is a part of.
#[derive(Debug)]
pub(super) struct StepKind {
    pub(super) step: Step,
    pub(super) beside: Option<String>,
    pub(super) waits_itself: bool,
    pub(super) reach: Reach,
    pub(super) disabled: Disabled,
    /// Whether the list of the type that the walk is in is known to have room.
    pub(super) has_room: bool,
    /// Whether the type is known to have nothing else to wait for, or perhaps has. `None` if that
    /// was not asked.
    pub(super) nothing_else: Option<bool>,
}

impl StepKind {
    pub(super) fn end(stop: WalkEnd) -> Self {
        // Nothing is read beyond an end, but the branches of one that has several futures.
        Self::new(Step::End(stop), Reach::Everything)
    }

    pub(super) fn new(step: Step, reach: Reach) -> Self {
        let disabled = Disabled::default();
        let (has_room, nothing_else) = (false, None);
        Self { step, beside: None, waits_itself: false, reach, disabled, has_room, nothing_else }
    }
}

/// How many futures a tuple or a known type polls at each poll.
pub(super) fn polls(future: &FutureType) -> usize {
    arity(&future.name).max(known::polls(future))
}

/// How a walk goes on in a value of this type that begins at `start`.
pub(super) fn resolve(layouts: &Layouts, id: TypeId, start: u64, reach: Reach) -> StepKind {
    resolve_enabled(layouts, id, start, reach, Disabled::default())
}

/// The same on the way from the closure of a `select!` to the tuple of its futures, of which these
/// are disabled. The tuple is here, or behind a pointer that is.
pub(super) fn resolve_enabled(
    layouts: &Layouts,
    id: TypeId,
    start: u64,
    reach: Reach,
    disabled: Disabled,
) -> StepKind {
    StepKind { disabled, ..StepKind::begin(reach) }.find_step(layouts, id, start)
}

/// How a walk goes on in this variant of the enum at `start`.
pub(super) fn resolve_variant(
    layouts: &Layouts,
    enumeration: &FutureType,
    variant: &Variant,
    start: u64,
    reach: Reach,
) -> StepKind {
    let may_be_sink = reach.may_be_sink(enumeration);
    if !may_be_sink && known::is_output(enumeration, &variant.name) {
        return StepKind::end(WalkEnd::NoFuture(written(&enumeration.name)));
    }
    let fields: Vec<&Field> = variant.fields.iter().collect();
    let is_by_hand = reach.rule(layouts, enumeration) == Rule::ByHand;
    if reach.is_still() && is_by_hand && !variant.is_data_besides {
        let stop = match fields[..] {
            [] => WalkEnd::Leaf(written(&enumeration.name)),
            _ => perhaps(layouts, enumeration, &fields, start, variant.is_closed_besides),
        };
        return StepKind { reach, ..StepKind::end(stop) };
    }
    match only(layouts, enumeration, &fields, start, false, reach) {
        Ok(field) => {
            let start = start.saturating_add(field.offset);
            let mut way = resolve(layouts, field.future_type, start, reach);
            if way.beside.is_none() && known::polls_two(enumeration, variant) {
                way.beside = Some(written(&enumeration.name));
            }
            way
        }
        Err(stop) => StepKind { reach, ..StepKind::end(stop) },
    }
}

impl StepKind {
    /// How a walk begins, before it is known how it goes on.
    pub(super) fn begin(reach: Reach) -> Self {
        Self::new(Step::End(WalkEnd::TooDeep), reach)
    }

    /// How it goes on in a value of this type that begins at `start`.
    pub(super) fn find_step(mut self, layouts: &Layouts, id: TypeId, start: u64) -> Self {
        self.step = self.find(layouts, id, start);
        self
    }

    fn find(&mut self, layouts: &Layouts, mut id: TypeId, mut start: u64) -> Step {
        let (mut drops_last, mut source) = (false, None);
        // Each turn goes into a field, and no type contains itself.
        for _ in 0..MOST_DEPTH {
            let Some(future) = layouts.future_type(id) else {
                return Step::End(WalkEnd::NotUnderstood);
            };
            let nothing_else = self.nothing_else.take();
            if nothing_else.is_none()
                && let Some(step) = besides::step(layouts, id, future, start, self.reach)
            {
                return step;
            }
            let nothing_else = nothing_else == Some(true);
            if let Err(stop) = self.enter(layouts, id, future, start, nothing_else) {
                return Step::End(stop);
            }
            if let Some(step) = masks::step(id, future, start, self.reach) {
                return step;
            }
            let may_be_sink = self.reach.may_be_sink(future);
            let has_room = std::mem::take(&mut self.has_room) || may_be_sink;
            if !has_room && let Some(step) = limited::step(id, future, start, self.reach) {
                return step;
            }
            self.waits_itself |= known::waits_itself(future);
            let several = arity(&future.name) > 1;
            // They are those of the first value that is no pointer.
            let disabled = match &future.shape {
                Shape::Pointer { .. } => Disabled::default(),
                _ => std::mem::take(&mut self.disabled),
            };
            let disabled = if several { disabled } else { Disabled::default() };
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
                    return variant(id, start, *it, variants, source.map(Asked::Source));
                }
                Shape::Enum { discriminant: None, variants } => {
                    variants.first().map_or(&[][..], |it| &it.fields)
                }
                Shape::Struct(fields) => {
                    let joined = Joined::new(id, start);
                    if self.reach.has_all()
                        && polls(future) > 1
                        && let Some(step) = joined.step(layouts)
                    {
                        return step;
                    }
                    fields
                }
                Shape::List { element, places } => {
                    let name = listed::name(&future.name);
                    let list = Box::new(List::new(*element, *places, start));
                    let is_still = self.reach.is_still();
                    return Step::End(if is_still {
                        WalkEnd::Listed { name, list }
                    } else {
                        WalkEnd::Leaf(name)
                    });
                }
                _ => {
                    let name = written(&future.name);
                    let queue = future.queue_offset.and_then(|it| offset(start, it));
                    return Step::End(match queue {
                        Some(queue) => WalkEnd::Queued { name, queue },
                        None if future.is_closed_besides => WalkEnd::Leaf(name),
                        None => WalkEnd::Opaque(name),
                    });
                }
            };
            let fields: Vec<&Field> = fields.iter().filter(|it| !disabled.has(it)).collect();
            if fields.is_empty() && several {
                return Step::End(disabled.leaves(&future.name));
            }
            source = Source::of(future, id, start).filter(|_| !may_be_sink);
            match only(layouts, future, &fields, start, drops_last, self.reach) {
                Ok(field) => (id, start) = (field.future_type, start.saturating_add(field.offset)),
                Err(stop) => return Step::End(disabled.note(&future.name, stop)),
            }
            if disabled.enabled(&future.name).nth(1).is_some() || known::polls(future) > 1 {
                self.beside = Some(disabled.tuple(&future.name));
            }
            if known::has_more_than(layouts, future, fields.len()) {
                self.beside = Some(written(&future.name));
            }
            drops_last = known::drops_last(future);
        }
        Step::End(WalkEnd::TooDeep)
    }

    /// Checks whether a value of this type may be read, and sets how far the walk may read in it.
    fn enter(
        &mut self,
        layouts: &Layouts,
        id: TypeId,
        future: &FutureType,
        start: u64,
        nothing_else: bool,
    ) -> Result<(), WalkEnd> {
        let name_of = |id| layouts.future_type(id).map_or_else(String::new, |it| written(&it.name));
        match (&future.shape, self.reach) {
            (_, Reach::Everything | Reach::Still | Reach::StillByHand) | (Shape::Leaf, _) => {}
            (Shape::Coroutine(_), Reach::ByHand(by) | Reach::Inline(by)) => {
                self.reach = Reach::Inline(by);
            }
            (
                Shape::Pointer { .. } | Shape::TraitObject { .. },
                Reach::ByHand(by) | Reach::Inline(by),
            ) => {
                return Err(WalkEnd::PointerByHand(written(&future.name), name_of(by)));
            }
            (_, Reach::ByHand(by)) if !future.is_plain_besides => {
                return Err(WalkEnd::ByHand(name_of(by)));
            }
            _ => {}
        }
        let rule = match future.shape {
            // Which of its futures are over is asked only where memory stands still.
            Shape::Struct(_) if !self.reach.is_still() && known::is_of_futures(layouts, future) => {
                Rule::ByHand
            }
            Shape::Struct(_) | Shape::Enum { .. } => self.reach.rule(layouts, future),
            Shape::Coroutine(_) => Rule::Polls(&[]),
            _ => Rule::Part,
        };
        if self.reach.is_still() && rule != Rule::Part {
            let is_by_hand = rule == Rule::ByHand;
            self.reach = if is_by_hand { Reach::StillByHand } else { Reach::Still };
        }
        match rule {
            Rule::ByHand => self.enter_by_hand(layouts, id, future, start, nothing_else),
            // What else is in a tuple of such a type may be what it waits for.
            Rule::Part
                if self.reach.is_by_hand()
                    && arity(&future.name) > 0
                    && !future.is_data_besides =>
            {
                let fields = all_fields(future);
                Err(perhaps(layouts, future, &fields, start, future.is_closed_besides))
            }
            Rule::Part | Rule::Polls(_) => Ok(()),
        }
    }

    /// The same for a type that was written by hand.
    fn enter_by_hand(
        &mut self,
        layouts: &Layouts,
        id: TypeId,
        future: &FutureType,
        start: u64,
        nothing_else: bool,
    ) -> Result<(), WalkEnd> {
        let is_still = self.reach.is_still();
        if !future.is_plain_besides && !is_still {
            return Err(WalkEnd::ByHand(written(&future.name)));
        }
        let nothing_else =
            nothing_else || future.is_data_besides || known::has_only_items_besides(future);
        if !nothing_else {
            let fields = all_fields(future);
            return match &future.shape {
                // Which variant it is tells what it has.
                Shape::Enum { discriminant: Some(_), .. } if is_still => Ok(()),
                _ => Err(perhaps(layouts, future, &fields, start, future.is_closed_besides)),
            };
        }
        if !is_still {
            self.reach = Reach::ByHand(id);
        }
        Ok(())
    }
}

/// The only field that leads on, of a value that begins at `start`. `drops_last`: the type around
/// this one keeps it alive until it is dropped itself.
pub(super) fn only<'l>(
    layouts: &Layouts,
    future: &FutureType,
    fields: &[&'l Field],
    start: u64,
    drops_last: bool,
    reach: Reach,
) -> Result<&'l Field, WalkEnd> {
    let rule = reach.rule(layouts, future);
    let is_by_hand = match rule {
        Rule::ByHand => true,
        Rule::Part => reach.is_by_hand(),
        Rule::Polls(_) => false,
    };
    let is_polled = |it: &Field| match rule {
        Rule::Polls(names) => names.contains(&&*it.name),
        Rule::Part | Rule::ByHand => true,
    };
    let fields: Vec<&Field> = fields.iter().copied().filter(|it| is_polled(it)).collect();
    let name = written(&future.name);
    match fields[..] {
        [field] if field.is_certain || drops_last => Ok(field),
        [_] => Err(WalkEnd::Uncertain(name)),
        // Of any other type, what it polls now may be a field that leads to no function.
        [] if known::is_option(future) || !known::may_wait(&future.name) => {
            Err(WalkEnd::NoFuture(name))
        }
        [] => Err(WalkEnd::Leaf(name)),
        ref several => {
            let is_work = |it: &&&Field| !known::is_signal(layouts, it.future_type);
            let mut works = several.iter().filter(is_work);
            match (works.next(), works.next()) {
                _ if is_by_hand => Err(some_of(layouts, future, several, start)),
                // The name of the tuple says that this is not all.
                (Some(field), None) if arity(&future.name) > 1 && field.is_certain => Ok(field),
                _ => Err(side_by_side(layouts, future, several, start)),
            }
        }
    }
}

/// All fields that lead to futures.
pub(super) fn all_fields(future: &FutureType) -> Vec<&Field> {
    match &future.shape {
        Shape::Struct(fields) => fields.iter().collect(),
        Shape::Enum { variants, .. } => variants.iter().flat_map(|it| &it.fields).collect(),
        _ => Vec::new(),
    }
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
                let first = StaticRef::none();
                Step::State { offset, size, start, coroutine: index, first, children }
            }
            _ => Step::End(WalkEnd::NotUnderstood),
        },
        _ => Step::End(WalkEnd::NotUnderstood),
    }
}

pub(super) fn offset(start: u64, offset: u64) -> Option<usize> {
    usize::try_from(start.checked_add(offset)?).ok()
}

pub(super) fn size(it: Discriminant) -> Option<u8> {
    u8::try_from(it.size).ok().filter(|size| matches!(size, 1 | 2 | 4 | 8))
}
