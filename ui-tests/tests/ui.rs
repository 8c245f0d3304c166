//! The compiler's messages about mistakes: one mistake, one error, at the wrong token.
//!
//! The messages are pinned to one compiler. `TRYBUILD=overwrite cargo test -p memscope-ui-tests`
//! writes them again. With any other compiler they are not compared. What must compile is in
//! `tests/pass/`, programs of their own.

use std::process::Command;

/// The compiler whose messages are in `tests/fail/*.stderr`.
const PINNED: &str = "1.95";

/// Returns the release of the compiler that trybuild will run.
fn rustc_release() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8(output.stdout).expect("a version is text");
    version.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[test]
fn messages() {
    let release = rustc_release();
    if release.strip_prefix(PINNED).is_some_and(|rest| rest.starts_with('.') && !rest.contains('-'))
    {
        trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
    } else {
        eprintln!(
            "the messages are those of rustc {PINNED}; this is {release:?}, so they are not compared"
        );
    }
}
