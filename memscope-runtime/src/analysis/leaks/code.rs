//! The functions that a finding names as the code that allocates or spawns, and their lines.

use std::{cmp::Reverse, fmt};

use crate::{
    analysis::stacks::{Fold, Place, fold},
    model::{
        StackFrame, StackProfile,
        human::{file_end, is_of_library, path_end},
        symbol::{owner, short},
    },
    primitives::order,
};

/// Functions of a stack that a finding shows.
const SHOWN_FUNCTIONS: usize = 2;
const FUNCTION_COLUMNS: usize = 48;
const FILE_COLUMNS: usize = 40;

/// Parts of the names of Tokio's functions that make a task's cell.
pub(super) const SPAWNS: [&str; 3] =
    ["::task::core::Cell", "tokio::task::spawn", "::scheduler::Handle::spawn"];

/// The innermost functions of a stack, and the program's own if these are all of libraries. Its own
/// code is that of the outermost function's crate, and of other crates of its workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Code {
    functions: Vec<Function>,
    /// The index of the innermost one that is the program's own.
    own: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Function {
    name: String,
    place: Option<Place>,
}

impl Code {
    /// Returns `None` if no name is known.
    pub(super) fn of(frames: &[StackFrame]) -> Option<Self> {
        let (functions, first_own) = functions(frames)?;
        let shown: Vec<(usize, Function)> = functions
            .into_iter()
            .enumerate()
            .filter(|(at, _)| *at < SHOWN_FUNCTIONS || Some(*at) == first_own)
            .collect();
        let own = shown.iter().position(|(at, _)| Some(*at) == first_own);
        Some(Self { functions: shown.into_iter().map(|(_, it)| it).collect(), own })
    }

    /// The innermost function of the program's own.
    pub(super) fn innermost_own(frames: &[StackFrame]) -> Option<Self> {
        let (functions, first_own) = functions(frames)?;
        Some(Self { functions: vec![functions.into_iter().nth(first_own?)?], own: Some(0) })
    }

    /// The name of the innermost function of the program's own.
    pub(super) fn own_name(&self) -> Option<&str> {
        self.functions.get(self.own?).map(|it| &*it.name)
    }

    /// The program's functions that spawn, if the bytes of a stack are cells of Tokio's.
    pub(super) fn spawning(stack: &StackProfile) -> Option<Self> {
        let spawns = |frame: &StackFrame| SPAWNS.iter().any(|words| frame.function.contains(words));
        let outermost = stack.frames.iter().rposition(spawns)?;
        Self::of(&stack.frames[outermost + 1..])
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(|it| &*it.name)
    }

    /// Whether a function of this name is one of these.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.names().any(|it| it == name)
    }

    /// Whether both are of the same functions, at whatever lines.
    pub(super) fn has_names_of(&self, other: &Self) -> bool {
        self.names().eq(other.names())
    }

    /// Whether a finding that says `allocated_at` names these functions first, at whatever lines.
    pub(super) fn is_of(&self, allocated_at: &str) -> bool {
        let mut rest = allocated_at;
        for (at, name) in self.names().enumerate() {
            let before = if at == 0 { "" } else { " in " };
            let function = format!("{before}`{}`", path_end(name, FUNCTION_COLUMNS));
            let Some(after) = rest.strip_prefix(&*function) else { return false };
            let place = after.strip_prefix(" (").and_then(|it| it.split_once(')'));
            rest = place.map_or(after, |(_, rest)| rest);
        }
        !rest.starts_with(" in ")
    }
}

/// The functions of a stack, the innermost first, and the index of the first that is the program's.
fn functions(frames: &[StackFrame]) -> Option<(Vec<Function>, Option<usize>)> {
    let functions = fold(frames, usize::MAX).into_iter().filter_map(|fold| match fold {
        Fold::Function(name, place) if !is_address(&name) => Some(Function { name, place }),
        _ => None,
    });
    let mut functions: Vec<Function> = functions.collect();
    // A closure and the function around it have one name.
    functions.dedup_by(|outer, inner| outer.name == inner.name);
    let own = owner(&functions.last()?.name);
    // Cargo gives the files of a workspace's crates paths outside of its folders for libraries.
    let has_own_file = |frame: &&StackFrame| {
        frame.file.as_deref().is_some_and(|file| !file.is_empty() && !is_of_library(file))
    };
    let of_workspace: Vec<String> =
        frames.iter().filter(has_own_file).map(|frame| short(&frame.function)).collect();
    let is_own = |it: &Function| owner(&it.name) == own || of_workspace.contains(&it.name);
    let first_own = functions.iter().position(is_own);
    Some((functions, first_own))
}

/// The code of some stacks, each once by its functions.
#[derive(Debug, Default)]
pub(super) struct Codes(Vec<Share>);

/// What the stacks of the same functions have.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) bytes: u64,
    pub(super) samples: u64,
    /// Their bytes by lines.
    lines: Vec<(Code, u64)>,
}

