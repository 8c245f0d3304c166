//! Tells which crate a source line belongs to, and shortens its path.

use std::{
    env,
    path::{Component, Path, PathBuf},
};

use memscope_layout::Place;
use serde::{Deserialize, Serialize};

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
    pub(crate) fn of(place: Option<&Place>) -> Self {
        Self::of_file(place.map_or("", |it| &it.file))
    }

    fn of_file(file: &str) -> Self {
        if file.starts_with("/rustc/") || file.contains("/rustlib/src/") {
            Self::Std
        } else if file.contains("/registry/src/") || file.contains("/git/checkouts/") {
            Self::Dependency
        } else {
            Self::Own
        }
    }
}

/// Formats a place without the uninformative start of its path: the current folder, or cargo's
/// folder of packages.
pub(crate) fn short_place(place: &Place) -> String {
    format!("{}:{}", short_path(&place.file), place.line)
}

/// Like [`short_place`], for a file.
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
    // Simplifies `a/../b`, which `include!` and `#[path]` produce, to `b`.
    let mut clean = PathBuf::new();
    for part in own.components() {
        let is_folder = matches!(clean.components().next_back(), Some(Component::Normal(_)));
        if part == Component::ParentDir && is_folder {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
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
            ("/rustc/abc/library/core/src/pin.rs", Origin::Std, "core/src/pin.rs:7"),
        ];
        for (file, origin, text) in cases {
            assert_eq!(Origin::of(Some(&place(file))), origin, "{file}");
            assert_eq!(short_place(&place(file)), text);
        }
    }
}
