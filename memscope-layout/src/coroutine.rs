//! State machines: what the compiler makes of `async` functions, blocks and closures.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{source_location::Place, type_id::TypeId};

/// How the compiler names the future that is waited for.
pub(crate) const AWAITED: &str = "__awaitee";

/// The layout of one state machine.
///
/// Sizes, alignments and offsets are bytes. What is said to be alive is an upper bound: the
/// compiler keeps a place for an argument, and lists it, in every state, even when its value has
/// moved on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Coroutine {
    /// Its type, as debug information names it: `app::db::query::{async_fn_env#0}`.
    pub path: Arc<str>,
    /// The size of the future.
    pub size: u64,
    /// Its alignment; `None` where debug information does not tell.
    pub align: Option<u64>,
    /// Where the function, block or closure begins.
    pub declared_at: Option<Place>,
    /// What tells the state that it is in; `None` for one that has a single state.
    pub discriminant: Option<Discriminant>,
    /// All states, in the order of their values.
    pub states: Vec<State>,
    /// Which of them makes it as large as it is: an index into `states`. `None` where it never
    /// waits.
    pub largest_state: Option<usize>,
    /// Of its size, the bytes that are neither a known member of the largest state nor the
    /// discriminant.
    ///
    /// What is [hidden](State::hidden) in that state is in here.
    pub padding: u64,
}

/// The number in a value that tells its state or variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discriminant {
    /// Where it is in the value.
    pub offset: u64,
    /// Its size: 1, 2, 4 or 8.
    pub size: u64,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// Which one.
    pub kind: StateKind,
    /// The discriminant's value in it; `None` where no other state has a value either.
    pub value: Option<u64>,
    /// The `.await` that it waits at, or for the other states a place of the function.
    ///
    /// An `.await` in a macro is a line of the macro.
    pub place: Option<Place>,
    /// What it keeps, by offset.
    pub members: Vec<Member>,
    /// What it keeps besides, without an offset: the compiler gives several members of one name to
    /// the debug information, and only the first arrives.
    pub hidden: Vec<Hidden>,
    /// Bytes that known members take; those that overlap count once.
    pub live_bytes: u64,
    /// Where the last known member ends.
    pub extent: u64,
}

/// Where a coroutine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// Made, never polled.
    Unresumed,
    /// Its value has been given out.
    Returned,
    /// A poll panicked.
    Panicked,
    /// It waits at an `.await`. They are numbered from 0 on, in the order in which the compiler met
    /// them.
    Suspended(u32),
}

/// What a state keeps at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// The variable; `__awaitee` for what is waited for, `__0` and so on for values without a name.
    pub name: Arc<str>,
    /// What it is to the coroutine.
    pub kind: MemberKind,
    /// Its type.
    pub type_name: Arc<str>,
    /// Where its type is among [`Layouts::future_type`](crate::Layouts::future_type); `None` where
    /// no future can be in it.
    pub future_type: Option<TypeId>,
    /// Where it is in the future.
    pub offset: u64,
    /// Its size; `None` where debug information declares the type only.
    pub size: Option<u64>,
    /// Its alignment; `None` where debug information does not tell.
    pub align: Option<u64>,
    /// The line that declares the variable; `None` for one without a line, and where several
    /// variables may be meant.
    pub declared_at: Option<Place>,
    /// Those lines, where several may be meant; else empty.
    pub maybe_declared_at: Vec<Place>,
    /// What tells all this.
    pub evidence: Evidence,
}

/// What a member is to its coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// An argument of the function, or what the block or closure captures: it has a place in every
    /// state.
    Captured,
    /// A variable, alive across the `.await`.
    Local,
    /// The future that is waited for.
    Awaited,
    /// A value without a name.
    Temporary,
}

/// Which part of the debug information tells about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The state's own entry.
    State,
    /// The unresumed state: a captured value never moves.
    Unresumed,
    /// The variables of the function's body: the only one of this name that the state does not
    /// show.
    Body,
}

/// What a state keeps besides its members: only its name is certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hidden {
    /// The variable.
    pub name: Arc<str>,
    /// The variables of the body that it may be; empty where they are not known.
    pub candidates: Vec<Candidate>,
}

/// A variable that may be meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its type.
    pub type_name: Arc<str>,
    /// Where its type is among [`Layouts::future_type`](crate::Layouts::future_type); `None` where
    /// no future can be in it.
    pub future_type: Option<TypeId>,
    /// Its size.
    pub size: Option<u64>,
    /// Where it is in the future, as far as the body tells.
    pub offset: Option<u64>,
    /// The line that declares it.
    pub declared_at: Option<Place>,
}

impl Coroutine {
    /// The largest of the states in which it waits.
    pub fn largest(&self) -> Option<&State> {
        self.states.get(self.largest_state?)
    }

    /// The states in which it waits.
    pub fn suspended(&self) -> impl Iterator<Item = &State> {
        self.states.iter().filter(|it| matches!(it.kind, StateKind::Suspended(_)))
    }

    /// The state that a value of the discriminant means; `None` for one that the compiler did not
    /// give out.
    pub fn state(&self, value: u64) -> Option<&State> {
        self.states.iter().find(|it| it.value == Some(value))
    }

    /// Fills in what follows from the members.
    pub(crate) fn sum_up(&mut self) {
        for state in &mut self.states {
            state.members.sort_by_key(|it| (it.offset, it.size));
            (state.live_bytes, state.extent) = state.cover(None);
        }
        let suspended = self.states.iter().enumerate();
        let suspended = suspended.filter(|it| matches!(it.1.kind, StateKind::Suspended(_)));
        self.largest_state =
            suspended.max_by_key(|it| (it.1.extent, it.1.live_bytes)).map(|it| it.0);
        let used = self.largest().map_or(0, |it| it.cover(self.discriminant).0);
        self.padding = self.size.saturating_sub(used);
    }
}

impl State {
    /// The future that is waited for; `None` in a state that does not wait, and where a variable
    /// has the name that the compiler gives to that future: which of the two debug information
    /// means is then not told.
    pub fn awaited(&self) -> Option<&Member> {
        let mut named = self.members.iter().filter(|it| &*it.name == AWAITED);
        let awaited = named.next().filter(|it| it.kind == MemberKind::Awaited)?;
        let is_clear = named.next().is_none() && self.hidden.iter().all(|it| &*it.name != AWAITED);
        is_clear.then_some(awaited)
    }

    /// Bytes that are taken, and where the last of them ends.
    fn cover(&self, discriminant: Option<Discriminant>) -> (u64, u64) {
        let members = self.members.iter().map(|it| (it.offset, it.size.unwrap_or(0)));
        let mut parts: Vec<_> =
            members.chain(discriminant.map(|it| (it.offset, it.size))).collect();
        parts.sort_unstable();
        parts.into_iter().fold((0, 0), |(used, end), (offset, size)| {
            let next = offset.saturating_add(size);
            (used + next.saturating_sub(offset.max(end)), end.max(next))
        })
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresumed => f.write_str("unresumed"),
            Self::Returned => f.write_str("returned"),
            Self::Panicked => f.write_str("panicked"),
            Self::Suspended(number) => write!(f, "suspended {number}"),
        }
    }
}
