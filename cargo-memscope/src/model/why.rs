//! Why a future is as large as it is: from its largest state into the largest child that it holds
//! inline, and so on down to variables.

use std::cmp::Reverse;

use memscope_layout::{Child, Coroutine, Held, Layouts, MemberKind, State};

use super::{
    rows::{Hidden, Part, Step},
    type_name,
};

/// How many futures may be in one another, and how many parts are named of each.
const MOST_STEPS: usize = 16;
const MOST_PARTS: usize = 5;
/// A part of less than this share of the whole, one in so many, is not looked into.
const LEAST_SHARE: u64 = 4;

/// The steps from a future down.
pub(crate) fn chain(layouts: &Layouts, index: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut seen = vec![index];
    let size = |it: usize| layouts.coroutines().get(it).map_or(0, |it| it.size);
    let is_large = |it: &usize| size(*it).saturating_mul(LEAST_SHARE) >= size(index);
    let mut next = Some(index);
    while let Some(coroutine) = next.and_then(|it| layouts.coroutines().get(it)) {
        let Some(state) = coroutine.largest() else { break };
        let (mut step, inner) = step(layouts, coroutine, state);
        // A damaged file may say that a future is in itself.
        next = inner.filter(|it| !seen.contains(it) && is_large(it));
        next = next.filter(|_| steps.len() + 1 < MOST_STEPS);
        seen.extend(next);
        step.next = step.next.filter(|_| next.is_some());
        steps.push(step);
    }
    steps
}

/// A future in its largest state, and which future the next step is about.
fn step(layouts: &Layouts, coroutine: &Coroutine, state: &State) -> (Step, Option<usize>) {
    let members = state.members.iter().filter(|it| it.size != Some(0));
    let mut parts: Vec<(Part, Option<usize>)> =
        members.map(|it| (Part::of(it), inline(&layouts.children(it)))).collect();
    let mut hidden = Vec::new();
    for it in &state.hidden {
        if let [candidate] = &it.candidates[..] {
            let children = candidate.future_type.map(|it| layouts.children_of(it, 0));
            parts.push((Part::perhaps(it, candidate), inline(&children.unwrap_or_default())));
        } else {
            hidden.push(Hidden::of(it));
        }
    }
    parts.sort_by_key(|(it, _)| (Reverse(it.size), it.offset));
    // What is less than a twentieth of it explains nothing.
    let is_large = |it: &Part| it.size.is_none_or(|it| it.saturating_mul(20) >= coroutine.size);
    let count = parts.iter().filter(|it| is_large(&it.0)).count().max(1);
    let others = parts.split_off(count.min(MOST_PARTS).min(parts.len()));
    // Of equal ones the one that is waited for: an argument of the same type is its former place.
    let inner = parts.iter().enumerate().filter_map(|(at, it)| Some((at, &it.0, it.1?)));
    let inner = inner.max_by_key(|(_, part, _)| (part.size, part.kind == MemberKind::Awaited));
    let (next, inner) = inner.map(|(at, _, inner)| (at, inner)).unzip();
    let step = Step {
        future: type_name::short(&coroutine.path),
        size: coroutine.size,
        at: state.place.clone(),
        others: others.len(),
        other_bytes: others.iter().filter_map(|it| it.0.size).fold(0, u64::saturating_add),
        parts: parts.into_iter().map(|it| it.0).collect(),
        hidden,
        next,
    };
    (step, inner)
}

/// The largest future among those whose bytes are there: the largest coroutines come first.
fn inline(children: &[Child]) -> Option<usize> {
    let inline = children.iter().filter(|it| matches!(it.held, Held::Inline(_)));
    inline.map(|it| it.coroutine).min()
}
