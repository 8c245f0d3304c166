//! Advice on how to make a future smaller.

use memscope_layout::{
    Candidate, Child, Coroutine, Held, Layouts, Member, MemberKind, Place, State,
};
use serde::{Deserialize, Serialize};

use super::{
    crate_of_line::{Origin, full_place, short_place},
    packages::Packages,
    type_name,
};
use crate::byte_size::ByteSize;

/// The smallest size that advice is given for, unless a tenth of the future is larger.
const LEAST_BYTES: u64 = 128;
/// The smallest future that is worth a heap allocation.
const LEAST_BOXED: u64 = 1024;
/// The most pieces of advice for one future.
const MOST: usize = 4;
/// The size of the pointer that replaces a boxed value.
const POINTER: u64 = 8;
/// A variable makes a future large if it takes at least this fraction of the future, here a third.
const LEAST_OF_LEAF: u64 = 3;
/// The most nested futures down to the variable that makes them large.
const DEEPEST: usize = 32;

/// One change that makes a future smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Advice {
    pub(crate) kind: Kind,
    /// The most bytes that the change saves. The next largest state limits it.
    pub(crate) saves_up_to: u64,
    /// The line to change.
    pub(crate) place: Option<Place>,
    /// The advice in one sentence.
    pub(crate) text: String,
    /// The `.await` that the sentence names, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) await_at: Option<Place>,
}

impl Advice {
    /// Returns the sentence with a short place, for a reader in the current folder.
    pub(crate) fn short_text(&self) -> String {
        match &self.await_at {
            Some(place) => self.text.replacen(&full_place(place), &short_place(place), 1),
            None => self.text.clone(),
        }
    }
}

/// What takes the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// An argument that also has space as a moved variable.
    HeldTwice,
    /// An argument.
    Argument,
    /// A variable that is live across the `.await`.
    Local,
    /// An awaited future.
    Child,
    /// Futures that run side by side.
    Arms,
}

/// Returns advice on the largest state, the most effective first. Advice on the variable that makes
/// a future large comes before the advice to box this future.
pub(crate) fn of(layouts: &Layouts, coroutine: &Coroutine, packages: &Packages) -> Vec<Advice> {
    let Some(state) = coroutine.largest() else { return Vec::new() };
    let least = LEAST_BYTES.max(coroutine.size / 10);
    let size = |it: &Member| it.size.unwrap_or(0);
    let large: Vec<&Member> = state.members.iter().filter(|it| size(it) >= least).collect();
    let arms = arms(layouts, state, least);
    let mut advice: Vec<Vec<Advice>> = Vec::new();
    for member in &large {
        let is_arm = arms.iter().filter_map(|it| it.member).any(|it| std::ptr::eq(it, *member));
        if is_arm || (member.kind != MemberKind::Captured && other_copy(state, member).is_some()) {
            continue;
        }
        let mut causes: Vec<Advice> = Vec::new();
        let mut of_member = match member.kind {
            MemberKind::Captured => match other_copy(state, member) {
                Some(other_copy) => held_twice(state, member, other_copy, coroutine),
                None => argument(layouts, member, coroutine),
            },
            MemberKind::Local if inline(layouts, member).is_empty() => {
                local(layouts, member, state)
            }
            MemberKind::Awaited | MemberKind::Local => match inline(layouts, member).first() {
                Some(_) if size(member) < LEAST_BOXED => continue,
                Some(index) => {
                    causes.extend(leaf(layouts, *index, packages, DEEPEST));
                    child(layouts, *index, member, state)
                }
                None => continue,
            },
            MemberKind::Temporary => continue,
        };
        let bound = |saves: u64| bound(coroutine, state, member, saves);
        of_member.saves_up_to = bound(of_member.saves_up_to);
        for cause in &mut causes {
            cause.saves_up_to = bound(cause.saves_up_to);
        }
        causes.push(of_member);
        advice.push(causes);
    }
    if let Some(mut several) = side_by_side(&arms, state) {
        if let Some(member) = arms.first().and_then(|largest| largest.member) {
            several.saves_up_to = bound(coroutine, state, member, several.saves_up_to);
        }
        advice.push(vec![several]);
    }
    for group in &mut advice {
        group.retain(|it| it.saves_up_to >= least);
    }
    let best = |group: &[Advice]| group.iter().map(|it| it.saves_up_to).max();
    advice.sort_by_key(|group| std::cmp::Reverse(best(group)));
    advice.into_iter().flatten().take(MOST).collect()
}

