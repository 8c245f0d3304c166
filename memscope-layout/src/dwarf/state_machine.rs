//! Turns a coroutine's entry into states. Collapsed members are restored from other entries where
//! possible, and otherwise reported as hidden.

use std::sync::Arc;

use gimli::constants as dw;

use super::{
    poll_functions::{PollFunctions, Variable},
    shapes::FutureTypes,
    types::Types,
    units::EntryRef,
    variants::{MemberEntry, VariantEntry},
};
use crate::{
    coroutine::{
        AWAITED, Candidate, Coroutine, Discriminant, Evidence, Hidden, Member, MemberKind, State,
        StateKind,
    },
    source_location::Place,
};

/// A coroutine as its entry describes it.
#[derive(Debug)]
pub(crate) struct StateMachine<'d> {
    pub(crate) path: Arc<str>,
    size: u64,
    align: Option<u64>,
    discriminant: Option<Discriminant>,
    states: Vec<(StateKind, VariantEntry<'d>)>,
}

impl<'d> StateMachine<'d> {
    /// Reads the entry; `None` if it does not describe a coroutine.
    pub(crate) fn read(types: &Types<'_, 'd>, at: EntryRef) -> Option<Self> {
        let entry = types.units.entry(at)?;
        let part = types.variants(at)?;
        let states = part.variants.into_iter().map(|it| Some((state_kind(it.name)?, it)));
        Some(Self {
            path: types.path(at, &entry),
            size: types.size(at)?,
            align: entry.attr_value(dw::DW_AT_alignment).and_then(|it| it.udata_value()),
            discriminant: part.discriminant,
            states: states.collect::<Option<_>>()?,
        })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns `true` if another unit described the same coroutine.
    ///
    /// Functions of two blocks may have one path, and a macro may give them the same places.
    /// `awaited` tells what they await apart, where that is so.
    pub(crate) fn is_same<A: PartialEq>(
        &self,
        other: &Self,
        awaited: impl Fn(EntryRef) -> A,
    ) -> bool {
        let of_type = |it: &MemberEntry<'d>| {
            let is_awaited = it.name == AWAITED;
            it.type_.filter(|_| is_awaited).map(&awaited)
        };
        let members = |it: &VariantEntry<'d>| {
            let of = |it: &MemberEntry<'d>| (it.name, it.offset, it.size, of_type(it));
            it.members.iter().map(of).collect::<Vec<_>>()
        };
        self.path == other.path
            && (self.size, self.align, self.discriminant)
                == (other.size, other.align, other.discriminant)
            && self.states.len() == other.states.len()
            && self.states.iter().zip(&other.states).all(|(a, b)| {
                (a.0, a.1.value, &a.1.place) == (b.0, b.1.value, &b.1.place)
                    && members(&a.1) == members(&b.1)
            })
    }

    /// Returns the type that a state awaits, if no other state awaits it.
    fn only_awaited_by(&self, state: &VariantEntry<'d>, types: &Types<'_, 'd>) -> Option<EntryRef> {
        let awaited =
            |it: &VariantEntry<'d>| it.members.iter().find(|it| it.name == AWAITED)?.type_;
        let own = awaited(state)?;
        let name = types.name(own);
        let all = self.states.iter().filter_map(|it| awaited(&it.1));
        (all.filter(|it| *it == own || types.name(*it) == name).count() == 1).then_some(own)
    }

    /// Builds the layout from the entry, the body's variables and the types.
    pub(crate) fn finish(
        self,
        types: &Types<'_, 'd>,
        poll_functions: &PollFunctions<'_, '_, 'd>,
        future_types: &mut FutureTypes<'_, '_, 'd>,
    ) -> Coroutine {
        let unresumed = self.states.iter().find(|it| it.0 == StateKind::Unresumed);
        let captured = unresumed.map_or(&[][..], |it| &it.1.members);
        let declared_at = unresumed.and_then(|it| it.1.place.clone());
        let variables = poll_functions.variables(&self.path, declared_at.as_ref());
        let mut states = Vec::with_capacity(self.states.len());
        for (kind, entry) in &self.states {
            let sorted = SortedMembers::of(&entry.members, captured);
            let mut member = |(kind, entry, evidence): (MemberKind, MemberEntry<'d>, Evidence)| {
                let type_name = entry.type_.map_or_else(|| "?".into(), |it| types.name(it));
                let (declared_at, maybe_declared_at) = match kind {
                    MemberKind::Awaited | MemberKind::Temporary => (None, Vec::new()),
                    _ => declaration_lines(&variables, entry.name, &type_name, entry.offset),
                };
                Member {
                    name: entry.name.into(),
                    kind,
                    future_type: entry
                        .type_
                        .and_then(|it| future_types.find(it, kind == MemberKind::Awaited)),
                    type_name,
                    offset: entry.offset,
                    size: entry.size,
                    align: entry.align,
                    declared_at,
                    maybe_declared_at,
                    evidence,
                }
            };
            let mut members: Vec<Member> = sorted.clear.into_iter().map(&mut member).collect();
            let mut hidden = Vec::new();
            for name in sorted.collapsed {
                let candidates = candidates(&variables, name, &members, self.size);
                let candidates = candidates.into_iter().map(|it| Candidate {
                    type_name: Arc::clone(&it.type_name),
                    future_type: future_types.find(it.type_, false),
                    size: it.size,
                    offset: it.offset,
                    declared_at: it.place.clone(),
                });
                let mut candidates: Vec<Candidate> = candidates.collect();
                candidates.sort();
                candidates.dedup();
                hidden.push(Hidden { name: name.into(), candidates });
            }
            reveal(&mut members, &mut hidden);
            let file = |it: &Option<Place>| it.as_ref().map(|it| Arc::clone(&it.file));
            let is_of_macro =
                matches!(kind, StateKind::Suspended(_)) && file(&entry.place) != file(&declared_at);
            let called_at = || {
                let awaited = self.only_awaited_by(entry, types)?;
                macro_call(&variables, &types.name(awaited), entry.place.as_ref()?)
            };
            let place = is_of_macro.then(called_at).flatten().or_else(|| entry.place.clone());
            states.push(State {
                kind: *kind,
                value: entry.value,
                place,
                members,
                hidden,
                live_bytes: 0,
                extent: 0,
            });
        }
        let mut coroutine = Coroutine {
            path: self.path,
            size: self.size,
            align: self.align,
            declared_at,
            discriminant: self.discriminant,
            states,
            largest_state: None,
            padding: 0,
        };
        coroutine.compute_sizes();
        coroutine
    }
}

