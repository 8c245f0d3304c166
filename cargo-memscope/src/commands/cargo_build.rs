//! Builds the program with cargo and full debug information, and shows the progress on one line.

use std::{
    collections::BTreeSet,
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use memscope_runtime::__terminal::{visible, visible_lines, visible_path};
use serde::Deserialize;

use crate::{arguments::Build, error::Error, model::Packages};

/// The lines of cargo's `--message-format=json` that are used.
#[derive(Debug, Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-artifact")]
    Artifact(Artifact),
    #[serde(rename = "build-script-executed")]
    BuildScript { package_id: String, out_dir: PathBuf },
    #[serde(rename = "compiler-message")]
    Diagnostic { message: Diagnostic },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    package_id: String,
    #[serde(default)]
    manifest_path: PathBuf,
    target: Target,
    #[serde(default)]
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
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

/// An executable or a shared library, and the option of cargo that names it: `--bin NAME`,
/// `--example NAME`, `--test NAME` or `--lib`.
#[derive(Debug)]
struct Executable {
    option: String,
    path: PathBuf,
    package: String,
}

/// What was built.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) path: PathBuf,
    pub(crate) packages: Packages,
}

/// Builds the program that the options name.
pub(crate) fn build(options: &Build) -> Result<Built, Error> {
    let mut command = cargo();
    command.arg(if options.lib { "rustc" } else { "build" });
    command.args(["--quiet", "--message-format=json"]).args(flags(options));
    for name in profiles(options) {
        let prefix = format!("CARGO_PROFILE_{}", name.to_uppercase().replace('-', "_"));
        command.env(format!("{prefix}_DEBUG"), "2").env(format!("{prefix}_STRIP"), "none");
        if options.lib {
            // Without incremental compilation, an optimised library leaves its smallest functions
            // to its callers. A function that makes a future is small.
            command.env(format!("{prefix}_INCREMENTAL"), "true").env_remove("CARGO_INCREMENTAL");
        }
    }
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
        Error::new(format!("cannot run cargo: {error}; install Rust from https://rustup.rs"))
    })?;

    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template(
        "{spinner} building with debug information: {pos} crates, {wide_msg}",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(120));
    let (mut executables, mut folders) = (Vec::new(), Vec::new());
    let output = child.stdout.take().into_iter().flat_map(|it| BufReader::new(it).lines());
    for line in output.map_while(Result::ok) {
        // A program started by a build script may print other lines.
        match serde_json::from_str(&line) {
            Ok(Message::Artifact(artifact)) => {
                bar.inc(1);
                bar.set_message(visible(&artifact.target.name).to_string());
                if let Some(folder) = artifact.manifest_path.parent() {
                    folders.push((folder.to_owned(), artifact.package_id.clone()));
                }
                executables.extend(executable_of(artifact));
            }
            Ok(Message::BuildScript { package_id, out_dir }) => folders.push((out_dir, package_id)),
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
        Ok(status) if status.success() => {}
        Ok(_) => return Err(Error::new("the build failed: cargo says why above")),
        Err(error) => return Err(Error::new(format!("cannot wait for cargo: {error}"))),
    }
    let workspace = Workspace::read(options);
    let chosen = choose(executables, options, &workspace)?;
    let packages = if workspace.members.is_empty() {
        // An older cargo does not tell this. Then origins are judged by paths.
        Packages::default()
    } else {
        Packages::of(folders, &workspace.members, &workspace.root, &chosen.package)
    };
    Ok(Built { path: chosen.path, packages })
}

/// Returns the error about a program that was built here and has too little debug information. It
/// does not advise settings that the build already has.
pub(crate) fn without_debug_info(options: &Build, path: &Path) -> Error {
    let profile = profile(options);
    Error::new(format!(
        "{} was built with `debug = 2` and `strip = \"none\"`, but something took its debug information away: \
         look for `-Cdebuginfo`, `-Cstrip` and options of the linker such as `-s` in `RUSTFLAGS` and in `rustflags` of cargo's configuration, \
         and for `debug` of single packages in `[profile.{profile}.package]`{}",
        visible_path(path),
        if options.lib {
            "; a library without public functions has no code of its own"
        } else {
            ""
        }
    ))
}

fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The fields of `cargo metadata` that are used.
#[derive(Debug, Default, Deserialize)]
struct Workspace {
    packages: Vec<Package>,
    #[serde(rename = "workspace_members")]
    members: BTreeSet<String>,
    #[serde(rename = "workspace_root")]
    root: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    #[serde(default)]
    default_run: Option<String>,
}

impl Workspace {
    /// Asks cargo, without a network. A field that cargo does not give stays empty.
    fn read(options: &Build) -> Self {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
        if let Some(path) = &options.manifest_path {
            command.arg("--manifest-path").arg(path);
        }
        let output = command.stderr(Stdio::null()).output();
        output.ok().and_then(|it| serde_json::from_slice(&it.stdout).ok()).unwrap_or_default()
    }

    fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|it| it.id == id)
    }
}

fn profile(options: &Build) -> &str {
    match &options.profile {
        Some(name) => name,
        None if options.release => "release",
        None => "dev",
    }
}

