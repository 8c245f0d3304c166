//! Compares two programs: which futures grew, shrank, appeared and disappeared.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{
    crate_of_line::short_place,
    rows::{Future, Futures},
};

/// A future whose size differs between two programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    /// Its size in bytes; `null` if the first program does not contain it.
    pub(crate) before: Option<u64>,
    /// Its size in bytes; `null` if the second program does not contain it.
    pub(crate) after: Option<u64>,
    #[serde(skip)]
    pub(crate) place: Option<String>,
}

impl Change<'_> {
    pub(crate) fn bytes(&self) -> i128 {
        i128::from(self.after.unwrap_or(0)) - i128::from(self.before.unwrap_or(0))
    }
}

/// What differs between two programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SizeChanges<'a> {
    /// The changes, the largest first.
    pub(crate) changes: Vec<Change<'a>>,
    /// The number of futures that have the same size but another place.
    pub(crate) moved: usize,
}

/// Compares the futures of two programs.
///
/// Futures are paired by their names, without the numbers of `impl`s and blocks, which another
/// `impl` above changes. Futures of one name are paired by equal place and size first. Then come
/// those of equal size, those of equal place, and the others in the order of their lines.
pub(crate) fn size_changes<'a>(
    before: &'a Futures,
    after: &'a Futures,
    is_shown: impl Fn(&Future) -> bool,
) -> SizeChanges<'a> {
    let mut named: BTreeMap<String, [Vec<&Future>; 2]> = BTreeMap::new();
    for (side, futures) in [before, after].into_iter().enumerate() {
        for future in futures.all.iter().filter(|it| is_shown(it)) {
            let name = steady_name(&future.name, &futures.program);
            named.entry(name).or_default()[side].push(future);
        }
    }
    let (mut changes, mut moved) = (Vec::new(), 0);
    let mut add = |old: Option<&'a Future>, new: Option<&'a Future>| {
        let (before, after) = (old.map(|it| it.size), new.map(|it| it.size));
        let Some(any) = new.or(old) else { return };
        if before == after {
            moved += usize::from(old.map(place) != new.map(place));
            return;
        }
        let place = any.declared_at.as_ref().map(short_place);
        changes.push(Change { name: &any.name, path: &any.path, before, after, place });
    };
    for mut sides in named.into_values() {
        for side in &mut sides {
            side.sort_by_key(|it| (place(it), Reverse(it.size)));
        }
        let [mut old, new] = sides;
        let mut new: Vec<Option<&Future>> = new.into_iter().map(Some).collect();
        let kinds: [fn(&Future, &Future) -> bool; 4] = [
            |old, new| place(old) == place(new) && old.size == new.size,
            |old, new| old.size == new.size,
            |old, new| place(old) == place(new),
            |_, _| true,
        ];
        for is_pair in kinds {
            old.retain(|old| {
                let there = new.iter_mut().find(|it| it.is_some_and(|it| is_pair(old, it)));
                let there = there.and_then(Option::take);
                there.inspect(|new| add(Some(old), Some(new))).is_none()
            });
        }
        for old in old {
            add(Some(old), None);
        }
        for new in new {
            add(None, new);
        }
    }
    changes.sort_by_key(|it| (Reverse(it.bytes().unsigned_abs()), it.path));
    SizeChanges { changes, moved }
}

/// Returns the file and the line, without the folder, as a checkout may be in another folder.
fn place(future: &Future) -> Option<(&str, u32)> {
    let place = future.declared_at.as_ref()?;
    Some((place.file.rsplit(['/', '\\']).next().unwrap_or_default(), place.line))
}

/// Returns a name without parts that may differ between two builds: the numbers of `impl`s, blocks
/// and closures, and the name of the program's crate.
fn steady_name(name: &str, program: &str) -> String {
    let mut steady = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('#') {
        let (before, after) = rest.split_at(at);
        let number = after[1..].trim_start_matches(|it: char| it.is_ascii_digit());
        steady.push_str(before);
        // A `#` that no number and `}` follow belongs to a generic or a raw name, and stays.
        let is_number = number.len() + 1 < after.len() && number.starts_with('}');
        if !is_number {
            steady.push('#');
        }
        rest = if is_number { number } else { &after[1..] };
    }
    steady.push_str(rest);
    without_crate(&steady, &program.replace('-', "_"))
}

