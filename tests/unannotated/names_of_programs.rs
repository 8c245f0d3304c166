//! The name of a large task, in programs whose file was stripped, damaged, replaced or hidden: it
//! is the right name or none.
#![cfg(target_os = "linux")]

use std::{fs, io::Write, path::Path, process::Command};

use memscope_tests::{
    alone,
    programs::{Folder, Running, program},
};

const NAME: &str = "large_task::holds_two_mebibytes";
const NO_NAME: &str = "(unannotated)";
const PROGRAM: &str = env!("CARGO_BIN_EXE_large_task");

/// The name that the task of this program has, after `change` was done while it runs.
fn name(path: &Path, how: &str, change: impl FnOnce()) -> String {
    names(path, how, change).0
}

/// The name of the large task, and those of the tasks that never allocate, with their sizes.
fn names(path: &Path, how: &str, change: impl FnOnce()) -> (String, String) {
    let mut running = Running::start(&mut program(path, how));
    change();
    running.child.stdin.take().expect("a pipe").write_all(b"\n").expect("it reads");
    let name = running.line();
    // A program that may not mount says no more than that.
    let others = if name == "no right" { String::new() } else { running.line() };
    (name, others)
}

/// A copy of the program in a folder of its own. Tests that make copies are [`alone`]: a program
/// that another test starts meanwhile has this file open, so that it could not be started.
fn copy(folder: &Folder) -> std::path::PathBuf {
    let path = folder.file("large_task");
    fs::copy(PROGRAM, &path).expect("a copy");
    path
}

#[test]
fn a_program_as_it_was_built_has_the_name() {
    let _alone = alone();
    assert_eq!(name(Path::new(PROGRAM), "", || {}), NAME);
}

#[test]
fn a_program_that_is_replaced_or_removed_while_it_runs_has_the_name() {
    let _alone = alone();
    let folder = Folder::new();
    let path = copy(&folder);
    let replace = || {
        fs::remove_file(&path).expect("removed");
        fs::write(&path, "another file").expect("written");
    };
    assert_eq!(name(&path, "", replace), NAME);
    fs::remove_file(&path).expect("removed");
    let path = copy(&folder);
    assert_eq!(name(&path, "", || fs::remove_file(&path).expect("removed")), NAME);
}

#[test]
fn a_stripped_program_has_no_name() {
    let _alone = alone();
    let folder = Folder::new();
    for (flag, expected) in [("--strip-debug", NAME), ("--strip-all", NO_NAME)] {
        let path = copy(&folder);
        match Command::new("strip").arg(flag).arg(&path).status() {
            Ok(status) => assert!(status.success()),
            Err(error) => return eprintln!("skipped: strip, of binutils, is not here: {error}"),
        }
        assert_eq!(name(&path, "", || {}), expected, "{flag}");
    }
}

/// They are on no stack: the type in the names of the functions that drop them is all there is.
#[test]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn tasks_that_never_allocate_are_named_without_debug_information() {
    let _alone = alone();
    let expected = "large_task::never_allocates 24,large_task::never_allocates_either 24";
    assert_eq!(names(Path::new(PROGRAM), "", || {}).1, expected);
    let folder = Folder::new();
    for (flag, expected) in [("--strip-debug", expected), ("--strip-all", "")] {
        let path = copy(&folder);
        match Command::new("strip").arg(flag).arg(&path).status() {
            Ok(status) => assert!(status.success()),
            Err(error) => return eprintln!("skipped: strip, of binutils, is not here: {error}"),
        }
        assert_eq!(names(&path, "", || {}).1, expected, "{flag}");
    }
}

#[test]
fn a_program_with_damaged_headers_has_no_name() {
    let _alone = alone();
    let folder = Folder::new();
    let healthy = fs::read(PROGRAM).expect("a file");
    // The section headers: nothing that a program needs to run. Their place, their size, their
    // number.
    for (at, bytes) in [(40, &[0xff; 8][..]), (58, &[1, 0]), (60, &[0xff, 0xfe]), (40, &[0; 8])] {
        let path = copy(&folder);
        let mut damaged = healthy.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        fs::remove_file(&path).expect("removed");
        fs::write(&path, &damaged).expect("written");
        let executable = fs::metadata(PROGRAM).expect("a file").permissions();
        fs::set_permissions(&path, executable).expect("its own file");
        assert_eq!(name(&path, "", || {}), NO_NAME, "at {at}");
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn a_program_without_proc_has_no_name() {
    let _alone = alone();
    let name = name(Path::new(PROGRAM), "hide-proc", || {});
    if name == "no right" {
        return eprintln!("skipped: this process may not mount");
    }
    assert_eq!(name, NO_NAME);
}