/// Returns the profiles that cargo may use. Tests have a profile of their own, which inherits.
fn profiles(options: &Build) -> Vec<&str> {
    let profile = profile(options);
    let of_tests = match profile {
        "dev" => Some("test"),
        "release" => Some("bench"),
        _ => None,
    };
    [Some(profile), of_tests.filter(|_| options.test.is_some())].into_iter().flatten().collect()
}

/// Returns the options for cargo's command line.
fn flags(options: &Build) -> Vec<String> {
    let mut flags = Vec::new();
    let mut pair = |name: &str, value: &str| flags.extend([name.to_owned(), value.to_owned()]);
    let named = [
        ("--bin", options.bin.as_deref()),
        ("--example", options.example.as_deref()),
        ("--test", options.test.as_deref()),
    ];
    for (name, value) in named {
        if let Some(value) = value {
            pair(name, value);
        }
    }
    if options.lib {
        // Other kinds of library are not linked, so they have no addresses.
        pair("--crate-type", "dylib");
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
        ("--bins", !options.lib && named.iter().all(|it| it.1.is_none())),
        ("--lib", options.lib),
        ("--release", options.release),
        ("--all-features", options.all_features),
        ("--no-default-features", options.no_default_features),
    ];
    flags.extend(switches.iter().filter(|it| it.1).map(|it| it.0.to_owned()));
    flags
}

fn executable_of(artifact: Artifact) -> Option<Executable> {
    let Artifact { package_id: package, target, filenames, executable, .. } = artifact;
    let kind = target.kind.iter().find(|it| matches!(it.as_str(), "bin" | "example" | "test"));
    if let (Some(kind), Some(path)) = (kind, executable) {
        return Some(Executable { option: format!("--{kind} {}", target.name), path, package });
    }
    let is_library = !target.kind.iter().any(|it| matches!(it.as_str(), "example" | "proc-macro"));
    let is_shared = |it: &PathBuf| it.extension().is_some_and(|it| it == "so");
    let path = filenames.into_iter().find(|it| is_library && is_shared(it))?;
    Some(Executable { option: "--lib".to_owned(), path, package })
}

/// Returns the option that the user has given, as [`Executable`] has it.
fn asked(options: &Build) -> Option<String> {
    let named = [("bin", &options.bin), ("example", &options.example), ("test", &options.test)];
    let mut named = named.into_iter().filter_map(|(kind, name)| Some((kind, name.as_ref()?)));
    let named = named.next().map(|(kind, name)| format!("--{kind} {name}"));
    named.or_else(|| options.lib.then(|| "--lib".to_owned()))
}

fn choose(
    mut executables: Vec<Executable>,
    options: &Build,
    workspace: &Workspace,
) -> Result<Executable, Error> {
    // Cargo also builds other executables if the package depends on its own program.
    match asked(options) {
        Some(asked) => executables.retain(|it| it.option == asked),
        None => executables.retain(|it| it.option != "--lib"),
    }
    if options.lib {
        // Libraries that it depends on were built before it.
        executables = executables.pop().into_iter().collect();
    }
    if executables.len() > 1 {
        retain_default_run(&mut executables, workspace);
    }
    executables.sort_by(|a, b| (&a.option, &a.path).cmp(&(&b.option, &b.path)));
    if executables.len() < 2 {
        return executables.pop().ok_or_else(|| {
            Error::new(
                "the package has no binary; name one with `--example NAME`, `--test NAME`, `--lib` or `-p PACKAGE`, or the path of a program",
            )
        });
    }
    let first = &executables[0];
    if executables.iter().all(|it| (&it.option, &it.package) == (&first.option, &first.package)) {
        let paths: Vec<String> =
            executables.iter().map(|it| visible_path(&it.path).to_string()).collect();
        return Err(Error::new(format!(
            "cargo built the program for several targets; name one with `--target TRIPLE`, or the path of a program: {}",
            paths.join(", ")
        )));
    }
    let are_several = executables.iter().any(|it| it.package != first.package);
    let mut names: Vec<String> = executables
        .iter()
        .map(|it| match workspace.package(&it.package).filter(|_| are_several) {
            Some(package) => format!("-p {} {}", package.name, it.option),
            None => it.option.clone(),
        })
        .collect();
    names.sort();
    Err(Error::new(format!("there are several binaries; name one: {}", names.join(", "))))
}

/// Keeps the binary that `cargo run` would run, if exactly one of the packages has a `default-run`.
fn retain_default_run(executables: &mut Vec<Executable>, workspace: &Workspace) {
    let built: BTreeSet<&str> = executables.iter().map(|it| it.package.as_str()).collect();
    let packages = built.into_iter().filter_map(|id| workspace.package(id));
    let defaults: Vec<(&str, &str)> =
        packages.filter_map(|it| Some((it.id.as_str(), it.default_run.as_deref()?))).collect();
    if let [(package, name)] = defaults[..] {
        let option = format!("--bin {name}");
        let is_default = |it: &Executable| it.package == package && it.option == option;
        if executables.iter().any(is_default) {
            executables.retain(is_default);
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
        let Some(Message::Artifact(artifact)) = message(line) else { panic!("an artifact") };
        let executable = executable_of(artifact).unwrap();
        assert_eq!((executable.option.as_str(), executable.path), ("--bin app", "/t/app".into()));
        assert!(matches!(message(r#"{"reason":"build-finished"}"#), Some(Message::Other)));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,80}") {
            drop(message(&line));
        }
    }
}
