//! The house of `memscope-runtime`: which room may import which, where `unsafe` may stand, how long
//! a file may be.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Bottom first. A file may import from its own room and from rooms before it, never from later
/// ones. `lib.rs` is the hall, which sees all rooms.
const ROOMS: [&str; 20] = [
    "primitives",
    "model",
    "sampling",
    "config",
    "environment",
    "accounting",
    "alloc",
    "symbols",
    "variables",
    "await_points",
    "tasks",
    "resident",
    "snapshot",
    "picture",
    "heap_graph",
    "task_dump",
    "analysis",
    "output",
    "testing",
    "init",
];

/// The only files that contain `unsafe`. Adding one is a decision, not an accident.
const UNSAFE: &[&str] = &[
    "accounting/block_layout.rs",
    "accounting/block_mark.rs",
    "accounting/budget.rs",
    "accounting/cross_frees.rs",
    "accounting/end_stamps.rs",
    "accounting/ended_tasks.rs",
    "accounting/future_type.rs",
    "accounting/listed.rs",
    "accounting/peak_window.rs",
    "accounting/record/mod.rs",
    "accounting/span/mod.rs",
    "accounting/stacks/sample.rs",
    "accounting/stream_items.rs",
    "accounting/thread_ring.rs",
    "accounting/transferred.rs",
    "accounting/variable.rs",
    "alloc/allocator.rs",
    "alloc/any_layout.rs",
    "alloc/blocked_signals.rs",
    "alloc/cells/free.rs",
    "alloc/cells/header.rs",
    "alloc/cells/mod.rs",
    "alloc/cells/module.rs",
    "alloc/cells/samples.rs",
    "alloc/cells/spawned.rs",
    "alloc/cells/still.rs",
    "alloc/charge.rs",
    "alloc/countdown.rs",
    "alloc/inline_blocks.rs",
    "alloc/inner_allocator.rs",
    "alloc/install_check.rs",
    "alloc/own_threads.rs",
    "alloc/own_work.rs",
    "alloc/span_entries.rs",
    "alloc/thread_places.rs",
    "alloc/unannotated/away.rs",
    "alloc/unannotated/charged.rs",
    "alloc/unannotated/context.rs",
    "alloc/unannotated/mod.rs",
    "alloc/unannotated/stack_trace.rs",
    "await_points/grow.rs",
    "await_points/tree.rs",
    "await_points/walk.rs",
    "heap_graph/on_linux/blocks.rs",
    "heap_graph/on_linux/child.rs",
    "heap_graph/on_linux/inquiry.rs",
    "heap_graph/on_linux/leaks.rs",
    "heap_graph/on_linux/task_cells.rs",
    "heap_graph/on_linux/threads.rs",
    "output/auto_report/copies.rs",
    "output/file/system.rs",
    "output/os_hooks/copy.rs",
    "output/os_hooks/mod.rs",
    "output/os_hooks/signals.rs",
    "picture/answers.rs",
    "picture/copy.rs",
    "picture/mapped.rs",
    "picture/memory.rs",
    "picture/stream.rs",
    "picture/used_pages.rs",
    "primitives/arena.rs",
    "primitives/atomic_ref.rs",
    "primitives/before_main.rs",
    "primitives/fork_lock.rs",
    "primitives/frames/rules.rs",
    "primitives/frames/tables.rs",
    "primitives/frames/walk.rs",
    "primitives/loaded.rs",
    "primitives/page_map.rs",
    "primitives/privileged.rs",
    "primitives/radix_tree.rs",
    "primitives/reserve.rs",
    "primitives/stack_room.rs",
    "primitives/start_bits.rs",
    "primitives/tsc.rs",
    "primitives/unwind.rs",
    "primitives/unwinder.rs",
    "primitives/zeroes.rs",
    "resident/glibc.rs",
    "resident/mimalloc.rs",
    "symbols/modules.rs",
    "task_dump/on_linux/listing.rs",
    "task_dump/on_linux/open_task.rs",
    "variables/impls/bytes.rs",
    "variables/impls/collections.rs",
    "variables/impls/pointers.rs",
    "variables/impls/rc.rs",
    "variables/impls/scalars.rs",
    "variables/impls/strings.rs",
    "variables/std_layout/btree.rs",
    "variables/std_layout/bytes.rs",
    "variables/std_layout/hash_table.rs",
    "variables/std_layout/mod.rs",
    "variables/std_layout/vec_deque.rs",
    "variables/trackable.rs",
];

const MOST_LINES: usize = 450;
const MOST_COLUMNS: usize = 100;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
}

/// The name of each file below `src`, and its text.
fn all() -> Vec<(String, String)> {
    let (root, mut paths) = (source(), Vec::new());
    files(&root, &mut paths);
    paths.sort();
    assert!(paths.len() > 100, "this reads the wrong folder: {}", root.display());
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
        (name, fs::read_to_string(&path).expect("text"))
    };
    paths.into_iter().map(read).collect()
}

