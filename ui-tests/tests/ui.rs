//! What the compiler says to mistakes: one mistake, one error, at the token at fault.
//!
//! The messages are those of one pinned compiler. With any other they are left out, and only what
//! compiles is checked. `TRYBUILD=overwrite cargo test -p memscope-ui-tests` writes them anew.

use std::process::Command;

/// The compiler whose messages are in `tests/fail/*.stderr`.
const PINNED: &str = "1.95";

/// The release of the compiler that trybuild is going to run.
fn rustc_release() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc runs");
    let version = String::from_utf8(output.stdout).expect("a version is text");
    version.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/pass/*.rs");
    let release = rustc_release();
    if release.strip_prefix(PINNED).is_some_and(|rest| rest.starts_with('.') && !rest.contains('-'))
    {
        cases.compile_fail("tests/fail/*.rs");
    } else {
        eprintln!(
            "the messages are those of rustc {PINNED}; this is {release:?}, so they are not compared"
        );
    }
}
