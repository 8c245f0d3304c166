//! Debug information in another file, as made by `objcopy` and by Linux distributions.
#![cfg(target_os = "linux")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::compile;
use memscope_layout::{Error, Layouts};

const FLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Cpanic=abort", "--crate-type=cdylib"];

/// A program whose debug information was moved to `NAME.debug` beside it, and its layouts before
/// that.
struct Moved {
    program: PathBuf,
    debug: PathBuf,
    before: Layouts,
}

fn objcopy(arguments: &[&str], paths: &[&Path]) -> bool {
    let done = Command::new("objcopy").args(arguments).args(paths).output();
    match done {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            eprintln!("skipped: objcopy, of binutils, is not here: {error}");
            false
        }
    }
}

/// Builds and moves; `None` if no tool can move it.
fn moved(build: &str, more: &[&str]) -> Option<Moved> {
    let program = compile("smallest", build, &[&FLAGS[..], more].concat()).program;
    let before = Layouts::read(&program).unwrap();
    assert_eq!(before.coroutines().len(), 2);
    let debug = program.with_extension("debug");
    objcopy(&["--only-keep-debug"], &[&program, &debug]).then_some(())?;
    let link = format!("--add-gnu-debuglink={}", debug.to_str().unwrap());
    objcopy(&["--strip-debug", &link], &[&program]);
    Some(Moved { program, debug, before })
}

fn refused(moved: &Moved) -> Error {
    Layouts::read(&moved.program).unwrap_err()
}

const WITH_ID: &str = "-Clink-arg=-Wl,--build-id=sha1";
const WITHOUT_ID: &str = "-Clink-arg=-Wl,--build-id=none";

#[test]
fn a_file_beside_the_program_or_in_its_debug_folder_is_read() {
    for (build, flag) in [("moved-id", WITH_ID), ("moved-sum", WITHOUT_ID)] {
        let Some(moved) = moved(build, &[flag]) else { return };
        let now = Layouts::read(&moved.program).unwrap();
        assert_eq!(now, moved.before, "vtables, base address and build id included");
        assert_eq!(now.build_id().is_some(), flag == WITH_ID);
        assert_eq!(Layouts::read(&moved.debug).unwrap(), moved.before, "by its own name as well");

        let folder = moved.program.parent().unwrap().join(".debug");
        fs::create_dir(&folder).unwrap();
        fs::rename(&moved.debug, folder.join(moved.debug.file_name().unwrap())).unwrap();
        assert_eq!(Layouts::read(&moved.program).unwrap(), moved.before);
        // Through a link, such as `/proc/self/exe`.
        let link = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("link-to-{build}"));
        drop(fs::remove_file(&link));
        std::os::unix::fs::symlink(&moved.program, &link).unwrap();
        assert_eq!(Layouts::read(&link).unwrap(), moved.before);
    }
}

#[test]
fn a_file_that_is_gone_is_named() {
    let Some(moved) = moved("moved-gone", &[WITH_ID]) else { return };
    fs::remove_file(&moved.debug).unwrap();
    let error = refused(&moved);
    assert!(error.lacks_debug_info());
    let error = error.to_string();
    for part in ["was moved to libsmallest.debug", "`.debug`", "/usr/lib/debug", "debug = 2"] {
        assert!(error.contains(part), "no `{part}` in {error}");
    }
}

#[test]
fn a_file_of_another_build_is_refused() {
    for (build, flag, what) in [
        ("moved-other-id", WITH_ID, "its build id differs"),
        ("moved-other-sum", WITHOUT_ID, "the sum of its bytes differs"),
    ] {
        let Some(moved) = moved(build, &[flag]) else { return };
        let other = compile(
            "smallest",
            &format!("{build}-2"),
            &[&FLAGS[..], &[flag, "-Copt-level=2"]].concat(),
        );
        objcopy(&["--only-keep-debug"], &[&other.program, &moved.debug]);
        let error = refused(&moved).to_string();
        assert!(error.contains("libsmallest.debug is not the debug information of"), "{error}");
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_damaged_file_is_named() {
    let Some(moved) = moved("moved-damaged", &[WITH_ID]) else { return };
    // The file has the same build id, and its debug information is truncated.
    let file = fs::read(&moved.debug).unwrap();
    let info = {
        use object::{Object, ObjectSection};
        let file = object::File::parse(&*file).unwrap();
        let info = file.section_by_name(".debug_info").unwrap();
        usize::try_from(info.file_range().unwrap().0).unwrap()
    };
    let mut file = file;
    file[info..info + 64].fill(0xee);
    fs::write(&moved.debug, file).unwrap();
    let error = refused(&moved).to_string();
    assert!(error.contains("cut off or damaged: in "), "{error}");
    assert!(error.contains("libsmallest.debug: "), "{error}");
}
