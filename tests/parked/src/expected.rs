//! Where the task of each case waits, by the comments in the sources.
//!
//! A case begins where its task is registered, at a line that begins with the name of a function
//! of `park`, and goes on to the next one in its file. In it, the lines at which its task waits
//! have a comment, at their ends or alone on the line below:
//!
//! - `//~` is the only line of the program's code in the chain of the task.
//! - `//~ 1`, `//~ 2` are lines of the chain, from the outermost one on. A line that is there twice
//!   has both numbers: `//~ 1 2`.
//! - `//~ 2a`, `//~ 2b` are lines of two chains side by side. Both have the lines without a letter.
//! - `leaf` after a number is the next line of that chain: the one at which `park::leaf` waits.
//! - `2a=leaf` is that line itself, in a chain that has no other line there.
//!
//! A case without such a comment has no line of the program's code.

use std::collections::{BTreeMap, BTreeSet};

use crate::park::LEAF;

/// A line of the program: the end of its file's path, and the number.
pub(crate) type Line = (String, u32);

/// A case as the sources have it.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) family: &'static str,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
    /// The chains of lines at whose ends the task waits, each from the outermost line on.
    pub(crate) chains: BTreeSet<Vec<Line>>,
}

const BEGINS: [&str; 5] = ["parks(", "tracked(", "local(", "is(", "here("];

/// The cases of these files, each with its family, its path and its text.
pub(crate) fn read(files: &[(&'static str, &'static str, &'static str)]) -> Vec<Expected> {
    let mut all = Vec::new();
    for (family, file, text) in files.iter().copied() {
        let mut case: Option<(u32, Vec<Mark>)> = None;
        for (line, text) in (1..).zip(text.lines()) {
            let code = text.trim_start();
            if BEGINS.iter().any(|it| code.starts_with(it)) {
                all.extend(case.take().map(|it| expected(family, file, it)));
                case = Some((line, Vec::new()));
            }
            if let Some((_, labels)) = text.split_once("//~") {
                let (_, marks) = case.as_mut().expect("a mark stands in a case");
                let is_below = code.starts_with("//~");
                add_marks(marks, file, line - u32::from(is_below), labels);
            }
        }
        all.extend(case.map(|it| expected(family, file, it)));
    }
    all
}

/// A place in a chain: its number, twice that and one for a leaf; the letters of its chains, none
/// for all of them; and the line.
type Mark = (u32, String, Line);

fn leaf() -> Line {
    ("src/park.rs".to_owned(), LEAF)
}

fn add_marks(marks: &mut Vec<Mark>, file: &str, line: u32, labels: &str) {
    let labels = if labels.trim().is_empty() { "1" } else { labels };
    let mut last = (1, String::new());
    for label in labels.split_whitespace() {
        if label == "leaf" {
            if labels.trim() == "leaf" {
                marks.push((2, String::new(), (file.to_owned(), line)));
            }
            marks.push((2 * last.0 + 1, last.1.clone(), leaf()));
            continue;
        }
        let (label, line) = match label.strip_suffix("=leaf") {
            Some(label) => (label, leaf()),
            None => (label, (file.to_owned(), line)),
        };
        let letters = label.trim_start_matches(|it: char| it.is_ascii_digit());
        let number = label[..label.len() - letters.len()].parse().expect("a label has a number");
        last = (number, letters.to_owned());
        marks.push((2 * number, letters.to_owned(), line));
    }
}

fn expected(family: &'static str, file: &'static str, (line, marks): (u32, Vec<Mark>)) -> Expected {
    let mut letters: BTreeSet<Option<char>> =
        marks.iter().flat_map(|mark| mark.1.chars().map(Some)).collect();
    if letters.is_empty() {
        letters.insert(None);
    }
    let chain = |letter: &Option<char>| {
        let is_in =
            |mark: &&Mark| mark.1.is_empty() || letter.is_some_and(|it| mark.1.contains(it));
        let places = marks.iter().filter(is_in).map(|mark| (mark.0, mark.2.clone()));
        let chain: BTreeMap<u32, Line> = places.clone().collect();
        assert_eq!(chain.len(), places.count(), "{file}:{line}: a number is there twice");
        chain.into_values().collect()
    };
    Expected { family, file, line, chains: letters.iter().map(chain).collect() }
}