/// Puts `crate` in place of the crate of this name, wherever a path begins with it.
fn without_crate(name: &str, of_program: &str) -> String {
    if of_program.is_empty() {
        return name.to_owned();
    }
    let start = format!("{of_program}::");
    let is_word = |it: char| it.is_alphanumeric() || "_:".contains(it);
    let mut steady = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find(&start) {
        let (before, after) = rest.split_at(at);
        steady.push_str(before);
        steady.push_str(if steady.ends_with(is_word) { &start } else { "crate::" });
        rest = &after[start.len()..];
    }
    steady.push_str(rest);
    steady
}

#[cfg(test)]
mod tests {
    use memscope_layout::Place;

    use super::{super::crate_of_line::Origin, *};

    fn future(name: &str, line: u32, size: u64) -> Future {
        let (file, name) = (format!("/build/{line}/src/app.rs").into(), name.to_owned());
        Future {
            path: format!("{name}#path"),
            name,
            origin: Origin::Own,
            size,
            align: None,
            declared_at: Some(Place { file, line }),
            await_points: 1,
            padding: 0,
            why: Vec::new(),
            advice: Vec::new(),
            states: Vec::new(),
        }
    }

    fn program(name: &str, all: Vec<Future>) -> Futures {
        Futures { format: 1, program: name.to_owned(), build_id: None, missing_files: 0, all }
    }

    type Sizes = (Option<u64>, Option<u64>);

    /// Returns the sizes of what changed, and how many have moved.
    fn compared(before: &[(&str, u32, u64)], after: &[(&str, u32, u64)]) -> (Vec<Sizes>, usize) {
        let of = |all: &[(&str, u32, u64)]| {
            let all = all.iter().map(|(name, line, size)| future(name, *line, *size));
            program("app", all.collect())
        };
        let (before, after) = (of(before), of(after));
        let SizeChanges { changes, moved } = size_changes(&before, &after, |_| true);
        (changes.iter().map(|it| (it.before, it.after)).collect(), moved)
    }

    #[test]
    fn another_impl_or_block_above_changes_no_future() {
        let (a, b) = ("app::{impl #0}::go", "app::{impl #1}::go");
        assert_eq!(compared(&[(a, 3, 100)], &[(b, 3, 100)]), (vec![], 0));
        assert_eq!(compared(&[(a, 3, 100)], &[(b, 9, 100)]), (vec![], 1), "it has moved");
        // Both have new numbers, and one has grown.
        let before = [("app::{impl #0}::go", 3, 5_000), ("app::{impl #1}::go", 9, 8)];
        let after = [("app::{impl #1}::go", 4, 5_000), ("app::{impl #2}::go", 10, 64)];
        assert_eq!(compared(&before, &after), (vec![(Some(8), Some(64))], 1));
        let before = [("app::run::{async block#0}", 7, 24), ("app::run::{async block#1}", 9, 48)];
        let after = [
            ("app::run::{async block#0}", 6, 16),
            ("app::run::{async block#1}", 8, 24),
            ("app::run::{async block#2}", 10, 48),
        ];
        assert_eq!(compared(&before, &after), (vec![(None, Some(16))], 2));
    }

    #[test]
    fn a_future_that_changed_its_size_is_paired_by_its_place() {
        let before = [("app::f", 3, 100), ("app::f", 9, 200)];
        let after = [("app::f", 3, 300), ("app::f", 9, 250)];
        let changes = vec![(Some(100), Some(300)), (Some(200), Some(250))];
        assert_eq!(compared(&before, &after), (changes, 0));
        let changes = vec![(Some(200), None), (Some(100), Some(90))];
        assert_eq!(compared(&before, &[("app::f", 3, 90)]), (changes, 0));
        assert_eq!(compared(&[("app::f", 3, 8)], &[("app::g", 3, 8)]).0.len(), 2, "another name");
    }

    #[test]
    fn the_crate_of_the_program_may_have_another_name() {
        let one = program("first-app", vec![future("<first_app::A as first_app::T>::go", 3, 8)]);
        let two = program("second", vec![future("<second::A as second::T>::go", 3, 8)]);
        let none = SizeChanges { changes: Vec::new(), moved: 0 };
        assert_eq!(size_changes(&one, &two, |_| true), none);
        assert_eq!(steady_name("my_app::app::f", "app"), "my_app::app::f", "a module of that name");
        assert_eq!(steady_name("a::r#f::{closure#12}", ""), "a::r#f::{closure}");
        assert_eq!(steady_name("a#", "a"), "a#");
    }
}
