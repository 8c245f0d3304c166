//! Builds a program of this workspace and puts it aside, so that the next build may take its name.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const WORKSPACE: &str = env!("CARGO_MANIFEST_DIR");

/// What is built, by itself: no other package has a say in the features of what it depends on.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// The package; its only program has the same name.
    pub package: &'static str,
    /// Features of the package.
    pub features: &'static str,
    /// With `--cfg tokio_unstable`, in a target folder of its own.
    pub is_unstable: bool,
}

impl Build {
    /// Where the program is.
    ///
    /// # Errors
    ///
    /// When cargo fails, or the program cannot be put aside.
    pub fn make(self) -> io::Result<PathBuf> {
        let target = target();
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--release", "--message-format=json-render-diagnostics"]);
        cargo.arg("--manifest-path").arg(Path::new(WORKSPACE).join("Cargo.toml"));
        cargo.args(["--package", self.package, "--features", self.features]);
        if self.is_unstable {
            let flags = env::var("RUSTFLAGS").unwrap_or_default();
            cargo.env("RUSTFLAGS", format!("{flags} --cfg tokio_unstable"));
            cargo.env("CARGO_TARGET_DIR", target.join("unstable"));
        } else {
            cargo.env("CARGO_TARGET_DIR", &target);
        }
        let output = cargo.stderr(Stdio::inherit()).output()?;
        let built = String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
            .next_back();
        let Some(built) = built.filter(|_| output.status.success()) else {
            return Err(io::Error::other(format!("cargo did not build `{}`", self.package)));
        };
        let aside = target.join("programs");
        fs::create_dir_all(&aside)?;
        let program = aside.join(format!("{}-{}", self.package, self.features));
        fs::copy(built, &program)?;
        Ok(program)
    }
}

fn target() -> PathBuf {
    let chosen = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    chosen.unwrap_or_else(|| Path::new(WORKSPACE).join("target"))
}

/// The version of a dependency that starts like this, as it is locked; empty where there is none.
pub fn locked_version(name: &str, start: &str) -> String {
    let lock = fs::read_to_string(Path::new(WORKSPACE).join("Cargo.lock")).unwrap_or_default();
    let mut lines = lock.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("name = ").is_some_and(|found| found.trim_matches('"') == name)
            && let Some(version) = lines.next().and_then(|line| line.strip_prefix("version = "))
            && version.trim_matches('"').starts_with(start)
        {
            return version.trim_matches('"').to_owned();
        }
    }
    String::new()
}