fn state_kind(name: &str) -> Option<StateKind> {
    match name {
        "Unresumed" => Some(StateKind::Unresumed),
        "Returned" => Some(StateKind::Returned),
        "Panicked" => Some(StateKind::Panicked),
        _ => name.strip_prefix("Suspend")?.parse().ok().map(StateKind::Suspended),
    }
}

/// The members of a state, sorted by whether their entries are reliable.
///
/// If several members of a struct have the same name, debug information keeps the first one and
/// repeats it in place of the others.
#[derive(Debug, Default)]
struct SortedMembers<'d> {
    clear: Vec<(MemberKind, MemberEntry<'d>, Evidence)>,
    /// The names of members whose entries were replaced by a repetition.
    collapsed: Vec<&'d str>,
}

impl<'d> SortedMembers<'d> {
    fn of(members: &[MemberEntry<'d>], captured: &[MemberEntry<'d>]) -> Self {
        let mut sorted = Self::default();
        // The compiler lists captured values last, in the order of the unresumed state. The list is
        // only read that way if the names agree.
        let own = members.len().saturating_sub(captured.len());
        let names = |it: &[MemberEntry<'d>]| it.iter().map(|it| it.name).collect::<Vec<_>>();
        let has_tail = names(&members[own..]) == names(captured);
        let own = if has_tail { own } else { members.len() };
        for (index, member) in members.iter().enumerate() {
            let first = members[..index].iter().find(|it| it.name == member.name);
            let is_repeated = first.is_some_and(|it| it.offset == member.offset);
            let original = if index >= own { captured.get(index - own) } else { None };
            if let Some(original) = original {
                // If captured values share a name, the unresumed state is ambiguous as well.
                let twin = captured[..index - own].iter().any(|it| it.name == original.name);
                if twin {
                    sorted.collapsed.push(member.name);
                } else {
                    let evidence =
                        if is_repeated && first.map(|it| it.offset) != Some(original.offset) {
                            Evidence::Unresumed
                        } else {
                            Evidence::State
                        };
                    sorted.clear.push((MemberKind::Captured, *original, evidence));
                }
            } else if is_repeated {
                sorted.collapsed.push(member.name);
            } else {
                let kind = if member.name == AWAITED {
                    MemberKind::Awaited
                } else if is_number(member.name) {
                    MemberKind::Temporary
                } else {
                    MemberKind::Local
                };
                sorted.clear.push((kind, *member, Evidence::State));
            }
        }
        sorted
    }
}

/// Returns `true` for `__0` and so on: the compiler's names for values without a name.
fn is_number(name: &str) -> bool {
    name.strip_prefix("__")
        .is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
}

/// Returns the line that declares a variable, or all possible lines.
fn declaration_lines(
    variables: &[Variable<'_>],
    name: &str,
    type_name: &str,
    offset: u64,
) -> (Option<Place>, Vec<Place>) {
    let mut found: Vec<&Variable<'_>> = variables.iter().filter(|it| it.name == name).collect();
    // A criterion only applies if at least one variable meets it.
    let mut narrow = |test: &dyn Fn(&Variable<'_>) -> bool| {
        if found.iter().any(|it| test(it)) {
            found.retain(|it| test(it));
        }
    };
    narrow(&|it| &*it.type_name == type_name);
    narrow(&|it| it.offset == Some(offset));
    let mut places: Vec<Place> = found.iter().filter_map(|it| it.place.clone()).collect();
    places.sort();
    places.dedup();
    if places.len() > 1 { (None, places) } else { (places.pop(), Vec::new()) }
}

/// Returns where the `.await` of this type stands that a macro of another crate has written: where
/// the macro is called.
///
/// The state itself has the line inside the macro. The variable of what is awaited has that of the
/// call, as everything in the body has that such a macro expands to. It is found by its type:
/// `select!` and `join!` await a closure, which has a type of its own. `written`: the line inside
/// the macro.
fn macro_call(variables: &[Variable<'_>], awaited_type: &str, written: &Place) -> Option<Place> {
    let mut places = variables
        .iter()
        .filter(|it| it.name == AWAITED && &*it.type_name == awaited_type)
        .map(|it| it.place.as_ref());
    let place = places.next()??;
    (place.file != written.file && places.all(|it| it == Some(place))).then(|| place.clone())
}

/// Returns the variables that a collapsed member may be: variables of its name that the state does
/// not show.
fn candidates<'v, 'd>(
    variables: &'v [Variable<'d>],
    name: &str,
    members: &[Member],
    size: u64,
) -> Vec<&'v Variable<'d>> {
    let shown = |it: &Variable<'_>| {
        members.iter().filter(|member| &*member.name == name).any(|member| match it.offset {
            Some(offset) => offset == member.offset,
            None => member.type_name == it.type_name && member.declared_at == it.place,
        })
    };
    let fits = |it: &Variable<'_>| {
        it.offset.is_none_or(|at| at.checked_add(it.size.unwrap_or(0)).is_some_and(|it| it <= size))
    };
    variables.iter().filter(|it| it.name == name && !shown(it) && fits(it)).collect()
}

