//! Whatever names a program has, the columns of its report line up, and a row is one line.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    analysis::fixture,
    model::text::{Piece, Pieces, width},
    snapshot::MemorySnapshot,
};

/// Columns whose cells begin below their heading; those of others end there.
const LEFT: [&str; 6] = ["SITE", "TYPE", "AT", "NAME", "STATE", "CODE"];
/// The column whose cells are indented.
const TREE: &str = "TASK";

/// Names as programs and hostile programs have them.
fn name() -> impl Strategy<Value = String> {
    let control =
        "[\\x00-\\x20\\x7f-\\x9f\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2066}-\u{2069}\u{feff}]{0,9}";
    prop_oneof![
        "[a-z]{1,9}(::[a-z_]{1,40}){0,9}(<[A-Za-z, ]{0,40}>)?",
        any::<String>(),
        control,
        "[a-z漢字🦀é\u{301}\u{300}]{0,300}",
        "[a-z]{300}",
        Just(" ".to_owned()),
        Just(String::new()),
    ]
}

fn stack(frames: &[String], live: u64, samples: u64, site: Option<usize>) -> Value {
    let frames: Vec<_> = frames.iter().zip(1_u64..).collect();
    let frame = |(function, at): &(&String, u64)| json!({ "function": function, "address": at, "offset": at });
    let frames: Vec<Value> = frames.iter().map(frame).collect();
    json!({
        "frames": frames, "site": site, "is_untracked": site.is_none(), "live_bytes": live,
        "allocated_bytes": live.saturating_mul(3), "live_samples": samples, "samples": samples,
    })
}

fn snapshot(names: &[String], stacks: &[Value], is_annotated: bool) -> MemorySnapshot {
    let facts =
        json!({ "is_annotated": is_annotated, "active": 3, "spawned": 103, "live_bytes": 9_000 });
    let sites: Vec<Value> = names.iter().map(|name| fixture::site(name, &facts)).collect();
    let tasks = (1_u64..).zip(names).map(|(id, name)| {
        fixture::task(id, name, &json!({ "parent": (id > 1).then_some(id / 2), "file": name }))
    });
    let tasks: Vec<Value> = tasks.collect();
    fixture::snapshot(&json!({
        "sites": sites, "tasks": tasks, "stacks": stacks, "stacks_measured": "on",
        "stack_interval_bytes": 1 << 21,
    }))
}

/// What stands in each column of a line; the second column of a wide character is the character.
fn columns(line: &str) -> Vec<char> {
    let mut columns = Vec::new();
    for piece in Pieces::of(line) {
        match piece {
            Piece::Itself(character) => {
                columns.extend(std::iter::repeat_n(character, Piece::Itself(character).columns()));
            }
            Piece::Mark(_) => {}
            Piece::Short(_) | Piece::Escaped(_) => panic!("{line:?} is not printed as it is"),
        }
    }
    columns
}

/// The headings of a table: the title, and its first and last column.
fn headings(head: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for title in head.split("  ") {
        let blank = title.len() - title.trim_start().len();
        if !title.trim().is_empty() {
            let first = width(&head[..start + blank]);
            found.push((title.trim().to_owned(), first, first + width(title.trim()) - 1));
        }
        start += title.len() + 2;
    }
    found
}

/// Checks the table that begins with this heading, and returns how many rows it has.
fn rows_line_up(text: &str, first: &str) -> usize {
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with(first));
    let Some(head) = lines.next() else { return 0 };
    let headings = headings(head);
    let is_note = |line: &str| ["… and ", "lines: "].iter().any(|it| line.starts_with(it));
    let rows = lines.take_while(|line| !line.is_empty() && !is_note(line));
    // The calls of each stack follow in the long form.
    let is_call_list = |line: &str| first == "STACK" && line == "$0";
    let rows = rows.take_while(|line| !is_call_list(line));
    let mut count = 0;
    for row in rows {
        count += 1;
        let cells = columns(row);
        let at = |column: usize| cells.get(column).copied().unwrap_or(' ');
        for (title, start, end) in &headings {
            if title == TREE {
                continue;
            }
            if LEFT.contains(&title.as_str()) {
                let is_apart = *start < 2 || (at(start - 1) == ' ' && at(start - 2) == ' ');
                assert!(is_apart, "{title} in {row:?} of\n{text}");
            } else {
                assert!(at(*end) != ' ' && at(end + 1) == ' ', "{title} in {row:?} of\n{text}");
            }
        }
    }
    count
}

fn is_sound(snapshot: &MemorySnapshot, names: usize, stacks: usize) {
    let (short, long) = (snapshot.to_string(), format!("{snapshot:#}"));
    for text in [&short, &long] {
        text.lines().for_each(|line| drop(columns(line)));
    }
    assert_eq!(rows_line_up(&short, "SITE"), names.min(super::MOST_ROWS));
    assert_eq!(rows_line_up(&short, "TASK"), names.min(super::MOST_ROWS));
    assert!(rows_line_up(&short, "STACK") <= stacks.min(5));
    assert_eq!(rows_line_up(&long, "SITE"), names);
    assert_eq!(rows_line_up(&long, "TASK"), names);
    assert_eq!(rows_line_up(&long, "STACK"), stacks);
    for columns in [80, 120] {
        let cut = format!("{snapshot:columns$}");
        assert!(cut.lines().all(|line| width(line) <= columns), "{cut}");
        assert_eq!(cut.lines().count(), short.lines().count());
        for (whole, cut) in short.lines().zip(cut.lines()) {
            let is_start = whole.starts_with(cut.trim_end_matches('…'));
            assert!(is_start && (width(whole) > columns || whole == cut), "{cut:?} of {whole:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_lines_and_columns_line_up(
        names in proptest::collection::vec(name(), 1..30),
        stacks in proptest::collection::vec(
            (proptest::collection::vec(name(), 0..8), 0..u64::MAX / 4, 0..2_000_u64), 0..20,
        ),
        is_annotated in any::<bool>(),
    ) {
        let stacks = stacks.iter().enumerate().map(|(index, (frames, live, samples))| {
            stack(frames, *live, *samples, (index % 3 != 0).then_some(index % names.len()))
        });
        let stacks: Vec<Value> = stacks.collect();
        is_sound(&snapshot(&names, &stacks, is_annotated), names.len(), stacks.len());
    }
}

#[test]
fn ten_thousand_stacks_are_rows_like_a_few() {
    let stacks = (0..10_000_u64).map(|number| {
        let frames = [format!("app::f{number}"), "app::main".to_owned()];
        stack(&frames, 1 << 20, 1, None)
    });
    let stacks: Vec<Value> = stacks.collect();
    let snapshot = snapshot(&["app::serve".to_owned()], &stacks, true);
    is_sound(&snapshot, 1, 10_000);
    assert!(snapshot.to_string().contains("… and 9,995 more stacks with ≈ "));
}

#[test]
fn a_report_without_tasks_and_stacks_has_no_tables() {
    let snapshot = snapshot(&[], &[], true);
    is_sound(&snapshot, 0, 0);
    assert!(!snapshot.to_string().contains("STACK"));
}
