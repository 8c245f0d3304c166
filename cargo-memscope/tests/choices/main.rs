//! What a user may choose: which program is built, which file is read, and which rows of a report
//! are shown in which order.
#![cfg(target_os = "linux")]

mod files;
mod names;
mod packages;
mod rows;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The output of a run of the tool, and its exit code.
#[derive(Debug)]
struct Run {
    out: String,
    error: String,
    code: i32,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Self { out: text(output.stdout), error: text(output.stderr), code }
    }
}

impl Run {
    #[track_caller]
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.error);
        serde_json::from_str(&self.out).unwrap()
    }

    #[track_caller]
    fn has(&self, parts: &[&str]) {
        let all = format!("{}{}", self.out, self.error);
        for part in parts {
            assert!(all.contains(part), "no `{part}` in\n{all}");
        }
    }
}

/// An empty folder of this name.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("choices").join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The tool in a folder, without what cargo has set for this test.
fn tool(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-memscope"));
    command.arg("memscope").args(arguments).current_dir(folder);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        let is_cargos = name.starts_with("CARGO") && name != "CARGO" && name != "CARGO_HOME";
        if is_cargos || name == "RUSTFLAGS" {
            command.env_remove(&*name);
        }
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Run {
    tool(folder, arguments).output().unwrap().into()
}

/// The names of all futures, the largest first.
fn names(futures: &Value) -> Vec<&str> {
    let all = futures["futures"].as_array().unwrap();
    all.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

fn rustc(folder: &Path, source: &str, flags: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(source);
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(compiler);
    command.current_dir(folder).arg(source).args(["--edition=2024", "-Zunstable-options"]);
    // The older mangling can only be asked for with `-Z`.
    let output = command.args(flags).env("RUSTC_BOOTSTRAP", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