/// Turns hidden values into members if the body has exactly as many matching variables, with known
/// offsets.
fn reveal(members: &mut Vec<Member>, hidden: &mut Vec<Hidden>) {
    let all = std::mem::take(hidden);
    for it in &all {
        let as_many = all.iter().filter(|other| other.name == it.name).count();
        let is_clear = it.candidates.len() == as_many
            && it.candidates.iter().all(|it| it.offset.is_some() && it.size.is_some());
        if !is_clear {
            hidden.push(it.clone());
            continue;
        }
        let is_known = |offset| members.iter().any(|m| m.name == it.name && m.offset == offset);
        let next = it.candidates.iter().find(|it| it.offset.is_some_and(|at| !is_known(at)));
        let Some(Candidate { type_name, future_type, size, offset: Some(offset), declared_at }) =
            next
        else {
            continue;
        };
        members.push(Member {
            name: Arc::clone(&it.name),
            kind: MemberKind::Local,
            type_name: Arc::clone(type_name),
            future_type: *future_type,
            offset: *offset,
            size: *size,
            align: None,
            declared_at: declared_at.clone(),
            maybe_declared_at: Vec::new(),
            evidence: Evidence::Body,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: EntryRef = EntryRef { unit: 0, offset: 0 };

    fn place(file: &str, line: u32) -> Place {
        Place { file: file.into(), line }
    }

    fn awaited(type_name: &str, file: &str, line: u32) -> Variable<'static> {
        let place = Some(place(file, line));
        let type_name = type_name.into();
        Variable { name: AWAITED, type_: TYPE, type_name, size: None, offset: None, place }
    }

    #[test]
    fn a_macro_s_await_stands_where_all_awaits_of_its_type_stand() {
        let variables = [
            awaited("Select<0>", "app.rs", 5),
            awaited("Select<1>", "app.rs", 9),
            awaited("Twice", "app.rs", 5),
            awaited("Twice", "app.rs", 6),
            awaited("Inside", "lib.rs", 7),
            awaited("Written", "select.rs", 700),
        ];
        let of = |type_| macro_call(&variables, type_, &place("select.rs", 746));
        assert_eq!(of("Select<0>"), Some(place("app.rs", 5)));
        assert_eq!(of("Select<1>"), Some(place("app.rs", 9)));
        assert_eq!(of("Twice"), None, "it may be one or the other");
        assert_eq!(of("Inside"), Some(place("lib.rs", 7)), "an own macro calls it");
        assert_eq!(of("Written"), None, "it is no call");
        assert_eq!(of("Unknown"), None);
    }
}
