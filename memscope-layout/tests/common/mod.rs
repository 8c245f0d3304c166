//! Compiles the samples, each build into a folder of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A compiled sample, and what the compiler printed about its types.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) program: PathBuf,
    #[allow(dead_code, reason = "only one of the tests compares")]
    pub(crate) type_sizes: String,
}

/// Compiles `tests/samples/NAME.rs` with these flags.
pub(crate) fn compile(name: &str, build: &str, flags: &[&str]) -> Built {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{build}"));
    // Files of an earlier run may come from other flags.
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/samples/{name}.rs"));
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .current_dir(&folder)
        .arg(source)
        .args(["--edition=2024", "--out-dir=.", "-Awarnings", "-Zprint-type-sizes"])
        .args(flags)
        // Only enables `-Z`. The compiler generates the same code as a stable one.
        .env("RUSTC_BOOTSTRAP", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let library = folder.join(format!("lib{name}.so"));
    let program = if library.exists() { library } else { folder.join(name) };
    Built { program, type_sizes: String::from_utf8(output.stdout).unwrap() }
}