impl Codes {
    pub(super) fn add(&mut self, code: Code, bytes: u64, samples: u64) {
        let is_same = |share: &Share| share.lines.iter().all(|it| it.0.has_names_of(&code));
        let Some(share) = self.0.iter_mut().find(|share| is_same(share)) else {
            return self.0.push(Share::of(code, bytes, samples));
        };
        share.add(Share::of(code, bytes, samples));
    }

    /// The most bytes first.
    pub(super) fn largest_first(mut self) -> Vec<Share> {
        order::by_key(&mut self.0, |it| Reverse(it.bytes));
        self.0
    }
}

impl Share {
    /// Adds what the stacks of the same functions have.
    pub(super) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.samples = self.samples.saturating_add(other.samples);
        for (code, bytes) in other.lines {
            match self.lines.iter_mut().find(|it| it.0 == code) {
                Some((_, sum)) => *sum = sum.saturating_add(bytes),
                None => self.lines.push((code, bytes)),
            }
        }
    }

    /// The name of the innermost function of the program's own.
    pub(super) fn own_name(&self) -> Option<&str> {
        self.lines.first()?.0.own_name()
    }

    pub(super) fn of(code: Code, bytes: u64, samples: u64) -> Self {
        Self { bytes, samples, lines: vec![(code, bytes)] }
    }

    /// The places of the function with this number, where they are known, and the bytes of each:
    /// the most bytes first.
    fn places(&self, function: usize) -> Vec<(&Place, u64)> {
        let mut places: Vec<(&Place, u64)> = Vec::new();
        for (code, bytes) in &self.lines {
            let Some(place) = code.functions.get(function).and_then(|it| it.place.as_ref()) else {
                continue;
            };
            match places.iter_mut().find(|it| it.0 == place) {
                Some((_, sum)) => *sum = sum.saturating_add(*bytes),
                None => places.push((place, *bytes)),
            }
        }
        order::by_key(&mut places, |it| Reverse(it.1));
        places
    }

    /// The functions without lines.
    pub(super) fn names(&self) -> String {
        self.text(|_| None)
    }

    /// The functions. A line stands with one if all of the bytes are of that line.
    pub(super) fn with_sure_lines(&self) -> String {
        self.text(|function| {
            let place =
                |it: &(Code, u64)| it.0.functions.get(function).and_then(|it| it.place.clone());
            let mut places = self.lines.iter().map(place);
            let first = places.next().flatten()?;
            places.all(|it| it.as_ref() == Some(&first)).then(|| shown(&first))
        })
    }

    /// The functions, each with what `place` says of the one with this number.
    fn text(&self, place: impl Fn(usize) -> Option<String>) -> String {
        let Some((code, _)) = self.lines.first() else { return String::new() };
        let functions = code.names().enumerate().map(|(function, name)| {
            let name = path_end(name, FUNCTION_COLUMNS);
            match place(function) {
                Some(place) => format!("`{name}` ({place})"),
                None => format!("`{name}`"),
            }
        });
        functions.collect::<Vec<_>>().join(" in ")
    }
}

/// `inner` (src/a.rs:7, among others) in `outer` (src/a.rs:9): each with its line of most bytes.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text(|function| {
            let places = self.places(function);
            let others = if places.len() > 1 { ", among others" } else { "" };
            Some(shown(places.first()?.0) + others)
        });
        f.write_str(&text)
    }
}

fn shown((file, line): &Place) -> String {
    format!("{}:{line}", file_end(file, FILE_COLUMNS))
}

