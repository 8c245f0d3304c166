//! Tells the crate of code, and whether it is the program's own, by names and paths alone.

use std::collections::HashSet;

use memscope_runtime::async_memory::{SiteProfile, StackFrame};

use super::report::Report;

/// Folders of downloaded packages and of the standard library.
const LIBRARIES: [&str; 4] = ["/registry/src/", "/git/checkouts/", "/rustc/", "/rustlib/src/"];
const STANDARD: [&str; 5] = ["std", "core", "alloc", "proc_macro", "test"];
/// Crates whose frames only run tasks.
const EXECUTORS: [&str; 7] = [
    "tokio",
    "async_std",
    "async_executor",
    "async_task",
    "smol",
    "futures_executor",
    "memscope_runtime",
];

/// The owner of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// A site of tasks, above the frames.
    #[default]
    Site,
    Own,
    Dependency,
    Standard,
}

/// The crates of the program.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnCode {
    crates: HashSet<String>,
    program: String,
}

impl OwnCode {
    /// Finds the program's crates: the crate with the name of the program, and the crates of the
    /// functions that sites are named after.
    pub(super) fn of(report: &Report) -> Self {
        let program = report.program();
        let is_hash = |it: &str| it.len() == 16 && it.bytes().all(|it| it.is_ascii_hexdigit());
        let named = match program.rsplit_once('-') {
            Some((name, hash)) if is_hash(hash) => name,
            _ => &program,
        };
        let is_own = |it: &&SiteProfile| it.is_annotated && !it.file.is_empty();
        let sites = report.snapshot.sites().iter().filter(is_own);
        let mut crates: HashSet<String> =
            sites.filter_map(|it| crate_of(&it.name)).map(str::to_owned).collect();
        crates.insert(named.replace('-', "_"));
        Self { crates, program }
    }

    /// Returns the crate of a site. A name that is not a path belongs to the program. A name in
    /// parentheses stands for unknown sites.
    pub(super) fn crate_of_site<'a>(&'a self, name: &'a str) -> &'a str {
        if name.starts_with('(') {
            return name;
        }
        crate_of(name).filter(|it| !self.crates.contains(*it)).unwrap_or(&self.program)
    }

    /// Returns the owner of a frame, by the crate of its function and then by its file.
    pub(super) fn origin(&self, frame: &StackFrame) -> Origin {
        let name = crate_of(&frame.function);
        if name.is_some_and(|it| STANDARD.contains(&it)) {
            return Origin::Standard;
        }
        if name.is_some_and(|it| self.crates.contains(it)) {
            return Origin::Own;
        }
        let file = frame.file.as_deref().unwrap_or_default().replace('\\', "/");
        let is_library = file.is_empty() || LIBRARIES.iter().any(|it| file.contains(it));
        if is_library { Origin::Dependency } else { Origin::Own }
    }

    /// Returns how many frames are above the first frame of the program's own code. If there is
    /// none, counts up to the first library that is no executor. The outermost frame comes first.
    pub(super) fn executor_frames(&self, outermost_first: &[&StackFrame]) -> usize {
        let is_own = |it: &&StackFrame| self.origin(it) == Origin::Own;
        let is_other = |it: &&StackFrame| {
            let is_executor = crate_of(&it.function).is_none_or(|it| EXECUTORS.contains(&it));
            self.origin(it) != Origin::Standard && !is_executor
        };
        let own = outermost_first.iter().position(is_own);
        own.or_else(|| outermost_first.iter().position(is_other)).unwrap_or(0)
    }
}

/// Returns the crate of a function: `alloc` for `<alloc::vec::Vec<T> as Trait>::call`, `app` for
/// `app::db::query`.
fn crate_of(name: &str) -> Option<&str> {
    let mut path = name.trim_start_matches(|it: char| "<&*".contains(it) || it.is_whitespace());
    while let Some(rest) =
        ["mut ", "const ", "dyn ", "impl "].iter().find_map(|it| path.strip_prefix(it))
    {
        path = rest.trim_start();
    }
    let (first, _) = path.split_once("::")?;
    let is_word = first.chars().all(|it| it.is_ascii_alphanumeric() || it == '_')
        && first.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    is_word.then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_read_from_paths_and_from_types_that_have_traits() {
        let cases = [
            ("app::db::query", Some("app")),
            ("<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend", Some("alloc")),
            ("<&mut dyn hyper::Service as Call>::call", Some("hyper")),
            ("GET /a::b", None),
            ("main", None),
            ("::x", None),
            ("", None),
        ];
        for (name, its) in cases {
            assert_eq!(crate_of(name), its, "{name}");
        }
    }
}
