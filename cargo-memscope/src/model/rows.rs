//! Futures as rows: what is printed, written as JSON, and compared.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use memscope_layout::{Coroutine, Layouts, Place, StateKind};
use memscope_runtime::__terminal::{MOST_BYTES, read, visible_path};
use serde::{Deserialize, Serialize};

use super::{advice, advice::Advice, crate_of_line::Origin, type_name as name, why, why::Step};
use crate::error::Error;

/// Raised when a field changes its meaning.
const FORMAT: u32 = 1;

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
    pub(crate) kind: memscope_layout::MemberKind,
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

impl Futures {
    /// Reads a program, or a file that `--json` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let shown = visible_path(path);
        let cannot = |error: io::Error| Error::new(format!("cannot read {shown}: {error}"));
        let about = fs::metadata(path).map_err(cannot)?;
        // A pipe, such as `<(command)`, gives each byte once, and no program can be looked into
        // there.
        let is_json = if about.is_file() {
            let mut start = [0u8; 1];
            let read = fs::File::open(path).and_then(|mut file| file.read(&mut start));
            // Nothing that is executed begins like that.
            read.map_err(cannot)? == 1 && (start == *b"{" || start[0].is_ascii_whitespace())
        } else {
            true
        };
        if !is_json {
            return Ok(Self::of(&Layouts::read(path)?, path));
        }
        let bytes = read(path, MOST_BYTES, Some(b'{')).map_err(cannot)?;
        let text = str::from_utf8(&bytes).map_err(|error| {
            Error::new(format!("{shown} is neither a program nor the JSON of futures: {error}"))
        })?;
        Self::from_json(text).map_err(|error| Error::new(format!("{shown} {error}")))
    }

    /// Reads what `--json` wrote; the error goes on from the file's name.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        const WRITE: &str = "write it with `cargo memscope futures --json > FILE`";
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| format!("is not the JSON of futures: {error}; {WRITE}"))?;
        match value.get("memscope_futures").and_then(serde_json::Value::as_u64) {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(other) => {
                return Err(format!(
                    "has format {other}, and this version reads {FORMAT}: {WRITE} by the same version"
                ));
            }
            None => return Err(format!("is some other JSON: {WRITE}")),
        }
        serde_json::from_value(value).map_err(|error| format!("is damaged: {error}; {WRITE}"))
    }

    pub(crate) fn of(layouts: &Layouts, path: &Path) -> Self {
        let futures = layouts.coroutines().iter().enumerate();
        Self {
            format: FORMAT,
            program: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            build_id: layouts.build_id().map(str::to_owned),
            missing_files: layouts.missing_files(),
            all: futures.map(|(index, it)| Future::of(layouts, index, it)).collect(),
        }
    }
}

impl Future {
    /// Of one state machine, which is the one at `index`.
    pub(crate) fn of(layouts: &Layouts, index: usize, coroutine: &Coroutine) -> Self {
        let largest = coroutine.largest_state;
        let states = coroutine.states.iter().enumerate();
        Self {
            name: name::short(&coroutine.path),
            path: coroutine.path.to_string(),
            origin: Origin::of(coroutine.declared_at.as_ref()),
            size: coroutine.size,
            align: coroutine.align,
            declared_at: coroutine.declared_at.clone(),
            await_points: coroutine.suspended().count(),
            padding: coroutine.padding,
            why: why::chain(layouts, index),
            advice: advice::of(layouts, coroutine),
            states: states.map(|(at, it)| State::of(it, largest == Some(at))).collect(),
        }
    }
}

impl State {
    fn of(state: &memscope_layout::State, is_largest: bool) -> Self {
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
            type_name: name::short(&it.type_name),
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
            type_name: name::short(&member.type_name),
            kind: member.kind,
            offset: Some(member.offset),
            perhaps: false,
            size: member.size,
            declared_at: member.declared_at.clone(),
            maybe_declared_at: member.maybe_declared_at.clone(),
        }
    }
}

impl Part {
    pub(crate) fn perhaps(
        hidden: &memscope_layout::Hidden,
        candidate: &memscope_layout::Candidate,
    ) -> Self {
        Self {
            name: hidden.name.to_string(),
            type_name: name::short(&candidate.type_name),
            kind: memscope_layout::MemberKind::Local,
            offset: candidate.offset,
            perhaps: true,
            size: candidate.size,
            declared_at: candidate.declared_at.clone(),
            maybe_declared_at: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn some() -> String {
        r#"{"memscope_futures":1,"program":"app","build_id":null,"futures":[
            {"name":"app::f","path":"app::f::{async_fn_env#0}","origin":"own","size":24,
             "states":[{"kind":{"suspended":0},"live_bytes":8,"is_largest":true,"members":[
               {"name":"x","type":"u64","kind":"local","offset":0,"size":8}]}]}]}"#
            .to_owned()
    }

    #[test]
    fn json_reads_as_it_was_written() {
        let futures = Futures::from_json(&some()).unwrap();
        let written = serde_json::to_string(&futures).unwrap();
        assert_eq!(Futures::from_json(&written).unwrap(), futures);
        assert_eq!(futures.all[0].states[0].members[0].size, Some(8));
    }

    #[test]
    fn other_json_is_told_apart() {
        let error = |text: &str| Futures::from_json(text).unwrap_err();
        assert!(error("{}").contains("some other JSON"));
        assert!(error("{\"memscope_futures\":9}").contains("has format 9"));
        assert!(error("{\"memscope_futures\":1}").contains("is damaged"));
        assert!(error("{").contains("is not the JSON of futures"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            drop(Futures::from_json(&text));
        }

        #[test]
        fn damaged_json_is_an_error_or_still_futures(at: prop::sample::Index, with: char, cut: bool) {
            let mut text: Vec<char> = some().chars().collect();
            let at = at.index(text.len());
            if cut { text.truncate(at) } else { text[at] = with }
            let text: String = text.into_iter().collect();
            if let Err(error) = Futures::from_json(&text) {
                prop_assert!(error.contains("--json"), "says what to do: {}", error);
            }
        }
    }
}