/// Returns the most bytes that the future becomes smaller if a member of the largest state becomes
/// smaller by `saves`. Each other state still takes what it keeps.
fn bound(coroutine: &Coroutine, largest: &State, member: &Member, saves: u64) -> u64 {
    let is_it = |it: &Member| it.offset == member.offset && it.type_name == member.type_name;
    let others = coroutine.states.iter().filter(|it| !std::ptr::eq(*it, largest));
    let kept = others.map(|state| {
        let has_it = state.members.iter().any(is_it);
        let live = state.live_bytes.saturating_sub(if has_it { saves } else { 0 });
        let with_state = live.saturating_add(coroutine.discriminant.map_or(0, |it| it.size));
        with_state.checked_next_multiple_of(coroutine.align.unwrap_or(1)).unwrap_or(with_state)
    });
    saves.min(coroutine.size.saturating_sub(kept.max().unwrap_or(0)))
}

/// Returns advice on the variable that makes a future large, if it is in the user's own code. The
/// variable may be in a future that this one awaits. Each future on the way down limits what the
/// advice saves.
fn leaf(layouts: &Layouts, index: usize, packages: &Packages, depth: usize) -> Option<Advice> {
    let coroutine = layouts.coroutines().get(index)?;
    let state = coroutine.largest()?;
    let size = |it: &Member| it.size.unwrap_or(0);
    let member = state.members.iter().max_by_key(|it| size(it))?;
    if size(member) < coroutine.size / LEAST_OF_LEAF {
        return None;
    }
    let mut leaf = match (member.kind, inline(layouts, member).first()) {
        (MemberKind::Local | MemberKind::Awaited, Some(inner)) => {
            leaf(layouts, *inner, packages, depth.checked_sub(1)?)?
        }
        // Only variables count here. An argument that is held twice has its own advice.
        (MemberKind::Local, None) if other_copy(state, member).is_none() => {
            let is_own = Origin::of(coroutine.declared_at.as_ref(), packages) == Origin::Own;
            let mut leaf = is_own.then(|| local(layouts, member, state))?;
            let of = type_name::short(layouts, &coroutine.path);
            leaf.text = leaf.text.replacen("` is alive", &format!("` of `{of}` is alive"), 1);
            leaf
        }
        _ => return None,
    };
    leaf.saves_up_to = bound(coroutine, state, member, leaf.saves_up_to);
    Some(leaf)
}

/// Returns a captured member's moved copy, or a copy's captured member: a member of the same type
/// and size. A moved value keeps its space.
fn other_copy<'s>(state: &'s State, member: &Member) -> Option<&'s Member> {
    state.members.iter().find(|it| {
        it.offset != member.offset
            && it.size == member.size
            && it.type_name == member.type_name
            && (it.kind == MemberKind::Captured) != (member.kind == MemberKind::Captured)
    })
}

/// Returns the coroutines inside a member. Coroutines at the same offset exclude each other, so
/// only the largest of them is returned.
fn inline(layouts: &Layouts, member: &Member) -> Vec<usize> {
    inline_of(&layouts.children(member))
}

fn inline_of(children: &[Child]) -> Vec<usize> {
    let mut inline: Vec<(u64, usize)> = children
        .iter()
        .filter_map(|it| match it.held {
            Held::Inline(offset) => Some((offset, it.coroutine)),
            Held::Boxed | Held::Borrowed => None,
        })
        .collect();
    inline.sort_unstable();
    inline.dedup_by_key(|it| it.0);
    inline.into_iter().map(|it| it.1).collect()
}

/// Returns the place of an `.await`, which does not depend on the current folder.
fn at(place: Option<&Place>) -> String {
    place.map_or_else(String::new, |it| format!(" at {}", full_place(it)))
}

fn held_twice(
    state: &State,
    member: &Member,
    other_copy: &Member,
    coroutine: &Coroutine,
) -> Advice {
    let size = member.size.unwrap_or(0);
    let text = if other_copy.kind == MemberKind::Awaited {
        format!(
            "`{}` is held twice: as an argument, and where it is awaited{}; pass it as `Pin<Box<..>>`",
            member.name,
            at(state.place.as_ref())
        )
    } else if other_copy.name == member.name {
        format!(
            "the argument `{}` is held twice: as it was passed, and as the body's variable; take a reference or a `Box`, or write `fn .. -> impl Future` with an `async move` block",
            member.name
        )
    } else {
        format!(
            "`{}` is held twice: as an argument, and moved, as `{}`; take a reference or a `Box`",
            member.name, other_copy.name
        )
    };
    let place = member.declared_at.clone().or_else(|| coroutine.declared_at.clone());
    let await_at = state.place.clone().filter(|_| other_copy.kind == MemberKind::Awaited);
    Advice { kind: Kind::HeldTwice, saves_up_to: size, place, text, await_at }
}

