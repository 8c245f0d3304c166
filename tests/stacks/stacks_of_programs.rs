//! Which functions the stacks of a program lead to, where its file was stripped, replaced or
//! removed, or `/proc` is hidden: the right ones or none.
#![cfg(target_os = "linux")]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use memscope_tests::programs::{Folder, Running, program};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stack_places");

const PLACES: [(&str, &str); 5] = [
    ("main", "stack_places::kept_by_main"),
    ("thread", "stack_places::kept_by_thread"),
    ("recursion", "stack_places::kept_by_recursion, cut"),
    ("exiting thread", "<stack_places::KeepsAtExit as core::ops::drop::Drop>::drop"),
    ("drop in panic", "<stack_places::KeepsInPanic as core::ops::drop::Drop>::drop"),
];

/// What the program says of its stacks, after `change` was done while it runs. `None`: it has no
/// right to do that.
fn places(path: &Path, how: &str, change: impl FnOnce()) -> Option<Vec<String>> {
    let mut command = program(path, how);
    let mut running = Running::start_or(&mut command, "no right")?;
    change();
    running.child.stdin.take().expect("a pipe").write_all(b"\n").expect("it reads");
    assert_eq!(running.line(), "On", "these tests need a glibc of 2.35 or newer");
    Some(PLACES.map(|_| running.line()).to_vec())
}

#[track_caller]
fn all_have_names(places: Option<&[String]>) {
    let expected = PLACES.map(|(place, name)| format!("{place}: {name}"));
    assert_eq!(places, Some(&expected[..]));
}

#[track_caller]
fn none_has_a_name(places: Option<Vec<String>>) {
    for line in places.expect("it has the right") {
        assert!(line.contains(": no name"), "{line}");
    }
}

/// A copy of the program in a folder of its own.
fn copy(folder: &Folder) -> PathBuf {
    let path = folder.file("stack_places");
    fs::copy(PROGRAM, &path).expect("a copy");
    path
}

#[test]
fn a_program_as_it_was_built_has_the_names() {
    all_have_names(places(Path::new(PROGRAM), "", || {}).as_deref());
}

#[test]
fn a_program_that_is_replaced_or_removed_while_it_runs_has_the_names() {
    let folder = Folder::new();
    let path = copy(&folder);
    let replace = || {
        fs::remove_file(&path).expect("removed");
        // A program with other functions at these addresses.
        fs::copy(env!("CARGO_BIN_EXE_large_task"), &path).expect("a copy");
    };
    all_have_names(places(&path, "", replace).as_deref());
    fs::remove_file(&path).expect("removed");
    let path = copy(&folder);
    all_have_names(places(&path, "", || fs::remove_file(&path).expect("removed")).as_deref());
}

#[test]
fn a_stripped_program_has_stacks_and_no_names() {
    let folder = Folder::new();
    let path = copy(&folder);
    match Command::new("strip").arg("--strip-all").arg(&path).status() {
        Ok(status) => assert!(status.success()),
        Err(error) => return eprintln!("skipped: strip, of binutils, is not here: {error}"),
    }
    none_has_a_name(places(&path, "", || {}));
}

#[test]
fn a_program_without_proc_has_stacks_and_no_names() {
    match places(Path::new(PROGRAM), "hide-proc", || {}) {
        None => eprintln!("skipped: this process may not mount"),
        places => none_has_a_name(places),
    }
}
