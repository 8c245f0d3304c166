//! Files without layouts, or with wrong ones, soon cause an error that says what to do, and nothing
//! worse.
#![cfg(target_os = "linux")]

mod common;

use std::{
    cell::{Cell, RefCell},
    fs,
    ops::Range,
    path::Path,
    process::Command,
    time::Instant,
};

use common::compile;
use memscope_layout::Layouts;
use object::{Object, ObjectSection};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

const SAMPLE: &str = "smallest";

/// Returns the error for a build of the sample.
fn error_of(label: &str, flags: &[&str]) -> String {
    let built =
        compile(SAMPLE, label, &[&["-Cpanic=abort", "--crate-type=cdylib"], flags].concat());
    let error = Layouts::read(&built.program).unwrap_err();
    assert!(error.lacks_debug_info(), "{error}");
    let text = error.to_string();
    for line in ["[profile.release]", "debug = 2", "strip = \"none\""] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    text
}

#[test]
fn what_a_build_lacks_is_said_with_the_lines_that_fix_it() {
    let error = error_of("none", &["-Cdebuginfo=0"]);
    assert!(error.contains("no debug information of its own code"), "{error}");
    for level in ["1", "line-tables-only"] {
        let error = error_of(level, &[&format!("-Cdebuginfo={level}")]);
        assert!(error.contains("`debug = 1` or `line-tables-only`"), "{level}: {error}");
    }
    let error = error_of("stripped", &["-Cdebuginfo=2", "-Cstrip=symbols"]);
    assert!(error.contains("is stripped"), "{error}");
    let error = error_of("stripped-debug", &["-Cdebuginfo=2", "-Cstrip=debuginfo"]);
    assert!(error.contains("no debug information"), "{error}");
}

#[test]
fn split_files_that_are_gone_are_named() {
    let flags =
        ["-Cdebuginfo=2", "-Csplit-debuginfo=unpacked", "-Cpanic=abort", "--crate-type=cdylib"];
    let built = compile(SAMPLE, "gone", &flags);
    assert!(Layouts::read(&built.program).is_ok());
    for file in fs::read_dir(built.program.parent().unwrap()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|it| it == "dwo") {
            fs::remove_file(path).unwrap();
        }
    }
    let error = Layouts::read(&built.program).unwrap_err().to_string();
    assert!(error.contains(".dwo") && error.contains("split-debuginfo"), "{error}");
}

#[test]
fn a_file_of_another_kind_is_named() {
    let not_there = Layouts::read("not/there").unwrap_err();
    assert!(not_there.to_string().starts_with("cannot read not/there"), "{not_there}");
    assert!(std::error::Error::source(&not_there).is_some());
    let pipe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipe");
    drop(fs::remove_file(&pipe));
    if Command::new("mkfifo").arg(&pipe).status().is_ok_and(|it| it.success()) {
        let error = Layouts::read(&pipe).unwrap_err();
        assert!(
            error.to_string().ends_with("it is not a file"),
            "and the reader does not wait: {error}"
        );
    }
    let cases: [(&[u8], &str); 6] = [
        (b"", "is empty"),
        (b"\xcf\xfa\xed\xfe....", "Mach-O"),
        (b"MZ\x90", "PE file"),
        (b"!<arch>\n", "an archive"),
        (b"#!/bin/sh", "the file is not an ELF file: name"),
        (b"\x7fELF", "damaged"),
    ];
    for (bytes, expected) in cases {
        let error = Layouts::from_bytes(bytes).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.lacks_debug_info());
    }
}

/// Returns the sample's bytes, and the ranges of its debug information.
fn healthy() -> (Vec<u8>, Vec<Range<usize>>) {
    let flags = ["-Cdebuginfo=2", "-Cpanic=abort", "--crate-type=cdylib"];
    let bytes = fs::read(compile(SAMPLE, "healthy", &flags).program).unwrap();
    assert!(Layouts::from_bytes(&bytes).unwrap().coroutines().len() == 2);
    let file = object::File::parse(&*bytes).unwrap();
    let sections = file.sections().filter(|it| it.name().is_ok_and(|it| it.starts_with(".debug_")));
    let ranges = sections.filter_map(|it| it.file_range()).map(|(start, size)| {
        let start = usize::try_from(start).unwrap();
        start..start + usize::try_from(size).unwrap()
    });
    let ranges = ranges.collect();
    (bytes, ranges)
}

/// The units of the sample itself come first. Half of all changes affect this many bytes at the
/// start of a section.
const OWN: usize = 4096;

/// A change to the file.
#[derive(Clone, Debug)]
enum Damage {
    /// Replaces bytes: a section, a position in it, and the value.
    Bytes(Vec<(prop::sample::Index, bool, prop::sample::Index, u8)>),
    /// Ends the file here.
    Cut(prop::sample::Index),
    /// Replaces bytes of the header and of what follows it.
    Header(Vec<(usize, u8)>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let value = || prop_oneof![Just(0u8), Just(0xff), any::<u8>()];
    prop_oneof![
        8 => prop::collection::vec((index(), any::<bool>(), index(), value()), 1..40).prop_map(Damage::Bytes),
        1 => index().prop_map(Damage::Cut),
        1 => prop::collection::vec((0..1024usize, value()), 1..8).prop_map(Damage::Header),
    ]
}

#[test]
fn a_damaged_file_never_does_more_than_fail() {
    let (healthy, sections) = healthy();
    let start = Instant::now();
    // `PROPTEST_CASES` runs more cases.
    let config = ProptestConfig::default();
    let config = ProptestConfig {
        cases: config.cases.max(4000),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..config
    };
    let mut runner = prop::test_runner::TestRunner::new(config);
    let refused = Cell::new(0u32);
    let damaged = RefCell::new(healthy.clone());
    runner
        .run(&damage(), |damage| {
            let mut bytes = damaged.borrow_mut();
            bytes.clone_from(&healthy);
            match damage {
                Damage::Bytes(changes) => {
                    for (section, is_own, at, value) in changes {
                        let mut range = sections[section.index(sections.len())].clone();
                        if is_own {
                            range.end = range.end.min(range.start + OWN);
                        }
                        bytes[range.start + at.index(range.len())] = value;
                    }
                }
                Damage::Cut(at) => {
                    let at = at.index(bytes.len());
                    bytes.truncate(at);
                }
                Damage::Header(changes) => {
                    for (at, value) in changes {
                        bytes[at] = value;
                    }
                }
            }
            let once = Instant::now();
            match Layouts::from_bytes(&bytes) {
                Ok(layouts) => {
                    for member in layouts
                        .coroutines()
                        .iter()
                        .flat_map(|it| &it.states)
                        .flat_map(|it| &it.members)
                    {
                        prop_assert!(layouts.children(member).len() <= 4096);
                    }
                }
                Err(error) => {
                    refused.set(refused.get() + 1);
                    prop_assert!(!error.to_string().is_empty());
                }
            }
            prop_assert!(once.elapsed().as_secs() < 20, "one file must not take so long");
            Ok(())
        })
        .unwrap();
    let refused = refused.get();
    assert!(refused > 200, "the damage must reach what is read, and did so {refused} times");
    eprintln!("{refused} damaged files were refused, in {:.1?}", start.elapsed());
}
