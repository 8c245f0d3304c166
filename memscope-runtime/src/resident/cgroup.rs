//! The control group of the process: its memory limit, and what counts against it.
//!
//! A process is in one group of the hierarchy that controls memory. The groups above limit it too,
//! as far as they are visible here. Of all these limits the lowest counts.

use std::path::{Path, PathBuf};

use super::small_file::SmallFile;
use crate::model::LimitSource;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn limit_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }

    fn usage_file(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }

    /// The lines of `memory.stat` with the pages of files, of the group and those below it. Shared
    /// memory is in neither line.
    fn file_pages(self) -> [&'static str; 2] {
        match self {
            Self::V1 => ["total_inactive_file", "total_active_file"],
            Self::V2 => ["inactive_file", "active_file"],
        }
    }
}

/// The group with the lowest limit: the process's own, or one above it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    version: Version,
    pub(super) limit_bytes: u64,
    usage: PathBuf,
    stat: PathBuf,
}

/// From here on a limit is none: version 1 writes the largest number of whole pages.
const UNLIMITED: u64 = 1 << 60;

impl Group {
    /// The group of this process. Returns `None` if no group limits it, or the files cannot be
    /// read.
    pub(super) fn own() -> Option<Self> {
        let [groups, mounts] = ["/proc/self/cgroup", "/proc/self/mountinfo"]
            .map(|path| std::fs::read_to_string(path).unwrap_or_default());
        Self::find(&groups, &mounts, Path::new("/"))
    }

    /// `groups` and `mounts`: the texts of `/proc/self/cgroup` and `/proc/self/mountinfo`. `root`:
    /// the folder in which the mount points are.
    fn find(groups: &str, mounts: &str, root: &Path) -> Option<Self> {
        let (version, path) = own_path(groups)?;
        let (mount_root, mount_point) = mount(mounts, version)?;
        let top = root.join(mount_point.trim_start_matches('/'));
        let mut lowest: Option<Self> = None;
        for folder in folders(&top, below(path, &mount_root)) {
            let limit = limit(&folder.join(version.limit_file()));
            if let Some(limit_bytes) = limit
                && lowest.as_ref().is_none_or(|lowest| limit_bytes < lowest.limit_bytes)
            {
                let usage = folder.join(version.usage_file());
                lowest =
                    Some(Self { version, limit_bytes, usage, stat: folder.join("memory.stat") });
            }
        }
        lowest
    }

    pub(super) fn source(&self) -> LimitSource {
        match self.version {
            Version::V1 => LimitSource::CgroupV1,
            Version::V2 => LimitSource::CgroupV2,
        }
    }

    /// Reads the memory of the group that the kernel cannot simply drop. `from_bytes`: below that,
    /// all its memory will do, which is not less.
    pub(super) fn used_bytes(&self, from_bytes: u64) -> Option<u64> {
        let all = number(SmallFile::<64>::read(&self.usage)?.text()?)?;
        if all < from_bytes {
            return Some(all);
        }
        let stat = SmallFile::<4096>::read(&self.stat);
        let pages = stat.as_ref().and_then(SmallFile::text);
        let pages = pages.map_or(0, |text| file_pages(text, self.version));
        Some(all.saturating_sub(pages))
    }
}

/// The path of the process's group in the hierarchy that controls memory.
fn own_path(groups: &str) -> Option<(Version, &str)> {
    // `4:memory:/a/b`, and `0::/a/b` of version 2.
    let v1 = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let mut v1 = v1.filter(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    if let Some((_, path)) = v1.next() {
        return Some((Version::V1, path));
    }
    let mut v2 = groups.lines().filter_map(|line| line.strip_prefix("0::"));
    v2.next().map(|path| (Version::V2, path))
}

/// Where the hierarchy is mounted: which of its folders, and where. Of several mounts the last one
/// counts, which may cover the others.
fn mount(mounts: &str, version: Version) -> Option<(String, String)> {
    let of_line = |line: &str| {
        let (ours, theirs) = line.split_once(" - ")?;
        let mut theirs = theirs.split(' ');
        let (kind, options) = (theirs.next()?, theirs.nth(1).unwrap_or_default());
        let is_it = match version {
            Version::V1 => kind == "cgroup" && options.split(',').any(|name| name == "memory"),
            Version::V2 => kind == "cgroup2",
        };
        let mut ours = ours.split(' ').skip(3);
        let (root, point) = (ours.next()?, ours.next()?);
        is_it.then(|| (unescaped(root), unescaped(point)))
    };
    mounts.lines().rev().find_map(of_line)
}

/// Replaces `\040` and the like, in which the kernel writes blanks of a path.
fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let digits = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(byte) = digits.filter(u8::is_ascii) {
            out.push(char::from(byte));
            rest = &after[3..];
        } else {
            out.push('\\');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The part of the group's path that lies below the mounted folder.
fn below<'a>(path: &'a str, mount_root: &str) -> &'a str {
    let root = mount_root.trim_end_matches('/');
    let rest = path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    // A path outside of the mounted folder (`/..`) is that of a group which is not visible here.
    rest.filter(|rest| !rest.split('/').any(|part| part == "..")).unwrap_or_default()
}

/// The folders from the group up to the mounted one.
fn folders(top: &Path, below: &str) -> impl Iterator<Item = PathBuf> {
    let own = top.join(below.trim_start_matches('/'));
    let count = own.components().count() - top.components().count() + 1;
    let mut next = Some(own);
    std::iter::from_fn(move || {
        let here = next.take()?;
        next = here.parent().map(Path::to_owned);
        Some(here)
    })
    .take(count)
}

fn limit(path: &Path) -> Option<u64> {
    // `max` is no number.
    number(SmallFile::<64>::read(path)?.text()?).filter(|limit| *limit < UNLIMITED)
}

fn number(text: &str) -> Option<u64> {
    text.trim_ascii().parse().ok()
}

fn file_pages(stat: &str, version: Version) -> u64 {
    let of = |name: &str| {
        stat.lines().find_map(|line| number(line.strip_prefix(name)?.strip_prefix(' ')?))
    };
    version.file_pages().into_iter().filter_map(of).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