fn is_address(name: &str) -> bool {
    name.contains("+0x") || name.contains(" at 0x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_of_libraries_is_followed_by_that_of_the_program_which_calls_them() {
        let named = |functions: &[&str]| {
            let frames = functions.iter().map(|function| StackFrame {
                function: (*function).to_owned().into(),
                ..StackFrame::default()
            });
            let code = Code::of(&frames.collect::<Vec<_>>())?;
            Some(told([(code, 1)]))
        };
        let buffer = ["bytes::BytesMut::reserve_inner", "bytes::BytesMut::reserve"];
        let calls =
            [&buffer[..], &["app::upload", "app::serve", "tokio::runtime::task::raw::poll"]]
                .concat();
        assert_eq!(
            named(&calls).as_deref(),
            Some("`bytes::BytesMut::reserve_inner` in `bytes::BytesMut::reserve` in `app::upload`")
        );
        assert_eq!(
            named(&["app::put", "cache::insert", "app::serve", "tokio::runtime::task::raw::poll"])
                .as_deref(),
            Some("`app::put` in `cache::insert`")
        );
        assert_eq!(
            named(&["tokio::Block::new", "app::serve"]).as_deref(),
            Some("`tokio::Block::new` in `app::serve`")
        );
        assert_eq!(named(&["std::thread::spawn"]), None);
    }

    #[test]
    fn code_of_other_crates_of_the_workspace_is_own_and_that_of_libraries_is_not() {
        let own = |file: &str| {
            let frames = [("shelf::note", file), ("app::serve", "/home/me/shop/app/src/main.rs")];
            let frames = frames.map(|(function, file)| StackFrame {
                function: function.into(),
                file: Some(file.to_owned().into()),
                line: Some(7),
                ..StackFrame::default()
            });
            let code = Code::innermost_own(&frames).expect("own");
            code.own_name().map(str::to_owned)
        };
        assert_eq!(own("/home/me/shop/shelf/src/lib.rs").as_deref(), Some("shelf::note"));
        assert_eq!(own("shelf/src/lib.rs").as_deref(), Some("shelf::note"));
        for library in [
            "/home/me/.cargo/registry/src/index.crates.io-1/shelf-1.2.3/src/lib.rs",
            "/home/me/.cargo/git/checkouts/shelf-1/2/src/lib.rs",
            "C:\\Users\\me\\.cargo\\registry\\src\\index\\shelf-1.2.3\\src\\lib.rs",
            "",
        ] {
            assert_eq!(own(library).as_deref(), Some("app::serve"), "{library}");
        }
    }

    fn told(parts: impl IntoIterator<Item = (Code, u64)>) -> String {
        let mut codes = Codes::default();
        for (code, bytes) in parts {
            codes.add(code, bytes, 1);
        }
        codes.largest_first()[0].to_string()
    }

    fn at(lines: [(&str, Option<u32>); 2]) -> Code {
        let frames = lines.map(|(function, line)| StackFrame {
            function: function.to_owned().into(),
            file: line.map(|_| "src/a.rs".into()),
            line,
            ..StackFrame::default()
        });
        Code::of(&frames).expect("names")
    }

    #[test]
    fn code_of_the_same_functions_is_one_and_has_the_lines_of_most_bytes() {
        let one = |line| at([("app::fill", Some(line)), ("app::serve", Some(40))]);
        assert_eq!(
            told([(one(7), 1), (one(7), 2)]),
            "`app::fill` (src/a.rs:7) in `app::serve` (src/a.rs:40)"
        );
        let several = "`app::fill` (src/a.rs:9, among others) in `app::serve` (src/a.rs:40)";
        assert_eq!(told([(one(7), 3), (one(9), 2), (one(9), 2)]), several);
        let other = at([("app::drain", Some(7)), ("app::serve", Some(40))]);
        assert_eq!(told([(one(9), 2), (other, 1)]), told([(one(9), 1)]));
        let unknown = at([("app::fill", None), ("app::serve", None)]);
        assert_eq!(told([(one(7), 2), (unknown.clone(), 3)]), told([(one(7), 1)]));
        assert_eq!(told([(unknown, 1)]), "`app::fill` in `app::serve`");
        // Each function has the line of most of its own bytes.
        let pair = |inner, outer| at([("app::fill", Some(inner)), ("app::serve", Some(outer))]);
        let parts = || [(pair(7, 40), 3), (pair(9, 41), 2), (pair(9, 42), 2)];
        let each =
            "`app::fill` (src/a.rs:9, among others) in `app::serve` (src/a.rs:40, among others)";
        assert_eq!(told(parts()), each);
        let mut codes = Codes::default();
        for (code, bytes) in parts() {
            codes.add(code, bytes, 1);
        }
        let share = &codes.largest_first()[0];
        assert_eq!(share.with_sure_lines(), "`app::fill` in `app::serve`");
        let mut codes = Codes::default();
        codes.add(pair(7, 40), 3, 1);
        codes.add(pair(7, 41), 3, 1);
        let share = &codes.largest_first()[0];
        assert_eq!(share.with_sure_lines(), "`app::fill` (src/a.rs:7) in `app::serve`");
    }

    #[test]
    fn a_finding_is_of_the_functions_that_it_names_whatever_the_lines() {
        let code = at([("app::fill", Some(7)), ("app::serve", None)]);
        assert!(code.is_of("`app::fill` (src/a.rs:9) in `app::serve` (src/a.rs:1), by 9 samples"));
        assert!(!code.is_of("`app::fill` (src/a.rs:7), by 9 samples"));
        assert!(!code.is_of("`app::fill` in `app::serve` in `app::main`, by 9 samples"));
        let other = "`app::log`, ≈ 60 % by 9 samples, and at `app::fill` in `app::serve`, ≈ 40 %";
        assert!(!code.is_of(other) && !at([("app::serve", None), ("app::a", None)]).is_of(other));
        assert!(!code.is_of("`app::fill_all` in `app::serve`, by 9 samples"));
    }

    #[test]
    fn a_closure_and_the_function_around_it_are_named_once_whatever_is_between_them() {
        let frames = [
            ("app::serve::{{closure}}::{{closure}}", 7),
            ("core::iter::Iterator::map", 1),
            ("app::serve::{{closure}}", 9),
        ];
        let frames = frames.map(|(function, line)| StackFrame {
            function: function.into(),
            file: Some("src/a.rs".into()),
            line: Some(line),
            ..StackFrame::default()
        });
        let code = Code::of(&frames).expect("names");
        assert_eq!(told([(code, 1)]), "`app::serve` (src/a.rs:7)");
    }
}
