//! Tells which crate a source line belongs to, and shortens its path.

use std::{
    env,
    path::{Path, PathBuf},
};

use memscope_layout::Place;
use serde::{Deserialize, Serialize};

use super::packages::{Packages, VENDOR, without_parents};

/// The owner of a file, judged by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    /// The user's own code: the workspace, or any folder that packages are not downloaded to.
    Own,
    /// A package from a registry or a git repository.
    Dependency,
    /// The standard library.
    Std,
}

impl Origin {
    /// Returns the owner: by the packages of the build if the file is in one of them, or else by
    /// its path.
    pub(crate) fn of(place: Option<&Place>, packages: &Packages) -> Self {
        let file = place.map_or("", |it| &it.file);
        match Self::of_file(file) {
            Self::Std => Self::Std,
            guess => match packages.is_own(file) {
                Some(true) => Self::Own,
                Some(false) => Self::Dependency,
                None => guess,
            },
        }
    }

    fn of_file(file: &str) -> Self {
        if file.starts_with("/rustc/") || file.contains("/rustlib/src/") {
            Self::Std
        } else if ["/registry/src/", "/git/checkouts/"].iter().any(|it| file.contains(it))
            || is_vendored(file)
        {
            Self::Dependency
        } else {
            Self::Own
        }
    }
}

/// Guesses whether `cargo vendor` has made the file. If so, it is in `src` of a folder in a
/// package's `vendor`, or a folder above it has the checksum file.
fn is_vendored(file: &str) -> bool {
    let names: Vec<&str> = file.split('/').collect();
    let Some(at) = names.iter().rposition(|it| *it == VENDOR) else {
        return is_marked(Path::new(file));
    };
    // The last name is the file, not a folder.
    let behind = names.get(at + 2..names.len().saturating_sub(1)).unwrap_or_default();
    let above = names[..at].join("/");
    // A `vendor` in a folder without a package, such as `/home/vendor`, has another meaning.
    let is_elsewhere =
        Path::new(&above).is_dir() && !Path::new(&above).join("Cargo.toml").is_file();
    behind.contains(&"src") && !(file.starts_with('/') && is_elsewhere)
        || is_marked(Path::new(file))
}

/// Whether a folder above the file has the checksum file of `cargo vendor`.
fn is_marked(file: &Path) -> bool {
    file.is_absolute()
        && file.ancestors().skip(1).any(|it| it.join(".cargo-checksum.json").is_file())
}

/// Formats a place without the uninformative start of its path: the current folder, or cargo's
/// folder of packages.
pub(crate) fn short_place(place: &Place) -> String {
    format!("{}:{}", short_path(&place.file), place.line)
}

/// Formats a place in full, for text that is read in any folder.
pub(crate) fn full_place(place: &Place) -> String {
    format!("{}:{}", place.file, place.line)
}

/// Shortens the path of a file as [`short_place`] does.
pub(crate) fn short_path(file: &str) -> String {
    let after = |mark: &str| {
        let rest = file.split_once(mark)?.1;
        // The name of the registry or repository is skipped as well.
        Some(rest.split_once('/').map_or(rest, |it| it.1))
    };
    let std = || file.split_once("/library/").map(|it| it.1);
    let downloaded = after("/registry/src/")
        .or_else(|| after("/git/checkouts/"))
        .or_else(|| std().filter(|_| Origin::of_file(file) == Origin::Std));
    let file = downloaded.map_or_else(|| relative_path(Path::new(file)), PathBuf::from);
    file.display().to_string()
}

/// Returns the path relative to the current folder, if it is below that folder.
pub(crate) fn relative_path(path: &Path) -> PathBuf {
    let here = env::current_dir().ok();
    let own = here.and_then(|it| path.strip_prefix(it).ok()).unwrap_or(path);
    without_parents(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(file: &str) -> Place {
        Place { file: file.into(), line: 7 }
    }

    #[test]
    fn code_that_was_downloaded_is_not_the_users_own() {
        let cases = [
            ("/home/me/app/src/main.rs", Origin::Own, "/home/me/app/src/main.rs:7"),
            (
                "/home/me/.cargo/registry/src/index.crates.io-1/tokio-1.0.0/src/lib.rs",
                Origin::Dependency,
                "tokio-1.0.0/src/lib.rs:7",
            ),
            ("/c/git/checkouts/hyper-1/abc/src/lib.rs", Origin::Dependency, "abc/src/lib.rs:7"),
            ("/app/src/bin/../../x.rs", Origin::Own, "/app/x.rs:7"),
            ("../x.rs", Origin::Own, "../x.rs:7"),
            (
                "/home/me/app/vendor/tokio/src/lib.rs",
                Origin::Dependency,
                "/home/me/app/vendor/tokio/src/lib.rs:7",
            ),
            ("vendor/tokio/src/a/b.rs", Origin::Dependency, "vendor/tokio/src/a/b.rs:7"),
            ("/app/src/vendor/stripe.rs", Origin::Own, "/app/src/vendor/stripe.rs:7"),
            ("/app/src/vendor/stripe/a.rs", Origin::Own, "/app/src/vendor/stripe/a.rs:7"),
            ("/home/vendor/src/main.rs", Origin::Own, "/home/vendor/src/main.rs:7"),
            ("/rustc/abc/library/core/src/pin.rs", Origin::Std, "core/src/pin.rs:7"),
        ];
        for (file, origin, text) in cases {
            assert_eq!(Origin::of(Some(&place(file)), &Packages::default()), origin, "{file}");
            assert_eq!(short_place(&place(file)), text);
        }
    }
}
