//! One snapshot of a process, its findings, and the numbers of rows that it leaves out.

use std::collections::BTreeMap;

use memscope_runtime::{
    __terminal::cell,
    analysis::Leaks,
    async_memory::{MemorySnapshot, Origin},
};
use serde::Deserialize;

use crate::{commands::served, error::Error};

/// The most characters of a name.
const MOST_NAME: usize = 256;

/// One snapshot, with the further fields of a server's update.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) snapshot: MemorySnapshot,
    pub(super) leaks: Leaks,
    /// The number of rows of each list that a server has not sent, as they are smaller.
    left_out: BTreeMap<String, u64>,
}

/// The fields of an update beside those of a snapshot.
#[derive(Debug, Deserialize)]
struct Beside {
    leaks: Option<Leaks>,
    #[serde(default)]
    left_out: BTreeMap<String, u64>,
}

impl Report {
    /// Reads a saved report, an answer of a server, or one of its updates.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let snapshot = served::read(text)?;
        // Another version may have other fields. Then the findings are looked for here.
        let beside =
            serde_json::from_str(text).unwrap_or(Beside { leaks: None, left_out: BTreeMap::new() });
        let leaks = beside.leaks.unwrap_or_else(|| snapshot.leaks());
        Ok(Self { snapshot, leaks, left_out: beside.left_out })
    }

    /// How many smaller rows of a list were not sent.
    pub(super) fn left_out(&self, list: &str) -> u64 {
        self.left_out.get(list).copied().unwrap_or(0)
    }

    /// The program's name, without its folder.
    pub(super) fn program(&self) -> String {
        let path = self.snapshot.program().map_or("", |it| &*it.path);
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = name.strip_suffix(".exe").unwrap_or(name);
        if name.is_empty() { "a program".to_owned() } else { cell(name, MOST_NAME) }
    }

    pub(super) fn origin(&self) -> Origin {
        self.snapshot.origin()
    }

    /// Whether both reports are of one process.
    pub(super) fn is_of_same_process(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }
}

/// Returns a name on one line, escaped and of bounded length.
pub(super) fn name(text: &str) -> String {
    cell(text, MOST_NAME)
}

/// Returns a place such as `src/db.rs:88`, without the folder in which the program or a library was
/// built.
pub(super) fn place(file: &str, line: Option<u32>) -> String {
    if file.is_empty() {
        return String::new();
    }
    let file = file.replace('\\', "/");
    let short = short_path(&file);
    match line {
        Some(line) if line > 0 => format!("{}:{line}", name(short)),
        _ => name(short),
    }
}

/// Returns a path from its crate on.
fn short_path(path: &str) -> &str {
    for folder in ["/registry/src/", "/git/checkouts/", "/rustc/", "/rustlib/src/"] {
        if let Some((_, inside)) = path.split_once(folder)
            && let Some((_, rest)) = inside.split_once('/')
        {
            return rest.strip_prefix("library/").unwrap_or(rest);
        }
    }
    let is_long = path.starts_with('/') && path.matches('/').count() > 3;
    let from = if is_long { path.rmatch_indices('/').nth(2) } else { None };
    from.map_or(path, |(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lose_the_folder_of_the_build() {
        let cases = [
            ("src/db.rs", "src/db.rs:8"),
            ("/home/a/shop/src/db.rs", "shop/src/db.rs:8"),
            ("/root/.cargo/registry/src/index-1/tokio-1.5/src/a.rs", "tokio-1.5/src/a.rs:8"),
            ("/rustc/abc/library/core/src/a.rs", "core/src/a.rs:8"),
            ("C:\\shop\\a.rs", "C:/shop/a.rs:8"),
            ("a\u{1b}[2J.rs", "a\\u{1b}[2J.rs:8"),
            ("", ""),
        ];
        for (file, shown) in cases {
            assert_eq!(place(file, Some(8)), shown);
        }
        assert_eq!(place("a.rs", None), "a.rs");
    }

    #[test]
    fn what_is_no_report_says_why() {
        let newer = r#"{"memscope_format":1,"memscope_version":"9.9\u001b[2J","measured":7}"#;
        for (text, why) in [
            ("", "empty"),
            ("{}", "report"),
            ("{\"memscope_format\":99}", "99"),
            (newer, "memscope 9.9\\u{1b}[2J wrote it"),
        ] {
            let error = Report::read(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