/// The text without comments.
fn code(text: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The first segment of every `crate::` path, also inside `use crate::{a::b, c}`.
fn imported(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let rest = &code[at + prefix.len()..];
        // `$crate` is the path of a macro, which other crates use.
        if code[..at].ends_with('$') {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            found.push(first(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (end, it) in group.char_indices() {
            match it {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.push(first(&group[start..end]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.push(first(&group[start..end]));
                    start = end + 1;
                }
                _ => {}
            }
        }
    }
    found.retain(|segment| !segment.is_empty());
    found
}

fn first(path: &str) -> String {
    path.trim().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}

/// How many modules up the longest path of `super` in the text leads.
fn up(code: &str) -> usize {
    let runs = code.match_indices("super::").map(|(at, _)| {
        let mut rest = &code[at..];
        let mut count = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, count) = (next, count + 1);
        }
        count
    });
    runs.max().unwrap_or(0)
}

/// The modules around a file, without the inline ones: `alloc/unannotated/mod.rs` is in one.
fn depth(name: &str) -> usize {
    let folders = name.matches('/').count();
    if name.ends_with("/mod.rs") { folders - 1 } else { folders }
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_room_imports_a_later_one() {
    let rank = |room: &str| ROOMS.iter().position(|it| *it == room);
    let mut wrong = Vec::new();
    for (name, text) in all() {
        if name == "lib.rs" {
            continue;
        }
        let room = name.split(['/', '.']).next().unwrap_or_default();
        let Some(own) = rank(room) else {
            wrong.push(format!("{name}: no room"));
            continue;
        };
        for used in imported(&code(&text)) {
            match rank(&used) {
                Some(other) if other > own => wrong.push(format!("{name} imports {used}")),
                Some(_) => {}
                None => wrong.push(format!("{name} imports `{used}` through lib.rs")),
            }
        }
        // Tests and other inline modules go up one more.
        if up(&code(&text)) > depth(&name) + 1 {
            wrong.push(format!("{name} leaves its room by `super`"));
        }
    }
    none(&wrong);
}

#[test]
fn each_room_opens_with_its_sentence_in_the_hall_as_well() {
    let hall = fs::read_to_string(source().join("lib.rs")).expect("text");
    let mut wrong = Vec::new();
    for room in ROOMS {
        let (folder, file) =
            (source().join(room).join("mod.rs"), source().join(room).with_extension("rs"));
        let text = fs::read_to_string(if folder.exists() { folder } else { file }).expect("a room");
        let sentence = text.lines().next().unwrap_or_default();
        let is_one = sentence.starts_with("//! ") && sentence.ends_with('.');
        let in_hall = format!("// {}", sentence.trim_start_matches("//! "));
        if !is_one || !hall.lines().any(|line| line == in_hall) {
            wrong.push(format!("{room}: `{sentence}`"));
        }
    }
    none(&wrong);
}

#[test]
fn unsafe_stands_where_it_is_reviewed() {
    let has_unsafe = |text: &str| {
        code(text).split(|it: char| !it.is_alphanumeric() && it != '_').any(|word| word == "unsafe")
    };
    let there: BTreeSet<String> =
        all().into_iter().filter(|(_, text)| has_unsafe(text)).map(|(name, _)| name).collect();
    let listed: BTreeSet<String> = UNSAFE.iter().map(|&name| name.to_owned()).collect();
    let new = there.difference(&listed).map(|name| format!("{name} is not listed"));
    let gone = listed.difference(&there).map(|name| format!("{name} is listed and has none"));
    none(&new.chain(gone).collect::<Vec<_>>());
}

#[test]
fn no_file_holds_two_nouns() {
    let lines = |(name, text): (String, String)| (name, text.lines().count());
    let long = all().into_iter().map(lines).filter(|(_, lines)| *lines > MOST_LINES);
    none(&long.map(|(name, lines)| format!("{name}: {lines} lines")).collect::<Vec<_>>());
}

#[test]
fn no_comment_is_wider_than_a_screen() {
    let mut wrong = Vec::new();
    for (name, text) in all() {
        for (at, line) in text.lines().enumerate() {
            let text = line.trim_start();
            // Rows of tables, targets of links, and code of examples that a reader does not see.
            let is_free = ["//! |", "/// |", "/// # "].iter().any(|start| text.starts_with(start));
            let is_text = text.starts_with("//") && !is_free && !text.contains("]: ");
            if is_text && line.chars().count() > MOST_COLUMNS {
                wrong.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn threads_and_types_have_names() {
    let mut wrong = Vec::new();
    for (name, text) in all() {
        for (at, line) in text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment).to_lowercase();
            let mut words = comment.split(|it: char| !it.is_alphanumeric());
            if words.any(|word| ["who", "whoever", "whom", "nobody", "somebody"].contains(&word)) {
                wrong.push(format!("{name}:{}", at + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn the_environment_is_read_in_one_place() {
    const WAYS: [&str; 3] = ["env::var", "var_os(", "getenv("];
    let mut readers = Vec::new();
    for (name, text) in all() {
        let count = WAYS.iter().map(|way| text.matches(way).count()).sum::<usize>();
        readers.extend(std::iter::repeat_n(name, count));
    }
    assert_eq!(readers, ["environment.rs"]);
}
