//! Why a future is as large as it is: from its largest state into the largest child that it holds inline, and so on down to variables.

use memscope_layout::{Coroutine, Held, Layouts, Member, MemberKind, Place, State};
use serde::{Deserialize, Serialize};

use crate::{
    futures::{Hidden, Part},
    name,
};

/// How many futures may be in one another, and how many parts are named of each.
const MOST_STEPS: usize = 16;
const MOST_PARTS: usize = 5;

/// One future on the way down, in its largest state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Its short name.
    pub(crate) future: String,
    pub(crate) size: u64,
    /// The `.await` that it waits at.
    pub(crate) at: Option<Place>,
    /// Its largest parts, the largest first.
    pub(crate) parts: Vec<Part>,
    /// How many more parts it has, and their bytes.
    pub(crate) others: usize,
    pub(crate) other_bytes: u64,
    /// What is there as well, but hidden.
    #[serde(default)]
    pub(crate) hidden: Vec<Hidden>,
    /// Which of `parts` the next step is in.
    pub(crate) next: Option<usize>,
}

/// The steps from a future down.
pub(crate) fn chain(layouts: &Layouts, index: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut seen = vec![index];
    let mut next = Some(index);
    while let Some(coroutine) = next.and_then(|it| layouts.coroutines().get(it)) {
        let Some(state) = coroutine.largest() else { break };
        let inner = largest_inline(layouts, state);
        let (step, is_shown) = step(coroutine, state, inner.map(|it| it.0));
        steps.push(step);
        // A damaged file may say that a future is in itself.
        next = inner.map(|it| it.1).filter(|it| is_shown && !seen.contains(it));
        seen.extend(next);
        if steps.len() == MOST_STEPS {
            break;
        }
    }
    if let (Some(last), true) = (steps.last_mut(), next.is_none() || seen.len() > MOST_STEPS) {
        last.next = None;
    }
    steps
}

fn step(coroutine: &Coroutine, state: &State, inner: Option<&Member>) -> (Step, bool) {
    let mut members: Vec<&Member> = state.members.iter().filter(|it| it.size != Some(0)).collect();
    members.sort_by_key(|it| (std::cmp::Reverse(it.size), it.offset));
    // What is less than a twentieth of it explains nothing.
    let is_large =
        |it: &&&Member| it.size.is_none_or(|size| size.saturating_mul(20) >= coroutine.size);
    let count = members.iter().filter(is_large).count().clamp(1, MOST_PARTS).min(members.len());
    let (shown, others) = members.split_at(count);
    let next = inner.and_then(|inner| shown.iter().position(|it| std::ptr::eq(*it, inner)));
    let step = Step {
        future: name::short(&coroutine.path),
        size: coroutine.size,
        at: state.place.clone(),
        parts: shown.iter().map(|it| Part::of(it)).collect(),
        others: others.len(),
        other_bytes: others.iter().filter_map(|it| it.size).fold(0, u64::saturating_add),
        hidden: state.hidden.iter().map(Hidden::of).collect(),
        next,
    };
    (step, next.is_some())
}

/// The largest member that has a future in itself, and the largest such future.
///
/// Of equal ones the one that is waited for: an argument of the same type is its former place.
fn largest_inline<'l>(layouts: &'l Layouts, state: &'l State) -> Option<(&'l Member, usize)> {
    let inline = state.members.iter().filter_map(|member| {
        let children = layouts.children(member);
        let inline = children.iter().filter(|it| matches!(it.held, Held::Inline(_)));
        // The largest coroutines come first.
        Some((member, inline.map(|it| it.coroutine).min()?))
    });
    inline.max_by_key(|(member, _)| (member.size, member.kind == MemberKind::Awaited))
}
