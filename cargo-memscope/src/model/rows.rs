//! Futures as rows: what is printed, written as JSON, and compared.

use memscope_layout::{MemberKind, Place, StateKind};
use serde::{Deserialize, Serialize};

use super::{advice::Advice, crate_of_line::Origin, type_name};

/// All futures of a program, the largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Futures {
    /// The version of this format; also what tells such a file from others.
    #[serde(rename = "memscope_futures")]
    pub(crate) format: u32,
    /// The program.
    pub(crate) program: String,
    /// The linker's name for this build.
    pub(crate) build_id: Option<String>,
    /// Files of split debug information that were not found: their futures are missing.
    #[serde(default)]
    pub(crate) missing_files: usize,
    /// One row a future.
    #[serde(rename = "futures")]
    pub(crate) all: Vec<Future>,
}

/// One state machine. Sizes and offsets are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Future {
    /// A short name.
    pub(crate) name: String,
    /// The full path of its type.
    pub(crate) path: String,
    /// Whose code it is.
    pub(crate) origin: Origin,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) align: Option<u64>,
    #[serde(default)]
    pub(crate) declared_at: Option<Place>,
    /// How many places it may wait at.
    #[serde(default)]
    pub(crate) await_points: usize,
    /// Of its size, what no known member of its largest state takes.
    #[serde(default)]
    pub(crate) padding: u64,
    /// From its largest state down to the variables.
    #[serde(default)]
    pub(crate) why: Vec<Step>,
    /// What would make it smaller, the most effective first.
    #[serde(default)]
    pub(crate) advice: Vec<Advice>,
    /// All its states.
    #[serde(default)]
    pub(crate) states: Vec<State>,
}

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

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) kind: StateKind,
    /// Where it waits.
    #[serde(default)]
    pub(crate) place: Option<Place>,
    /// Bytes of its members; those that overlap count once.
    pub(crate) live_bytes: u64,
    pub(crate) is_largest: bool,
    pub(crate) members: Vec<Part>,
    /// What is there as well, but hidden.
    #[serde(default)]
    pub(crate) hidden: Vec<Hidden>,
}

/// A variable that debug information hides, as others of its name are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hidden {
    pub(crate) name: String,
    /// The variables that it may be.
    pub(crate) candidates: Vec<Candidate>,
}

/// A variable that a hidden one may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) size: Option<u64>,
    pub(crate) declared_at: Option<Place>,
}

/// What a state keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) kind: MemberKind,
    /// `null` where debug information hides it.
    pub(crate) offset: Option<u64>,
    /// Whether only the body says so: the state has one more variable of this name, and the body
    /// one that it can be.
    #[serde(default)]
    pub(crate) perhaps: bool,
    /// `null` where debug information does not tell.
    pub(crate) size: Option<u64>,
    #[serde(default)]
    pub(crate) declared_at: Option<Place>,
    /// Lines of the variables that it may be, where they are several.
    #[serde(default)]
    pub(crate) maybe_declared_at: Vec<Place>,
}

impl State {
    pub(super) fn of(state: &memscope_layout::State, is_largest: bool) -> Self {
        Self {
            kind: state.kind,
            place: state.place.clone(),
            live_bytes: state.live_bytes,
            is_largest,
            members: state.members.iter().map(Part::of).collect(),
            hidden: state.hidden.iter().map(Hidden::of).collect(),
        }
    }
}

impl Hidden {
    pub(crate) fn of(hidden: &memscope_layout::Hidden) -> Self {
        let candidates = hidden.candidates.iter().map(|it| Candidate {
            type_name: type_name::short(&it.type_name),
            size: it.size,
            declared_at: it.declared_at.clone(),
        });
        Self { name: hidden.name.to_string(), candidates: candidates.collect() }
    }
}

impl Part {
    pub(crate) fn of(member: &memscope_layout::Member) -> Self {
        Self {
            name: member.name.to_string(),
            type_name: type_name::short(&member.type_name),
            kind: member.kind,
            offset: Some(member.offset),
            perhaps: false,
            size: member.size,
            declared_at: member.declared_at.clone(),
            maybe_declared_at: member.maybe_declared_at.clone(),
        }
    }

    pub(crate) fn perhaps(
        hidden: &memscope_layout::Hidden,
        candidate: &memscope_layout::Candidate,
    ) -> Self {
        Self {
            name: hidden.name.to_string(),
            type_name: type_name::short(&candidate.type_name),
            kind: MemberKind::Local,
            offset: candidate.offset,
            perhaps: true,
            size: candidate.size,
            declared_at: candidate.declared_at.clone(),
            maybe_declared_at: Vec::new(),
        }
    }
}