fn argument(layouts: &Layouts, member: &Member, coroutine: &Coroutine) -> Advice {
    let text = format!(
        "`{}: {}` is passed by value and stays until the future is dropped; take a reference or a `Box`",
        member.name,
        type_name::short(layouts, &member.type_name)
    );
    Advice {
        kind: Kind::Argument,
        saves_up_to: member.size.unwrap_or(0).saturating_sub(POINTER),
        place: member.declared_at.clone().or_else(|| coroutine.declared_at.clone()),
        text,
        await_at: None,
    }
}

fn local(layouts: &Layouts, member: &Member, state: &State) -> Advice {
    let text = format!(
        "`{}: {}` is alive across the await{}; end its scope before it, or put it into a `Box` or `Vec`",
        member.name,
        type_name::short(layouts, &member.type_name),
        at(state.place.as_ref())
    );
    Advice {
        kind: Kind::Local,
        saves_up_to: member.size.unwrap_or(0),
        place: member.declared_at.clone().or_else(|| member.maybe_declared_at.first().cloned()),
        text,
        await_at: state.place.clone(),
    }
}

fn child(layouts: &Layouts, index: usize, member: &Member, state: &State) -> Advice {
    let inner = layouts.coroutines().get(index);
    let inner = inner.map_or_else(
        || type_name::short(layouts, &member.type_name),
        |it| type_name::short(layouts, &it.path),
    );
    let size = ByteSize(member.size.unwrap_or(0));
    let text = if member.kind == MemberKind::Awaited {
        format!("`{inner}` ({size}) is held inline where it is awaited; `Box::pin` it there")
    } else {
        format!("`{}` ({size}) holds `{inner}` inline; `Box::pin` it", member.name)
    };
    let declared = member.declared_at.clone().or_else(|| member.maybe_declared_at.first().cloned());
    let place = declared.or_else(|| state.place.clone());
    let saves_up_to = size.0.saturating_sub(POINTER);
    Advice { kind: Kind::Child, saves_up_to, place, text, await_at: None }
}

/// A future that runs beside others, such as an arm of `select!` or `join!`.
#[derive(Debug)]
struct Arm<'s> {
    /// `None` for a hidden member.
    member: Option<&'s Member>,
    name: String,
    size: u64,
}

/// Returns the arms of a state: several futures inside the awaited future, or in variables that it
/// borrows.
fn arms<'s>(layouts: &Layouts, state: &'s State, least: u64) -> Vec<Arm<'s>> {
    let awaited = state.awaited().map_or_else(Vec::new, |it| inline(layouts, it));
    let kinds: &[MemberKind] = match awaited.len() {
        0 => &[MemberKind::Local, MemberKind::Temporary],
        1 => return Vec::new(),
        _ => &[MemberKind::Awaited],
    };
    let members = state.members.iter().filter(|it| kinds.contains(&it.kind));
    let mut found: Vec<(Option<&Member>, usize)> = Vec::new();
    for member in members {
        found.extend(inline(layouts, member).into_iter().map(|it| (Some(member), it)));
    }
    if awaited.is_empty() {
        // A hidden value counts only if the body has exactly one matching variable.
        for hidden in &state.hidden {
            if let [Candidate { future_type: Some(id), .. }] = hidden.candidates[..] {
                let children = inline_of(&layouts.children_of(id, 0));
                found.extend(children.into_iter().map(|it| (None, it)));
            }
        }
    }
    let mut arms: Vec<Arm<'s>> = Vec::new();
    for (member, index) in found {
        if let Some(coroutine) = layouts.coroutines().get(index) {
            arms.push(Arm {
                member,
                name: type_name::short(layouts, &coroutine.path),
                size: coroutine.size,
            });
        }
    }
    arms.sort_by_key(|it| std::cmp::Reverse(it.size));
    let is_several =
        arms.len() > 1 && arms.first().is_some_and(|it| it.size >= least.max(LEAST_BOXED));
    if is_several { arms } else { Vec::new() }
}

fn side_by_side(arms: &[Arm<'_>], state: &State) -> Option<Advice> {
    let largest = arms.first()?;
    let names: Vec<String> =
        arms.iter().take(3).map(|it| format!("`{}` ({})", it.name, ByteSize(it.size))).collect();
    let more = arms.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let text = format!(
        "futures that run side by side are held inline: {}{more}; `Box::pin` the largest",
        names.join(", ")
    );
    Some(Advice {
        kind: Kind::Arms,
        saves_up_to: largest.size.saturating_sub(POINTER),
        place: state.place.clone(),
        text,
        await_at: None,
    })
}
