//! `#[tracked]` causes no lint that does not fire on the original function.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Returns the lints that the compiler and clippy's groups `all`, `pedantic` and `nursery` report,
/// with their lines.
fn judged(features: &str) -> BTreeSet<(String, u64)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["clippy", "--quiet", "--message-format=json", "-p", "memscope-lint-forms"])
        .args(["--features", features])
        .current_dir(&root)
        // A separate target folder, because another cargo may have locked the usual one.
        .env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("lints"))
        // The flags of the workspace's checks do not apply to these functions.
        .env_remove("RUSTFLAGS")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the forms compile with `{features}`");
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("cargo prints JSON"))
        .filter(|it| it["reason"] == "compiler-message")
        .filter(|it| it["target"]["name"] == "memscope_lint_forms")
        .filter_map(|it| {
            let lint = it["message"]["code"]["code"].as_str()?.to_owned();
            let spans = it["message"]["spans"].as_array()?;
            let mut span = spans.iter().find(|span| span["is_primary"] == true)?;
            // Goes to the code that a macro generated this from.
            while !span["file_name"].as_str()?.ends_with("lints/src/lib.rs") {
                span = &span["expansion"]["span"];
            }
            Some((lint, span["line_start"].as_u64()?))
        })
        .collect()
}

#[test]
fn a_tracked_function_fires_no_lint_that_the_plain_one_does_not() {
    let clippy = Command::new(env!("CARGO")).args(["clippy", "--version"]).output();
    if !clippy.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: clippy is not installed (`rustup component add clippy`)");
        return;
    }
    let plain = judged("judged");
    let tracked = judged("judged,tracked");
    let more: Vec<_> = tracked.difference(&plain).collect();
    assert!(more.is_empty(), "only with `#[tracked]`: {more:#?}");
    // The lints do fire, also inside of tracked bodies.
    for lint in ["unused_variables", "unused_parens", "clippy::len_zero"] {
        assert!(tracked.iter().any(|(fired, _)| fired == lint), "{lint} in {tracked:#?}");
    }
}
