//! Makes [`Vacancies`] of the types that debug information describes.

use std::{collections::HashMap, ops::Range};

use memscope_layout::{
    Coroutine, Evidence, Field, Layouts, Member, PointerKind, Shape, State, TaskLayout, TypeId,
};

use super::{
    grow, image,
    known::{self, Rule},
    layouts::usize_of,
    vacant::{Choice, Content, Kind, KindNumber, Part, Vacancies, WHOLE},
};
use crate::primitives::gaps::gaps;

/// The most types that are looked at. All bytes of further ones count.
const MOST_KINDS: usize = 1 << 16;

/// Makes [`Vacancies`].
#[derive(Debug)]
pub(crate) struct VacancyMaker<'l> {
    layouts: &'l Layouts,
    kinds: Vec<Kind>,
    /// The types that have a number, each with whether the type around it keeps it alive until it
    /// is dropped itself.
    numbers: HashMap<(TypeId, bool), KindNumber>,
    todo: Vec<(TypeId, bool, KindNumber)>,
}

impl<'l> VacancyMaker<'l> {
    pub(crate) fn new(layouts: &'l Layouts) -> Self {
        let whole = Kind { size: 0, content: Content::Whole };
        Self { layouts, kinds: vec![whole], numbers: HashMap::new(), todo: Vec::new() }
    }

    /// The type of the blocks that are cells with this layout.
    pub(crate) fn cell(&mut self, layout: &TaskLayout) -> KindNumber {
        let future_size = self.layouts.future_type(layout.future_type).and_then(|it| it.size);
        let (Some(room), Some(future_size)) = (layout.stage_room, future_size) else {
            return WHOLE;
        };
        let room = room.offset..room.offset.saturating_add(room.size);
        let end = layout.future_offset.saturating_add(future_size);
        let future = Part {
            offset: usize_of(layout.future_offset),
            kind: self.number(layout.future_type, false),
        };
        let mut choices = vec![Choice {
            value: Some(layout.has_future),
            vacant: besides(room.clone(), Some(layout.future_offset..end)),
            parts: vec![future],
        }];
        if let Some(output) = layout.output {
            let taken = output.room.offset..output.room.offset.saturating_add(output.room.size);
            let vacant = besides(room.clone(), Some(taken));
            choices.push(Choice { value: Some(output.has_output), vacant, parts: Vec::new() });
            // The third stage: the output was taken.
            let vacant = besides(room, None);
            choices.push(Choice { value: None, vacant, parts: Vec::new() });
        }
        let size = u8::try_from(layout.stage.size).unwrap_or(0);
        let content = Content::Choice { offset: usize_of(layout.stage.offset), size, choices };
        self.add(Kind { size: usize_of(layout.size), content })
    }

    /// Looks at all types that were met, and at those of all boxed futures.
    pub(crate) fn finish(mut self) -> Vacancies {
        let base = self.layouts.base_address();
        let mut vtables = Vec::new();
        if let Some((image, _)) = image::range() {
            let layouts = self.layouts;
            for (address, _) in layouts.vtables() {
                let vtable = usize_of(image.wrapping_add(address.wrapping_sub(base)));
                if let Ok(id) = grow::behind(layouts, vtable) {
                    vtables.push((vtable, self.number(id, false)));
                }
            }
        }
        while let Some((id, drops_last, number)) = self.todo.pop() {
            let content = self.content(id, drops_last);
            if let Some(kind) = self.kinds.get_mut(number as usize) {
                kind.content = content;
            }
        }
        vtables.sort_unstable();
        Vacancies { kinds: self.kinds, vtables }
    }

    fn add(&mut self, kind: Kind) -> KindNumber {
        match KindNumber::try_from(self.kinds.len()) {
            Ok(number) if self.kinds.len() < MOST_KINDS => {
                self.kinds.push(kind);
                number
            }
            _ => WHOLE,
        }
    }

    /// The number of a type, which is looked at later.
    fn number(&mut self, id: TypeId, drops_last: bool) -> KindNumber {
        if let Some(known) = self.numbers.get(&(id, drops_last)) {
            return *known;
        }
        let size = self.layouts.future_type(id).and_then(|it| it.size).unwrap_or(u64::MAX);
        let number = self.add(Kind { size: usize_of(size), content: Content::Whole });
        if number != WHOLE {
            self.numbers.insert((id, drops_last), number);
            self.todo.push((id, drops_last, number));
        }
        number
    }

