//! Builds the program with cargo and full debug information, and shows the progress on one line.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use memscope_runtime::__terminal::{visible, visible_lines};
use serde::Deserialize;

use crate::{arguments::Build, error::Error};

/// The lines of cargo's `--message-format=json` that are used.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact { target: Target, executable: Option<PathBuf> },
    #[serde(rename = "compiler-message")]
    Diagnostic { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
}

/// An executable, and the option of cargo that names it: `--bin NAME` or `--example NAME`.
#[derive(Debug)]
struct Executable {
    option: String,
    path: PathBuf,
}

/// Builds the program that the options name, and returns its path.
pub(crate) fn build(options: &Build) -> Result<PathBuf, Error> {
    let profile = profile(options);
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--message-format=json"]).args(flags(options));
    let prefix = format!("CARGO_PROFILE_{}", profile.to_uppercase().replace('-', "_"));
    command.env(format!("{prefix}_DEBUG"), "2").env(format!("{prefix}_STRIP"), "none");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
        Error::new(format!("cannot run cargo: {error}; install Rust from https://rustup.rs"))
    })?;

    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template(
        "{spinner} building with debug information: {pos} crates, {wide_msg}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(120));
    let mut executables = Vec::new();
    let output = child.stdout.take().into_iter().flat_map(|it| BufReader::new(it).lines());
    for line in output.map_while(Result::ok) {
        // A program started by a build script may print other lines.
        match serde_json::from_str(&line) {
            Ok(Message::Artifact { target, executable }) => {
                bar.inc(1);
                bar.set_message(visible(&target.name).to_string());
                executables.extend(executable.and_then(|path| executable_of(&target, path)));
            }
            Ok(Message::Diagnostic { message }) if message.level.starts_with("error") => {
                let text = message.rendered.unwrap_or_default();
                bar.suspend(|| anstream::eprint!("{}", visible_lines(&text)));
            }
            Ok(Message::Diagnostic { .. } | Message::Other) | Err(_) => {}
        }
    }
    let status = child.wait();
    bar.finish_and_clear();
    match status {
        Ok(status) if status.success() => choose(executables, options),
        Ok(_) => Err(Error::new("the build failed: cargo says why above")),
        Err(error) => Err(Error::new(format!("cannot wait for cargo: {error}"))),
    }
}

fn profile(options: &Build) -> &str {
    match &options.profile {
        Some(name) => name,
        None if options.release => "release",
        None => "dev",
    }
}

/// Returns the options for cargo's command line.
fn flags(options: &Build) -> Vec<String> {
    let mut flags = Vec::new();
    let mut pair = |name: &str, value: &str| flags.extend([name.to_owned(), value.to_owned()]);
    match (&options.bin, &options.example) {
        (Some(name), _) => pair("--bin", name),
        (None, Some(name)) => pair("--example", name),
        (None, None) => {}
    }
    let path = options.manifest_path.as_deref().map(Path::to_string_lossy);
    let values = [
        ("--package", options.package.as_deref()),
        ("--profile", options.profile.as_deref()),
        ("--target", options.target.as_deref()),
        ("--manifest-path", path.as_deref()),
    ];
    for (name, value) in values {
        if let Some(value) = value {
            pair(name, value);
        }
    }
    for features in &options.features {
        pair("--features", features);
    }
    let switches = [
        ("--bins", options.bin.is_none() && options.example.is_none()),
        ("--release", options.release),
        ("--all-features", options.all_features),
        ("--no-default-features", options.no_default_features),
    ];
    flags.extend(switches.iter().filter(|it| it.1).map(|it| it.0.to_owned()));
    flags
}

fn executable_of(target: &Target, path: PathBuf) -> Option<Executable> {
    let kind = target.kind.iter().find(|it| matches!(it.as_str(), "bin" | "example"))?;
    Some(Executable { option: format!("--{kind} {}", target.name), path })
}

fn choose(mut executables: Vec<Executable>, options: &Build) -> Result<PathBuf, Error> {
    // Cargo also builds other executables if the package depends on its own program.
    let asked = match (&options.bin, &options.example) {
        (Some(name), _) => Some(format!("--bin {name}")),
        (None, Some(name)) => Some(format!("--example {name}")),
        (None, None) => None,
    };
    if let Some(asked) = asked {
        executables.retain(|it| it.option == asked);
    }
    executables.sort_by(|a, b| a.option.cmp(&b.option));
    match &mut executables[..] {
        [one] => Ok(std::mem::take(&mut one.path)),
        [] => Err(Error::new(
            "the package has no binary; name one with `--example NAME` or `-p PACKAGE`, or the path of a program",
        )),
        several => {
            let names: Vec<&str> = several.iter().map(|it| it.option.as_str()).collect();
            Err(Error::new(format!("there are several binaries; name one: {}", names.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(line: &str) -> Option<Message> {
        serde_json::from_str(line).ok()
    }

    #[test]
    fn an_artifact_tells_where_the_executable_is() {
        let line = r#"{"reason":"compiler-artifact","package_id":"x","target":{"kind":["bin"],"name":"app","doc":true},"executable":"/t/app","fresh":true}"#;
        let Some(Message::Artifact { target, executable }) = message(line) else {
            panic!("an artifact")
        };
        let executable = executable_of(&target, executable.unwrap()).unwrap();
        assert_eq!((executable.option.as_str(), executable.path), ("--bin app", "/t/app".into()));
        assert!(matches!(message(r#"{"reason":"build-script-executed"}"#), Some(Message::Other)));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,80}") {
            drop(message(&line));
        }
    }
}
