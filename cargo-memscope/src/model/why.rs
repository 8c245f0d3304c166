//! Explains the size of a future: from its largest state into its largest inline child, and so on
//! down to variables.

use std::cmp::Reverse;

use memscope_layout::{Child, Coroutine, Held, Layouts, MemberKind, State};

use super::{
    rows::{Hidden, Part, Step},
    type_name,
};

/// The most steps that are followed, and the most parts that are named for each.
const MOST_STEPS: usize = 16;
const MOST_PARTS: usize = 5;
/// A part that is smaller than this fraction of the whole, here a quarter, is not followed.
const LEAST_SHARE: u64 = 4;

/// Returns the steps from a future down to its variables.
pub(crate) fn chain(layouts: &Layouts, index: usize) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut seen = vec![index];
    let size = |it: usize| layouts.coroutines().get(it).map_or(0, |it| it.size);
    let is_large = |it: &usize| size(*it).saturating_mul(LEAST_SHARE) >= size(index);
    let mut next = Some(index);
    while let Some(coroutine) = next.and_then(|it| layouts.coroutines().get(it)) {
        let Some(state) = coroutine.largest() else { break };
        let (mut step, inner) = step(layouts, coroutine, state);
        // A damaged file may contain a future that contains itself.
        next = inner.filter(|it| !seen.contains(it) && is_large(it));
        next = next.filter(|_| steps.len() + 1 < MOST_STEPS);
        seen.extend(next);
        step.next = step.next.filter(|_| next.is_some());
        steps.push(step);
    }
    steps
}

/// Describes a future in its largest state. Also returns the future of the next step.
fn step(layouts: &Layouts, coroutine: &Coroutine, state: &State) -> (Step, Option<usize>) {
    let members = state.members.iter().filter(|it| it.size != Some(0));
    let mut parts: Vec<(Part, Option<usize>)> =
        members.map(|it| (Part::of(layouts, it), inline(&layouts.children(it)))).collect();
    let mut hidden = Vec::new();
    for it in &state.hidden {
        if let [candidate] = &it.candidates[..] {
            let children = candidate.future_type.map(|it| layouts.children_of(it, 0));
            parts.push((
                Part::perhaps(layouts, it, candidate),
                inline(&children.unwrap_or_default()),
            ));
        } else {
            hidden.push(Hidden::of(layouts, it));
        }
    }
    parts.sort_by_key(|(it, _)| (Reverse(it.size), it.offset));
    // A part of less than a twentieth explains nothing.
    let is_large = |it: &Part| it.size.is_none_or(|it| it.saturating_mul(20) >= coroutine.size);
    let count = parts.iter().filter(|it| is_large(&it.0)).count().max(1);
    let others = parts.split_off(count.min(MOST_PARTS).min(parts.len()));
    // Among equal parts, the awaited future is preferred: an argument of the same type is its
    // former place.
    let inner = parts.iter().enumerate().filter_map(|(at, it)| Some((at, &it.0, it.1?)));
    let inner = inner.max_by_key(|(_, part, _)| (part.size, part.kind == MemberKind::Awaited));
    let (next, inner) = inner.map(|(at, _, inner)| (at, inner)).unzip();
    let step = Step {
        future: type_name::short(layouts, &coroutine.path),
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

/// Returns the largest inline future. The largest coroutines have the lowest indices.
fn inline(children: &[Child]) -> Option<usize> {
    let inline = children.iter().filter(|it| matches!(it.held, Held::Inline(_)));
    inline.map(|it| it.coroutine).min()
}
