//! The packages of a build, which tell the owner of a source file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

/// The folder where `cargo vendor` puts the sources of dependencies.
pub(crate) const VENDOR: &str = "vendor";

/// The folders of the packages that were built, and those that their build scripts wrote to.
/// Without any folder, the origin of a file is judged by its path.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    /// Each folder, and whether its code is the user's own.
    folders: BTreeMap<PathBuf, bool>,
}

impl Packages {
    /// Judges which packages are the user's own. `folders` have the ids of their packages,
    /// `members` are the ids of the members of the workspace at `root`, and `built` is the package
    /// of the program.
    ///
    /// For cargo, each path dependency below the workspace is a member, even one that was copied to
    /// `vendor`.
    pub(crate) fn of(
        folders: impl IntoIterator<Item = (PathBuf, String)>,
        members: &BTreeSet<String>,
        root: &Path,
        built: &str,
    ) -> Self {
        let folders: Vec<(PathBuf, String)> = folders.into_iter().collect();
        let is_vendored = |folder: &Path| {
            let inner = folder.strip_prefix(root).unwrap_or(folder);
            inner.components().any(|it| it == Component::Normal(VENDOR.as_ref()))
        };
        let vendored: BTreeSet<&str> =
            folders.iter().filter(|it| is_vendored(&it.0)).map(|it| it.1.as_str()).collect();
        let is_own = |id: &str| id == built || members.contains(id) && !vendored.contains(id);
        let folders = folders.iter().map(|(folder, id)| (folder.clone(), is_own(id))).collect();
        Self { folders }
    }

    /// Whether the innermost package around a file is the user's own. Returns `None` if the file is
    /// in no package.
    pub(crate) fn is_own(&self, file: &str) -> Option<bool> {
        let file = without_parents(Path::new(file));
        file.ancestors().find_map(|it| self.folders.get(it)).copied()
    }
}

/// Simplifies `a/../b`, which `include!` and `#[path]` produce, to `b`.
pub(crate) fn without_parents(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
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

    #[test]
    fn a_file_is_of_the_innermost_package_and_own_if_that_is_a_member() {
        let folders = [
            ("/w", "app"),
            ("/w/crates/core", "core"),
            ("/w/vendor/copied", "copied"),
            ("/w/vendor/by-path", "by-path"),
            ("/elsewhere/lib", "lib"),
            ("/w/target/debug/build/core-12/out", "core"),
            ("/w/target/debug/build/copied-34/out", "copied"),
        ];
        let folders = folders.map(|(folder, id)| (folder.into(), id.to_owned()));
        let members = ["app", "core", "by-path"].map(str::to_owned).into();
        let packages = Packages::of(folders, &members, Path::new("/w"), "app");
        for (file, expected) in [
            ("/w/src/main.rs", Some(true)),
            ("/w/src/vendor/stripe.rs", Some(true)),
            ("/w/src/bin/../../crates/core/src/a.rs", Some(true)),
            ("/w/vendor/copied/src/lib.rs", Some(false)),
            ("/w/vendor/by-path/src/lib.rs", Some(false)),
            ("/elsewhere/lib/src/lib.rs", Some(false)),
            ("/w/target/debug/build/core-12/out/made.rs", Some(true)),
            ("/w/target/debug/build/copied-34/out/made.rs", Some(false)),
            ("/wide/src/main.rs", None),
            ("src/main.rs", None),
        ] {
            assert_eq!(packages.is_own(file), expected, "{file}");
        }
        // The package of the program is the user's own in any folder.
        let folders = [("/w/vendor/tool".into(), "tool".to_owned())];
        let packages = Packages::of(folders, &BTreeSet::new(), Path::new("/w"), "tool");
        assert_eq!(packages.is_own("/w/vendor/tool/src/main.rs"), Some(true));
        assert_eq!(Packages::default().is_own("/w/src/main.rs"), None);
    }
}
