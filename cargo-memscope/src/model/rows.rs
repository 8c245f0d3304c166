//! The rows: futures as they are printed, written as JSON, and compared.

use memscope_layout::{Layouts, MemberKind, Place, StateKind};
use serde::{Deserialize, Serialize};

use super::{advice::Advice, crate_of_line::Origin, type_name};

/// All futures of a program, the largest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Futures {
    /// The version of the format. The name of this field identifies such files.
    #[serde(rename = "memscope_futures")]
    pub(crate) format: u32,
    /// The file name of the program.
    pub(crate) program: String,
    /// The build id: the linker's identifier of this build.
    pub(crate) build_id: Option<String>,
    /// How many files of split debug information were not found. Their futures are missing.
    #[serde(default)]
    pub(crate) missing_files: usize,
    /// One row for each future.
    #[serde(rename = "futures")]
    pub(crate) all: Vec<Future>,
}

/// One state machine. Sizes and offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Future {
    /// The short name.
    pub(crate) name: String,
    /// The full path of its type.
    pub(crate) path: String,
    /// The owner of the code.
    pub(crate) origin: Origin,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) align: Option<u64>,
    #[serde(default)]
    pub(crate) declared_at: Option<Place>,
    /// The number of its `.await`s.
    #[serde(default)]
    pub(crate) await_points: usize,
    /// The bytes of `size` that no known member of the largest state takes.
    #[serde(default)]
    pub(crate) padding: u64,
    /// The steps from its largest state down to variables.
    #[serde(default)]
    pub(crate) why: Vec<Step>,
    /// Advice on how to make it smaller, the most effective first.
    #[serde(default)]
    pub(crate) advice: Vec<Advice>,
    /// All its states.
    #[serde(default)]
    pub(crate) states: Vec<State>,
}

/// One future on the way from a large future down to its variables, in its largest state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Its short name.
    pub(crate) future: String,
    pub(crate) size: u64,
    /// The `.await` of that state.
    pub(crate) at: Option<Place>,
    /// Its largest parts, the largest first.
    pub(crate) parts: Vec<Part>,
    /// The number of further parts, and their bytes.
    pub(crate) others: usize,
    pub(crate) other_bytes: u64,
    /// Values that the state also keeps, at unknown offsets.
    #[serde(default)]
    pub(crate) hidden: Vec<Hidden>,
    /// The part that the next step describes: an index into `parts`.
    pub(crate) next: Option<usize>,
}

/// One state of a future.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) kind: StateKind,
    /// The `.await`, or a line of the function.
    #[serde(default)]
    pub(crate) place: Option<Place>,
    /// The bytes of its members. Overlapping bytes count once.
    pub(crate) live_bytes: u64,
    pub(crate) is_largest: bool,
    pub(crate) members: Vec<Part>,
    /// Values that the state also keeps, at unknown offsets.
    #[serde(default)]
    pub(crate) hidden: Vec<Hidden>,
}

/// A variable that debug information hides because another one has the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hidden {
    pub(crate) name: String,
    /// The variables that it may be.
    pub(crate) candidates: Vec<Candidate>,
}

/// A variable that a hidden variable may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) size: Option<u64>,
    pub(crate) declared_at: Option<Place>,
}

/// A value that a state keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    pub(crate) kind: MemberKind,
    /// `null` if debug information hides it.
    pub(crate) offset: Option<u64>,
    /// Whether this is inferred from the body: the state has one more variable of this name, and
    /// the body has exactly one that matches.
    #[serde(default)]
    pub(crate) perhaps: bool,
    /// `null` if debug information does not contain it.
    pub(crate) size: Option<u64>,
    #[serde(default)]
    pub(crate) declared_at: Option<Place>,
    /// The lines of all possible variables, if there are several.
    #[serde(default)]
    pub(crate) maybe_declared_at: Vec<Place>,
}

impl State {
    pub(super) fn of(layouts: &Layouts, state: &memscope_layout::State, is_largest: bool) -> Self {
        Self {
            kind: state.kind,
            place: state.place.clone(),
            live_bytes: state.live_bytes,
            is_largest,
            members: state.members.iter().map(|it| Part::of(layouts, it)).collect(),
            hidden: state.hidden.iter().map(|it| Hidden::of(layouts, it)).collect(),
        }
    }
}

impl Hidden {
    pub(crate) fn of(layouts: &Layouts, hidden: &memscope_layout::Hidden) -> Self {
        let candidates = hidden.candidates.iter().map(|it| Candidate {
            type_name: type_name::short(layouts, &it.type_name),
            size: it.size,
            declared_at: it.declared_at.clone(),
        });
        Self { name: hidden.name.to_string(), candidates: candidates.collect() }
    }
}

impl Part {
    pub(crate) fn of(layouts: &Layouts, member: &memscope_layout::Member) -> Self {
        Self {
            name: member.name.to_string(),
            type_name: type_name::short(layouts, &member.type_name),
            kind: member.kind,
            offset: Some(member.offset),
            perhaps: false,
            size: member.size,
            declared_at: member.declared_at.clone(),
            maybe_declared_at: member.maybe_declared_at.clone(),
        }
    }

    pub(crate) fn perhaps(
        layouts: &Layouts,
        hidden: &memscope_layout::Hidden,
        candidate: &memscope_layout::Candidate,
    ) -> Self {
        Self {
            name: hidden.name.to_string(),
            type_name: type_name::short(layouts, &candidate.type_name),
            kind: MemberKind::Local,
            offset: candidate.offset,
            perhaps: true,
            size: candidate.size,
            declared_at: candidate.declared_at.clone(),
            maybe_declared_at: Vec::new(),
        }
    }
}