    fn content(&mut self, id: TypeId, drops_last: bool) -> Content {
        let layouts = self.layouts;
        let Some(future) = layouts.future_type(id) else { return Content::Whole };
        let rule = match future.shape {
            Shape::Struct(_) | Shape::Enum { .. } => known::rule(layouts, future),
            _ => Rule::Part,
        };
        let keeps_last = known::drops_last(future);
        // Of any other field it is not known whether it has a value, or whether another thread
        // polls it at this moment.
        let is_meant = |it: &&Field| {
            (it.is_certain || drops_last)
                && match rule {
                    Rule::Part => true,
                    Rule::Polls(names) => names.contains(&&*it.name),
                    Rule::ByHand => false,
                }
        };
        let mut parts = |fields: &[Field]| -> Vec<Part> {
            let part = |it: &Field| {
                let kind = self.number(it.future_type, keeps_last);
                Part { offset: usize_of(it.offset), kind }
            };
            fields.iter().filter(is_meant).map(part).collect()
        };
        match &future.shape {
            Shape::Coroutine(index) => {
                let machine = layouts.coroutines().get(*index);
                machine.map_or(Content::Whole, |machine| self.machine(machine))
            }
            Shape::Struct(fields) => Content::Parts(parts(fields)),
            Shape::Enum { discriminant: None, variants } => {
                Content::Parts(variants.first().map_or_else(Vec::new, |it| parts(&it.fields)))
            }
            Shape::Enum { discriminant: Some(it), variants } => {
                let choices = variants.iter().map(|variant| Choice {
                    value: variant.value,
                    vacant: Vec::new(),
                    parts: if known::is_output(future, &variant.name) {
                        Vec::new()
                    } else {
                        parts(&variant.fields)
                    },
                });
                let choices = choices.collect();
                let size = u8::try_from(it.size).unwrap_or(0);
                Content::Choice { offset: usize_of(it.offset), size, choices }
            }
            Shape::Pointer { to, kind: PointerKind::Box } => Content::Box(self.number(*to, false)),
            Shape::TraitObject { data_offset, vtable_offset, kind: PointerKind::Box } => {
                Content::Object { data: usize_of(*data_offset), vtable: usize_of(*vtable_offset) }
            }
            _ => Content::Whole,
        }
    }

    fn machine(&mut self, machine: &Coroutine) -> Content {
        let Some(discriminant) = machine.discriminant else { return Content::Whole };
        let choice = |state: &State| Choice {
            value: state.value,
            vacant: vacant(machine.size, state),
            parts: self.awaited(state),
        };
        let states = machine.states.iter().filter(|it| it.value.is_some());
        let choices = states.map(choice).collect();
        let size = u8::try_from(discriminant.size).unwrap_or(0);
        Content::Choice { offset: usize_of(discriminant.offset), size, choices }
    }

    /// What the state awaits: it is alive, and the function polls it itself. Of any other value it
    /// is not known whether it was moved away, or lent to another thread: an argument has its room
    /// in all states.
    fn awaited(&mut self, state: &State) -> Vec<Part> {
        let awaited = state.awaited().and_then(|it| Some((it.offset, it.future_type?)));
        let part = |(at, id)| Part { offset: usize_of(at), kind: self.number(id, false) };
        awaited.map(part).into_iter().collect()
    }
}

/// What a machine of this size has beside the values of a state. Nothing, if the place of a value
/// is not known.
fn vacant(size: u64, state: &State) -> Vec<Range<usize>> {
    let is_known = |it: &Member| it.size.is_some() && it.evidence != Evidence::Body;
    if !state.hidden.is_empty() || !state.members.iter().all(is_known) {
        return Vec::new();
    }
    let members = state.members.iter();
    let members = members.map(|it| it.offset..it.offset.saturating_add(it.size.unwrap_or(0)));
    besides(0..size, members)
}

/// What is left of a range without these.
fn besides(all: Range<u64>, taken: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<usize>> {
    let offsets = |it: Range<u64>| usize_of(it.start)..usize_of(it.end);
    gaps(offsets(all), taken.into_iter().map(offsets))
}
