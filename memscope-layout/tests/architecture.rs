//! The folders of `src`: which may import which, where `unsafe` may be, and how long a file may be.

use std::{fs, path::Path};

/// Bottom first: a module imports from modules above it in this list, never from those below.
const ORDER: [&str; 16] = [
    "error",
    "work_limit",
    "pages",
    "source_location",
    "source_path",
    "frame",
    "type_id",
    "coroutine",
    "shape",
    "task_layout",
    "layouts",
    "elf",
    "symbols",
    "symbolizer",
    "dwarf",
    "read",
];
/// The one file that may contain `unsafe`.
const UNSAFE: &str = "elf/mmap.rs";
const MOST_LINES: usize = 450;

/// All files in a folder of `src` and below: their paths inside `src`, and their texts.
fn files(folder: &str) -> Vec<(String, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let entries = fs::read_dir(src.join(folder)).unwrap().map(|it| it.unwrap().path());
    let found = entries.flat_map(|path| {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() { files(&name) } else { vec![(name, fs::read_to_string(path).unwrap())] }
    });
    found.collect()
}

#[test]
fn modules_import_from_those_above_them() {
    let rank = |module: &str| ORDER.iter().position(|it| *it == module);
    let mut imports = 0;
    for (name, text) in files("") {
        let code: String = text.lines().map(|it| it.split("//").next().unwrap()).collect();
        let own = name.split(['/', '.']).next().unwrap();
        let rank_of_own = if own == "lib" { continue } else { rank(own).expect(own) };
        for used in code.split("crate::").skip(1).flat_map(first_segments) {
            let rank_of_used = rank(&used).unwrap_or_else(|| panic!("{name} imports `{used}`"));
            assert!(rank_of_used <= rank_of_own, "{name} imports `{used}`, which is below it");
            imports += 1;
        }
    }
    assert!(imports > 30, "only {imports} imports were found");
}

/// The first names of `a::B` or of `{a::{B, C}, d::E}`.
fn first_segments(path: &str) -> Vec<String> {
    let name =
        |it: &str| it.trim().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut found, mut start) = (0, Vec::new(), 0);
    for (at, it) in group.char_indices() {
        match it {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(name(&group[start..at]));
                start = at + 1;
                if it == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|it: &String| !it.is_empty());
    found
}

#[test]
fn unsafe_is_where_it_is_reviewed_and_no_file_is_long() {
    for (name, text) in files("") {
        let code = text.lines().map(|it| it.split("//").next().unwrap());
        let has_unsafe = code.flat_map(str::split_whitespace).any(|it| it == "unsafe");
        assert_eq!(has_unsafe, name == UNSAFE, "`unsafe` in {name}");
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{name}: {lines} lines hold more than one noun");
    }
}
