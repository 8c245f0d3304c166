//! State machines: what the compiler makes of `async` functions, blocks and closures.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{source_location::Place, type_id::TypeId};

/// The name that the compiler gives to the future that is awaited.
pub(crate) const AWAITED: &str = "__awaitee";

/// The layout of one state machine.
///
/// Sizes, alignments and offsets are in bytes. The set of live members is an upper bound. The
/// compiler reserves space for an argument in every state, and lists it there, even after its value
/// was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Coroutine {
    /// The path of its type, as in debug information: `app::db::query::{async_fn_env#0}`.
    pub path: Arc<str>,
    /// The size of the future.
    pub size: u64,
    /// The alignment of the future; `None` if debug information does not contain it.
    pub align: Option<u64>,
    /// Where the function, block or closure begins.
    pub declared_at: Option<Place>,
    /// The discriminant, which selects the current state; `None` for a machine with a single state.
    pub discriminant: Option<Discriminant>,
    /// All states, ordered by discriminant value.
    pub states: Vec<State>,
    /// The state that determines the size: an index into `states`. `None` if the machine never
    /// waits.
    pub largest_state: Option<usize>,
    /// The bytes of `size` that belong neither to a known member of the largest state nor to the
    /// discriminant.
    ///
    /// [Hidden](State::hidden) members of that state are counted here.
    pub padding: u64,
}

/// The discriminant: the number in a value that selects its state or variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discriminant {
    /// Its offset in the value.
    pub offset: u64,
    /// Its size: 1, 2, 4 or 8.
    pub size: u64,
}

/// One state of a [`Coroutine`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// Which state it is.
    pub kind: StateKind,
    /// The value of the discriminant in this state; `None` for a machine with a single state.
    pub value: Option<u64>,
    /// For a suspended state, its `.await`; for the other states, a line of the function.
    ///
    /// An `.await` that a macro of another crate has written stands where the macro is called, if
    /// the function awaits its type there alone. Otherwise, and for a macro of the same crate, the
    /// place is a line of the macro.
    pub place: Option<Place>,
    /// The values that the state keeps, ordered by offset.
    pub members: Vec<Member>,
    /// Values that the state also keeps, whose offsets are unknown. The compiler passes several
    /// members of one name to debug information, and only the first one is written.
    pub hidden: Vec<Hidden>,
    /// The bytes that known members take. Overlapping bytes count once.
    pub live_bytes: u64,
    /// The offset at which the last known member ends.
    pub extent: u64,
}

/// The phase of a coroutine's life that a state stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateKind {
    /// Created and never polled.
    Unresumed,
    /// Completed: the output was returned.
    Returned,
    /// A poll panicked.
    Panicked,
    /// Suspended at an `.await`. The number counts from 0 in the order in which the compiler met
    /// them.
    Suspended(u32),
}

/// A value that a state keeps at a known offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// The name of the variable; `__awaitee` for the awaited future, `__0` and so on for values
    /// without a name.
    pub name: Arc<str>,
    /// The role of the value in the coroutine.
    pub kind: MemberKind,
    /// The name of its type.
    pub type_name: Arc<str>,
    /// Its type, to be passed to [`Layouts::future_type`](crate::Layouts::future_type); `None` if
    /// the type cannot contain a future.
    pub future_type: Option<TypeId>,
    /// Its offset in the future.
    pub offset: u64,
    /// Its size; `None` if debug information only declares the type.
    pub size: Option<u64>,
    /// Its alignment; `None` if debug information does not contain it.
    pub align: Option<u64>,
    /// The line that declares the variable; `None` if there is no such line, or if several
    /// variables are possible.
    pub declared_at: Option<Place>,
    /// The lines of all possible variables, if there are several; otherwise empty.
    pub maybe_declared_at: Vec<Place>,
    /// The part of the debug information that describes this member.
    pub evidence: Evidence,
}

/// The role of a member in its coroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberKind {
    /// An argument of the function, or a value captured by the block or closure. It has space in
    /// every state.
    Captured,
    /// A variable that is live across the `.await`.
    Local,
    /// The awaited future.
    Awaited,
    /// A value without a name.
    Temporary,
}

/// The part of the debug information that describes a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The entry of the state itself.
    State,
    /// The entry of the unresumed state: a captured value keeps its offset in every state.
    Unresumed,
    /// The variables of the function's body. Exactly one variable of this name is missing from the
    /// state.
    Body,
}

/// A value that a state keeps at an unknown offset. Only its name is certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hidden {
    /// The name of the variable.
    pub name: Arc<str>,
    /// The variables of the body that it may be; empty if they are unknown.
    pub candidates: Vec<Candidate>,
}

/// A variable that a hidden value may be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The name of its type.
    pub type_name: Arc<str>,
    /// Its type, to be passed to [`Layouts::future_type`](crate::Layouts::future_type); `None` if
    /// the type cannot contain a future.
    pub future_type: Option<TypeId>,
    /// Its size.
    pub size: Option<u64>,
    /// Its offset in the future, if the body contains it.
    pub offset: Option<u64>,
    /// The line that declares it.
    pub declared_at: Option<Place>,
}

impl Coroutine {
    /// Returns the largest suspended state.
    pub fn largest(&self) -> Option<&State> {
        self.states.get(self.largest_state?)
    }

    /// Iterates over the suspended states.
    pub fn suspended(&self) -> impl Iterator<Item = &State> {
        self.states.iter().filter(|it| matches!(it.kind, StateKind::Suspended(_)))
    }

    /// Returns the state for a value of the discriminant; `None` for a value that the compiler
    /// never assigns.
    pub fn state(&self, value: u64) -> Option<&State> {
        self.states.iter().find(|it| it.value == Some(value))
    }

    /// Computes the fields that follow from the members.
    pub(crate) fn compute_sizes(&mut self) {
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
    /// Returns the awaited future.
    ///
    /// Returns `None` for a state that does not wait. Also returns `None` if a variable has the
    /// compiler's name for the awaited future: debug information then cannot distinguish the two.
    pub fn awaited(&self) -> Option<&Member> {
        let mut named = self.members.iter().filter(|it| &*it.name == AWAITED);
        let awaited = named.next().filter(|it| it.kind == MemberKind::Awaited)?;
        let is_clear = named.next().is_none() && self.hidden.iter().all(|it| &*it.name != AWAITED);
        is_clear.then_some(awaited)
    }

    /// Returns the number of bytes taken, and the offset at which the last member ends.
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
